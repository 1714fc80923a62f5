"""Which session an event belongs to.

Source: recordings of Dovecot 2.3.19 and its source. Most events of a client's session carry its id in the field ``session``; parts of one
(``ID:T2``, ``ID:R3`` of LMTP, ``ID:GUID`` of the indexer) begin with it. What has no id but names the client's end of the connection
(auth_master_client_login_*, lookups for LMTP, connections from a network) belongs to the session at that end. All else stands alone; the
events of one operation, begun at the same microsecond, are kept together.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovestorm.compare.records import Record

__all__ = ["Grouping", "Place", "Session", "group"]

_LIMIT = 200_000
_BEGINNINGS = frozenset({"client_connection_connected", "auth_client_request_started"})


@dataclass(slots=True, eq=False)
class Place:
    """Where an event belongs.

    Attributes:
        name: Tells this group from every other one of the stream; made of what was first seen of it.
        named: Whether an event of it had a session id: then it is a session, else an operation that stands alone.
    """

    name: str
    named: bool = False

    @property
    def alone(self) -> bool:
        """Whether nothing links its events but their time, so that no session can turn up for it later."""
        return self.name.startswith("operation ")


@dataclass(slots=True)
class Session:
    """The events of one session, in order of their end_time, or of an operation that stands alone (``named`` is false)."""

    name: str
    named: bool
    records: list[Record] = field(default_factory=list)


class Grouping:
    """Assigns the events of a stream to their sessions, as they come; the most recently used 200,000 of each kind of key are remembered."""

    __slots__ = ("_ends", "_limit", "_number", "_operations", "_sessions")

    def __init__(self, limit: int = _LIMIT) -> None:
        self._limit = limit
        self._number = 0
        self._sessions: OrderedDict[str, Place] = OrderedDict()
        self._ends: OrderedDict[tuple[object, ...], Place] = OrderedDict()
        self._operations: OrderedDict[tuple[object, ...], Place] = OrderedDict()

    def place(self, record: Record) -> Place:
        """The group of an event; events of one group get the same object."""
        identity = record.fields.get("session")
        end = _client_end(record)
        if isinstance(identity, str) and identity:
            return self._of_session(identity.partition(":")[0] or identity, end)
        if end is not None:
            return self._of_end(record, end)
        key = (record.hostname, record.service, record.event.rpartition("_")[0], record.start_us)
        place = _recall(self._operations, key)
        return place if place is not None else self._new(self._operations, key, f"operation {key}")

    def _of_session(self, identity: str, end: tuple[object, ...] | None) -> Place:
        place = _recall(self._sessions, identity)
        if place is None:
            before = None if end is None else self._ends.get(end)
            if before is not None and not before.named:
                place = before
                self._keep(self._sessions, identity, place)
            else:
                place = self._new(self._sessions, identity, f"session {identity}")
            place.named = True
        if end is not None and self._ends.get(end) is not place:
            self._keep(self._ends, end, place)
        return place

    def _of_end(self, record: Record, end: tuple[object, ...]) -> Place:
        place = _recall(self._ends, end)
        if place is None or record.event in _BEGINNINGS:
            self._number += 1
            place = self._new(self._ends, end, f"end {end} {self._number}")
        return place

    def _new(self, known: OrderedDict[Any, Place], key: Any, name: str) -> Place:
        place = Place(name)
        self._keep(known, key, place)
        return place

    def _keep(self, known: OrderedDict[Any, Place], key: Any, place: Place) -> None:
        known[key] = place
        if len(known) > self._limit:
            known.popitem(last=False)


def group(records: Iterable[Record]) -> list[Session]:
    """All sessions and stand-alone operations of a stream that fits in memory, in the order in which they began."""
    grouping = Grouping()
    found: dict[Place, Session] = {}
    for record in records:
        place = grouping.place(record)
        session = found.get(place)
        if session is None:
            session = found[place] = Session(place.name, place.named)
        session.records.append(record)
    for place, session in found.items():
        session.named = place.named
        session.records.sort(key=_end)
    return list(found.values())


def _end(record: Record) -> int:
    return record.end_us


def _client_end(record: Record) -> tuple[object, ...] | None:
    fields = record.fields
    ip, port = fields.get("remote_ip"), fields.get("remote_port")
    if ip is None and record.event.startswith("client_connection_"):
        ip, port = fields.get("client_ip"), fields.get("client_port")
    if not isinstance(ip, str) or not isinstance(port, (int, str)):
        return None
    return record.hostname, ip, str(port)


def _recall(known: OrderedDict[Any, Place], key: Any) -> Place | None:
    place = known.get(key)
    if place is not None:
        known.move_to_end(key)
    return place
