"""Turning random bits into values, a whole group at a time. Every function is exact integer arithmetic."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cumulative_thresholds", "quantile_array", "zipf_table"]


def quantile_array(bits: NDArray[np.uint64], shift: int, table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw from a quantile table of 1025 entries with 32 of the random bits: 10 choose the segment, 16 the place in it."""
    half = (bits >> np.uint64(shift)) & np.uint64(0xFFFFFFFF)
    segment = (half >> np.uint64(22)).astype(np.int64)
    place = ((half >> np.uint64(6)) & np.uint64(0xFFFF)).astype(np.int64)
    low = table[segment]
    return low + ((table[segment + 1] - low) * place >> 16)


def cumulative_thresholds(weights: list[float]) -> list[int]:
    """Upper bounds, in 1/2**32, of every alternative but the last: a 32-bit draw belongs to the first whose bound it is below.

    An alternative of weight 0 is never drawn.
    """
    total = sum(weights)
    running, bounds = 0.0, []
    last = max(index for index, weight in enumerate(weights) if weight > 0)
    for index, weight in enumerate(weights[:-1]):
        running += weight
        bounds.append(1 << 32 if index >= last else min(round(running / total * (1 << 32)), 1 << 32))
    return bounds


@cache
def zipf_table(count: int, exponent: float) -> NDArray[np.int64]:
    """Quantiles of a rank in [0, count) whose popularity falls as (rank + 1) ** -exponent: int64[1025], in 1/256 of a rank.

    The sum over ranks is replaced by its integral, so a table costs the same for a thousand and for a hundred million.
    """
    import math

    def rank(p: float) -> float:
        if exponent == 0:
            return p * count
        if abs(exponent - 1) < 1e-9:
            return math.exp(p * math.log1p(count)) - 1
        power = 1 - exponent
        return float((1 + p * ((count + 1) ** power - 1)) ** (1 / power) - 1)

    return np.array([min(round(rank(index / 1024) * 256), count * 256 - 1) for index in range(1025)], dtype=np.int64)
