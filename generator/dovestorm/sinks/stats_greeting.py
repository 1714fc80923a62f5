"""How a connection to a stats process begins: both say what they are, and the server what it wants to hear of."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from dovestorm.errors import DeliveryError
from dovestorm.sinks.event_filter import parse_filter
from dovestorm.stats_protocol import CLIENT_VERSION, MAJOR_VERSION, SERVER, unescape

if TYPE_CHECKING:
    from dovestorm.clock import Clock
    from dovestorm.sinks.connection import Connection
    from dovestorm.sinks.event_filter import Filter

__all__ = ["Listener", "greet"]

_LONGEST_HEARD = 1 << 22
_SHOWN = 60


class Listener:
    """Reads what the server says on one connection.

    Attributes:
        filter: The filter that it sent last; None before the first.
    """

    def __init__(self, url: str) -> None:
        self.filter: Filter | None = None
        self._url = url
        self._rest = b""
        self._met = False

    def hear(self, data: bytes) -> bool:
        """Take what has arrived; True when the filter is another one now.

        Raises:
            DeliveryError: It is no stats process, or one of another version.
        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_HEARD:
            raise DeliveryError(f"{self._url}: the other side says a line of more than {_LONGEST_HEARD:,} bytes; it is no stats-writer socket")
        before = self.filter
        for line in lines:
            self._line(line)
        if not self._met and self._rest and not b"VERSION\t".startswith(self._rest[:8]):
            self._version(self._rest)
        return self.filter is not before

    def _line(self, line: bytes) -> None:
        if not self._met:
            self._version(line)
            self._met = True
        elif line.startswith(b"FILTER"):
            self.filter = parse_filter(unescape(line[len(b"FILTER\t") :]).decode("utf-8", "surrogateescape"))

    def _version(self, line: bytes) -> None:
        words = line.rstrip(b"\r").split(b"\t")
        if words[:2] != [b"VERSION", SERVER] or len(words) < 4:
            said = line[:_SHOWN].decode("utf-8", "replace")
            raise DeliveryError(f"{self._url}: no stats process answers there (it says {said!r}); give the path of a Dovecot's stats-writer socket")
        if words[2] != b"%d" % MAJOR_VERSION:
            theirs = words[2][:_SHOWN].decode("utf-8", "replace")
            raise DeliveryError(
                f"{self._url}: the stats process speaks version {theirs} of its protocol, we speak {MAJOR_VERSION}: Dovecot 2.3.18 or later is needed"
            )


def greet(connection: Connection, url: str, *, clock: Clock, timeout_s: float) -> Listener:
    """Exchange versions on a new connection and wait for the filter.

    Raises:
        OSError: The connection is lost, or nothing came in time.
        DeliveryError: It is no stats process, or one of another version.
        Stopped: ``abort`` was called.
    """
    listener = Listener(url)
    end = clock.monotonic() + timeout_s
    greeting = memoryview(CLIENT_VERSION)
    while greeting:
        greeting = greeting[connection.send(greeting) :]
    while listener.filter is None:
        data = connection.receive()
        if data == b"":
            raise ConnectionResetError(errno.ECONNRESET, "closed by the other side")
        listener.hear(data or b"")
        if listener.filter is None and clock.monotonic() >= end:
            raise TimeoutError(errno.ETIMEDOUT, "no greeting")
    return listener
