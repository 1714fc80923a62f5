"""Sessions as Markov walks: what comes next depends on the present step, and on the ones before it where enough sessions say so."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.learn.visits import Kind, Visit

__all__ = ["Chain", "State", "chain", "types"]

History = tuple["Kind", ...]
"""The last steps, the present one at the end."""


@dataclass(slots=True)
class State:
    """A place in the walk.

    Attributes:
        history: The steps that lead here, the present one last; empty at the beginning.
        next: How often each state followed; None is the end.
        gaps: Microseconds from the step before, one for each time that the state was met.
        seen: Each time that it was met: the number of the session, and of the step in it.
    """

    history: History
    next: Counter[History | None] = field(default_factory=Counter)
    gaps: list[int] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chain:
    """All states of one type of session.

    Attributes:
        visits: The sessions that it was made of.
        begin: The state before the first step.
        states: All others, in the order in which they were met.
    """

    visits: Sequence[Visit]
    begin: State
    states: dict[History, State]


def chain(visits: Sequence[Visit], *, depth: int, least: int) -> Chain:
    """Make the walk of some sessions.

    Args:
        visits: The sessions.
        depth: How many steps a state remembers at most.
        least: How often a history must have been met to be a state of its own.
    """
    counts: Counter[History] = Counter()
    for visit in visits:
        kinds = [step.kind for step in visit.steps]
        for at in range(len(kinds)):
            for length in range(2, min(depth, at + 1) + 1):
                counts[tuple(kinds[at + 1 - length : at + 1])] += 1
    begin = State(())
    states: dict[History, State] = {}
    for number, visit in enumerate(visits):
        kinds = [step.kind for step in visit.steps]
        before = begin
        for at, step in enumerate(visit.steps):
            history: History = (kinds[at],)
            for length in range(2, min(depth, at + 1) + 1):
                longer = tuple(kinds[at + 1 - length : at + 1])
                if counts[longer] < least:
                    break
                history = longer
            state = states.setdefault(history, State(history))
            before.next[history] += 1
            state.gaps.append(step.sent - visit.steps[at - 1].sent if at else step.sent - step.start)
            state.seen.append((number, at))
            before = state
        before.next[None] += 1
    return Chain(visits, begin, states)


def types(visits: Sequence[Visit]) -> dict[tuple[object, ...], list[Visit]]:
    """Sessions by type: whether they are named, the processes that took part, and what happened first."""
    found: defaultdict[tuple[object, ...], list[Visit]] = defaultdict(list)
    for visit in visits:
        services = tuple(sorted({step.kind.service for step in visit.steps}))
        found[visit.named, services, visit.steps[0].kind.event].append(visit)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
