"""When each record should leave: an open-loop schedule that is fixed once it has begun.

A receiver that is slow does not slow the schedule down. What is late leaves as soon as it can, and its lateness is counted from the moment
that was planned, so that a stall shows in full.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.clock import Clock, SystemClock, wait_until
from dovestorm.delivery.quantiles import QuantileSketch
from dovestorm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dovestorm.block import Block

__all__ = ["SLICE_S", "Pacer"]

SLICE_S = 0.010
"""Records that are due within this time leave together, at the moment of the first."""


class Pacer:
    """Plans either ``rate`` events per second, or ``speed`` times scenario time (1 is real time).

    The schedule begins with the first record of the first block.

    Raises:
        UsageError: Both or neither are given, or the value is not above 0.
    """

    def __init__(self, *, rate: float | None = None, speed: float | None = None, clock: Clock | None = None) -> None:
        if (rate is None) == (speed is None):
            raise UsageError("pacing: give either rate or speed")
        for name, value in (("rate", rate), ("speed", speed)):
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} {value}: it must be a number above 0")
        self.lateness_us = QuantileSketch()
        self._rate = rate
        self._speed = speed
        self._clock = clock or SystemClock()
        self._begin: float | None = None
        self._first_us = 0
        self._planned = 0
        self._last_due = 0.0

    def slices(self, block: Block) -> Iterator[tuple[float, Block]]:
        """Cut a block into parts that leave together, each with the moment at which it is due, on the clock's scale."""
        if not len(block):
            return
        if self._begin is None:
            self._begin = self._clock.monotonic()
            self._first_us = 0 if block.due is None else int(block.due[0])
        for due_s, first, last in self._by_rate(len(block)) if self._rate is not None else self._by_time(block):
            self._last_due = due_s
            self._planned += last - first
            yield self._begin + due_s, block.part(first, last)

    def wait(self, due: float, stopped: Callable[[], bool]) -> bool:
        """Sleep until ``due``; False when ``stopped`` says so before."""
        return wait_until(self._clock, due, stopped)

    def left(self, due: float, count: int) -> None:
        """Note that ``count`` records which were due at ``due`` have just been handed over."""
        self.lateness_us.add(round((self._clock.monotonic() - due) * 1e6), count)

    @property
    def offered_per_s(self) -> float | None:
        """Events per second that the schedule asks for; None before the plan of a replay has any length."""
        if self._rate is not None:
            return self._rate
        return self._planned / self._last_due if self._last_due > 0 else None

    def _by_rate(self, count: int) -> Iterator[tuple[float, int, int]]:
        rate = self._rate or 0.0
        step = max(1, int(rate * SLICE_S))
        base = self._planned
        for first in range(0, count, step):
            yield (base + first) / rate, first, min(first + step, count)

    def _by_time(self, block: Block) -> Iterator[tuple[float, int, int]]:
        speed = self._speed or 0.0
        if block.due is None:
            raise UsageError("speed: these records carry no time; pace them by rate")
        width_us = max(1, round(SLICE_S * 1e6 * speed))
        first = 0
        while first < len(block):
            due_us = int(block.due[first])
            last = int(np.searchsorted(block.due, due_us + width_us, side="left"))
            yield (due_us - self._first_us) / 1e6 / speed, first, last
            first = last
