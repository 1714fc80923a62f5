"""When the events of a shard are due: an open-loop schedule that nothing on the way can slow down."""

from __future__ import annotations

import bisect
import math

from dovestorm.errors import UsageError

__all__ = ["Schedule"]


class Schedule:
    """Events at a rate that may change: event ``k`` is due when ``k`` events have become due before it.

    All times are seconds since the run began; so a shard that another worker takes over keeps its schedule.

    Args:
        rate: Events per second at the beginning; 0 stands still.
    """

    __slots__ = ("_counts", "_rates", "_times")

    def __init__(self, rate: float) -> None:
        self._times = [0.0]
        self._rates = [_checked(rate)]
        self._counts = [0.0]

    def change(self, at: float, rate: float) -> None:
        """From ``at`` seconds on, ``rate`` events per second; changes come in the order of time, an earlier moment counts as the last one's."""
        rate = _checked(rate)
        at = max(at, self._times[-1])
        self._counts.append(self._passed(-1, at))
        self._times.append(at)
        self._rates.append(rate)

    def due(self, number: int) -> float:
        """Seconds at which event ``number`` (from 0) is due; infinite when the rate stands at 0 before it."""
        piece = bisect.bisect_right(self._counts, number) - 1
        rate = self._rates[piece]
        return self._times[piece] + (number - self._counts[piece]) / rate if rate else math.inf

    def count(self, at: float, *, until: float = math.inf) -> int:
        """How many events are due at ``at`` seconds or before, and before ``until``."""
        if at >= until:
            at = math.nextafter(until, 0.0)
        piece = bisect.bisect_right(self._times, at) - 1
        if piece < 0:
            return 0
        passed = self._passed(piece, at)
        return math.floor(passed) + 1 if self._rates[piece] else math.ceil(passed)

    def _passed(self, piece: int, at: float) -> float:
        return self._counts[piece] + (at - self._times[piece]) * self._rates[piece]

    @property
    def rate(self) -> float:
        """Events per second of the last change."""
        return self._rates[-1]

    def to_list(self) -> list[list[float]]:
        """The changes as plain values: seconds, and events per second."""
        return [[at, rate] for at, rate in zip(self._times, self._rates, strict=True)]

    @classmethod
    def from_list(cls, plain: list[list[float]], *, share: float = 1.0) -> Schedule:
        """What ``to_list`` wrote, each rate times ``share``."""
        schedule = cls(plain[0][1] * share)
        for at, rate in plain[1:]:
            schedule.change(at, rate * share)
        return schedule


def _checked(rate: float) -> float:
    if not 0 <= rate < math.inf:
        raise UsageError(f"rate {rate}: it must be a number of 0 or more")
    return rate
