"""The end of an audit: every event and every record finds its place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.audit.bits import Bits
from dovestorm.audit.findings import Found, examine
from dovestorm.audit.leftovers import Leftovers
from dovestorm.audit.order import Order
from dovestorm.audit.report import AuditReport

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dovestorm.audit.auditor import Auditor
    from dovestorm.audit.scratch import Scratch

__all__ = ["Ledger", "settle"]


@dataclass(slots=True)
class Ledger:
    """What is known so far; places are those of events in the stream, arrivals those of records.

    Attributes:
        delivered, doubled, altered, late: Places.
        unknown: Arrivals of records that no event has been found for.
        first_doubled: Place and arrival of the first records that doubled an event.
    """

    order: Order
    examples: int
    delivered: Bits = field(default_factory=Bits)
    doubled: Bits = field(default_factory=Bits)
    altered: Bits = field(default_factory=Bits)
    late: Bits = field(default_factory=Bits)
    unknown: Bits = field(default_factory=Bits)
    delivered_count: int = 0
    doubled_count: int = 0
    altered_count: int = 0
    unknown_count: int = 0
    first_doubled: list[tuple[int, int]] = field(default_factory=list)

    @classmethod
    def open(cls, scratch: Scratch, examples: int) -> Ledger:
        """An empty one."""
        return cls(Order(scratch), examples)

    def deliver(self, places: NDArray[np.int64], arrivals: NDArray[np.int64], *, as_they_come: bool = False) -> None:
        """Note events that arrived as they were sent."""
        self.delivered.add(places)
        self.delivered_count += len(places)
        (self.order.follow if as_they_come else self.order.add)(arrivals, places)

    def double(self, places: NDArray[np.int64], arrivals: NDArray[np.int64]) -> None:
        """Note records that came beyond the first of an event, or before the one that was recognised."""
        self.doubled.add(places)
        self.order.contest(arrivals, places)
        self.doubled_count += len(places)
        first = np.argsort(arrivals, kind="stable")[: self.examples]
        self.first_doubled += zip(places[first].tolist(), arrivals[first].tolist(), strict=True)
        self.first_doubled = sorted(self.first_doubled, key=lambda pair: pair[1])[: self.examples]


def settle(auditor: Auditor, *, seconds: Callable[[], float]) -> AuditReport:
    """Look for what is left over on both sides, and put the report together.

    Args:
        auditor: All has been taken, and all has been made.
        seconds: How long the audit took, asked in the end.
    """
    ledger, received, expected = auditor.ledger, auditor.received, auditor.made
    leftovers = Leftovers(auditor, ledger)
    leftovers.resolve()
    late = [(int(place), int(arrival), int(behind)) for place, arrival, behind in _late(ledger)]
    found = Found(auditor, ledger, leftovers, late)
    if expected > ledger.delivered_count or ledger.doubled_count or ledger.order.count:
        examine(found)
    foreign = ledger.unknown_count - leftovers.resolved
    found.add_foreign(foreign)
    return AuditReport(
        expected=expected,
        received=received,
        delivered=ledger.delivered_count,
        missing=expected - ledger.delivered_count - ledger.altered_count,
        altered=ledger.altered_count,
        doubled=ledger.doubled_count,
        doubled_events=len(ledger.doubled),
        foreign=foreign,
        unreadable=leftovers.unreadable,
        out_of_order=ledger.order.count,
        farthest=ledger.order.farthest,
        altered_fields=dict(found.fields),
        sessions=found.session_counts(),
        affected=tuple(found.affected),
        examples=found.examples(),
        compared=auditor.compare,
        scratch_bytes=auditor.scratch.written,
        latency=auditor.arrivals.latency() if auditor.arrivals is not None else None,
        seconds=seconds(),
    )


def _late(ledger: Ledger) -> list[tuple[int, int, int]]:
    """Note all events that are out of order; gives place, arrival and places behind of the first."""
    first: list[tuple[int, int, int]] = []
    for places, arrivals, behind in ledger.order.late():
        ledger.late.add(places)
        room = ledger.examples - len(first)
        first += zip(places[:room].tolist(), arrivals[:room].tolist(), behind[:room].tolist(), strict=True)
    return first
