"""What an audit found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovestorm.audit.latency import Latency

__all__ = ["AuditReport", "Example"]

_TOP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One event or record that something is wrong with.

    Attributes:
        place: Where it stands in the stream, from 0; None for a record that is not of the stream.
        arrival: Where the record stands in what was received, from 0; None for one that lacks.
        session: The session that the event belongs to, as ``dovestorm.Event.session``.
        detail: What there is to say: the event, the fields that differ, places behind, or the record's beginning.
    """

    place: int | None = None
    arrival: int | None = None
    session: int | None = None
    detail: str = ""

    def to_text(self) -> str:
        """One line."""
        parts = [] if self.place is None else [f"event {self.place:,}"]
        parts += [] if self.session is None else [f"session {self.session:,}"]
        parts += [] if self.arrival is None else [f"received as {self.arrival:,}"]
        return f"{', '.join(parts)}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What was received, held against what was sent.

    All counts are exact: ``expected == delivered + altered + missing`` and ``received == delivered + altered + doubled + foreign``.

    Attributes:
        expected: Events of the stream.
        received: Records.
        delivered: Events that arrived as they were sent, at least once.
        missing: Events that did not arrive.
        altered: Events that arrived with another content.
        doubled: Records beyond the first of an event.
        doubled_events: Events that have such records.
        foreign: Records that are none of the stream's.
        unreadable: How many of the foreign and altered ones are broken.
        out_of_order: Events that arrived after one that the stream has later.
        farthest: How many places behind the farthest of them was.
        altered_fields: By name, in how many altered events a field differs.
        sessions: By finding, how many sessions it concerns.
        affected: Numbers of the first sessions with a finding, in the order of the stream.
        examples: The first of each finding.
        compared: ``bytes`` or ``values``: what most records were recognised by.
        scratch_bytes: Written to temporary files.
        seconds: How long it took.
        latency: None where it was not measured.
    """

    expected: int
    received: int
    delivered: int
    missing: int
    altered: int
    doubled: int
    doubled_events: int
    foreign: int
    unreadable: int
    out_of_order: int
    farthest: int
    altered_fields: dict[str, int] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    affected: tuple[int, ...] = ()
    examples: dict[str, tuple[Example, ...]] = field(default_factory=dict)
    compared: str = "bytes"
    scratch_bytes: int = 0
    seconds: float = 0.0
    latency: Latency | None = None

    @property
    def clean(self) -> bool:
        """Whether every event arrived once and unaltered, and nothing else did; in whatever order."""
        return not (self.missing or self.altered or self.doubled or self.foreign)

    @property
    def once(self) -> int:
        """Events that arrived exactly once, as they were sent."""
        return self.delivered - self.doubled_events

    def to_dict(self) -> dict[str, Any]:
        """For programs: the names of the attributes."""
        found = {
            name: getattr(self, name)
            for name in (
                "clean", "expected", "received", "delivered", "once", "missing", "altered", "doubled", "doubled_events", "foreign", "unreadable",
                "out_of_order", "farthest", "altered_fields", "sessions", "compared", "scratch_bytes",
            )
        }  # fmt: skip
        found["affected"] = list(self.affected)
        found["examples"] = {name: [asdict(example) for example in examples] for name, examples in self.examples.items()}
        found["seconds"] = round(self.seconds, 3)
        found["latency"] = None if self.latency is None else self.latency.to_dict()
        return found

    def to_text(self) -> str:
        """For people."""
        lines = [f"audit: {self.expected:,} events expected, {self.received:,} records received, {'all is well' if self.clean else 'NOT the same'}"]
        lines.append(
            f"  delivered once {self.once:,}, missing {self.missing:,}, doubled {self.doubled:,}, altered {self.altered:,}, foreign {self.foreign:,}"
        )
        if self.out_of_order:
            lines.append(f"  out of order {self.out_of_order:,}, the farthest {self.farthest:,} places behind")
        if self.unreadable:
            lines.append(f"  broken records {self.unreadable:,}")
        if self.altered_fields:
            top = sorted(self.altered_fields.items(), key=lambda item: (-item[1], item[0]))
            more = "" if len(top) <= _TOP else f", and {len(top) - _TOP} more"
            lines.append("  altered: " + ", ".join(f"{name} {count:,}x" for name, count in top[:_TOP]) + more)
        if self.affected:
            more = "" if len(self.affected) >= self.sessions.get("any", 0) else " ..."
            lines.append(f"  sessions concerned: {self.sessions['any']:,} ({', '.join(map(str, self.affected))}{more})")
        if self.latency is not None:
            lines.append(f"  {self.latency.to_text()}")
        for name, examples in self.examples.items():
            lines.append(f"  {name}:")
            lines += [f"    {example.to_text()}" for example in examples]
        return "\n".join(lines)
