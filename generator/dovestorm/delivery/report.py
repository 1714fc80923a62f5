"""What a run did: how much was asked for, made, and delivered by each sink."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Lateness", "Report", "SinkReport"]

_INTERRUPTED_EXIT_CODE = 130
"""128 + 2, as shells report a program that SIGINT ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lateness:
    """How long after their planned moment records were handed over, in milliseconds; early is 0."""

    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """What one sink did; every event that was made is written (acknowledged, where the protocol can), undelivered, or not asked for.

    Attributes:
        url: The sink, without secrets.
        written: Events handed to the operating system whole.
        acknowledged: Events that the receiver confirmed, or None where it cannot.
        undelivered: Events that were given up.
        written_bytes: Size of the written events, without what a protocol adds.
        retries: Events sent more than once, of which the receiver may see two.
        reconnects: Connections after the first; what the one before had under way may be lost.
        unasked: Events that were not sent because the receiver does not want them, which is no loss.
        error: Why the sink gave up or lost events; empty when all went well.
        pipe_closed: The reader left before the end, which is no error.
    """

    url: str
    written: int
    acknowledged: int | None
    undelivered: int
    written_bytes: int
    retries: int = 0
    reconnects: int = 0
    unasked: int = 0
    error: str = ""
    pipe_closed: bool = False

    @property
    def delivered(self) -> int:
        """The strongest count that the protocol can give."""
        return self.written if self.acknowledged is None else self.acknowledged

    def to_text(self) -> str:
        """One line, and one more for what went wrong."""
        parts = [f"written {self.written:,}"]
        if self.acknowledged is not None:
            parts.append(f"acknowledged {self.acknowledged:,}")
        parts.append(f"undelivered {self.undelivered:,}")
        if self.unasked:
            parts.append(f"not asked for {self.unasked:,} (the receiver's filter leaves them out)")
        if self.retries:
            parts.append(f"sent again {self.retries:,}")
        if self.reconnects:
            parts.append(f"reconnected {self.reconnects:,}x (what was under way then may be lost)")
        if self.pipe_closed:
            parts.append("the reader closed the pipe")
        line = f"  {self.url}: {', '.join(parts)}"
        return f"{line}\n    {self.error}" if self.error else line


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run's end.

    Attributes:
        asked: Events asked for, or None when the run had another end (a duration, a file's end).
        made: Events that were given to the sinks.
        made_bytes: Their size.
        seconds: From when the sinks were open to the last write.
        sinks: One report for each sink.
        offered_per_s: What the schedule asked for; None when the run was not paced.
        lateness: None when the run was not paced.
        interrupted: A signal ended the run.
    """

    asked: int | None
    made: int
    made_bytes: int
    seconds: float
    sinks: tuple[SinkReport, ...]
    offered_per_s: float | None = None
    lateness: Lateness | None = None
    interrupted: bool = False

    @property
    def events_per_s(self) -> float:
        """Achieved rate; 0 for an empty run."""
        return self.made / self.seconds if self.seconds > 0 else 0.0

    @property
    def is_short(self) -> bool:
        """Whether a count is short for another reason than a reader that left."""
        if any(sink.error or (sink.delivered + sink.unasked < self.made and not sink.pipe_closed) for sink in self.sinks):
            return True
        return self.asked is not None and self.made < self.asked and not self._ended_by_reader

    @property
    def complete(self) -> bool:
        """Whether all that was asked for was made, and every sink delivered all of it."""
        return not (self.interrupted or self.is_short or any(sink.pipe_closed for sink in self.sinks))

    @property
    def exit_code(self) -> int:
        """0 all delivered (or the reader of a pipe left), 1 something is short, 130 interrupted."""
        if self.interrupted:
            return _INTERRUPTED_EXIT_CODE
        return 1 if self.is_short else 0

    @property
    def _ended_by_reader(self) -> bool:
        return bool(self.sinks) and all(sink.pipe_closed for sink in self.sinks)

    def to_dict(self) -> dict[str, Any]:
        """For programs: plain values, the same names as the attributes."""
        return {
            "asked": self.asked,
            "made": self.made,
            "made_bytes": self.made_bytes,
            "seconds": round(self.seconds, 6),
            "events_per_s": round(self.events_per_s, 1),
            "offered_per_s": None if self.offered_per_s is None else round(self.offered_per_s, 1),
            "lateness": None if self.lateness is None else asdict(self.lateness),
            "interrupted": self.interrupted,
            "complete": self.complete,
            "exit_code": self.exit_code,
            "sinks": [asdict(sink) for sink in self.sinks],
        }

    def to_text(self) -> str:
        """For people: one short block."""
        asked = "" if self.asked is None else f"asked {self.asked:,}, "
        lines = [f"{asked}made {self.made:,} events ({_size(self.made_bytes)}) in {self.seconds:.2f} s, {self.events_per_s:,.0f} events/s"]
        lines += [sink.to_text() for sink in self.sinks]
        if self.lateness is not None:
            late = self.lateness
            offered = "" if self.offered_per_s is None else f"open loop, offered {self.offered_per_s:,.1f} events/s, "
            lines.append(f"  {offered}lateness p50 {late.p50_ms:.1f} ms, p99 {late.p99_ms:.1f} ms, max {late.max_ms:.1f} ms")
        if not self.complete:
            lines.append("  interrupted: the stream is not complete" if self.interrupted else "  the stream is not complete")
        return "\n".join(lines)


def _size(count: int) -> str:
    value = float(count)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{count:,} bytes" if unit == "bytes" else f"{value:,.1f} {unit}"
