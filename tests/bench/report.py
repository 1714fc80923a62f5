"""Rows of figures, as a table and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MILLION = 1_000_000


@dataclass(frozen=True)
class Row:
    """A stream that was made: how many events, in what time, how many bytes (0 where nobody counted), at what peak of memory."""

    name: str
    events: int
    seconds: float
    bytes: int
    peak_mib: float

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds


@dataclass(frozen=True)
class Figure:
    """A single figure and what it was held against."""

    name: str
    value: float
    unit: str
    wanted: str = ""


@dataclass(frozen=True)
class Missing:
    """A row without figures, and why."""

    name: str
    why: str


def table(rows: list[Row | Missing], against: Row | None) -> str:
    """Aligned text; the last column says how many times the speed of each row ``against`` has."""
    head = f"{'':<44} {'events':>12} {'s':>8} {'events/s':>12} {'B/event':>8} {'MB/s':>7} {'peak MiB':>9} {'ours is':>9}"
    lines = [head, "-" * len(head)]
    for row in rows:
        if isinstance(row, Missing):
            lines.append(f"{row.name:<44} not measured: {row.why}")
            continue
        size, rate = (f"{row.bytes / row.events:.0f}", f"{row.bytes / row.seconds / MILLION:.0f}") if row.bytes else ("", "")
        ratio = f"{against.events_per_s / row.events_per_s:.2f} x" if against else ""
        lines.append(
            f"{row.name:<44} {row.events:>12,} {row.seconds:>8.2f} {row.events_per_s:>12,.0f} {size:>8} {rate:>7} {row.peak_mib:>9.0f} {ratio:>9}"
        )
    return "\n".join(lines)


def figures(found: list[Figure | Missing]) -> str:
    """Aligned text, a figure a line."""
    return "\n".join(
        f"{one.name:<60} not measured: {one.why}" if isinstance(one, Missing) else f"{one.name:<60} {one.value:>12,.2f} {one.unit:<10} {one.wanted}"
        for one in found
    )


def as_dict(one: Row | Figure | Missing) -> dict[str, Any]:
    values = {name: getattr(one, name) for name in one.__dataclass_fields__}
    return values | {"events_per_s": one.events_per_s} if isinstance(one, Row) else values
