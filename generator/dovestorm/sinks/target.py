"""What a sink's URL says, taken apart; whatever is secret in it stays out of messages."""

from __future__ import annotations

import base64
import math
import re
from dataclasses import dataclass, field
from urllib.parse import unquote

from dovestorm.clock import Clock, SystemClock
from dovestorm.errors import UsageError, nearest
from dovestorm.registry import SINKS

__all__ = ["Endpoint", "Options", "Settings", "Target", "endpoint", "parse", "refuse_extras", "socket_path"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HIGHEST_PORT = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What holds for every sink unless its URL says otherwise.

    Attributes:
        clock: Measures and waits.
        retries: How often in a row a failed attempt is repeated; 0 gives up at once.
        timeout_s: The longest wait for a connection, or for the answer to a request.
    """

    clock: Clock = field(default_factory=SystemClock)
    retries: int = 5
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True)
class Target:
    """A URL cut after its scheme.

    Attributes:
        scheme: A name of the registry.
        rest: What follows the scheme and its colon; the path alone for a plain path.
        shown: The URL as it may be shown: without user, password and foreign query.
    """

    scheme: str
    rest: str
    shown: str


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The parts of a ``scheme://`` URL; ``query`` is raw text."""

    host: str
    port: int
    credentials: str
    path: str
    query: str

    @property
    def url_host(self) -> str:
        """The host as it stands in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]" if ":" in self.host else self.host

    @property
    def authorization(self) -> str:
        """The value of HTTP's Authorization header (RFC 7617); empty without credentials."""
        return "Basic " + base64.b64encode(self.credentials.encode()).decode("ascii") if self.credentials else ""


def parse(url: str) -> Target:
    """Tell which sink a URL means. A text without a known scheme is a path.

    Raises:
        UsageError: The URL is empty, or its scheme is unknown.
    """
    if not url:
        raise UsageError("empty sink URL: give '-', a path, or a URL such as tcp://HOST:PORT")
    if url == "-":
        return Target("-", "", "-")
    match = _SCHEME.match(url)
    if match is None:
        return Target("file", url, url)
    scheme, rest = match[1].lower(), url[match.end() :]
    if scheme in SINKS:
        return Target(scheme, rest, _harmless(scheme, url))
    offer = nearest(scheme, SINKS)
    if offer or rest.startswith("//"):
        known = offer or f", known are {', '.join(SINKS)}"
        raise UsageError(f"{_harmless('http', url)}: unknown kind of sink '{match[1]}'{known} (a file of that name is ./{match[1]}:...)")
    return Target("file", url, url)


def endpoint(target: Target, *, default_port: int | None = None) -> Endpoint:
    """Take ``//[USER[:PASSWORD]@]HOST[:PORT][/PATH][?QUERY]`` apart; an IPv6 address stands in brackets.

    Raises:
        UsageError: Host or port is missing or wrong.
    """
    form = SINKS[target.scheme].form
    if not target.rest.startswith("//"):
        raise UsageError(f"{target.shown}: '//' is missing after '{target.scheme}:', write {form}")
    before, _, _ = target.rest[2:].partition("#")
    before, _, query = before.partition("?")
    authority, slash, path = before.partition("/")
    credentials, _, place = authority.rpartition("@")
    host, port = _host_and_port(place)
    number = _port_number(target, port, default_port)
    if not host:
        raise UsageError(f"{target.shown}: no host, write {form}")
    return Endpoint(host, number, unquote(credentials), slash + path, query)


def refuse_extras(target: Target, place: Endpoint) -> None:
    """Raise ``UsageError`` for a user or a path where only host and port have a meaning."""
    if place.credentials:
        raise UsageError(f"{target.shown}: a user means nothing here, write {SINKS[target.scheme].form}")
    if place.path not in {"", "/"}:
        raise UsageError(f"{target.shown}: a path means nothing here, write {SINKS[target.scheme].form}")


def socket_path(target: Target) -> tuple[str, str]:
    """The path and the raw query of ``unix:PATH[?QUERY]``; ``unix:///PATH`` is the same.

    Raises:
        UsageError: There is no path, or a host where none can be.
    """
    path, _, query = target.rest.partition("?")
    if path.startswith("//"):
        if not path.startswith("///"):
            raise UsageError(f"{target.shown}: a socket path has no host, write {target.scheme}:/PATH")
        path = path[2:]
    if not path:
        raise UsageError(f"{target.shown}: no path, write {SINKS[target.scheme].form}")
    return path, query


class Settings:
    """Reads our own options from a URL's query; each is taken once, and ``rest`` is what is left."""

    def __init__(self, target: Target, query: str) -> None:
        self._target = target
        self._pieces = [piece for piece in query.split("&") if piece]
        self._asked: list[str] = []

    def text(self, name: str) -> str | None:
        """An option's text, or None when it is not given."""
        self._asked.append(name)
        mine = [piece for piece in self._pieces if unquote(piece.partition("=")[0]) == name]
        self._pieces = [piece for piece in self._pieces if piece not in mine]
        return unquote(mine[-1].partition("=")[2]) if mine else None

    def integer(self, name: str, default: int, *, least: int, most: int | None = None) -> int:
        """A whole number between ``least`` and ``most``."""
        given = self.text(name)
        if given is None:
            return default
        bound = f"a whole number from {least}" + (f" to {most}" if most is not None else " up")
        if not re.fullmatch(r"[0-9]{1,12}", given) or int(given) < least or (most is not None and int(given) > most):
            raise UsageError(f"{self._target.shown}: {name}={given}, it must be {bound}")
        return int(given)

    def seconds(self, name: str, default: float) -> float:
        """A positive number of seconds."""
        given = self.text(name)
        if given is None:
            return default
        try:
            value = float(given)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise UsageError(f"{self._target.shown}: {name}={given}, it must be a number of seconds above 0")
        return value

    def switch(self, name: str, *, default: bool) -> bool:
        """``yes`` or ``no``."""
        given = self.text(name)
        if given not in {None, "yes", "no"}:
            raise UsageError(f"{self._target.shown}: {name}={given}, it must be yes or no")
        return default if given is None else given == "yes"

    def options(self, base: Options) -> Options:
        """``base`` with what the URL says about retries and timeout."""
        retries = self.integer("retries", base.retries, least=0)
        return Options(clock=base.clock, retries=retries, timeout_s=self.seconds("timeout", base.timeout_s))

    @property
    def rest(self) -> str:
        """The query without our options, as it was written."""
        return "&".join(self._pieces)

    def finish(self) -> None:
        """Raise ``UsageError`` when options are left that nobody asked for."""
        for piece in self._pieces:
            name = piece.partition("=")[0]
            offer = nearest(name, self._asked) or f", known are {', '.join(self._asked)}"
            raise UsageError(f"{self._target.shown}: unknown option '{name}'{offer}")


def _host_and_port(place: str) -> tuple[str, str]:
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", place)
    if bracketed:
        return bracketed[1], bracketed[2] or ""
    host, _, port = place.partition(":")
    return host, port


def _port_number(target: Target, port: str, default: int | None) -> int:
    if not port and default is not None:
        return default
    if not port:
        raise UsageError(f"{target.shown}: no port, write {SINKS[target.scheme].form}")
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= _HIGHEST_PORT:
        hint = "; an IPv6 address stands in brackets, [::1]:PORT" if ":" in port else ""
        raise UsageError(f"{target.shown}: the port must be a number from 1 to {_HIGHEST_PORT}{hint}")
    return int(port)


def _harmless(scheme: str, url: str) -> str:
    """Without what may be secret: all before the last ``@``, and the query of a web address."""
    if scheme in {"file", "unix", "unixgram", "dovecot-stats"}:
        return url
    url = re.sub(r"(?<=:)(/*).*@", r"\1***@", url, count=1)
    head, mark, _ = url.partition("?")
    return head + "?..." if mark and scheme in {"http", "https"} else url
