"""A sketch of a distribution in a few hundred integers: cells that grow with the value, so that the relative error is the same everywhere."""

from __future__ import annotations

__all__ = ["QuantileSketch"]

_FINE_BITS = 5
_FINE = 1 << _FINE_BITS
"""Cells per doubling: the width of a cell is 1/32 of its value, or 1 below 32."""


class QuantileSketch:
    """Counts whole numbers from 0 up; a quantile is off by at most 1/32 of its value, the largest value is exact."""

    __slots__ = ("_cells", "count", "largest")

    def __init__(self) -> None:
        self._cells: dict[int, int] = {}
        self.count = 0
        self.largest = 0

    def add(self, value: int, count: int = 1) -> None:
        """Count ``value`` ``count`` times; what is below 0 counts as 0."""
        value = max(value, 0)
        cell = _cell(value)
        self._cells[cell] = self._cells.get(cell, 0) + count
        self.count += count
        self.largest = max(self.largest, value)

    def quantile(self, share: float) -> int:
        """The smallest number that at least ``share`` of all values do not exceed, rounded up to the end of its cell; 0 without values."""
        missing = share * self.count
        for cell in sorted(self._cells):
            missing -= self._cells[cell]
            if missing <= 0:
                return min(_end(cell), self.largest)
        return self.largest


def _cell(value: int) -> int:
    shift = max(value.bit_length() - _FINE_BITS - 1, 0)
    return (shift << _FINE_BITS) + (value >> shift)


def _end(cell: int) -> int:
    """The largest value of a cell."""
    shift = max((cell >> _FINE_BITS) - 1, 0)
    return ((cell - (shift << _FINE_BITS) + 1) << shift) - 1
