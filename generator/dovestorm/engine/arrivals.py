"""When sessions begin: session numbers and their first moments, in order, the same whatever takes them.

Everything is integer arithmetic: expected arrivals are counted in units of 1/2**20 session, and a curve's running total is piecewise quadratic,
held at minute steps as piecewise linear (a factor changes by under one part in a thousand within a minute of any real curve).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.engine.draws import quantile_array
from dovestorm.engine.surges import Surges
from dovestorm.hashing import derive, mix_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from dovestorm.scenario.model import Arrivals, FaultWindow

__all__ = ["DAY_US", "WEEK_US", "arrival_chunks", "exponential_table"]

DAY_US = 86_400_000_000
WEEK_US = 7 * DAY_US
_MONDAY = 4 * DAY_US
"""1970-01-01 was a Thursday: the first Monday began four days later."""

MILLION = 1_000_000
_UNIT_BITS = 20
_STEP_US = 60_000_000
_CHUNK = 4096


def exponential_table(mean: float) -> NDArray[np.int64]:
    """Quantiles of an exponential distribution: int64[1025], the top end at probability 1 - 1/4096."""
    import math

    steps = [*(index / 1024 for index in range(1024)), 1 - 1 / 4096]
    return np.array([round(-mean * math.log1p(-p)) for p in steps], dtype=np.int64)


def arrival_chunks(
    arrivals: Arrivals, *, begin: int, seed: int, scale: float = 1.0, windows: Sequence[FaultWindow] = ()
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield (session numbers, first moments in microseconds since the epoch), both int64, moments ascending, without end unless it is a trace.

    Args:
        arrivals: The arrival process.
        begin: The scenario's start, microseconds since the epoch.
        seed: The run's seed.
        scale: Multiplies the rate.
        windows: The scenario's fault windows, during which the rate may differ.
    """
    if arrivals.process == "trace":
        moments = np.array(arrivals.trace, dtype=np.int64) + begin
        for first in range(0, len(moments), _CHUNK):
            part = moments[first : first + _CHUNK]
            yield np.arange(first, first + len(part), dtype=np.int64), part
        return
    clock = _Clock(arrivals, begin, scale, windows)
    epochs = _epochs(arrivals, derive(seed, "arrivals"))
    if arrivals.process == "bursts":
        yield from _bursts(arrivals, (clock.moments(counts) for counts in epochs), derive(seed, "bursts"))
        return
    first = 0
    for counts in epochs:
        yield np.arange(first, first + len(counts), dtype=np.int64), clock.moments(counts)
        first += len(counts)


def _epochs(arrivals: Arrivals, key: int) -> Iterator[NDArray[np.int64]]:
    """Running totals of expected arrivals, in units, at which each arrival happens."""
    unit = 1 << _UNIT_BITS
    if arrivals.process == "constant":
        for first in range(0, 1 << 62, _CHUNK):
            yield np.arange(first, first + _CHUNK, dtype=np.int64) * unit
        return
    table = exponential_table(float(unit))
    # The table's top is cut off, so its mean is a little under one unit; totals are scaled back by the exact ratio.
    mean_times_2048 = int((table[:-1] + table[1:]).sum())
    total = 0
    for first in range(0, 1 << 62, _CHUNK):
        numbers = np.arange(first, first + _CHUNK, dtype=np.uint64)
        gaps = quantile_array(mix_array(numbers + np.uint64(key)), 32, table)
        gaps = gaps * unit // (mean_times_2048 // 2048)
        totals = np.cumsum(gaps) + total
        total = int(totals[-1])
        yield totals


