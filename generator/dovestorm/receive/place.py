"""Where a consumer listens, read from a URL."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from dovestorm.errors import UsageError, nearest

__all__ = ["SCHEMES", "Place", "parse_place"]

SCHEMES = ("tcp", "tls", "udp", "unix", "unixgram", "http", "https")
_SECURE = {"tls", "https"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen: host and port (0 for a free one), or the path of a Unix socket; certificate and key for TLS."""

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    certificate: str = ""
    key: str = ""

    def url(self, port: int) -> str:
        """The URL that senders use, with the port that was really bound."""
        if self.scheme in {"unix", "unixgram"}:
            return f"{self.scheme}:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{port}{'/' if self.scheme in {'http', 'https'} else ''}"


def parse_place(url: str, *, public: bool = False) -> Place:
    """Read a URL such as ``tcp://127.0.0.1:5170``, ``udp://:0``, ``unix:/run/x.sock`` or ``tls://:6514?cert=FILE&key=FILE``.

    Args:
        url: Without a host, or with ``localhost``, it means 127.0.0.1.
        public: Whether an address that others can reach may be bound.

    Raises:
        UsageError: The URL cannot be used; the text says what would be right.
    """
    given, colon, rest = url.partition(":")
    scheme = given.lower()
    if not colon or scheme not in SCHEMES:
        hint = nearest(scheme, SCHEMES) or f", known are {', '.join(SCHEMES)}"
        raise UsageError(f"{url}: no such place to listen at: '{given}'{hint}")
    if scheme in {"unix", "unixgram"}:
        return Place(scheme, path=_socket_path(url, scheme, rest))
    if not rest.startswith("//"):
        raise UsageError(f"{url}: '//' is missing after '{given}:', such as {scheme}://127.0.0.1:5170")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from None
    if port is None:
        raise UsageError(f"{url}: the port is missing, such as {scheme}://127.0.0.1:5170 (0 takes a free one)")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    known = ("cert", "key") if scheme in _SECURE else ()
    for name in query:
        if name not in known:
            raise UsageError(f"{url}: unknown option '{name}'{nearest(name, known)}")
    if scheme in _SECURE and "cert" not in query:
        raise UsageError(f"{url}: a certificate is needed: {scheme}://HOST:PORT?cert=FILE&key=FILE")
    host = _host(url, parts.hostname or "127.0.0.1", public=public)
    return Place(scheme, host, port, certificate=query.get("cert", ""), key=query.get("key", query.get("cert", "")))


def _socket_path(url: str, scheme: str, rest: str) -> str:
    path = rest[2:] if rest.startswith("///") else rest
    if path.startswith("//"):
        raise UsageError(f"{url}: a socket's path has no host, such as {scheme}:/tmp/events.sock")
    if not path:
        raise UsageError(f"{url}: the socket's path is missing, such as {scheme}:/tmp/events.sock")
    if "?" in path:
        raise UsageError(f"{url}: there are no options here, and a path with '?' cannot be named by senders; such as {scheme}:/tmp/events.sock")
    return path


def _host(url: str, host: str, *, public: bool) -> str:
    if host == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(f"{url}: '{host}' is no address of this machine, give one such as 127.0.0.1") from None
    if not address.is_loopback and not public:
        raise UsageError(f"{url}: {host} can be reached from outside; --public allows that, 127.0.0.1 stays here")
    return host
