"""The memory that the processes share, and the numbers by which they keep in step."""

from __future__ import annotations

import contextlib
import mmap
import os
import select
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dovestorm.engine.arena import Arena
from dovestorm.rendering import BLOCK_RECORDS, MOST_RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["OVER", "PLANS", "SLOTS", "Board", "CalledOffError", "SharedArena"]

SLOTS = 4
"""Windows that may be under way at once."""
PLANS = 64
"""How many windows' ends, counts and reports are remembered; more than can be under way."""
_BLOCKS = 14
"""Rendered blocks that each worker may have out, beside those that the asking process keeps."""
OVER = int(np.iinfo(np.int64).max)
"""The "end" that is announced after the last window, and a worker's report that it has nothing left to do."""

_BLOCK_RECORDS = 2 * BLOCK_RECORDS
"""Twice as many as one process makes of a block: to hand one on takes time in which none of the workers can use that core."""

_EVENTS = 1 << 19
_INTEGERS = 1 << 23
_PATIENCE_S = 0.25


class CalledOffError(Exception):
    """The run was stopped from outside."""


class Board:
    """Numbers and buffers in anonymous shared memory, guarded by one lock.

    Pages that are never touched cost nothing. Who waits is woken by a byte in a pipe of its own.

    Per worker: ``simulated`` and ``rendered`` count its windows, ``produced`` and ``released`` its blocks. ``ends`` holds the planned windows'
    ends, ``planned`` how many there are, ``counts`` the records of each window and ``last_block`` how many blocks its
    worker had produced with it, ``reports`` each worker's next moment after each window.
    """

    def __init__(self, lock: Any, *, workers: int, keep: int, timed: bool) -> None:
        self._lock = lock
        self._bells = [os.pipe() for _ in range(workers + 1)]
        for bell in self._bells:
            for end in bell:
                os.set_blocking(end, False)
        self.look: Callable[[], None] = lambda: None
        """What the asking process does while it waits: see whether the workers are well."""
        self.workers = workers
        self.keep = keep
        self.timed = timed
        self.blocks = _BLOCKS + keep
        """Rendered blocks that each worker has room for."""
        self.owner = os.getpid()
        shares = SLOTS * workers
        self._map = mmap.mmap(-1, self._carve(None, workers, shares))
        self._carve(np.frombuffer(self._map, dtype=np.int64), workers, shares)

    def _carve(self, flat: NDArray[np.int64] | None, workers: int, shares: int) -> int:
        """Cut the arrays out of the flat memory; gives its size in bytes. Without memory, only the size."""
        used = 0

        def cut(*shape: int) -> NDArray[np.int64]:
            nonlocal used
            size = int(np.prod(shape))
            used += size
            return np.empty(0, dtype=np.int64) if flat is None else flat[used - size : used].reshape(shape)

        self.stop = cut(1)
        self.waiting = cut(workers + 1)
        self.planned = cut(1)
        self.ends = cut(PLANS)
        self.counts = cut(PLANS)
        self.last_block = cut(PLANS)
        self.reports = cut(PLANS, workers)
        self.simulated, self.rendered, self.produced, self.released = cut(workers), cut(workers), cut(workers), cut(workers)
        self.block_sizes = cut(workers, self.blocks, 2)
        self.block_ends = cut(workers, self.blocks, _BLOCK_RECORDS)
        self.block_due = cut(workers, self.blocks, _BLOCK_RECORDS)
        self.block_bytes = cut(workers, self.blocks, MOST_RECORD_BYTES // 8)
        self.share_sizes = cut(shares, 2)
        self.columns = cut(shares, 4, _EVENTS)
        self.values = cut(shares * _INTEGERS)
        return used * 8

    def share(self, window: int, worker: int) -> int:
        """The place of one worker's part of a window."""
        return window % SLOTS * self.workers + worker

    def __enter__(self) -> Self:
        """Take the lock that guards the numbers."""
        while not self._lock.acquire(timeout=_PATIENCE_S):
            self._look()
        return self

    def __exit__(self, *_: object) -> None:
        # It is not ours when a dead worker took it along and waiting for it was given up.
        with contextlib.suppress(ValueError):
            self._lock.release()

    def wait(self, who: int, ready: Callable[[], bool]) -> None:
        """Wait until something holds; the caller has the lock. ``who`` is the worker's number, or ``workers`` for the asking process.

        Raises:
            CalledOffError: In a worker: the run is to stop, or the process that asked for it is gone.
        """
        while not ready():
            self.waiting[who] = 1
            self._lock.release()
            try:
                if select.select([self._bells[who][0]], [], [], _PATIENCE_S)[0]:
                    os.read(self._bells[who][0], 512)
                else:
                    # Nobody has rung for a while: is everybody well? This costs too much to be asked each time.
                    self._look()
            finally:
                self.__enter__()
                self.waiting[who] = 0

    def tell(self) -> None:
        """Wake whoever waits, since something has changed; the caller has the lock. One that is dead keeps nobody from going on."""
        for who in np.flatnonzero(self.waiting).tolist():
            self.waiting[who] = 0
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._bells[who][1], b".")

    def _look(self) -> None:
        if os.getpid() == self.owner:
            self.look()
        elif self.stop[0] or os.getppid() != self.owner:
            raise CalledOffError

    def close(self) -> None:
        """Give the bells back."""
        for bell in self._bells:
            for end in bell:
                os.close(end)


class SharedArena(Arena):
    """An arena in shared memory. A window that does not fit goes on in memory of the worker's own."""

    def __init__(self, board: Board, place: int) -> None:
        self.base = place * _INTEGERS
        columns = board.columns[place]
        self._home = (board.values[self.base : self.base + _INTEGERS], columns[0].view(np.int32)[:_EVENTS], columns[1], columns[2], columns[3])
        self.clear()

    def clear(self) -> None:
        """Forget all records and come home."""
        super().clear()
        self.values, self.kind, self.offset, self.session, self.moment = self._home

    @property
    def outgrown(self) -> bool:
        """Whether the window did not fit."""
        return self.values is not self._home[0] or self.kind is not self._home[1]
