"""Rules of client_connection_* and server_connection_*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.names import ABSENT, wire_name
from dovestorm.validate.sequences.pairs import Pairs

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.stream import Handler, Stream

__all__ = ["Connections"]

_KEYS = {
    "client": ("client_ip", "client_port", "remote_ip", "remote_port"),
    "server": ("socket_path", "dest_ip", "dest_port", "client_port"),
}


class Connections:
    """The connections of one side, ``client`` or ``server``."""

    __slots__ = ("_internet", "_pairs", "_session", "_side", "_socket", "_stream")

    def __init__(self, stream: Stream, edition: Edition, side: str) -> None:
        events = (f"{side}_connection_connected", f"{side}_connection_disconnected")
        self._side = side
        self._stream = stream
        self._pairs = Pairs(stream, edition, "connection-pairs", events, _KEYS[side])
        internet, socket = ("remote_ip", "remote_pid") if side == "client" else ("dest_ip", "socket_path")
        self._internet = wire_name(edition, events[1], internet)
        self._socket = wire_name(edition, events[1], socket)
        session = wire_name(edition, events[1], "session")
        named_before = wire_name(edition, events[0], "session") != ABSENT
        self._session = ABSENT if named_before else session

    def handlers(self) -> dict[str, Handler]:
        """By canonical event."""
        return {f"{self._side}_connection_connected": self.connect, f"{self._side}_connection_disconnected": self.disconnect}

    def connect(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """A connection was made."""
        self._endpoint(fields)
        self._pairs.start(fields, start, end, service)

    def disconnect(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """A connection ended."""
        self._endpoint(fields)
        if self._session not in fields or self._pairs.pending(fields, start, service):
            self._pairs.finish(fields, start, end, service)

    def close_all(self) -> None:
        """At the end of the stream."""
        self._pairs.close()

    def _endpoint(self, fields: dict[str, Any]) -> None:
        if self._internet in fields and self._socket in fields:
            self._stream.ledger.add("connection-endpoint", self._socket, f"stands beside {self._internet}; a connection has one or the other")
