"""When an event began: by itself, with an event before it, or some time after one was sent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovestorm.learn.visits import LONGEST_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.learn.chains import State
    from dovestorm.learn.visits import Step, Visit

__all__ = ["Beginning", "beginning"]

Action = tuple[str, str]

_NEARLY_ALL = 0.95
_BETTER = 0.6
_LOOK_BACK = 40


@dataclass(frozen=True, slots=True)
class Beginning:
    """How the start of a state's event is told.

    Attributes:
        with_: It began with the last event of this action, nearly always to the microsecond.
        after: It began some time after the last event of this action was sent.
        amounts: Microseconds after that, or (without either) before its own sending; one for each time that the state was met.
    """

    with_: Action | None
    after: Action | None
    amounts: tuple[int, ...]

    @property
    def is_told(self) -> bool:
        """Whether another event says when it began."""
        return self.with_ is not None or self.after is not None


def beginning(state: State, visits: Sequence[Visit]) -> Beginning:
    """The way that leaves the least to chance."""
    own: list[int] = []
    same: dict[Action, list[int]] = {}
    since: dict[Action, list[int]] = {}
    for number, at in state.seen:
        steps = visits[number].steps
        step = steps[at]
        own.append(step.sent - step.start)
        for action, before in _last(steps, at).items():
            same.setdefault(action, []).append(step.start - before.start)
            since.setdefault(action, []).append(step.start - before.sent)
    count = len(own)
    for action, later in same.items():
        if len(later) == count and later.count(0) >= _NEARLY_ALL * count:
            return Beginning(action, None, _bounded(later))
    best, least = None, _spread(own) * _BETTER
    for action, amounts in since.items():
        if len(amounts) == count and _spread(amounts) < least:
            best, least = action, _spread(amounts)
    amounts = own if best is None else since[best]
    return Beginning(None, best, _bounded(amounts))


def _bounded(amounts: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(-LONGEST_US, min(amount, LONGEST_US)) for amount in amounts)


def _last(steps: Sequence[Step], at: int) -> dict[Action, Step]:
    """The last event of each action before a step, the nearest first."""
    found: dict[Action, Step] = {}
    for step in reversed(steps[max(0, at - _LOOK_BACK) : at]):
        found.setdefault(step.kind.action, step)
    return found


def _spread(amounts: Sequence[int]) -> float:
    """The middle half's width, in logarithms: what counts is by which factor a time is off."""
    ordered = sorted(math.copysign(math.log1p(abs(amount)), amount) for amount in amounts)
    if len(ordered) < 4:
        return ordered[-1] - ordered[0] + 0.1
    return ordered[len(ordered) * 3 // 4] - ordered[len(ordered) // 4]
