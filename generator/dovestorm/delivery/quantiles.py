"""A sketch of a distribution in a few hundred integers: cells that grow with the value, so that the relative error is the same everywhere."""

from __future__ import annotations

from typing import Any

__all__ = ["QuantileSketch"]

_FINE_BITS = 7
_FINE = 1 << _FINE_BITS
"""Cells per doubling: the width of a cell is 1/128 of its value, or 1 below 128."""


class QuantileSketch:
    """Counts whole numbers from 0 up; a quantile is off by at most 1/128 of its value, the largest value is exact."""

    __slots__ = ("_cells", "count", "largest", "total")

    def __init__(self) -> None:
        self._cells: dict[int, int] = {}
        self.count = 0
        self.largest = 0
        self.total = 0

    def add(self, value: int, count: int = 1) -> None:
        """Count ``value`` ``count`` times; what is below 0 counts as 0."""
        value = max(value, 0)
        cell = _cell(value)
        self._cells[cell] = self._cells.get(cell, 0) + count
        self.count += count
        self.total += value * count
        self.largest = max(self.largest, value)

    def merge(self, other: QuantileSketch) -> None:
        """Count all that ``other`` counted; the result is the same as if one sketch had counted both."""
        for cell, count in other._cells.items():
            self._cells[cell] = self._cells.get(cell, 0) + count
        self.count += other.count
        self.total += other.total
        self.largest = max(self.largest, other.largest)

    @property
    def mean(self) -> float:
        """The exact mean; 0 without values."""
        return self.total / self.count if self.count else 0.0

    def to_list(self) -> list[Any]:
        """Plain integers, for a message to another process: largest, total, cells, counts."""
        return [self.largest, self.total, list(self._cells), list(self._cells.values())]

    @classmethod
    def from_list(cls, plain: list[Any]) -> QuantileSketch:
        """The sketch that ``to_list`` wrote."""
        sketch = cls()
        sketch.largest, sketch.total, cells, counts = plain
        sketch._cells = dict(zip(cells, counts, strict=True))
        sketch.count = sum(counts)
        return sketch

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
