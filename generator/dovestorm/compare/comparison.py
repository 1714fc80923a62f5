"""The result of a comparison: counts and distributions side by side, as data."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dovestorm.compare.measures import LEVELS

if TYPE_CHECKING:
    from dovestorm.compare.classifier import Separability
    from dovestorm.compare.measures import Summary

__all__ = ["Comparison", "Counted", "Measured", "StreamSummary"]


@dataclass(frozen=True, slots=True)
class Counted:
    """How often something was met in each stream, and how often it could have been.

    Attributes:
        key: What: an event; an event and a field; the event before and the event after.
        a: How often in A.
        b: How often in B.
        of_a: Out of so many in A (records of the event, say).
        of_b: Out of so many in B.
    """

    key: tuple[str, ...]
    a: int
    b: int
    of_a: int
    of_b: int

    @property
    def share_a(self) -> float:
        """``a`` out of ``of_a``, 0 to 1."""
        return self.a / self.of_a if self.of_a else 0.0

    @property
    def share_b(self) -> float:
        """``b`` out of ``of_b``, 0 to 1."""
        return self.b / self.of_b if self.of_b else 0.0

    @property
    def score(self) -> float:
        """How far the shares lie apart, in standard errors of their difference if they were equal; from 4 on it is hardly chance."""
        if not self.of_a or not self.of_b:
            return 0.0
        share = (self.a + self.b) / (self.of_a + self.of_b)
        variance = share * (1 - share) * (1 / self.of_a + 1 / self.of_b)
        return abs(self.share_a - self.share_b) / math.sqrt(variance) if variance > 0 else 0.0

    def to_json(self, *names: str) -> dict[str, Any]:
        """Plain data; ``names`` are those of the key's parts."""
        return {**dict(zip(names, self.key, strict=True)), "a": self.a, "b": self.b, "of_a": self.of_a, "of_b": self.of_b}


@dataclass(frozen=True, slots=True)
class Measured:
    """A number's distribution in each stream.

    Attributes:
        key: What was measured.
        a: In A.
        b: In B.
        ks: The Kolmogorov-Smirnov distance, 0 to 1, or None when one of the streams has none.
    """

    key: tuple[str, ...]
    a: Summary
    b: Summary
    ks: float | None

    @property
    def score(self) -> float:
        """The distance in units of its standard error if the distributions were equal; from 2 on it is hardly chance.

        Source: the limiting distribution of Kolmogorov: beyond 1.95 lies one in a thousand.
        """
        if self.ks is None:
            return 0.0
        a, b = min(self.a.count, 4096), min(self.b.count, 4096)
        return self.ks * math.sqrt(a * b / (a + b))

    def to_json(self, *names: str) -> dict[str, Any]:
        """Plain data; ``names`` are those of the key's parts."""
        sides = {
            side: {"count": summary.count, **{f"p{100 * level:g}": value for level, value in zip(LEVELS, summary.quantiles, strict=False)}}
            for side, summary in (("a", self.a), ("b", self.b))
        }
        return {**dict(zip(names, self.key, strict=True)), **sides, "ks": None if self.ks is None else round(self.ks, 4)}


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """One of the streams.

    Attributes:
        name: The file, or what the caller called it.
        events: Records read.
        sessions: Sessions in which some event names it.
        events_in_sessions: Their records.
        operations: Groups of events that no session claims.
        span_us: From the earliest to the latest end_time, microseconds.
        unreadable: Lines or records that were no events.
        examples: Why, of the first.
        uncounted: Records whose fields were not counted, since too many kinds of records had been met.
    """

    name: str
    events: int
    sessions: int
    events_in_sessions: int
    operations: int
    span_us: int
    unreadable: int = 0
    examples: tuple[str, ...] = ()
    uncounted: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two streams side by side. Each table has everything that either stream has, differing or not, sorted by key.

    Attributes:
        a: The first stream.
        b: The second.
        unit: ``sessions``, or ``operations`` when neither stream names any session.
        events: (event), out of all events.
        fields: (event, field): records of the event that have the field.
        types: (event, field, type): of its occurrences, those of that type.
        order: (event, first, second): of records that have both fields, those in which the first one stands first.
        categories: (event, category): records of the event that have it.
        values: (event, field, value): for fields with a closed set of values.
        transitions: (event, next event) within a session, out of all that follows the first one; START and END stand at the ends.
        commands: (command, next command), likewise.
        numbers: (event, field): amounts.
        lasting: (event): end_time minus start_time, microseconds.
        gaps: (event, next event): between their end_times within a session, microseconds.
        shape: (``length``), from first start_time to last end_time in microseconds, and (``events``), how many, by session.
        separability: How well sessions are told apart, or None.
        reason: Why there is no such figure; empty if there is.
    """

    a: StreamSummary
    b: StreamSummary
    unit: str
    events: tuple[Counted, ...]
    fields: tuple[Counted, ...]
    types: tuple[Counted, ...]
    order: tuple[Counted, ...]
    categories: tuple[Counted, ...]
    values: tuple[Counted, ...]
    transitions: tuple[Counted, ...]
    commands: tuple[Counted, ...]
    numbers: tuple[Measured, ...]
    lasting: tuple[Measured, ...]
    gaps: tuple[Measured, ...]
    shape: tuple[Measured, ...]
    separability: Separability | None = field(default=None)
    reason: str = ""

    @property
    def auc(self) -> float | None:
        """The closing figure: area under the ROC curve of a classifier; 0.5 is indistinguishable."""
        return None if self.separability is None else self.separability.auc

    def to_json(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        found: dict[str, Any] = {"a": self.a.to_json(), "b": self.b.to_json(), "unit": self.unit}
        for table, names in _KEYS.items():
            found[table] = [row.to_json(*names) for row in getattr(self, table)]
        found["separability"] = None if self.separability is None else self.separability.to_json()
        found["reason"] = self.reason
        return found


_KEYS = {
    "events": ("event",),
    "fields": ("event", "field"),
    "types": ("event", "field", "type"),
    "order": ("event", "first", "second"),
    "categories": ("event", "category"),
    "values": ("event", "field", "value"),
    "transitions": ("from", "to"),
    "commands": ("from", "to"),
    "numbers": ("event", "field"),
    "lasting": ("event",),
    "gaps": ("from", "to"),
    "shape": ("what",),
}
