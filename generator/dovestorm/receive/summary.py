"""What a consumer got."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovestorm.validate import Report

__all__ = ["Summary"]

_TOP = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """A consumer's end.

    Attributes:
        url: Where it listened.
        events: Whole records.
        bytes: Of the whole records, as they arrived.
        seconds: From the first byte to the last.
        connections: Accepted; 0 for datagrams.
        truncated: Records that the end of a connection cut off.
        oversized: Records that were too large to take.
        by_event: Records by event name, where the consumer looked at them.
        report: The validator's findings, or None when it was not asked.
    """

    url: str
    events: int
    bytes: int
    seconds: float
    connections: int
    truncated: int
    oversized: int
    by_event: dict[str, int] = field(default_factory=dict)
    report: Report | None = None

    @property
    def events_per_s(self) -> float:
        """Over the time in which something arrived."""
        return self.events / self.seconds if self.seconds > 0 else 0.0

    @property
    def invalid(self) -> int | None:
        """Faults that the validator found, or None when it was not asked."""
        return None if self.report is None else self.report.fault_count

    @property
    def sound(self) -> bool:
        """Whether everything arrived whole and valid."""
        return not (self.truncated or self.oversized or self.invalid)

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "url": self.url,
            "events": self.events,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 6),
            "events_per_s": round(self.events_per_s, 1),
            "connections": self.connections,
            "truncated": self.truncated,
            "oversized": self.oversized,
            "invalid": self.invalid,
            "by_event": self.by_event,
            "validation": None if self.report is None else self.report.to_dict(),
        }

    def to_text(self) -> str:
        """For people."""
        size = f"{self.bytes / 1e6:,.1f} MB"
        lines = [f"{self.url}: {self.events:,} events ({size}) in {self.seconds:.2f} s, {self.events_per_s:,.0f} events/s"]
        invalid = "not checked" if self.invalid is None else f"{self.invalid:,}"
        lines.append(f"  connections {self.connections:,}, truncated {self.truncated:,}, oversized {self.oversized:,}, invalid {invalid}")
        top = sorted(self.by_event.items(), key=lambda item: -item[1])[:_TOP]
        lines += [f"  {count:>12,} {name}" for name, count in top]
        if self.report is not None and not self.report.valid:
            lines.append(self.report.to_text())
        return "\n".join(lines)
