"""Load shapes: the target rate as a function of time, written as a text or a YAML file.

Every shape is a polyline (time, rate), two points at one moment being a jump; some repeat. A schedule has constant pieces, so a slope becomes
stairs: each stair has the mean rate of its quarter of a second, and the number of events is that of the slope.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.load.schedule import Schedule

__all__ = ["Course", "Shape", "Stage"]

_STAIR_S = 0.25
_SAME = 1e-3
"""A stair that differs by less from the one before is left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stretch of a shape.

    Attributes:
        points: (seconds, events per second), ascending in time, the first at 0; linear between them, constant after the last.
        seconds: How long the stage is; may be infinite.
        period: The points repeat after so many seconds; 0 for never.
    """

    points: tuple[tuple[float, float], ...]
    seconds: float
    period: float = 0.0

    def rate(self, at: float) -> float:
        """Events per second at a moment of the stage; at a jump, what comes after it."""
        if self.period:
            at %= self.period
        place = bisect_right(self.points, at, key=lambda point: point[0])
        before = self.points[place - 1]
        if place == len(self.points):
            return before[1]
        after = self.points[place]
        return before[1] + (after[1] - before[1]) * (at - before[0]) / (after[0] - before[0])

    def corners(self, begin: float, end: float) -> Iterator[float]:
        """The moments in [begin, end) at which a straight piece ends, ascending."""
        turns = range(int(begin // self.period), int(end // self.period) + 1) if self.period else (0,)
        for turn in turns:
            for at, _ in self.points:
                if begin <= turn * self.period + at < end:
                    yield turn * self.period + at


@dataclass(frozen=True, slots=True)
class Shape:
    """Stages, one after another.

    Attributes:
        stages: At least one; only the last may be without end.
    """

    stages: tuple[Stage, ...]

    @property
    def seconds(self) -> float:
        """How long it is; may be infinite."""
        return sum(stage.seconds for stage in self.stages)

    @property
    def highest(self) -> float:
        """The largest rate, in events per second."""
        return max(rate for stage in self.stages for _, rate in stage.points)

    def rate(self, at: float) -> float:
        """Events per second at a moment; 0 after the end."""
        for stage in self.stages:
            if at < stage.seconds:
                return stage.rate(at)
            at -= stage.seconds
        return 0.0

    def stairs(self, begin: float, end: float) -> Iterator[tuple[float, float]]:
        """The stretch [begin, end) as (seconds, events per second): each rate holds until the next moment."""
        stop = min(end, self.seconds)
        if begin < stop:
            marks = {begin, stop, *(step * _STAIR_S for step in range(math.ceil(begin / _STAIR_S), math.ceil(stop / _STAIR_S)))}
            origin = 0.0
            for stage in self.stages:
                marks.update(origin + at for at in stage.corners(max(begin - origin, 0.0), min(stop - origin, stage.seconds)))
                origin += stage.seconds
            for at, until in pairwise(sorted(marks)):
                yield at, self.rate((at + until) / 2)
        if begin <= self.seconds < end:
            yield self.seconds, 0.0


class Course:
    """Leads a schedule along a shape, a little ahead of time, so that no worker learns of a change when it is past.

    Args:
        shape: Where to.
        schedule: Is changed. It begins with the shape's first rate.
    """

    def __init__(self, shape: Shape, schedule: Schedule) -> None:
        self._shape = shape
        self._schedule = schedule
        self._until = 0.0

    def extend(self, until: float) -> list[tuple[float, float]]:
        """Change the schedule up to ``until`` seconds; gives the changes, as (seconds, events per second)."""
        changes = []
        if until > self._until:
            for at, rate in self._shape.stairs(self._until, until):
                now = self._schedule.rate
                if rate != now and abs(rate - now) >= _SAME * min(rate, now):
                    self._schedule.change(at, rate)
                    changes.append((at, rate))
            self._until = until
        return changes
