"""Distributions as they are written, to quantile tables."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from dovestorm.scenario import quantiles
from dovestorm.scenario.nodes import Listing, Node, Scalar, Table
from dovestorm.scenario.quantiles import fixed
from dovestorm.scenario.reading import Reading, shown

__all__ = ["KINDS", "PARAMETERS", "fixed", "read"]

PARAMETERS = {
    "lognormal": (("median",), ("p90", "p99")),
    "exponential": (("mean",), ()),
    "gamma": (("mean", "shape"), ()),
    "pareto": (("minimum", "shape"), ()),
}
"""Required and alternative parameters of the distributions that have named ones; all of them also take ``least`` and ``most``."""

KINDS = (*PARAMETERS, "uniform", "quantiles")
_PERCENTS = {"p90": 0.90, "p99": 0.99}
_Number = Callable[[Node, str], Fraction]


def read(reading: Reading, node: Table, number: _Number) -> tuple[str, tuple[int, ...]] | None:
    """Give the kind and table of a distribution; None after a fault.

    Args:
        reading: Takes the faults.
        node: The mapping, with exactly one key of ``KINDS``.
        number: Reads one parameter that has the unit of the place, given its name for error texts.
    """
    before = len(reading.faults)
    kind = next(key for key in node.entries if key in KINDS)
    body = reading.keys(node, what=kind, required=(kind,))[kind]
    try:
        table = {"uniform": _uniform, "quantiles": _quantiles}.get(kind, _named)(reading, kind, body, number)
    except ValueError as error:
        reading.faults.add(body.at, str(error))
        return None
    return None if len(reading.faults) > before or table is None else (kind, table)


def _named(reading: Reading, kind: str, body: Node, number: _Number) -> tuple[int, ...] | None:
    required, one_of = PARAMETERS[kind]
    before = len(reading.faults)
    entries = reading.keys(reading.table(body, what=kind), what=kind, required=required, optional=(*one_of, "least", "most"))
    given = [key for key in one_of if key in entries]
    if one_of and len(given) != 1 and isinstance(body, Table):
        reading.faults.add(body.at, f"{kind} needs one of {' or '.join(one_of)}")
    values = {
        key: reading.factor(item, what=key, least=0.01, most=1000) if key == "shape" else float(number(item, f"{kind} {key}"))
        for key, item in entries.items()
    }
    if len(reading.faults) > before:
        return None
    least, most = values.get("least", -math.inf), values.get("most", math.inf)
    if least > most:
        raise ValueError(f"{kind}: least must not exceed most")
    match kind:
        case "lognormal":
            return quantiles.lognormal(values["median"], values[given[0]], _PERCENTS[given[0]], least, most)
        case "exponential":
            return quantiles.exponential(values["mean"], least, most)
        case "gamma":
            return quantiles.gamma(values["mean"], values["shape"], least, most)
        case _:
            return quantiles.pareto(values["minimum"], values["shape"], least, most)


def _uniform(reading: Reading, kind: str, body: Node, number: _Number) -> tuple[int, ...] | None:
    items = reading.listing(body, what=kind)
    if len(items) != 2:
        reading.faults.add(body.at, f"{kind} needs its two bounds, like [1, 10]")
        return None
    low, high = (float(number(item, f"{kind} bound")) for item in items)
    return quantiles.uniform(low, high)


def _quantiles(reading: Reading, kind: str, body: Node, number: _Number) -> tuple[int, ...] | None:
    if isinstance(body, Listing):
        values = [float(number(item, "a quantile")) for item in body.items]
        return quantiles.measured(tuple(index / max(1, len(values) - 1) for index in range(len(values))), tuple(values))
    table = reading.table(body, what=kind)
    bounds = {key: float(number(item, key)) for key, item in table.entries.items() if key in {"least", "most"}}
    points = []
    for key, item in table.entries.items():
        if key in bounds:
            continue
        value = table.keys[key].value
        percent = Scalar(key, bare=True, at=table.keys[key].at).value if isinstance(value, str) else value
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not 0 <= percent <= 100:
            reading.faults.add(table.keys[key].at, f"percentile ({shown(table.keys[key])}) must be a number from 0 to 100")
            continue
        points.append((percent / 100, float(number(item, f"percentile {key}"))))
    points.sort(key=lambda point: point[0])
    if len(points) < 2:
        raise ValueError("quantiles need two or more values that do not fall")
    chances, quantities = zip(*points, strict=True)
    return quantiles.measured(chances, quantities, bounds.get("least", -math.inf), bounds.get("most", math.inf))
