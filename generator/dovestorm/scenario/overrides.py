"""Replacing values of a scenario's head from outside, before it is read, so that they are checked like written ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.errors import UsageError, nearest
from dovestorm.scenario.grammar import ARRIVALS, POPULATION, SERVER
from dovestorm.scenario.model import At
from dovestorm.scenario.nodes import Node, Scalar, Table, from_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KNOWN", "overridden"]

KNOWN = (
    "start",
    "duration",
    *(f"server.{key}" for key in SERVER),
    *(f"population.{key}" for key in POPULATION),
    "arrivals",
    *(f"arrivals.{key}" for key in ARRIVALS),
    "arrivals.rate",
)
"""The dotted keys that can be replaced; ``arrivals.rate`` is the rate of whatever process the scenario has."""


def overridden(node: Table, overrides: Mapping[str, Any]) -> Table:
    """Give the scenario's tree with these values in place of its own.

    Raises:
        UsageError: If a key is not one of ``KNOWN``.
    """
    for key, value in overrides.items():
        if key not in KNOWN:
            raise UsageError(f"unknown override '{key}'{nearest(key, KNOWN) or ', known are ' + ', '.join(KNOWN)}")
        at = At(f"<{key}>")
        path = _rate(node) if key == "arrivals.rate" else key.split(".")
        node = _replaced(node, path, from_plain(value, at), at)
    return node


def _rate(node: Table) -> list[str]:
    arrivals = node.entries.get("arrivals")
    given = arrivals.entries if isinstance(arrivals, Table) else {}
    if "bursts" in given:
        return ["arrivals", "bursts", "rate"]
    return ["arrivals", "constant" if "constant" in given else "poisson"]


def _replaced(node: Node, path: list[str], value: Node, at: At) -> Table:
    table = node if isinstance(node, Table) else Table({}, {}, at)
    key, rest = path[0], path[1:]
    if rest:
        value = _replaced(table.entries.get(key, Table({}, {}, at)), rest, value, at)
    return Table({**table.entries, key: value}, {key: Scalar(key, bare=True, at=at), **table.keys}, table.at)
