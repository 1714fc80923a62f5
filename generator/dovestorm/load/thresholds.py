"""Conditions that decide over pass and fail, such as ``p99_lateness < 200ms``."""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovestorm.errors import UsageError, nearest
from dovestorm.scenario import units

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MEASURES", "Outcome", "Threshold", "parse_threshold", "read_thresholds"]

MEASURES = {
    "p50_lateness": "time from the due moment to the acknowledgement or the end of the write, any percentile: p90_, p99.9_ ...",
    "p99_lateness": "the same, 99 % of events",
    "max_lateness": "the largest",
    "mean_lateness": "the mean",
    "p50_service": "time from the beginning of the sending to the same end, any percentile",
    "p99_service": "the same, 99 % of events",
    "max_service": "the largest",
    "mean_service": "the mean",
    "lost": "events given up after all retries, as a count or in % of those tried",
    "undelivered": "the same as lost",
    "unsent": "events that were due and had not been given to a connection when the run ended, as a count or in % of those offered",
    "failures": "deliveries (batches, POSTs) that failed, as a count or in % of all",
    "retries": "events that were sent more than once, as a count or in % of those delivered",
    "reconnects": "connections after each user's first",
    "achieved": "events delivered, in % of those offered, or a rate such as 5000/s",
    "events": "events delivered",
    "bytes": "their size",
    "seconds": "how long the run sent",
}
"""What can be measured: name, and a line of help."""

_FORM = re.compile(r"\s*([A-Za-z0-9_.]+)\s*(<=|>=|==|!=|<|>)\s*(\S.*?)\s*")
_PERCENTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)_(lateness|service)")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_UNITS = {"lateness": ("us",), "service": ("us",), "seconds": ("s",), "achieved": ("%", "/s"), "bytes": ("",), "events": ("",), "reconnects": ("",)}
_COUNTS = ("", "%")
_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition on one measure.

    Attributes:
        text: As it was written.
        measure: A name of ``MEASURES``, or another percentile.
        relation: One of ``< <= > >= == !=``.
        limit: In the unit.
        unit: ``us``, ``s``, ``%``, ``/s`` or nothing.
    """

    text: str
    measure: str
    relation: str
    limit: float
    unit: str

    @property
    def quantile(self) -> tuple[str, float] | None:
        """``lateness`` or ``service``, and the share of events, for a percentile."""
        found = _PERCENTILE.fullmatch(self.measure)
        return None if found is None else (found[2], float(found[1]) / 100)

    def judge(self, value: float | None) -> Outcome:
        """Hold a measured value, in the threshold's unit, against the limit; None is what could not be measured, and fails."""
        return Outcome(self, value, passed=value is not None and _COMPARE[self.relation](value, self.limit))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a threshold."""

    threshold: Threshold
    value: float | None
    passed: bool

    @property
    def found(self) -> str:
        """What was measured, in words."""
        return "nothing to measure" if self.value is None else f"it is {_shown(self.value, self.threshold.unit)}"

    def to_text(self) -> str:
        """One line."""
        return f"{'pass' if self.passed else 'FAIL'}  {self.threshold.text}  ({self.found})"


def parse_threshold(text: str) -> Threshold:
    """Read a condition.

    Raises:
        UsageError: It is not one; an unknown measure gets the nearest known one offered.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise UsageError(f"threshold '{text.strip()}': must be NAME, one of < <= > >= == !=, and a value, such as 'p99_lateness < 200ms'")
    measure = found[1].lower().replace("p999_", "p99.9_")
    if measure not in MEASURES and not _PERCENTILE.fullmatch(measure):
        raise UsageError(
            f"threshold '{text.strip()}': unknown measure '{found[1]}'{nearest(measure, MEASURES) or ', known are ' + ', '.join(MEASURES)}"
        )
    limit, unit = _limit(text.strip(), measure, found[3])
    return Threshold(text.strip(), measure, found[2], limit, unit)


def read_thresholds(path: str) -> tuple[Threshold, ...]:
    """Read a YAML file: a list of conditions, or a mapping with such a list under ``thresholds``.

    Raises:
        UsageError: It cannot be read, or holds something else; every fault is named.
    """
    import yaml

    try:
        with Path(path).open(encoding="utf-8") as file:
            loaded = yaml.safe_load(file.read(_FILE_BYTES))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read as YAML: {getattr(error, 'strerror', None) or error}") from None
    entries = loaded.get("thresholds") if isinstance(loaded, dict) else loaded
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise UsageError(f"{path}: must be a list of conditions such as '- p99_lateness < 200ms', alone or under 'thresholds:'")
    found, faults = [], []
    for entry in entries:
        try:
            found.append(parse_threshold(entry))
        except UsageError as error:
            faults.append(f"{path}: {error}")
    if faults:
        raise UsageError("\n".join(faults))
    return tuple(found)


def _limit(text: str, measure: str, value: str) -> tuple[float, str]:
    allowed = _UNITS.get(measure.rpartition("_")[2], _COUNTS)
    number, unit = _split(value, allowed)
    if number is None or not math.isfinite(number) or unit not in allowed:
        wanted = {"us": "a duration such as 200ms", "s": "a duration such as 30s", "%": "a share such as 99%", "/s": "a rate such as 5000/s"}
        raise UsageError(f"threshold '{text}': '{value}' must be {' or '.join(wanted.get(unit, 'a number such as 0') for unit in allowed)}")
    return number, unit


def _split(value: str, allowed: tuple[str, ...]) -> tuple[float | None, str]:
    try:
        if "us" in allowed:
            return float(units.number(value, unit="duration")) if value[-1:].isalpha() or value == "0" else None, "us"
        if "s" in allowed:
            return units.stretch(value) / 1e6, "s"
        if value.endswith("%"):
            return float(value[:-1]), "%"
        if "/s" in allowed:
            return units.rate(value), "/s"
        return float(value), ""
    except ValueError:
        return None, ""


def _shown(value: Any, unit: str) -> str:
    if unit == "us":
        return f"{value / 1000:,.3f} ms"
    return f"{value:,.2f}{unit}" if unit else f"{value:,.0f}"
