"""Quantile tables: every distribution becomes 1025 integers, at equal steps of probability.

Entry ``i`` is the quantile at ``p = i / 1024``. Distributions without a largest or smallest value are cut at ``p = 1/4096`` and ``1 - 1/4096``,
so that heavy tails stay but are finite. Only the standard library is used, so that tables are the same on every machine.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from functools import cache, lru_cache
from itertools import pairwise

from dovestorm.scenario.units import LARGEST

__all__ = ["STEPS", "exponential", "fixed", "gamma", "lognormal", "measured", "pareto", "uniform"]

STEPS = 1024
"""Steps of probability in a table; it has one entry more."""

_CUT = 4096
_EPSILON = 1e-15


@cache
def _chances(*, cut: bool) -> tuple[float, ...]:
    chances = [step / STEPS for step in range(STEPS + 1)]
    if cut:
        chances[0], chances[-1] = 1 / _CUT, 1 - 1 / _CUT
    return tuple(chances)


@cache
def _normals() -> tuple[float, ...]:
    """The standard normal's quantiles."""
    from statistics import NormalDist

    return tuple(map(NormalDist().inv_cdf, _chances(cut=True)))


@cache
def _exponentials() -> tuple[float, ...]:
    """The quantiles of the exponential distribution of mean 1."""
    return tuple(-math.log1p(-chance) for chance in _chances(cut=True))


def _exps(powers: list[float]) -> list[float]:
    """The exponentials of ascending powers, infinite from 700 on."""
    finite = bisect_left(powers, 700)
    return [*map(math.exp, powers[:finite]), *[math.inf] * (len(powers) - finite)]


def _table(values: list[float], least: float, most: float) -> tuple[int, ...]:
    """Round ascending values within bounds."""
    below, within = bisect_left(values, least), bisect_right(values, most)
    if below or within < len(values):
        values = [min(least, most)] * below + values[below:within] + [most] * (len(values) - max(below, within))
    if not -LARGEST < values[0] <= values[-1] < LARGEST:
        raise ValueError("its largest values leave 62 bits, give a bound with 'most'")
    return tuple(map(round, values))


@lru_cache(maxsize=512)
def lognormal(median: float, at: float, chance: float, least: float = -math.inf, most: float = math.inf) -> tuple[int, ...]:
    """Give the lognormal distribution with this median, and the value ``at`` at probability ``chance``."""
    from statistics import NormalDist

    if median <= 0 or at < median:
        raise ValueError("a lognormal needs 0 < median <= p90 or p99")
    spread = math.log(at / median) / NormalDist().inv_cdf(chance)
    return _table([median * power for power in _exps([spread * normal for normal in _normals()])], least, most)


@lru_cache(maxsize=512)
def exponential(mean: float, least: float = -math.inf, most: float = math.inf) -> tuple[int, ...]:
    """Give the exponential distribution with this mean."""
    if mean <= 0:
        raise ValueError("an exponential needs a mean > 0")
    return _table([mean * time for time in _exponentials()], least, most)


@lru_cache(maxsize=512)
def pareto(minimum: float, shape: float, least: float = -math.inf, most: float = math.inf) -> tuple[int, ...]:
    """Give the Pareto distribution from ``minimum`` on; the smaller the ``shape``, the heavier the tail."""
    if minimum <= 0 or shape <= 0:
        raise ValueError("a pareto needs a minimum > 0 and a shape > 0")
    return _table([minimum * power for power in _exps([time / shape for time in _exponentials()])], least, most)


@lru_cache(maxsize=512)
def uniform(low: float, high: float) -> tuple[int, ...]:
    """Give the uniform distribution over [low, high]."""
    if high < low:
        raise ValueError("a uniform needs its lower bound first")
    return _table([low + (high - low) * chance for chance in _chances(cut=False)], low, high)


def fixed(value: int) -> tuple[int, ...]:
    """Give the distribution that is always ``value``."""
    return (value,) * (STEPS + 1)


@lru_cache(maxsize=512)
def measured(chances: tuple[float, ...], values: tuple[float, ...], least: float = -math.inf, most: float = math.inf) -> tuple[int, ...]:
    """Give the distribution through measured quantiles: ``values`` at ``chances`` (from 0 to 1, ascending), linear in between."""
    if len(values) < 2 or any(a > b for a, b in pairwise(values)):
        raise ValueError("quantiles need two or more values that do not fall")
    if chances[0] != 0 or chances[-1] != 1 or any(a >= b for a, b in pairwise(chances)):
        raise ValueError("percentiles need to rise from 0 to 100")
    steps = _chances(cut=False)
    found = [values[0]]
    for (low, high), (begin, end) in zip(pairwise(values), pairwise(chances), strict=True):
        width, rise = end - begin, high - low
        found += [low + rise * ((chance - begin) / width) for chance in steps[bisect_right(steps, begin) : bisect_right(steps, end)]]
    return _table(found, least, most)


@lru_cache(maxsize=512)
def gamma(mean: float, shape: float, least: float = -math.inf, most: float = math.inf) -> tuple[int, ...]:
    """Give the gamma distribution with this mean; ``shape`` 1 is exponential, larger ones gather around the mean."""
    if mean <= 0:
        raise ValueError("a gamma needs a mean > 0")
    values = []
    power = 0.0
    for chance in _chances(cut=True):
        power = _gamma_inverse(chance, shape, power)
        values.append(math.exp(power) * (mean / shape))
    return _table(values, least, most)


def _gamma_inverse(chance: float, shape: float, guess: float) -> float:
    """Find log x with P(shape, x) = chance, by Newton's steps over log x, which keep tiny quantiles' digits; a step out of it halves the bracket."""
    low, high = -745.0, math.log(shape + 1)
    while _gamma_lower(shape, math.exp(high)) < chance:
        high += 1
    for _ in range(200):
        if not low < guess < high:
            guess = (low + high) / 2
        x = math.exp(guess)
        miss = _gamma_lower(shape, x) - chance
        if miss < 0:
            low = guess
        else:
            high = guess
        slope = math.exp(shape * guess - x - math.lgamma(shape))
        step = miss / slope if slope > 0 else math.inf
        if abs(step) < 1e-12 or high - low < 1e-13:
            break
        guess -= step
    return guess


def _gamma_lower(shape: float, x: float) -> float:
    """The regularised lower incomplete gamma function P(shape, x): its series left of the hump, a continued fraction right of it."""
    if x <= 0:
        return 0.0
    scale = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1:
        term = total = 1 / shape
        step = shape
        while abs(term) > abs(total) * _EPSILON:
            step += 1
            term *= x / step
            total += term
        return total * scale
    tiny = 1e-300
    b = x + 1 - shape
    c, d = 1 / tiny, 1 / b
    fraction = d
    for i in range(1, 100_000):
        a = -i * (i - shape)
        b += 2
        d = a * d + b
        d = 1 / (d if abs(d) > tiny else tiny)
        c = b + a / c
        c = c if abs(c) > tiny else tiny
        change = d * c
        fraction *= change
        if abs(change - 1) < _EPSILON:
            break
    return 1 - scale * fraction
