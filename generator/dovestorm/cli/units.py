"""Option types of the command line: numbers with units, as scenarios write them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from dovestorm.errors import nearest
from dovestorm.scenario import units

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DURATION", "FACTOR", "RATE", "TIMESTAMP", "Name"]


class _Unit(click.ParamType[Any]):
    """An option whose text a function of ``scenario.units`` reads."""

    def __init__(self, name: str, read: Callable[[str], Any]) -> None:
        self.name = name
        self._read = read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text, or fail with what would be right."""
        if not isinstance(value, str):
            return value
        try:
            return self._read(value.strip())
        except ValueError as error:
            self.fail(f"'{value}': {error}", param, ctx)


class Name(click.Choice[str]):
    """One of some names; a wrong one gets the nearest right one offered."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take the name, or fail with what would be right."""
        if value not in self.choices:
            self.fail(f"'{value}'{nearest(str(value), self.choices)} Known are {', '.join(self.choices)}.", param, ctx)
        return str(value)


def _duration(text: str) -> int:
    duration = units.stretch(text)
    if duration < 0:
        raise ValueError("a duration of 0 or more is needed")
    return duration


def _rate(text: str) -> float:
    """A plain number is events per second."""
    return _above_0(float(text) if text.replace(".", "", 1).isdecimal() else units.rate(text))


def _factor(text: str) -> float:
    try:
        return _above_0(float(text))
    except ValueError:
        raise ValueError("a number above 0 is needed") from None


def _above_0(value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError("a number above 0 is needed")
    return value


def _stamp(text: str) -> str:
    units.instant(text)
    return text


DURATION = _Unit("duration", _duration)
"""A stretch of time such as 10min; gives microseconds."""
RATE = _Unit("rate", _rate)
"""Events per second: 5000, 5000/s or 300000/min."""
TIMESTAMP = _Unit("timestamp", _stamp)
"""A moment such as 2026-03-02T09:00:00Z; gives the text."""
FACTOR = _Unit("factor", _factor)
"""A number above 0."""
