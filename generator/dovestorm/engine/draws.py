"""Turning random bits into values, by exact integer arithmetic."""

from __future__ import annotations

import itertools
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.kernel.instructions import MEANINGS, Code

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dovestorm.engine.blocks import Builder, Operand

__all__ = ["address_at", "cumulative_thresholds", "quantile_array", "zipf_rank", "zipf_table"]


def quantile_array(bits: NDArray[np.uint64], shift: int, table: NDArray[np.int64]) -> NDArray[np.int64]:
    """Draw from a quantile table of 1025 entries with 32 of the random bits: 10 choose the segment, 16 the place in it."""
    drawn: NDArray[np.int64] = MEANINGS[Code.QUANTILE](bits.view(np.int64), shift, table=table)
    return drawn


def zipf_rank(builder: Builder, count: int, exponent: float) -> Operand:
    """Draw a rank in [0, count); see ``zipf_table``."""
    return builder.apply(Code.SHIFT_RIGHT, builder.draw(Code.QUANTILE, table=tuple(zipf_table(count, exponent).tolist())), 8)


def address_at(builder: Builder, place: Operand, networks: Sequence[tuple[int, int]]) -> Operand:
    """The address at a place, counted through all networks (base, size), one after another."""
    sizes = [size for _, size in networks]
    before = list(itertools.accumulate(sizes, initial=0))[:-1]
    bases = tuple(base - skipped for (base, _), skipped in zip(networks, before, strict=True))
    if len(bases) == 1:
        return builder.apply(Code.ADD, place, bases[0])
    number = builder.apply(Code.SEARCH, place, table=tuple(before[1:]))
    return builder.apply(Code.ADD, place, builder.apply(Code.LOOKUP, number, table=bases))


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
