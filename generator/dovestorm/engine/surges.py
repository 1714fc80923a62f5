"""Arrival rates that differ while a fault window is open: running totals of arrivals, translated to those of the undisturbed process."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.engine.phases import Phases

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dovestorm.scenario.model import FaultWindow

__all__ = ["Surges"]


class Surges:
    """The factors of an arrival process by scenario time.

    Between two moments the disturbed process gathers ``factor`` times what the undisturbed one does, so an arrival's moment is found by taking its
    running total back to that of the undisturbed process, whatever curve that one follows.

    Args:
        during: Factors >= 0 by window's name; of several open windows the first one named counts.
        windows: The scenario's fault windows.
        begin: The scenario's start, microseconds since the epoch.
        gathered: Running total of the undisturbed process at a moment, in its units.
    """

    def __init__(self, during: Sequence[tuple[str, float]], windows: Sequence[FaultWindow], *, begin: int, gathered: Callable[[int], int]) -> None:
        phases = Phases.of(windows)
        factors = phases.pick(1.0, during)
        stretches = [(begin, factors[0])]
        for moment, factor in zip(phases.breaks, factors[1:], strict=True):
            if moment <= begin:
                stretches = [(begin, factor)]
            else:
                stretches.append((moment, factor))
        self._factors = [Fraction(factor) for _, factor in stretches]
        plain = [gathered(moment) for moment, _ in stretches]
        totals = [0]
        for first, last, share in zip(plain, plain[1:], self._factors, strict=False):
            totals.append(totals[-1] + int((last - first) * share))
        self._plain = plain
        self._totals = np.array(totals, dtype=np.int64)

    def undisturbed(self, totals: NDArray[np.int64]) -> NDArray[np.int64]:
        """The running totals that the undisturbed process has at the same moments; int64 of the same shape, ascending if ``totals`` ascend."""
        stretch = np.searchsorted(self._totals, totals, side="right") - 1
        found = np.empty_like(totals)
        for index in np.unique(stretch):
            inside = stretch == index
            since = totals[inside] - self._totals[index]
            found[inside] = self._plain[index] + _divided(since, self._factors[index])
            if index + 1 < len(self._plain):
                found[inside] = np.minimum(found[inside], self._plain[index + 1])
        return found


def _divided(values: NDArray[np.int64], factor: Fraction) -> NDArray[np.int64]:
    """``values / factor`` rounded down, in whole millionths of the factor; the rest apart, so that no product leaves int64."""
    scaled = max(round(factor * 1_000_000), 1)
    whole, rest = np.divmod(values, scaled)
    divided: NDArray[np.int64] = whole * 1_000_000 + rest * 1_000_000 // scaled
    return divided