class _Clock:
    """Turns running totals of expected arrivals into moments, for a flat rate or along a curve, faster or slower in fault windows."""

    def __init__(self, arrivals: Arrivals, begin: int, scale: float, windows: Sequence[FaultWindow]) -> None:
        rate = Fraction(arrivals.rate) * Fraction(scale)
        self._begin = begin
        # Units for each microsecond, as a ratio of integers small enough for int64 products.
        self._per_step = rate * _STEP_US * (1 << _UNIT_BITS) / 1_000_000
        self._us_per_unit = Fraction(1_000_000, 1 << _UNIT_BITS) / rate
        self._totals = self._walk_curve(arrivals) if arrivals.curve else None
        self._surges = Surges(arrivals.during, windows, begin=begin, gathered=self._gathered) if arrivals.during else None

    def _walk_curve(self, arrivals: Arrivals) -> NDArray[np.int64]:
        """Expected units from the scenario's start to each minute of one whole period after it: int64[minutes + 1]."""
        period, points = arrivals.period, sorted(arrivals.curve)
        origin = self._begin - (_MONDAY if period == WEEK_US else 0)
        xs = np.array([points[-1][0] - period, *(x for x, _ in points), points[0][0] + period], dtype=np.int64)
        ys = np.array([round(y * MILLION) for y in (points[-1][1], *(y for _, y in points), points[0][1])], dtype=np.int64)
        middle = (origin + _STEP_US // 2 + np.arange(period // _STEP_US, dtype=np.int64) * _STEP_US) % period
        segment = np.searchsorted(xs, middle, side="right") - 1
        # Milliseconds are fine enough here and keep the products inside int64.
        into, length = (middle - xs[segment]) // 1000, (xs[segment + 1] - xs[segment]) // 1000
        factor = ys[segment] + (ys[segment + 1] - ys[segment]) * into // length
        whole, rest = divmod(int(self._per_step), 1 << 20)
        each = (factor * whole // MILLION << 20) + (factor * rest + (factor * whole % MILLION << 20)) // MILLION
        return np.concatenate([[0], np.cumsum(each)])

    def _gathered(self, moment: int) -> int:
        """The undisturbed running total at a moment."""
        if self._totals is None:
            return int((moment - self._begin) / self._us_per_unit)
        turns, step = divmod((moment - self._begin) // _STEP_US, len(self._totals) - 1)
        low, high = int(self._totals[step]), int(self._totals[step + 1])
        return turns * int(self._totals[-1]) + low + (high - low) * ((moment - self._begin) % _STEP_US) // _STEP_US

    def moments(self, totals: NDArray[np.int64]) -> NDArray[np.int64]:
        """Microseconds since the epoch at which each running total is reached."""
        if self._surges is not None:
            totals = self._surges.undisturbed(totals)
        if self._totals is None:
            return self._begin + _multiply(totals, self._us_per_unit)
        whole = self._totals[-1]
        turns, rest = np.divmod(totals, whole)
        step = np.searchsorted(self._totals, rest, side="right") - 1
        step = np.minimum(step, len(self._totals) - 2)
        low = self._totals[step]
        gap = np.maximum(self._totals[step + 1] - low, 1)
        share = _long_division((rest - low), gap)
        return self._begin + (turns * (len(self._totals) - 1) + step) * _STEP_US + share


def _long_division(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.int64]:
    """``part * _STEP_US // whole`` for part < whole, without leaving int64: in two steps of 2**13 and the rest."""
    first, rest = np.divmod(part * 8192, whole)
    return (first * _STEP_US + rest * _STEP_US // whole) // 8192


def _multiply(values: NDArray[np.int64], factor: Fraction) -> NDArray[np.int64]:
    """``values * factor`` rounded down, splitting the values so that no product leaves int64."""
    fixed = int(factor * (1 << 32))
    high, low = values >> 24, values & 0xFFFFFF
    return (_scaled(high, fixed, 8)) + _scaled(low, fixed, 32)


def _scaled(values: NDArray[np.int64], fixed: int, shift: int) -> NDArray[np.int64]:
    """``values * fixed >> shift`` where ``fixed`` may have more than 32 bits."""
    upper, lower = fixed >> 20, fixed & 0xFFFFF
    if shift >= 20:
        return (values * upper + (values * lower >> 20)) >> (shift - 20)
    return (values * upper << (20 - shift)) + (values * lower >> shift)


def _bursts(arrivals: Arrivals, epochs: Iterator[NDArray[np.int64]], key: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Each epoch brings a drawn number of sessions, spread over a stretch; moments are put in order across overlapping bursts."""
    table = np.array(arrivals.size.quantiles if arrivals.size else (1,) * 1025, dtype=np.int64)
    burst, first = 0, 0
    waiting = np.empty(0, dtype=np.int64)
    for moments in epochs:
        numbers = np.arange(burst, burst + len(moments), dtype=np.uint64)
        sizes = np.maximum(quantile_array(mix_array(numbers + np.uint64(key)), 32, table), 0)
        starts = np.repeat(moments, sizes)
        member = np.arange(len(starts), dtype=np.uint64) + np.repeat(numbers * np.uint64(1 << 24), sizes)
        # Offsets depend on the burst and the member's place in it, not on the chunk.
        place = np.arange(len(starts)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        member = np.repeat(numbers, sizes) * np.uint64(1 << 24) + place.astype(np.uint64)
        chance = (mix_array(member ^ np.uint64(key)) >> np.uint64(33)).astype(np.int64)
        waiting = np.sort(np.concatenate([waiting, starts + (chance * arrivals.spread >> 31)]), kind="stable")
        burst += len(moments)
        ready = int(np.searchsorted(waiting, moments[-1], side="left"))
        for begin in range(0, ready, _CHUNK):
            part = waiting[begin : min(begin + _CHUNK, ready)]
            yield np.arange(first, first + len(part), dtype=np.int64), part
            first += len(part)
        waiting = waiting[ready:]
