"""Samples of numbers, their quantiles, and how far two distributions lie apart."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.hashing import GAMMA, derive, mix

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["LEVELS", "Reservoir", "Summary", "kolmogorov_smirnov", "summary"]

LEVELS = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""The quantiles that a summary has."""

_SIZE = 4096


class Reservoir:
    """A uniform sample of at most 4,096 of the numbers that it is given; the same numbers give the same sample.

    Source: algorithm L (Li: "Reservoir-sampling algorithms of time complexity O(n(1+log(N/n)))", 1994), with draws that are hashes.
    """

    __slots__ = ("_draws", "_key", "_next", "_size", "_weight", "count", "least", "most", "values")

    def __init__(self, name: str, size: int = _SIZE) -> None:
        self.values = array("d")
        self.count = 0
        self.least = math.inf
        self.most = -math.inf
        self._size = size
        self._key = derive(0, *name.encode("utf-8", "surrogatepass"))
        self._draws = 0
        self._weight = 1.0
        self._next = 0

    def add(self, value: float) -> None:
        """Take a number."""
        self.count += 1
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        if self.count <= self._size:
            self.values.append(value)
            if self.count == self._size:
                self._skip()
        elif self.count == self._next:
            self.values[int(self._draw() * self._size)] = value
            self._skip()

    def _skip(self) -> None:
        self._weight *= math.exp(math.log(self._draw()) / self._size)
        self._next = self.count + 1 + int(math.log(self._draw()) / math.log1p(-self._weight))

    def _draw(self) -> float:
        self._draws += 1
        return (mix(self._key + self._draws * GAMMA) + 1) / (2**64 + 1025)


@dataclass(frozen=True, slots=True)
class Summary:
    """A distribution in short: how many numbers there were, and their quantiles at ``LEVELS`` (empty if there were none)."""

    count: int
    quantiles: tuple[float, ...]

    def at(self, level: float) -> float:
        """The quantile of one of the ``LEVELS``."""
        return self.quantiles[LEVELS.index(level)]


def summary(sample: Reservoir | None) -> Summary:
    """Sum up a sample; none stands for an empty one. The least and the most are those of all numbers."""
    if sample is None or not sample.count:
        return Summary(0, ())
    inner = np.quantile(_array(sample.values), LEVELS[1:-1], method="inverted_cdf")
    return Summary(sample.count, (sample.least, *map(float, inner), sample.most))


def kolmogorov_smirnov(a: Sequence[float], b: Sequence[float]) -> float:
    """The greatest distance between two empirical distribution functions, 0 (equal) to 1 (no overlap).

    Raises:
        ValueError: One of them is empty.
    """
    if not len(a) or not len(b):
        raise ValueError("a distance needs numbers on both sides")
    first, second = np.sort(_array(a)), np.sort(_array(b))
    both = np.concatenate([first, second])
    steps_a = np.searchsorted(first, both, side="right") / len(first)
    steps_b = np.searchsorted(second, both, side="right") / len(second)
    return float(np.abs(steps_a - steps_b).max())


def _array(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)
