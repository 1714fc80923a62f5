"""In which order events arrived: which came after one that the stream has later, and how many places behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dovestorm.audit.scratch import Bins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.audit.scratch import Rows, Scratch

__all__ = ["Order"]

_PAIR = [("arrival", "<i8"), ("place", "<i8")]
_BITS = 21


class Order:
    """Takes pairs of an arrival number and a place in the stream, in any order.

    Args:
        scratch: Where they go when they are many.

    Attributes:
        count: Events out of order, after ``late``.
        farthest: Places that the farthest of them was behind.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._pairs = Bins(scratch, _PAIR, lambda rows: rows["arrival"] >> _BITS)
        self.count = 0
        self.farthest = 0

    def add(self, arrivals: NDArray[np.int64], places: NDArray[np.int64]) -> None:
        """Note which place of the stream each arrival was."""
        rows = np.empty(len(arrivals), _PAIR)
        rows["arrival"], rows["place"] = arrivals, places
        self._pairs.add(rows)

    def late(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]]:
        """Places, arrival numbers and places behind of the events that are out of order, some at a time, in order of arrival."""
        front = -1
        for unsorted in self._pairs.in_order():
            rows: Rows = unsorted[np.argsort(unsorted["arrival"], kind="stable")]
            if not len(rows):
                continue
            ahead = np.maximum.accumulate(np.maximum(rows["place"], front))
            front = int(ahead[-1])
            behind = ahead - rows["place"]
            is_late = behind > 0
            if is_late.any():
                self.count += int(is_late.sum())
                self.farthest = max(self.farthest, int(behind.max()))
                yield rows["place"][is_late], rows["arrival"][is_late], behind[is_late]
