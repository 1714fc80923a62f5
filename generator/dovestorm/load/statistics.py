"""What became of a run's deliveries: counts and two distributions of time, for the whole run and for each second of it.

One object is kept in every worker; it hands over what was added since the last report, and the master merges that. The result is the same as
if one process had counted everything, whatever the order of the reports.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from dovestorm.delivery.quantiles import QuantileSketch

__all__ = ["COUNTS", "DeliveryStatistics", "Part", "Row"]

_SETTLED_S = 60
"""So long after it, a second's distributions are reduced to the few quantiles that are shown."""

COUNTS = ("deliveries", "failures", "offered", "events", "bytes", "undelivered", "retries", "reconnects", "unasked")
"""The attributes of a ``Part`` that are plain sums."""


@dataclass(slots=True)
class Part:
    """What happened in one stretch of a run.

    Attributes:
        deliveries: Batches, or POSTs, that were delivered whole.
        failures: Batches, or POSTs, that were not.
        offered: Events that the schedule made due; in a closed workload, events that were given to a connection.
        events: Events delivered: acknowledged, or written where the protocol has no acknowledgement.
        bytes: Their size, without what a protocol adds.
        undelivered: Events given up after all retries.
        retries: Events sent more than once.
        reconnects: Connections after a user's first.
        unasked: Events that were not sent because the receiver had said that it does not want them, which is no loss.
        lateness_us: From the scheduled moment to the acknowledgement (or the end of the write), a value for each event. Empty in a closed
            workload, which has no schedule.
        service_us: From the moment when the sending began to the same end, a value for each event.
    """

    deliveries: int = 0
    failures: int = 0
    offered: int = 0
    events: int = 0
    bytes: int = 0
    undelivered: int = 0
    retries: int = 0
    reconnects: int = 0
    unasked: int = 0
    lateness_us: QuantileSketch = field(default_factory=QuantileSketch)
    service_us: QuantileSketch = field(default_factory=QuantileSketch)

    def merge(self, other: Part) -> None:
        """Add what ``other`` counted."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.lateness_us.merge(other.lateness_us)
        self.service_us.merge(other.service_us)

    def to_list(self) -> list[Any]:
        """Plain values for a message."""
        return [*(getattr(self, name) for name in COUNTS), self.lateness_us.to_list(), self.service_us.to_list()]

    @classmethod
    def from_list(cls, plain: list[Any]) -> Part:
        """What ``to_list`` wrote."""
        counts = dict(zip(COUNTS, plain, strict=False))
        return cls(**counts, lateness_us=QuantileSketch.from_list(plain[-2]), service_us=QuantileSketch.from_list(plain[-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One second of the run, for charts and CSV; times in milliseconds, 0 where nothing was delivered.

    Attributes:
        second: Whole seconds since the run began.
        offered: Events due in it.
        events: Events delivered in it.
        bytes: Their size.
        undelivered: Events given up in it.
        failures: Deliveries that failed in it.
        backlog: Events that were due by its end, and neither delivered nor given up, nor unasked for.
        lateness_p50_ms: Median lateness of the events delivered in it.
        lateness_p99_ms: Its 99th percentile.
        lateness_max_ms: Its largest.
        service_p50_ms: Median service time.
        service_p99_ms: Its 99th percentile.
    """

    second: int
    offered: int
    events: int
    bytes: int
    undelivered: int
    failures: int
    backlog: int
    lateness_p50_ms: float
    lateness_p99_ms: float
    lateness_max_ms: float
    service_p50_ms: float
    service_p99_ms: float

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(entry.name for entry in fields(cls))


