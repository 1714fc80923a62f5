"""The sessions that begin: numbers and moments, in order of arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dovestorm.engine.arrivals import arrival_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.engine.program import Program

__all__ = ["Newcomers"]


class Newcomers:
    """The sessions of a shard in order of arrival."""

    def __init__(self, program: Program, *, seed: int, shard: tuple[int, int], sessions: int | None, until: int | None, rate: float) -> None:
        scenario = program.scenario
        self._chunks = arrival_chunks(scenario.arrivals, begin=scenario.start, seed=seed, scale=rate, windows=scenario.faults)
        self._shard, self._sessions, self._until = shard, sessions, until
        self._waiting: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._over = False

    def _fill(self) -> None:
        while self._waiting is None and not self._over:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._over = True
                return
            numbers, moments = chunk
            keep = np.ones(len(numbers), dtype=bool)
            if self._sessions is not None:
                keep &= numbers < self._sessions
                self._over = bool(numbers[-1] + 1 >= self._sessions)
            if self._until is not None:
                keep &= moments < self._until
                self._over |= bool(moments[-1] >= self._until)
            keep &= numbers % self._shard[1] == self._shard[0] - 1
            if keep.any():
                self._waiting = numbers[keep], moments[keep]

    def next_moment(self) -> int | None:
        """The next arrival, or None when there are no more."""
        self._fill()
        return None if self._waiting is None else int(self._waiting[1][0])

    def before(self, end: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Numbers and moments of the sessions that arrive before ``end``; each is given once."""
        while True:
            self._fill()
            if self._waiting is None:
                return
            numbers, moments = self._waiting
            ready = int(np.searchsorted(moments, end, side="left"))
            if ready:
                yield numbers[:ready], moments[:ready]
            if ready < len(moments):
                self._waiting = numbers[ready:], moments[ready:]
                return
            self._waiting = None
