"""Numbers with units: durations, sizes, rates, timestamps, times of day, networks, versions.

Every function takes the text as written and raises ``ValueError`` with a text that says what would be right.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache

__all__ = [
    "DAY",
    "LARGEST",
    "WEEK",
    "instant",
    "ipv4",
    "moment",
    "network",
    "number",
    "rate",
    "stretch",
    "time_of_day",
    "time_of_week",
    "version",
    "version_matches",
]

SECOND = 1_000_000
DAY = 86_400 * SECOND
WEEK = 7 * DAY
LARGEST = 1 << 62
"""No number of a scenario may reach this: sums of two still fit 64 bits."""

_DURATIONS = {"us": 1, "ms": 1_000, "s": SECOND, "min": 60 * SECOND, "h": 3_600 * SECOND, "d": DAY}
_SIZES = {"B": 1, "kB": 1_000, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_PER = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0}
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NUMBER = re.compile(r"([-+]?[0-9]{1,19}(?:\.[0-9]{1,12})?)\s?([A-Za-z]*)")
_RATE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s?/\s?([a-z]+)")
_CLOCK = re.compile(r"([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?")
_STAMP = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[-+][0-9]{2}:[0-9]{2})?")
_RELATION = re.compile(r"(>=|<=|>|<|=|==)?\s*([0-9]{1,4}(?:\.[0-9]{1,4}){1,3})")


@lru_cache(maxsize=4096)
def number(text: str, *, unit: str = "") -> Fraction:
    """Give a number in its base unit.

    Args:
        text: Digits, maybe with a fraction and a unit.
        unit: What may follow the digits: ``duration``, ``seconds`` (a duration, but counted in seconds), ``size``, ``count`` (nothing), or
            empty for a duration or a size.
    """
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(_wanted(unit))
    value, suffix = Fraction(found[1]), found[2]
    if suffix in _DURATIONS and unit in {"", "duration", "seconds"}:
        value *= _DURATIONS[suffix]
        if unit == "seconds":
            value /= SECOND
    elif suffix in _SIZES and unit in {"", "size"}:
        value *= _SIZES[suffix]
    elif suffix:
        raise ValueError(_wanted(unit))
    if abs(value) >= LARGEST:
        raise ValueError("a smaller number is needed, this one leaves 62 bits")
    return value


def stretch(text: str) -> int:
    """Give a duration in microseconds for which a person must name the unit: a bare 10 could mean anything; 0 is 0 in every unit."""
    value = number(text, unit="duration")
    if value and not text[-1:].isalpha():
        raise ValueError(f"the unit is missing: {text}s for seconds, {text}min for minutes")
    return int(value)


def _wanted(unit: str) -> str:
    durations, sizes = "300us, 2ms, 1.5s, 2min, 1h or 1d", "10B, 2KiB, 3MiB or 1kB"
    match unit:
        case "duration" | "seconds":
            return f"a duration is written like {durations}"
        case "size":
            return f"a size is written like {sizes}"
        case "count":
            return "a plain number is needed"
        case _:
            return f"a number is written like 12, {durations}, {sizes}"


def rate(text: str) -> float:
    """Give a rate per second."""
    found = _RATE.fullmatch(text)
    if found is None or found[2] not in _PER:
        raise ValueError("a rate is written like 40/s, 30/min, 5/h or 2/d")
    value = float(found[1]) / _PER[found[2]]
    if not 0 < value <= 1e9:
        raise ValueError("a rate must be > 0 and at most 1000000000/s")
    return value


def instant(text: str) -> int:
    """Give the microseconds since the epoch of a UTC timestamp."""
    wanted = "a timestamp is written like 2026-03-02T06:00:00Z, in UTC"
    if not _STAMP.fullmatch(text):
        raise ValueError(wanted)
    try:
        stamp = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise ValueError(wanted) from error
    if stamp.tzinfo is None or stamp.utcoffset():
        raise ValueError(wanted)
    since = stamp - datetime(1970, 1, 1, tzinfo=UTC)
    if since.days < 0:
        raise ValueError("a timestamp must be in 1970 or later")
    return (since.days * 86_400 + since.seconds) * SECOND + since.microseconds


def time_of_day(text: str) -> int:
    """Give the microseconds since midnight of ``HH:MM`` or ``HH:MM:SS``."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise ValueError('a time of day is written like "08:30" or "08:30:15"')
    hour, minute, second = int(found[1]), int(found[2]), int(found[3] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("a time of day goes from 00:00 to 23:59:59")
    return ((hour * 60 + minute) * 60 + second) * SECOND


def time_of_week(text: str) -> int:
    """Give the microseconds since Monday midnight of ``mon 08:00``."""
    day, _, clock = text.partition(" ")
    if day.lower() not in _DAYS:
        raise ValueError(f'a time of the week is written like "mon 08:00", the days are {", ".join(_DAYS)}')
    return _DAYS.index(day.lower()) * DAY + time_of_day(clock.strip())


def moment(text: str, *, start: int) -> int:
    """Give a moment of a scenario: ``+2h`` from its start, ``10:00`` on the start's date, or a full timestamp."""
    if text.startswith("+"):
        return start + round(number(text[1:], unit="duration"))
    if _CLOCK.fullmatch(text):
        return start - start % DAY + time_of_day(text)
    try:
        return instant(text)
    except ValueError:
        raise ValueError('a moment is written like "10:00", +2h or 2026-03-02T10:00:00Z') from None


def ipv4(text: str) -> int:
    """Give an IPv4 address as an integer."""
    try:
        return int(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError("an IPv4 address is written like 192.0.2.25") from None


def network(text: str) -> tuple[int, int]:
    """Give the first address and the number of addresses of an IPv4 network."""
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError:
        try:
            right = ipaddress.IPv4Network(text, strict=False)
        except ValueError:
            raise ValueError("an IPv4 network is written like 10.0.0.0/8") from None
        raise ValueError(f"the network's own address is {right}") from None
    return int(found.network_address), found.num_addresses


def version(text: str) -> tuple[int, ...]:
    """Give a version as numbers, at least four of them: ``2.4`` is ``(2, 4, 0, 0)``."""
    parts = [int(part) for part in text.split(".")]
    return tuple(parts + [0] * (4 - len(parts)))


def version_matches(guard: str, chosen: str) -> bool:
    """Whether a version guard (``2.3.6``, ``>=2.3.7 <2.4``) holds for the chosen version."""
    holds = True
    terms = re.sub(r"([<>=])\s+", r"\1", guard).split()
    if not terms:
        raise ValueError('a version guard is written like "2.3.6", ">=2.3.9" or ">=2.3.7 <2.4"')
    for term in terms:
        found = _RELATION.fullmatch(term)
        if found is None:
            raise ValueError('a version guard is written like "2.3.6", ">=2.3.9" or ">=2.3.7 <2.4"')
        left, right = version(chosen), version(found[2])
        match found[1]:
            case ">=":
                holds &= left >= right
            case "<=":
                holds &= left <= right
            case ">":
                holds &= left > right
            case "<":
                holds &= left < right
            case _:
                holds &= left == right
    return holds
