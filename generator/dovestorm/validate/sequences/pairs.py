"""Operations that begin with one event and end with another.

Source: both events of one operation carry the same start_time, to the microsecond, since the server makes them from one object; every pair of
the recordings does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.names import ABSENT, wire_name

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.stream import Stream

__all__ = ["Key", "Pairs"]

_LIMIT = 250_000
_KEYS = 4

Key = tuple[int, str, Any, Any, Any, Any]
"""What tells an operation: start_time, service and key fields."""


class Pairs:
    """Counts started and finished operations by service, start_time and the key fields that both events have in the edition."""

    __slots__ = ("_again", "_finished", "_horizon", "_limit", "_names", "_open", "_rule", "_started", "_stream")

    def __init__(self, stream: Stream, edition: Edition, rule: str, events: tuple[str, str], keys: tuple[str, ...], *, limit: int = _LIMIT) -> None:
        names = [wire_name(edition, events[0], key) for key in keys]
        shared = [name for name, key in zip(names, keys, strict=True) if name == wire_name(edition, events[1], key) != ABSENT]
        self._names = tuple((shared + [ABSENT] * _KEYS)[:_KEYS])
        self._stream = stream
        self._rule = rule
        self._started, self._finished = (edition.by_canonical[event].name for event in events)
        self._limit = limit
        self._open: dict[Key, int] = {}
        self._again: dict[Key, int] = {}
        self._horizon = -1

    def key(self, fields: dict[str, Any], start: int, service: str) -> Key:
        """What tells one operation from another."""
        get = fields.get
        first, second, third, fourth = self._names
        return (start, service, get(first), get(second), get(third), get(fourth))

    def start(self, fields: dict[str, Any], start: int, _end: int, service: str) -> None:
        """Take note of a beginning."""
        key = self.key(fields, start, service)
        if key in self._open:
            self._again[key] = self._again.get(key, 0) + 1
            return
        self._open[key] = self._stream.ledger.position
        if len(self._open) > self._limit:
            self._shed()

    def finish(self, fields: dict[str, Any], start: int, _end: int, service: str) -> None:
        """Match an end with its beginning."""
        key = self.key(fields, start, service)
        if key in self._open:
            more = self._again.get(key, 0)
            if not more:
                del self._open[key]
            elif more == 1:
                del self._again[key]
            else:
                self._again[key] = more - 1
        elif self.known_from(start):
            self._stream.ledger.add(self._rule, "", f"no {self._started} before it that began at the same time{self._described(key)}")

    def step(self, fields: dict[str, Any], start: int, _end: int, service: str) -> None:
        """Something between beginning and end."""
        if not self.pending(fields, start, service):
            self._stream.ledger.add(
                self._rule, "", f"no {self._started} before it that has not finished{self._described(self.key(fields, start, service))}"
            )

    def pending(self, fields: dict[str, Any], start: int, service: str) -> bool:
        """Whether the operation has begun and not ended, or may have begun before the stream did."""
        return self.key(fields, start, service) in self._open or not self.known_from(start)

    def known_from(self, start: int) -> bool:
        """Whether all that began then has been seen and is remembered."""
        return start > self._stream.horizon and start > self._horizon

    def shared(self, key: Key) -> bool:
        """Whether two open operations cannot be told apart."""
        return key in self._again

    def close(self) -> None:
        """In a complete stream nothing stays open."""
        if self._stream.complete:
            for key, position in self._open.items():
                self._stream.ledger.add_at(self._rule, position, self._started, "", f"no {self._finished} follows{self._described(key)}")

    def _shed(self) -> None:
        """Give up the oldest quarter; what ends later and began with these is let pass."""
        for key in list(self._open)[: max(1, self._limit // 4)]:
            del self._open[key]
            self._again.pop(key, None)
            self._horizon = max(self._horizon, key[0])

    def _described(self, key: Key) -> str:
        words = [f"{name} {value!r}" for name, value in zip(self._names, key[2:], strict=True) if value is not None]
        return f" ({', '.join(words)})" if words else ""
