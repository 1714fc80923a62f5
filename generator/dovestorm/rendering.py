"""Batches to blocks, through a ring of buffers that are used again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dovestorm.block import Block
from dovestorm.kernel import RecordTooLargeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.batch import Batch
    from dovestorm.formats.rendering import Renderer

__all__ = ["BLOCK_BYTES", "BLOCK_RECORDS", "MOST_RECORD_BYTES", "Ring", "render_batch"]

BLOCK_BYTES = 1 << 21
BLOCK_RECORDS = 1 << 14
MOST_RECORD_BYTES = 1 << 22
"""No record is larger than this, however the work is shared out."""


class Ring:
    """A few pairs of buffers, each for the bytes and the record ends of one block; they are handed out in turn.

    Args:
        count: How many there are: a block is good until so many more, less one, have been handed out.
        size: Bytes of each to begin with.
    """

    def __init__(self, count: int, *, size: int = BLOCK_BYTES) -> None:
        self.size = size
        self._pairs: list[tuple[NDArray[np.uint8], NDArray[np.int64]] | None] = [None] * count
        self._next = 0

    def take(self, size: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """The next pair, with room for at least ``size`` bytes."""
        pair = self._pairs[self._next]
        if pair is None or len(pair[0]) < size:
            pair = np.empty(size, dtype=np.uint8), np.empty(BLOCK_RECORDS, dtype=np.int64)
            self._pairs[self._next] = pair
        self._next = (self._next + 1) % len(self._pairs)
        return pair


def render_batch(renderer: Renderer, batch: Batch, ring: Ring, *, timed: bool = True) -> Iterator[Block]:
    """Yield a batch's records as blocks in the ring's buffers; a record larger than a buffer gets a larger one. ``timed``: see ``Stream.blocks``."""
    due = batch.end if timed else None
    first, size = 0, ring.size
    while first < len(batch):
        out, ends = ring.take(size)
        try:
            count, used = renderer.render_into(batch, first, out, ends)
        except RecordTooLargeError:
            if size >= MOST_RECORD_BYTES:
                raise
            size = min(size * 2, MOST_RECORD_BYTES)
            continue
        yield Block(out.data[:used], ends[:count], renderer.terminator, None if due is None else due[first : first + count], renderer.content_type)
        first += count
