"""Records that were not recognised, and events that did not come: which of them are the same after all, and which were altered on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.audit.altering import join_alike
from dovestorm.audit.bits import Bits
from dovestorm.audit.joining import join
from dovestorm.audit.likeness import LEVELS, Likeness, prints_of
from dovestorm.audit.scratch import Bins, Table, bin_of_key, both
from dovestorm.batch import Batch
from dovestorm.validate.json_lines import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dovestorm.audit.auditor import Auditor
    from dovestorm.audit.expectation import Stretch
    from dovestorm.audit.joining import Joined
    from dovestorm.audit.scratch import Rows
    from dovestorm.audit.settling import Ledger

__all__ = ["PLACE_BITS", "Leftovers"]

PLACE_BITS = 17
"""Altered events are kept in bins of so many places of the stream."""

_EXPECTED = [("key", "<u8"), ("more", "<u8"), ("alike", "<u8", (LEVELS,)), ("at", "<i8"), ("delivered", "?")]
_RECEIVED = [("key", "<u8"), ("more", "<u8"), ("alike", "<u8", (LEVELS,)), ("at", "<i8"), ("offset", "<i8"), ("size", "<i8"), ("readable", "?")]
_ALTERED = [("place", "<i8"), ("arrival", "<i8"), ("offset", "<i8"), ("size", "<i8")]
_SIDE = [("key", "<u8"), ("more", "<u8"), ("at", "<i8")]
_ROWS = 1 << 13
_FILTER_BITS = 27


class Leftovers:
    """Resolves what is left over.

    Args:
        auditor: Has the records.
        ledger: Has what is known, and gets what is found.

    Attributes:
        altered: Place, arrival, and offset and size in the spool of each altered event, in bins by place.
        resolved: Unknown records of which it is clear now what they are.
        unreadable: Unknown records that are broken.
    """

    def __init__(self, auditor: Auditor, ledger: Ledger) -> None:
        self._auditor, self._ledger = auditor, ledger
        self._expectation = auditor.expectation
        self._likeness = Likeness(auditor.expectation)
        self._received = Table(auditor.scratch, _RECEIVED)
        self._expected = Table(auditor.scratch, _EXPECTED)
        self.taken = Bits()
        """Arrivals that are resolved."""
        self.altered = Bins(auditor.scratch, _ALTERED, lambda rows: rows["place"] >> PLACE_BITS)
        self.resolved = 0
        self.unreadable = 0

    def resolve(self) -> None:
        """Find an event for as many records as can be."""
        auditor, ledger = self._auditor, self._ledger
        if not auditor.leftover.count:
            return
        self._join_prints()
        if not ledger.unknown_count:
            return
        by_value = auditor.compare == "bytes"
        for rows in self._decoded():
            self._received.add(rows)
        if not (self._is_missing() or by_value):
            return
        known = _filter(rows["key"] for rows in self._received.chunks()) if by_value else None
        for stretch in self._expectation.stretches():
            self._collect(stretch, known)
        if by_value:
            self._join_values()
        for level in range(LEVELS):
            if not self._is_missing() or self.resolved == ledger.unknown_count:
                return
            self._join_alike(level)

    def _is_missing(self) -> bool:
        return self._auditor.made > self._ledger.delivered_count + self._ledger.altered_count

    # ------------------------------------------------------------ both sides as rows

    def _decoded(self) -> Iterator[Rows]:
        held: list[tuple[int, int, int, bool]] = []
        events: list[dict[str, Any]] = []
        for at, offset, record in self._auditor.spool.records(self._ledger.unknown):
            try:
                event, readable = self._auditor.decoder.decode(record), True
            except UnreadableError:
                event, readable = self._auditor.decoder.salvage(record), False
                self.unreadable += 1
            held.append((at, offset, len(record), readable))
            events.append(event)
            if len(held) == _ROWS:
                yield self._received_rows(held, events)
                held, events = [], []
        if held:
            yield self._received_rows(held, events)

    def _received_rows(self, held: list[tuple[int, int, int, bool]], events: list[dict[str, Any]]) -> Rows:
        rows = np.zeros(len(held), _RECEIVED)
        rows["key"], rows["more"] = prints_of([self._auditor.spelling.spell(event) for event in events])
        rows["alike"] = self._likeness.received(events)
        for name, column in zip(("at", "offset", "size", "readable"), zip(*held, strict=True), strict=True):
            rows[name] = column
        return rows

    def _collect(self, stretch: Stretch, known: Bits | None) -> None:
        """Keep what is missing, and what says the same as a record that was not recognised."""
        batch = stretch.batch
        delivered = self._ledger.delivered.stretch(stretch.first, len(batch))
        wanted = ~delivered
        if known is not None:
            wanted |= known.has(_lower(self._expectation.by_values(batch)[0]))
        chosen = np.flatnonzero(wanted)
        if not len(chosen):
            return
        part = Batch(batch.layout, batch.kind[chosen], batch.offset[chosen], batch.session[chosen], batch.values)
        rows = np.zeros(len(chosen), _EXPECTED)
        rows["key"], rows["more"] = self._expectation.by_values(part)
        rows["alike"] = self._likeness.expected(part)
        rows["at"], rows["delivered"] = stretch.first + chosen, delivered[chosen]
        self._expected.add(rows)

    # ------------------------------------------------------------ joining

    def _join_prints(self) -> None:
        """What was too far from its place to be recognised at once, and what came again: delivered, doubled, or unknown."""
        auditor, ledger = self._auditor, self._ledger
        leftover = auditor.leftover
        if not (auditor.unrecognised or self._is_missing()):
            # All of it came again, and is missing nowhere.
            for rows in leftover.chunks():
                ledger.double(rows["place"], rows["at"])
            return
        ours = Bins(auditor.scratch, [*_SIDE, ("delivered", "?"), ("due", "<i8")], bin_of_key)
        theirs = Bins(auditor.scratch, _SIDE, bin_of_key)
        for rows in leftover.chunks():
            theirs.add(_columns(rows, theirs.dtype))
        known = _filter(rows["key"] for rows in leftover.chunks())
        for stretch in self._expectation.stretches():
            low, high = auditor.prints(stretch.batch)
            chosen = np.flatnonzero(known.has(_lower(low)))
            rows = np.empty(len(chosen), ours.dtype)
            rows["key"], rows["more"], rows["at"] = low[chosen], high[chosen], stretch.first + chosen
            rows["delivered"], rows["due"] = ledger.delivered.has(rows["at"]), stretch.batch.end[chosen]
            ours.add(rows)
        for unsorted, received in both(ours, theirs):
            joined, expected = self._join(unsorted, received)
            new = ~expected["delivered"][joined.expected]
            if auditor.arrivals is not None:
                moments = auditor.arrivals.moments(received["at"][joined.received[new]])
                auditor.arrivals.add(moments, expected["due"][joined.expected[new]])
            ledger.unknown.add(received["at"][joined.unknown])
            ledger.unknown_count += len(joined.unknown)

    def _join_values(self) -> None:
        """The same value, in other bytes: delivered, or doubled when the event has come already."""
        ours = Bins(self._auditor.scratch, [*_SIDE, ("delivered", "?")], bin_of_key)
        theirs = Bins(self._auditor.scratch, _SIDE, bin_of_key)
        for rows in self._expected.chunks():
            ours.add(_columns(rows, ours.dtype))
        for rows in self._received.chunks():
            theirs.add(_columns(rows[rows["readable"]], theirs.dtype))
        for unsorted, received in both(ours, theirs):
            joined, _ = self._join(unsorted, received)
            self._resolve(received["at"][joined.received])
            self._resolve(received["at"][joined.surplus])

    def _join(self, unsorted: Rows, received: Rows) -> tuple[Joined, Rows]:
        """Deliver, or double what has been delivered already; gives what was joined, and the expected rows in the order to which it refers."""
        expected = unsorted[np.argsort(unsorted["delivered"], kind="stable")]
        joined = join((expected["key"], expected["more"]), (received["key"], received["more"]))
        pairs, arrivals = expected[joined.expected], received["at"][joined.received]
        new = ~pairs["delivered"]
        self._ledger.deliver(pairs["at"][new], arrivals[new])
        self._ledger.double(
            np.concatenate((pairs["at"][~new], expected["at"][joined.original])),
            np.concatenate((arrivals[~new], received["at"][joined.surplus])),
        )
        return joined, expected

    def _join_alike(self, level: int) -> None:
        """Alike at one level: altered on the way."""
        ledger = self._ledger
        expected = (rows[~(ledger.delivered.has(rows["at"]) | ledger.altered.has(rows["at"]))] for rows in self._expected.chunks())
        received = (rows[~self.taken.has(rows["at"])] for rows in self._received.chunks())
        for places, records in join_alike(self._auditor, level, expected, received):
            pairs = np.empty(len(places), _ALTERED)
            pairs["place"], pairs["arrival"] = places, records["at"]
            pairs["offset"], pairs["size"] = records["offset"], records["size"]
            self.altered.add(pairs)
            ledger.altered.add(places)
            ledger.altered_count += len(pairs)
            self._resolve(records["at"])

    def _resolve(self, arrivals: NDArray[np.int64]) -> None:
        self.taken.add(arrivals)
        self.resolved += len(arrivals)


def _filter(keys: Iterable[NDArray[np.uint64]]) -> Bits:
    """By the lower bits of a key, whether it may be one of these."""
    known = Bits()
    for some in keys:
        known.add(_lower(some))
    return known


def _lower(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    return (keys & np.uint64((1 << _FILTER_BITS) - 1)).astype(np.int64)


def _columns(rows: Rows, dtype: np.dtype[Any]) -> Rows:
    found = np.empty(len(rows), dtype)
    for name in dtype.names or ():
        found[name] = rows[name]
    return found
