"""Where all connections of a consumer bring their whole records: they are counted, checked, written and kept here."""

from __future__ import annotations

import threading
import time
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from dovestorm.clock import wall_us
from dovestorm.errors import DeliveryError, DovestormError
from dovestorm.receive.newlines import count_newlines

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from dovestorm.validate import Validator

__all__ = ["Auditing", "Intake"]

_NAME_BEGIN = b'{"event":"'
_NAME_SIZE = 120
_NAMES = 10_000
"""More names than any catalog has: whoever sends nonsense does not fill the memory."""


class Auditing(Protocol):
    """Who holds what comes against what was sent; see ``dovestorm.audit.Auditor``."""

    def lines(self, data: bytes, moment_us: int = 0) -> None:
        """Take whole lines, and when they came."""

    def record(self, data: bytes, moment_us: int = 0) -> None:
        """Take one record."""

    def take(self, data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64], moment_us: int = 0) -> None:
        """Take records that lie in ``data`` from ``begins`` to ``ends``."""


class Intake:
    """Takes whole records, from any thread.

    Args:
        validator: Checks every record; None checks nothing.
        write: A file that gets every record, byte for byte, in order of arrival.
        keep: Whether records are kept in memory.
        wanted: The count of events at which ``enough`` is set.
        auditor: Gets every record.
    """

    def __init__(
        self,
        *,
        validator: Validator | None = None,
        write: BinaryIO | None = None,
        keep: bool = False,
        wanted: int | None = None,
        auditor: Auditing | None = None,
    ) -> None:
        self.events = 0
        self.bytes = 0
        self.truncated = 0
        self.oversized = 0
        self.connections = 0
        self.open_connections = 0
        self.by_event: Counter[str] = Counter()
        self.records: list[bytes] = []
        self.looks = validator is not None or keep or write is not None or auditor is not None
        """Whether records are needed themselves, and not just their number."""
        self.checks = validator is not None
        self.begun: float | None = None
        self.last: float | None = None
        self.active: float | None = None
        """When an event came, or a connection came or went."""
        self.failure: DeliveryError | None = None
        self.changed = threading.Condition()
        self._validator, self._write, self._keep, self._wanted = validator, write, keep, wanted
        self._auditor = auditor

    @property
    def has_enough(self) -> bool:
        """Whether as many events as wanted have arrived, or taking them failed."""
        return self.failure is not None or (self._wanted is not None and self.events >= self._wanted)

    def count(self, events: int, size: int) -> None:
        """Note records that nobody needs to look at."""
        with self.changed:
            self._note(events, size)

    def lines(self, data: bytes) -> None:
        """Take whole lines, each with its newline."""
        with self.changed:
            self._note(count_newlines(data, 0, len(data)), len(data))
            self._put(data)
            self._audit(lambda auditor: auditor.lines(data, wall_us()))
            if not self._keep and self._validator is None:
                return
            lines = data.split(b"\n")
            lines.pop()
            if self._keep:
                self.records.extend(lines)
            if self._validator is not None:
                for line in lines:
                    self._validator.feed_line(line)
                    self._name(line)

    def record(self, data: bytes) -> None:
        """Take one record of text without a newline; it gets one where it is written."""
        with self.changed:
            self._note(1, len(data))
            self._put(data + b"\n")
            self._audit(lambda auditor: auditor.record(data, wall_us()))
            if self._keep:
                self.records.append(data)
            if self._validator is not None:
                self._validator.feed_line(data)
                self._name(data)

    def packed(self, data: bytes, records: list[dict[Any, Any]], ends: list[int]) -> None:
        """Take MessagePack records: their bytes together, each decoded, and where in the bytes each ends."""
        with self.changed:
            before = self.events
            self._note(len(records), len(data))
            self._put(data)
            self._audit(lambda auditor: _take(auditor, data, ends))
            if self._keep:
                self.records.extend(data[begin:end] for begin, end in pairwise((0, *ends)))
            for number, record in enumerate(records if self._validator is not None else ()):
                self._validator.feed_record(record, before + number + 1)  # type: ignore[union-attr]
                self._count_name(str(record.get("event", "?")))

    def broken(self, reason: str) -> None:
        """Note bytes that are no record."""
        with self.changed:
            self.truncated += 1
            if self._validator is not None:
                self._validator.misread(reason)
            self.changed.notify_all()

    def too_large(self) -> None:
        """Note a record that was passed over for its size."""
        with self.changed:
            self.oversized += 1
            if self._validator is not None:
                self._validator.feed_line(None)
            self.changed.notify_all()

    def connected(self, difference: int) -> None:
        """Note that a connection came (1) or went (-1)."""
        with self.changed:
            self.connections += max(difference, 0)
            self.open_connections += difference
            self.active = time.monotonic()
            self.changed.notify_all()

    def wait(self, ready: Callable[[], bool], timeout: float | None) -> bool:
        """Wait until ``ready()``; False when the time is up before."""
        with self.changed:
            return bool(self.changed.wait_for(ready, timeout))

    def _note(self, events: int, size: int) -> None:
        self.last = self.active = time.monotonic()
        if self.begun is None:
            self.begun = self.last
        self.events += events
        self.bytes += size
        self.changed.notify_all()

    def _put(self, data: bytes) -> None:
        if self._write is None:
            return
        try:
            self._write.write(data)
        except OSError as error:
            self._write = None
            self.failure = DeliveryError(f"the received events can no longer be written: {error.strerror or error}")

    def _audit(self, bring: Callable[[Auditing], None]) -> None:
        if self._auditor is None:
            return
        try:
            bring(self._auditor)
        except DovestormError as error:
            self._auditor = None
            self.failure = DeliveryError(f"the received events can no longer be audited: {error}")

    def _name(self, line: bytes) -> None:
        if line.startswith(_NAME_BEGIN):
            end = line.find(b'"', len(_NAME_BEGIN))
            self._count_name(line[len(_NAME_BEGIN) : end].decode("utf-8", "replace"))
        elif line.startswith(b"event:"):
            self._count_name(line[6:].partition(b"\t")[0].decode("utf-8", "replace"))

    def _count_name(self, name: str) -> None:
        name = name[:_NAME_SIZE]
        self.by_event[name if name in self.by_event or len(self.by_event) < _NAMES else "..."] += 1


def _take(auditor: Auditing, data: bytes, ends: list[int]) -> None:
    import numpy as np

    places = np.array(ends, np.int64)
    auditor.take(data, np.append(0, places[:-1]), places, wall_us())
