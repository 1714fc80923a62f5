"""The sessions of a recording as sequences of steps, in the order in which things happened rather than in that of their export."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovestorm.compare.sessions import Grouping
from dovestorm.compare.vocabulary import WORDS, label, word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovestorm.catalog.model import Edition
    from dovestorm.compare.records import Record
    from dovestorm.compare.sessions import Place

__all__ = ["OF_A_SESSION", "Kind", "Step", "Visit", "visits"]

MOST_VISITS = 20_000
"""A larger recording is learnt from that many of its sessions, drawn at random."""

_MOST_STEPS = 2_000

OF_A_SESSION = ("mechanism", "transport", "service", "protocol")
"""Words that a session has throughout, so that they are drawn once for all of its events."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What makes two steps alike: event and process, the fields that are there, and the words in them.

    Attributes:
        event: Canonical name.
        service: The process, without ``service:``.
        categories: All others, sorted.
        fields: Canonical names, in the record's order.
        words: Field and value of those that hold one of a few words.
    """

    event: str
    service: str
    categories: tuple[str, ...]
    fields: tuple[str, ...]
    words: tuple[tuple[str, str], ...]

    @property
    def action(self) -> tuple[str, str]:
        """The event and the process, whatever it said."""
        return self.event, self.service


@dataclass(frozen=True, slots=True)
class Step:
    """One event of a session.

    Attributes:
        kind: What it is.
        start: When it began, microseconds since the epoch.
        sent: When it was sent: its start and its duration.
        values: Canonical field name to value.
    """

    kind: Kind
    start: int
    sent: int
    values: dict[str, object]


@dataclass(frozen=True, slots=True)
class Visit:
    """A session, or an operation that stands alone.

    Attributes:
        named: Whether its events name a session.
        steps: In the order in which they were sent.
    """

    named: bool
    steps: tuple[Step, ...]


def visits(records: Iterable[Record], edition: Edition, *, seed: int = 0, most: int = MOST_VISITS) -> tuple[list[Visit], int]:
    """All sessions of a recording, or ``most`` of them drawn at random, in the order in which they began; and how many events were left out.

    Events that the edition does not know are left out, and so are fields.
    """
    drawer = random.Random(seed)  # noqa: S311 - a sample, no secret
    grouping = Grouping()
    kept: dict[Place, list[Step]] = {}
    order: list[Place] = []
    met: set[Place] = set()
    unknown = 0
    for record in records:
        step = _step(record, edition)
        if step is None:
            unknown += 1
            continue
        place = grouping.place(record)
        if place not in met:
            met.add(place)
            if len(order) < most:
                order.append(place)
                kept[place] = []
            elif (at := drawer.randrange(len(met))) < most:
                del kept[order[at]]
                order[at] = place
                kept[place] = []
        steps = kept.get(place)
        if steps is not None and len(steps) < _MOST_STEPS:
            steps.append(step)
    found = [Visit(place.named, tuple(sorted(steps, key=lambda step: step.sent))) for place, steps in kept.items() if steps]
    return sorted(found, key=lambda visit: visit.steps[0].start), unknown


def _step(record: Record, edition: Edition) -> Step | None:
    event = edition.events.get(record.event)
    if event is None:
        return None
    canonical = {field.name: field.canonical for field in event.fields.values()}
    values = {canonical[name]: value for name, value in record.fields.items() if name in canonical}
    lasted = values.pop("duration", None)
    if type(lasted) is not int or lasted < 0:
        lasted = max(record.end_us - record.start_us, 0)
    words = []
    for name in sorted(WORDS.intersection(values).difference(OF_A_SESSION)):
        text = word(name, values[name])
        if text is not None:
            words.append((name, text))
    categories = tuple(sorted(name for name in record.categories if not name.startswith("service:")))
    kind = Kind(event.canonical, record.service, categories, tuple(values), (*words, ("label", label(record).partition(" ")[2])))
    return Step(kind, record.start_us, record.start_us + lasted, values)
