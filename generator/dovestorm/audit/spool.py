"""Received records that were not recognised at once, kept until it is clear what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dovestorm.audit.scratch import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.audit.bits import Bits
    from dovestorm.audit.scratch import Scratch

__all__ = ["LARGEST_KEPT", "Spool"]

LARGEST_KEPT = 1 << 16
"""Bytes of one record that are kept; a record that is longer cannot be whole, since no event is."""

_BUFFER = 1 << 24
_PLACE = [("at", "<i8"), ("offset", "<i8"), ("size", "<i8")]


class Spool:
    """Keeps records in arrival order, in a file once they are many.

    Args:
        scratch: Where the file goes.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._path = scratch.path()
        self._buffer = bytearray()
        self._in_file = 0
        self._places = Table(scratch, _PLACE)

    @property
    def count(self) -> int:
        """Records kept."""
        return self._places.count

    def add(self, first: int, which: NDArray[np.int64], data: bytes | memoryview, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> None:
        """Keep some records of a chunk.

        Args:
            first: The arrival number of the chunk's first record.
            which: Which records of the chunk.
            data: The chunk's bytes.
            begins, ends: Where each record of the chunk lies.
        """
        places = np.empty(len(which), _PLACE)
        places["at"] = which + first
        sizes = np.minimum(ends[which] - begins[which], LARGEST_KEPT)
        places["size"] = sizes
        places["offset"] = self._in_file + len(self._buffer) + np.cumsum(sizes) - sizes
        for begin, size in zip(begins[which].tolist(), sizes.tolist(), strict=True):
            self._buffer += data[begin : begin + size]
        self._places.add(places)
        if len(self._buffer) > _BUFFER:
            self._scratch.append(self._path, self._buffer)
            self._in_file += len(self._buffer)
            self._buffer = bytearray()

    def records(self, wanted: Bits) -> Iterator[tuple[int, int, bytes]]:
        """Arrival number, offset and bytes of those records whose arrival number is wanted."""
        for places in self._places.chunks():
            for place in places[wanted.has(places["at"])].tolist():
                at, offset, size = place
                yield at, offset, self.read(offset, size)

    def read(self, offset: int, size: int) -> bytes:
        """A record's bytes."""
        if offset >= self._in_file:
            begin = offset - self._in_file
            return bytes(self._buffer[begin : begin + size])
        with self._path.open("rb") as file:
            file.seek(offset)
            return file.read(size)
