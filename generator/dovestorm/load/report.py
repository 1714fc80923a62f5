"""What a run did, for people and programs, and the verdict over it."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovestorm.load.shards import Takeover
    from dovestorm.load.statistics import DeliveryStatistics
    from dovestorm.load.thresholds import Outcome, Threshold

__all__ = ["FAILED", "NOTHING_DELIVERED", "THRESHOLD_BROKEN", "LoadReport", "quantiles_ms"]

NOTHING_DELIVERED = 1
FAILED = 1
THRESHOLD_BROKEN = 3
"""Exit codes: 1 as Locust has it for failures, 3 when a threshold is broken; 2 is misuse."""

_ABOUT_LOSSES = frozenset({"lost", "undelivered", "failures"})


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """A run that has ended.

    Attributes:
        target: The sink, without secrets.
        scenario: What was sent.
        workers: How many took part.
        shards: How many shards.
        is_open: Whether a schedule decided when events left.
        is_acknowledged: Whether the protocol confirms events.
        seconds: From the moment when sending began to the last delivery's end.
        offered: Events that were due in that time; in a closed workload, events given to a connection.
        statistics: Counts and distributions.
        whole: Whether all of the stream was settled; else time was up, or someone stopped the run.
        takeovers: Shards that changed hands.
        ceiling_per_s: What one generating process could do at most, in events per second, or None when it was not measured.
        troubles: What workers had to say.
        thresholds: What was to hold.
    """

    target: str
    scenario: str
    workers: int
    shards: int
    is_open: bool
    is_acknowledged: bool
    seconds: float
    offered: int
    statistics: DeliveryStatistics
    whole: bool
    takeovers: tuple[Takeover, ...] = ()
    ceiling_per_s: float | None = None
    troubles: tuple[str, ...] = ()
    thresholds: tuple[Threshold, ...] = field(default=())

    @property
    def offered_per_s(self) -> float:
        """The rate that the schedule asked for."""
        return self.offered / self.seconds if self.seconds > 0 else 0.0

    @property
    def achieved_per_s(self) -> float:
        """Events delivered per second."""
        return self.statistics.whole.events / self.seconds if self.seconds > 0 else 0.0

    @property
    def unsent(self) -> int:
        """Events that were due, and neither delivered nor given up when the run ended."""
        whole = self.statistics.whole
        return max(self.wanted - whole.events - whole.undelivered, 0)

    @property
    def wanted(self) -> int:
        """Events that were due, without those that the receiver had said it does not want."""
        return self.offered - self.statistics.whole.unasked

    @property
    def each_second(self) -> dict[str, float] | None:
        """Events delivered in each whole second, least, median and most, without the first and the last one; None for a shorter run."""
        counts = sorted(row.events for row in self.statistics.rows()[1 : int(self.seconds)])
        return {"least": counts[0], "median": median(counts), "most": counts[-1]} if counts else None

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The thresholds, each held against what was measured."""
        return tuple(threshold.judge(self.measure(threshold)) for threshold in self.thresholds)

    @property
    def exit_code(self) -> int:
        """0 all well, 1 nothing delivered or something lost (unless a threshold speaks of losses), 3 a threshold is broken."""
        whole = self.statistics.whole
        if not whole.events:
            return NOTHING_DELIVERED
        if not all(outcome.passed for outcome in self.outcomes):
            return THRESHOLD_BROKEN
        judged = any(threshold.measure in _ABOUT_LOSSES for threshold in self.thresholds)
        return FAILED if not judged and (whole.undelivered or whole.failures or self.troubles) else 0

    @property
    def verdict(self) -> str:
        """One line."""
        if self.exit_code == THRESHOLD_BROKEN:
            return "FAIL: a threshold is broken"
        if not self.statistics.whole.events:
            return "FAIL: nothing was delivered"
        return "FAIL: not all was delivered" if self.exit_code else "PASS"

    def measure(self, threshold: Threshold) -> float | None:
        """The measure that a threshold speaks of, in its unit; None when there is nothing to measure."""
        whole = self.statistics.whole
        if threshold.unit == "us":
            sketch = whole.lateness_us if threshold.measure.endswith("lateness") else whole.service_us
            if not sketch.count:
                return None
            quantile = threshold.quantile
            if quantile is not None:
                return float(sketch.quantile(quantile[1]))
            return float(sketch.largest) if threshold.measure.startswith("max") else sketch.mean
        if threshold.measure == "achieved":
            return self.achieved_per_s if threshold.unit == "/s" else 100 * whole.events / self.wanted if self.wanted else None
        values = {
            "lost": (whole.undelivered, whole.events + whole.undelivered),
            "undelivered": (whole.undelivered, whole.events + whole.undelivered),
            "unsent": (self.unsent, self.offered),
            "failures": (whole.failures, whole.deliveries + whole.failures),
            "retries": (whole.retries, whole.events),
        }
        if threshold.measure in values:
            count, of = values[threshold.measure]
            return float(count) if threshold.unit != "%" else 100 * count / of if of else 0.0
        return float(self.seconds if threshold.measure == "seconds" else getattr(whole, threshold.measure))

    def to_dict(self) -> dict[str, Any]:
        """For programs: plain values."""
        whole = self.statistics.whole
        counts = ("deliveries", "failures", "events", "bytes", "undelivered", "retries", "reconnects", "unasked")
        return {
            "target": self.target,
            "scenario": self.scenario,
            "workload": "open" if self.is_open else "closed",
            "workers": self.workers,
            "shards": self.shards,
            "acknowledged": self.is_acknowledged,
            "seconds": round(self.seconds, 3),
            "offered": self.offered,
            "offered_per_s": round(self.offered_per_s, 1),
            "achieved_per_s": round(self.achieved_per_s, 1),
            "each_second": self.each_second,
            "unsent": self.unsent,
            **{name: getattr(whole, name) for name in counts},
            "lateness_ms": quantiles_ms(whole.lateness_us) if self.is_open else None,
            "service_ms": quantiles_ms(whole.service_us),
            "ceiling_per_s": self.ceiling_per_s,
            "complete": self.whole,
            "takeovers": [takeover.to_text() for takeover in self.takeovers],
            "troubles": list(self.troubles),
            "thresholds": [{"text": o.threshold.text, "value": o.value, "unit": o.threshold.unit, "passed": o.passed} for o in self.outcomes],
            "verdict": self.verdict,
            "exit_code": self.exit_code,
        }

    def to_text(self) -> str:
        """For people: a short block, then the verdict."""
        whole = self.statistics.whole
        end = "acknowledgement" if self.is_acknowledged else "end of write"
        lines = [f"{self.scenario} -> {self.target}: {self.workers} worker{'s' * (self.workers != 1)}, {self.shards} shard{'s' * (self.shards != 1)}"]
        if self.is_open:
            share = f" ({100 * whole.events / self.wanted:.2f} %)" if self.wanted else ""
            lines.append(f"  open workload: offered {self.offered_per_s:,.0f} events/s, achieved {self.achieved_per_s:,.0f} events/s{share}")
        else:
            lines.append(f"  closed workload: {self.achieved_per_s:,.0f} events/s; who sends waits for the consumer, so there is no lateness")
        lines.append(f"  delivered {whole.events:,} events, {whole.bytes:,} bytes, in {whole.deliveries:,} deliveries and {self.seconds:.2f} s")
        if not self.is_acknowledged:
            lines.append("  nothing is acknowledged here, so delivered only means written; dovestorm audit finds out what arrived")
        if not self.whole:
            lines.append("  the stream is not complete: time was up, or the run was stopped")
        extra = {"unsent when the run ended": self.unsent, "undelivered": whole.undelivered, "sent more than once": whole.retries}
        extra["not asked for by the receiver, and not sent"] = whole.unasked
        lines += [f"  {name}: {count:,} events" for name, count in extra.items() if count]
        if whole.failures or whole.reconnects:
            lines.append(f"  failed deliveries {whole.failures:,}, reconnected {whole.reconnects:,} times")
        if self.is_open:
            lines.append(f"  lateness, due to {end}: {_line(whole.lateness_us)}")
        lines.append(f"  service time, begin to {end}: {_line(whole.service_us)}")
        if self.ceiling_per_s is not None:
            lines.append(f"  ceiling of one generating worker on this machine, into a sink that discards: {self.ceiling_per_s:,.0f} events/s")
        lines += [f"  {takeover.to_text()}" for takeover in self.takeovers]
        lines += [f"  {trouble}" for trouble in self.troubles]
        lines += [f"  {outcome.to_text()}" for outcome in self.outcomes]
        return "\n".join([*lines, f"  {self.verdict}"])


_SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}


def quantiles_ms(sketch: Any) -> dict[str, float]:
    """The quantiles that are shown, and the largest value, of a sketch of microseconds; in milliseconds."""
    return {**{name: sketch.quantile(share) / 1000 for name, share in _SHARES.items()}, "max": sketch.largest / 1000}


def _line(sketch: Any) -> str:
    if not sketch.count:
        return "nothing to measure"
    return ", ".join(f"{name} {value:,.3f} ms" for name, value in quantiles_ms(sketch).items())
