"""Blocks in memory that the process which makes them shares with the one that sends them; nothing is copied between them."""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile

import numpy as np

from dovestorm.block import Block
from dovestorm.rendering import BLOCK_BYTES, BLOCK_RECORDS, MOST_RECORD_BYTES

__all__ = ["LIVE_SLOTS", "Ring", "create_memory", "slots_for"]

LIVE_SLOTS = 8
"""Blocks that are made ahead when nothing is prebuilt: about 16 MB."""

_MADV_POPULATE_READ = 22
"""Source: madvise(2)."""

_RECORDS = 2 * BLOCK_RECORDS
_NUMBERS = _RECORDS * 8
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
    """How many slots hold ``size`` bytes of events, where each gets as many blocks as it has room for."""
    return max(LIVE_SLOTS, -(-size // (MOST_RECORD_BYTES - BLOCK_BYTES // 4)) + 1)


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

    def has_room(self, block: Block, *, count: int, used: int) -> bool:
        """Whether a block fits behind so many records and bytes."""
        return count + len(block) <= _RECORDS and used + (int(block.ends[-1]) if len(block) else 0) <= MOST_RECORD_BYTES

    def write(self, slot: int, block: Block, *, count: int = 0, used: int = 0) -> int:
        """Copy a block into a slot, behind the records and bytes that are in it; gives the bytes that are in it then."""
        begin, last = slot * _SLOT_BYTES + used, count + len(block)
        size = int(block.ends[-1]) if len(block) else 0
        self._bytes[begin : begin + size] = np.frombuffer(block.data, dtype=np.uint8, count=size)
        np.add(block.ends, used, out=self._numbers(slot, 0)[count:last])
        if block.due is not None:
            self._numbers(slot, 1)[count:last] = block.due
        return used + size

    def read(self, slot: int, count: int, used: int, *, timed: bool, terminator: int, content_type: str) -> Block:
        """The block in a slot; it is good until the slot is written again."""
        begin = slot * _SLOT_BYTES
        due = self._numbers(slot, 1)[:count] if timed else None
        return Block(memoryview(self._map)[begin : begin + used], self._numbers(slot, 0)[:count], terminator, due, content_type)

    def touch(self, slot: int, used: int) -> None:
        """Have the pages of a block at hand: each one's first use costs the sender as much as sending it."""
        with contextlib.suppress(OSError):  # before Linux 5.14, and elsewhere
            self._map.madvise(_MADV_POPULATE_READ, slot * _SLOT_BYTES, used)

    def _numbers(self, slot: int, which: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        begin = slot * _SLOT_BYTES + MOST_RECORD_BYTES + which * _NUMBERS
        return self._bytes[begin : begin + _NUMBERS].view(np.int64)
