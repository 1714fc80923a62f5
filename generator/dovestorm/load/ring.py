"""Blocks in memory that the process which makes them shares with the one that sends them; nothing is copied between them."""

from __future__ import annotations

import mmap
import os
import tempfile

import numpy as np

from dovestorm.block import Block
from dovestorm.rendering import BLOCK_BYTES, BLOCK_RECORDS, MOST_RECORD_BYTES

__all__ = ["LIVE_SLOTS", "Ring", "create_memory", "slots_for"]

LIVE_SLOTS = 8
"""Blocks that are made ahead when nothing is prebuilt: about 16 MB."""

_NUMBERS = BLOCK_RECORDS * 8
_SLOT_BYTES = MOST_RECORD_BYTES + 2 * _NUMBERS


def create_memory(slots: int) -> int:
    """A file descriptor of shared memory for so many blocks; pages that are never touched cost nothing."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("dovestorm")
    else:
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, slots * _SLOT_BYTES)
    return fd


def slots_for(size: int) -> int:
    """How many slots hold ``size`` bytes of events and what belongs to them."""
    return max(LIVE_SLOTS, -(-size // BLOCK_BYTES) + 1)


class Ring:
    """Slots of shared memory, each for one block; who may write or read a slot is agreed on elsewhere.

    Args:
        fd: From ``create_memory``, in this process or, inherited, in another.
        slots: As it was created with.
    """

    def __init__(self, fd: int, slots: int) -> None:
        self.slots = slots
        self._map = mmap.mmap(fd, slots * _SLOT_BYTES)
        self._bytes = np.frombuffer(self._map, dtype=np.uint8)

    def write(self, slot: int, block: Block) -> int:
        """Copy a block into a slot; gives its size in bytes."""
        begin, count = slot * _SLOT_BYTES, len(block)
        used = int(block.ends[-1]) if count else 0
        self._bytes[begin : begin + used] = np.frombuffer(block.data, dtype=np.uint8, count=used)
        self._numbers(slot, 0)[:count] = block.ends
        if block.due is not None:
            self._numbers(slot, 1)[:count] = block.due
        return used

    def read(self, slot: int, count: int, used: int, *, timed: bool, terminator: int, content_type: str) -> Block:
        """The block in a slot; it is good until the slot is written again."""
        begin = slot * _SLOT_BYTES
        due = self._numbers(slot, 1)[:count] if timed else None
        return Block(memoryview(self._map)[begin : begin + used], self._numbers(slot, 0)[:count], terminator, due, content_type)

    def _numbers(self, slot: int, which: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        begin = slot * _SLOT_BYTES + MOST_RECORD_BYTES + which * _NUMBERS
        return self._bytes[begin : begin + _NUMBERS].view(np.int64)
