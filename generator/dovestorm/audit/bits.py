"""A set of numbers from 0 up, one bit each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Bits"]

_PART = 1 << 20
_FEW = 64


class Bits:
    """Grows as needed; a hundred million numbers take 12.5 megabytes."""

    def __init__(self) -> None:
        self._bytes = np.zeros(1 << 12, np.uint8)

    def add(self, numbers: NDArray[np.int64]) -> None:
        """Put numbers in."""
        if not len(numbers):
            return
        size = (int(numbers.max()) >> 3) + 1
        if size > len(self._bytes):
            self._bytes = np.concatenate((self._bytes, np.zeros(max(size - len(self._bytes), len(self._bytes)), np.uint8)))
        if len(numbers) > _FEW and numbers[-1] - numbers[0] == len(numbers) - 1 and (np.diff(numbers) == 1).all():
            self._add_stretch(int(numbers[0]), len(numbers))
            return
        np.bitwise_or.at(self._bytes, numbers >> 3, (1 << (numbers & 7)).astype(np.uint8))

    def _add_stretch(self, first: int, count: int) -> None:
        begin = first >> 3
        packed = np.packbits(np.ones(first - 8 * begin + count, bool), bitorder="little")
        packed[0] &= 0xFF << (first & 7) & 0xFF
        self._bytes[begin : begin + len(packed)] |= packed

    def has(self, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """For each number, whether it is in."""
        place = numbers >> 3
        inside = place < len(self._bytes)
        held = self._bytes[np.where(inside, place, 0)]
        found: NDArray[np.bool_] = inside & ((held >> (numbers & 7).astype(np.uint8)) & 1).astype(bool)
        return found

    def stretch(self, first: int, count: int) -> NDArray[np.bool_]:
        """For the ``count`` numbers from ``first`` on, whether each is in."""
        return self.has(np.arange(first, first + count))

    def __len__(self) -> int:
        return sum(int(np.unpackbits(self._bytes[begin : begin + _PART]).sum()) for begin in range(0, len(self._bytes), _PART))
