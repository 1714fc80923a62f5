"""Recorded numbers as values of the scenario language."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["chosen", "quantity"]

_PERCENTILES = (0, 5, 10, 25, 50, 75, 90, 95, 99, 100)
_FEW = 4
_ENOUGH = 8


def quantity(amounts: Sequence[int]) -> Any:
    """A literal where all are the same, a choice where there are few different ones, else a table of quantiles; microseconds, bytes or pieces."""
    different = Counter(amounts)
    if len(different) == 1:
        return amounts[0]
    if len(different) <= _FEW and len(amounts) >= _ENOUGH:
        return {"choose": dict(sorted(different.items()))}
    table = {percent: round(value) for percent, value in zip(_PERCENTILES, np.percentile(amounts, _PERCENTILES).tolist(), strict=True)}
    if len(amounts) < _ENOUGH:
        table = {percent: table[percent] for percent in (0, 50, 100)}
    return {"quantiles": table}


def chosen(values: Sequence[Any]) -> Any:
    """One of the values, as often as it was seen."""
    different: list[list[Any]] = []
    for value in values:
        for entry in different:
            if entry[0] == value and type(entry[0]) is type(value):
                entry[1] += 1
                break
        else:
            different.append([value, 1])
    if len(different) == 1:
        return different[0][0]
    return {"choose": [{"value": value, "weight": count} for value, count in different]}
