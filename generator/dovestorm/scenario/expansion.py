"""Questions about steps that look through fragments, each fragment asked once, so that cost does not grow with how often they are used."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dovestorm.scenario.model import Choose, End, Inherit, Inner, Repeat, Span, Step, Switch, Use, Walk

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Expansion"]


def _blocks(step: Step) -> Iterator[tuple[Step, ...]]:
    """The blocks of steps inside a step, a fragment's own ones aside."""
    match step:
        case Span() | Inherit() | Repeat():
            yield step.steps
        case Choose():
            for alternative in step.alternatives:
                yield alternative.steps
        case Switch():
            for _, steps in step.cases:
                yield steps
            yield step.otherwise
        case Walk():
            for state in step.states.values():
                yield state.steps
        case Use():
            yield step.inner


@dataclass(slots=True)
class Expansion:
    """Answers, remembered by fragment."""

    _ends: dict[str, bool] = field(default_factory=dict)
    _sizes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def may_end(self, steps: tuple[Step, ...]) -> bool:
        """Whether some step, however deep, ends the session."""
        return any(self._step_may_end(step) for step in steps)

    def _step_may_end(self, step: Step) -> bool:
        if isinstance(step, End):
            return True
        if isinstance(step, Use):
            if step.fragment not in self._ends:
                self._ends[step.fragment] = self.may_end(step.steps)
            if self._ends[step.fragment]:
                return True
        return any(self.may_end(block) for block in _blocks(step))

    def size(self, steps: tuple[Step, ...]) -> tuple[int, int]:
        """How many steps there are once fragments are written out, and how often ``inner`` stands among them."""
        total = inners = 0
        for step in steps:
            if isinstance(step, Inner):
                inners += 1
                continue
            total += 1
            if not isinstance(step, Use):
                for block in _blocks(step):
                    more, holes = self.size(block)
                    total, inners = total + more, inners + holes
                continue
            if step.fragment not in self._sizes:
                self._sizes[step.fragment] = self.size(step.steps)
            own, places = self._sizes[step.fragment]
            more, holes = self.size(step.inner)
            total, inners = total + own + places * more, inners + places * holes
        return total, inners
