"""Option types of the command line: numbers with units, as scenarios write them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from dovestorm.scenario import units

__all__ = ["DURATION", "RATE", "TIMESTAMP"]


class _Unit(click.ParamType):
    """An option whose text a function of ``scenario.units`` reads."""

    def __init__(self, name: str, read: Callable[[str], Any], convert_read: Callable[[Any], Any]) -> None:
        self.name = name
        self._read = read
        self._finish = convert_read

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text, or fail with what would be right."""
        if not isinstance(value, str):
            return value
        try:
            return self._finish(self._read(value.strip()))
        except ValueError as error:
            self.fail(f"'{value}': {error}", param, ctx)


def _rate(text: str) -> float:
    """A plain number is events per second."""
    rate = float(text) if text.replace(".", "", 1).isdigit() else units.rate(text)
    if not rate > 0:
        raise ValueError("a rate above 0 is needed")
    return rate


def _stamp(text: str) -> str:
    units.instant(text)
    return text


DURATION = _Unit("duration", lambda text: units.number(text, unit="duration"), int)
"""A stretch of time such as 10min; gives microseconds."""
RATE = _Unit("rate", _rate, float)
"""Events per second: 5000, 5000/s or 300000/min."""
TIMESTAMP = _Unit("timestamp", _stamp, str)
"""A moment such as 2026-03-02T09:00:00Z; gives the text."""
