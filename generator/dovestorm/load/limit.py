"""The search for a consumer's limit: raise the rate until it breaks, bisect, then hold what was found for long."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Limit", "Probe", "find_limit"]

_LEAST_PER_S = 1.0
_CONFIRMATIONS = 5
"""So often a rate that breaks while it is confirmed is lowered by the precision."""
_NEAR_CEILING = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One run at one rate.

    Attributes:
        rate: What was offered, in events per second.
        seconds: For how long.
        held: Whether every threshold held and nothing was lost.
        report: The run's report, as ``LoadReport.to_dict`` has it.
    """

    rate: float
    seconds: float
    held: bool
    report: dict[str, Any]

    def to_text(self) -> str:
        """One line."""
        report = self.report
        late = report.get("lateness_ms") or {}
        share = 100 * report["events"] / report["offered"] if report.get("offered") else 0.0
        broken = [entry["text"] for entry in report.get("thresholds", ()) if not entry["passed"]]
        why = f"; broken: {', '.join(broken)}" if broken else ""
        facts = f"achieved {share:.1f} %, p99 lateness {late.get('p99', 0.0):,.1f} ms"
        return f"{self.rate:>13,.0f}/s for {self.seconds:g} s: {'holds ' if self.held else 'breaks'}  ({facts}{why})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What was found.

    Attributes:
        rate: The highest rate that held for the confirming time, in events per second; None when none did.
        breaks_at: The lowest rate that broke; None when none did.
        probes: All runs, in order; with a ``rate``, the last one is the confirming one.
    """

    rate: float | None
    breaks_at: float | None
    probes: tuple[Probe, ...]

    @property
    def ceiling_per_s(self) -> float | None:
        """What the generator could do at most on this machine, if a run measured it: its workers together."""
        found = [probe.report for probe in self.probes if probe.report.get("ceiling_per_s")]
        return found[0]["ceiling_per_s"] * max(found[0]["workers"], 1) if found else None

    @property
    def is_near_ceiling(self) -> bool:
        """Whether the generator, and not the consumer, may be what was measured."""
        ceiling = self.ceiling_per_s
        return ceiling is not None and max((probe.rate for probe in self.probes), default=0.0) >= _NEAR_CEILING * ceiling

    @property
    def spread(self) -> dict[str, float] | None:
        """Events delivered in each whole second of the confirming run: least, median, most."""
        found: dict[str, float] | None = self.probes[-1].report.get("each_second") if self.rate else None
        return found

    def to_dict(self) -> dict[str, Any]:
        """For programs: plain values."""
        return {
            "rate_per_s": self.rate,
            "breaks_at_per_s": self.breaks_at,
            "each_second": self.spread,
            "ceiling_per_s": self.ceiling_per_s,
            "near_ceiling": self.is_near_ceiling,
            "probes": [{"rate_per_s": probe.rate, "seconds": probe.seconds, "held": probe.held, "report": probe.report} for probe in self.probes],
        }

    def to_text(self) -> str:
        """For people: a few lines."""
        lines = []
        if self.rate is not None:
            last = self.probes[-1]
            late = last.report["lateness_ms"]
            lines.append(f"highest sustained rate: {self.rate:,.0f} events/s")
            lines.append(f"  held for {last.seconds:g} s; lateness p99 {late['p99']:,.1f} ms, max {late['max']:,.1f} ms")
            if self.spread:
                lines.append("  events in each second: least {least:,.0f}, median {median:,.0f}, most {most:,.0f}".format(**self.spread))
        else:
            briefly = [probe for probe in self.probes if probe.held]
            most = max(briefly, key=lambda probe: probe.rate, default=None)
            held = "not even briefly" if most is None else f"{most.rate:,.0f} events/s held for {most.seconds:g} s, but not for longer"
            lines.append(f"no sustained rate was found: {held}")
        lines.append(f"  lowest rate that broke: {self.breaks_at:,.0f} events/s" if self.breaks_at else "  nothing broke: the limit lies higher")
        if self.is_near_ceiling:
            lines.append(f"  the generator's own limit on this machine is about {self.ceiling_per_s:,.0f} events/s: that may be what was found")
        return "\n".join(lines)


def find_limit(
    run: Callable[[float, float], Probe],
    *,
    first: float,
    most: float = math.inf,
    precision: float = 0.05,
    probe_s: float = 10.0,
    confirm_s: float = 60.0,
) -> Limit:
    """Find the highest rate that holds.

    Args:
        run: Sends at a rate (events per second) for so many seconds, and judges.
        first: Where to begin; it is doubled while it holds, or halved while it breaks.
        most: No higher than this.
        precision: Bisecting ends when what breaks is at most so much (as a share) above what holds.
        probe_s: How long each step is held.
        confirm_s: How long the found rate is held in the end; when it breaks, it is lowered by ``precision``, a few times.
    """
    probes: list[Probe] = []

    def holds(rate: float, seconds: float) -> bool:
        probes.append(run(rate, seconds))
        return probes[-1].held

    low, high = 0.0, math.inf
    rate = min(first, most)
    while rate >= _LEAST_PER_S and (not low or high == math.inf):
        if holds(rate, probe_s):
            low = rate
            if rate >= most:
                break
            rate = min(rate * 2, most)
        else:
            high = rate
            rate /= 2
    while low and low * (1 + precision) < high < math.inf:
        rate = math.sqrt(low * high)
        if holds(rate, probe_s):
            low = rate
        else:
            high = rate
    found = None
    for _ in range(_CONFIRMATIONS if low else 0):
        if holds(low, confirm_s):
            found = low
            break
        # Buffers on the way may have held a short probe; what came through in a long one is nearer to the truth.
        high = low
        low = min(low, probes[-1].report.get("achieved_per_s") or low) / (1 + precision)
    return Limit(rate=found, breaks_at=None if high == math.inf else high, probes=tuple(probes))
