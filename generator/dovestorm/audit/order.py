"""In which order events arrived: which came after one that the stream has later, and how many places behind it."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.audit.bits import Bits
from dovestorm.audit.scratch import Bins, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.audit.scratch import Rows, Scratch

__all__ = ["Order", "runs"]

_PAIR = [("arrival", "<i8"), ("place", "<i8")]
_RUN = [("arrival", "<i8"), ("place", "<i8"), ("count", "<i8")]
_BITS = 20
_LONGEST = 1 << _BITS


class Order:
    """Takes arrival numbers and places in the stream.

    What comes as the stream has it, one after another, is kept as a run: a stream that is in order takes no room.

    Args:
        scratch: Where they go when they are many.

    Attributes:
        count: Events out of order, after ``late``.
        farthest: Places that the farthest of them was behind.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._runs = Table(scratch, _RUN)
        self._open = np.zeros(0, _RUN)
        """The latest run, which may go on."""
        self._pairs = Bins(scratch, _PAIR, lambda rows: rows["arrival"] >> _BITS)
        self._contested = Bits()
        self.count = 0
        self.farthest = 0

    def follow(self, arrivals: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Note which place each arrival was; arrivals ascend, from call to call too."""
        if not len(arrivals):
            return
        firsts, counts = runs(places, arrivals)
        rows = np.empty(len(firsts), _RUN)
        rows["arrival"], rows["place"], rows["count"] = arrivals[firsts], places[firsts], counts
        if len(self._open):
            last, count = self._open[0], int(self._open["count"][0])
            goes_on = rows["arrival"][0] - last["arrival"] == count == rows["place"][0] - last["place"]
            if goes_on and count + counts[0] <= _LONGEST:
                rows["arrival"][0], rows["place"][0] = last["arrival"], last["place"]
                rows["count"][0] += count
            else:
                self._runs.add(self._open)
        if len(rows) > 1:
            self._runs.add(rows[:-1])
        self._open = rows[-1:].copy()

    def add(self, arrivals: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Note which place each arrival was, in any order."""
        rows = np.empty(len(arrivals), _PAIR)
        rows["arrival"], rows["place"] = arrivals, places
        self._pairs.add(rows)

    def contest(self, arrivals: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Note arrivals of places that have arrived another time too: what came first counts."""
        self.add(arrivals, places)
        self._contested.add(places)

    def late(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Places, arrival numbers and places behind of the events that are out of order, some at a time, in order of arrival."""
        front = -1
        for rows in self._merged() if self._pairs.count else self._parts():
            ends = rows["place"] + rows["count"] - 1
            ahead = np.maximum.accumulate(np.concatenate(([front], ends)))
            front = int(ahead[-1])
            # A run is out of order from its beginning on, up to where it gets beyond what was there before.
            behind_runs = np.flatnonzero(rows["place"] < ahead[:-1])
            if not len(behind_runs):
                continue
            sizes = np.minimum(rows["count"][behind_runs], ahead[behind_runs] - rows["place"][behind_runs])
            within = _within(sizes)
            places, arrivals = (np.repeat(rows[name][behind_runs], sizes) + within for name in ("place", "arrival"))
            behind = np.repeat(ahead[behind_runs], sizes) - places
            self.count += len(places)
            self.farthest = max(self.farthest, int(behind.max()))
            yield places, arrivals, behind

    def _parts(self) -> Iterator[Rows]:
        """The runs, a million arrivals at most at a time unless one run alone is longer."""
        for chunk in chain(self._runs.chunks(), [self._open] if len(self._open) else []):
            numbers = np.cumsum(chunk["count"]) >> _BITS
            yield from np.split(chunk, np.flatnonzero(np.diff(numbers)) + 1)

    def _merged(self) -> Iterator[Rows]:
        """Runs and pairs together, pairs as runs of one; of what is contested only the first."""
        seen = Bits()
        pairs = self._pairs.in_order()
        held = np.empty(0, _PAIR)
        more = True
        for runs_now in chain(self._parts(), [None]):
            end = None if runs_now is None else int((runs_now["arrival"] + runs_now["count"]).max())
            while more and (end is None or not len(held) or held["arrival"][-1] < end):
                following = next(pairs, None)
                more = following is not None
                if following is not None:
                    held = np.sort(np.concatenate((held, following)), order="arrival")
            cut = len(held) if end is None else int(np.searchsorted(held["arrival"], end))
            yield from self._uncontested(np.concatenate((_singles(held[:cut]), *([] if runs_now is None else [_spread(runs_now)]))), seen)
            held = held[cut:]

    def _uncontested(self, rows: Rows, seen: Bits) -> Iterator[Rows]:
        rows = rows[np.argsort(rows["arrival"], kind="stable")]
        places = rows["place"]
        disputed = np.flatnonzero(self._contested.has(places))
        if len(disputed):
            first = np.zeros(len(disputed), bool)
            first[np.unique(places[disputed], return_index=True)[1]] = True
            first &= ~seen.has(places[disputed])
            seen.add(places[disputed])
            keep = np.ones(len(rows), bool)
            keep[disputed[~first]] = False
            rows = rows[keep]
        if len(rows):
            yield rows


def runs(*columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each run of numbers that go up by one begins, in all columns together, and how long it is."""
    cut = np.zeros(max(len(columns[0]) - 1, 0), bool)
    for column in columns:
        cut |= np.diff(column) != 1
    firsts = np.concatenate((np.zeros(min(1, len(columns[0])), np.int64), np.flatnonzero(cut) + 1))
    return firsts, np.diff(np.append(firsts, len(columns[0])))


def _within(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, 2 ... for each size."""
    found: NDArray[np.int64] = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return found


def _spread(rows: Rows) -> Rows:
    within = _within(rows["count"])
    found = np.ones(len(within), _RUN)
    for name in ("arrival", "place"):
        found[name] = np.repeat(rows[name], rows["count"]) + within
    return found


def _singles(pairs: Rows) -> Rows:
    found = np.ones(len(pairs), _RUN)
    found["arrival"], found["place"] = pairs["arrival"], pairs["place"]
    return found