class DeliveryStatistics:
    """The counts of a process, or of all of them.

    Attributes:
        whole: The run so far.
        seconds: Its seconds, counted from the run's beginning: a delivery belongs to the second in which it ended, an offered event to
            that in which it was due.
    """

    __slots__ = ("_settled", "seconds", "whole")

    def __init__(self) -> None:
        self.whole = Part()
        self.seconds: dict[int, Part] = {}
        self._settled: dict[int, tuple[float, ...]] = {}

    def offer(self, second: int, events: int) -> None:
        """Count events that became due in a second of the run."""
        self.whole.offered += events
        self._second(second).offered += events

    def deliver(self, second: int, events: int, size: int, *, lateness_us: int | None, service_us: int, whole: bool = True) -> None:
        """Count a delivery that ended in a second.

        Args:
            second: Of the run.
            events: How many were delivered.
            size: Their bytes.
            lateness_us: None where there is no schedule.
            service_us: See ``Part``.
            whole: Whether all of the batch was delivered; else ``fail`` tells of the rest.
        """
        for part in (self.whole, self._second(second)):
            part.deliveries += whole
            part.events += events
            part.bytes += size
            part.service_us.add(service_us, events)
            if lateness_us is not None:
                part.lateness_us.add(lateness_us, events)

    def fail(self, second: int, *, undelivered: int) -> None:
        """Count a delivery that failed, and the events that were given up with it."""
        for part in (self.whole, self._second(second)):
            part.failures += 1
            part.undelivered += undelivered

    def revoke(self, second: int, events: int, size: int) -> None:
        """Take back events that were counted as delivered, and their bytes: it came out later that they were not. ``fail`` counts them then."""
        for part in (self.whole, self._second(second)):
            part.events -= events
            part.bytes -= size

    def trouble(self, second: int, *, retries: int = 0, reconnects: int = 0, unasked: int = 0) -> None:
        """Count what a connection went through, and events that its receiver did not want."""
        if not (retries or reconnects or unasked):
            return
        for part in (self.whole, self._second(second)):
            part.retries += retries
            part.reconnects += reconnects
            part.unasked += unasked

    def merge(self, other: DeliveryStatistics) -> None:
        """Add another process's counts; long past seconds are kept as quantiles only."""
        self.whole.merge(other.whole)
        for number, part in other.seconds.items():
            self._second(number).merge(part)
        self._settle()

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a message; settled seconds carry counts only."""
        return {"whole": self.whole.to_list(), "seconds": [[number, part.to_list()] for number, part in self.seconds.items()]}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> DeliveryStatistics:
        """What ``to_dict`` wrote."""
        statistics = cls()
        statistics.whole = Part.from_list(plain["whole"])
        statistics.seconds = {number: Part.from_list(part) for number, part in plain["seconds"]}
        return statistics

    def take(self) -> DeliveryStatistics:
        """Hand over all that was counted, and begin anew."""
        taken = DeliveryStatistics()
        taken.whole, taken.seconds = self.whole, self.seconds
        self.whole, self.seconds = Part(), {}
        return taken

    def rows(self, *, since: int = 0) -> list[Row]:
        """The run second by second, from its first to its last, without gaps; ``since`` leaves earlier ones away."""
        rows: list[Row] = []
        backlog = 0
        for number in range(max(self.seconds, default=-1) + 1):
            part = self.seconds.get(number) or Part()
            backlog += part.offered - part.events - part.undelivered - part.unasked
            if number >= since:
                shown = self._settled.get(number) or _quantiles(part)
                rows.append(
                    Row(
                        second=number,
                        offered=part.offered,
                        events=part.events,
                        bytes=part.bytes,
                        undelivered=part.undelivered,
                        failures=part.failures,
                        backlog=max(backlog, 0),
                        lateness_p50_ms=shown[0],
                        lateness_p99_ms=shown[1],
                        lateness_max_ms=shown[2],
                        service_p50_ms=shown[3],
                        service_p99_ms=shown[4],
                    )
                )
        return rows

    def _second(self, number: int) -> Part:
        part = self.seconds.get(number)
        if part is None:
            part = self.seconds[number] = Part()
        return part

    def _settle(self) -> None:
        """A distribution for every second of a day would fill the memory."""
        last = max(self.seconds, default=0) - _SETTLED_S
        for number in [number for number in self.seconds if number < last and number not in self._settled]:
            part = self.seconds[number]
            self._settled[number] = _quantiles(part)
            part.lateness_us, part.service_us = QuantileSketch(), QuantileSketch()


def _quantiles(part: Part) -> tuple[float, ...]:
    late, service = part.lateness_us, part.service_us
    values = (late.quantile(0.5), late.quantile(0.99), late.largest, service.quantile(0.5), service.quantile(0.99))
    return tuple(value / 1000 for value in values)
