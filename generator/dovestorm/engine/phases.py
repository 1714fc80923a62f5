"""Fault windows as phases: stretches of scenario time in which the same windows are open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from dovestorm.engine.blocks import CLOCK, Builder, Const, Operand
from dovestorm.engine.draws import cumulative_thresholds
from dovestorm.kernel.instructions import Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.scenario.model import FaultWindow, Weight

__all__ = ["Phases"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Phases:
    """``breaks`` are the moments at which a window opens or closes; ``open_`` names the windows open in each of the phases between."""

    breaks: tuple[int, ...]
    open_: tuple[frozenset[str], ...]

    @classmethod
    def of(cls, windows: Sequence[FaultWindow]) -> Phases:
        """The phases of a scenario's windows."""
        breaks = sorted({moment for window in windows for moment in (window.begin, window.end)})
        samples = [*breaks[:1], *breaks]
        opened = [frozenset(w.name for w in windows if w.begin <= moment < w.end) for moment in samples]
        if breaks:
            opened[0] = frozenset()
        return cls(tuple(breaks), tuple(opened) or (frozenset(),))

    def pick(self, normal: T, faults: Sequence[tuple[str, T]]) -> list[T]:
        """What holds in each phase: of the faults that are open the first, else ``normal``."""
        return [next((value for name, value in faults if name in opened), normal) for opened in self.open_]

    def current(self, builder: Builder, *, matters: bool) -> Operand:
        """The phase at each session's clock; constant 0 where it does not matter."""
        if not matters or not self.breaks:
            return Const(0)
        return builder.apply(Code.SEARCH, builder.read(CLOCK), table=self.breaks)

    def choose(self, builder: Builder, weights: Sequence[Weight]) -> Operand:
        """Draw the number of an alternative; the weights may change with the phase."""
        matters = any(weight.faults for weight in weights)
        columns = [self.pick(weight.normal, weight.faults) for weight in weights]
        rows = tuple(tuple(cumulative_thresholds([column[phase] for column in columns])) for phase in range(len(self.open_) if matters else 1))
        return builder.draw(Code.ALTERNATIVE, self.current(builder, matters=matters), table=rows)
