#!/usr/bin/env python3
"""Write docs/coverage.md anew: which shipped scenario has which event and field of the 2.3.6 list, and what a real server's edition adds.

``python scripts/coverage_table.py``.

What a scenario has is counted in a stream that is generated over its whole duration, so that all of its phases are there, with a lower arrival rate.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from dovestorm import catalog, scenario
from dovestorm.api import generate
from dovestorm.engine.phases import Phases

EDITION = "2.3.6"
REAL = "2.3.19"
"""An edition of a real server, of which the page tells the events that the list lacks."""
SESSIONS = {"admin": 1500, "migration": 25}
FEW = {"admin": 300, "migration": 10}
"""About so many sessions of a scenario are looked at, where it is not ``USUAL``: more where they are short, fewer where they are long."""
USUAL = 250
USUAL_FEW = 80
PAGE = Path(__file__).resolve().parent.parent / "docs" / "coverage.md"
ALWAYS, SOMETIMES, NEVER = "●", "○", ""
_INTRO = """\
# Coverage

Which shipped scenario has which event of the 2.3.6 list, and which of its fields it fills. Written by `scripts/coverage_table.py` from generated
streams, and held by a test; `dovestorm scenarios` says what each scenario is about.

● every such event of the scenario has the field (or: the scenario has the event), ○ some have it.
"""


@dataclass(slots=True)
class Seen:
    """What one scenario's stream holds: events by name, and filled fields by event and name."""

    events: Counter[str] = field(default_factory=Counter)
    fields: Counter[tuple[str, str]] = field(default_factory=Counter)

    def mark(self, event: str, name: str) -> str:
        """How a field stands in the table."""
        filled = self.fields[event, name]
        return NEVER if not filled else ALWAYS if filled == self.events[event] else SOMETIMES


def thin(name: str, sessions: int | None = None, *, dovecot: str = EDITION) -> float:
    """The rate factor with which about ``sessions`` begin in the whole of a scenario, what its fault windows add to them included."""
    found = generate(name, dovecot=dovecot).stream.scenario
    if found.arrivals.trace:
        return 1.0
    phases = Phases.of(found.faults)
    moments = [found.start, *phases.breaks, found.start + found.duration]
    factors = phases.pick(1.0, found.arrivals.during)
    lasting = sum((end - begin) * factor for (begin, end), factor in zip(pairwise(moments), factors, strict=True))
    return min(1.0, (sessions or SESSIONS.get(name, USUAL)) / (found.arrivals.rate * lasting / 1e6))


def seen(name: str, *, seed: int = 0, dovecot: str = EDITION, sessions: int | None = None) -> Seen:
    """Generate a scenario's stream and count what it holds."""
    counts = Seen()
    for line in generate(name, dovecot=dovecot, seed=seed, rate=thin(name, sessions, dovecot=dovecot)).bytes().splitlines():
        record = json.loads(line)
        counts.events[record["event"]] += 1
        counts.fields.update((record["event"], one) for one in record["fields"])
    return counts


def everything() -> dict[str, Seen]:
    """What each shipped scenario holds, by name."""
    return {name: seen(name) for name, _ in scenario.shipped()}


def beyond() -> dict[str, Seen]:
    """What each shipped scenario holds when it is generated for a real server's edition, by name."""
    return {name: seen(name, dovecot=REAL, sessions=FEW.get(name, USUAL_FEW)) for name, _ in scenario.shipped()}


def page(found: dict[str, Seen], real: dict[str, Seen]) -> str:
    """The whole page."""
    edition = catalog.load(EDITION)
    names = list(found)
    parts = [_INTRO, "## Events\n", *_head("event", names)]
    parts += [_row(f"`{event}`", [ALWAYS if found[name].events[event] else NEVER for name in names]) for event in edition.events]
    parts.append("\n## Fields")
    for event in edition.events.values():
        having = [name for name in names if found[name].events[event.name]]
        parts.append(f"\n### {event.name}\n")
        if not event.fields:
            parts.append("It has no fields.")
            continue
        parts += _head("field", having)
        parts += [_row(f"`{spec.name}`", [found[name].mark(event.name, spec.name) for name in having]) for spec in event.fields.values()]
    parts += [
        f"\n## Beyond the list\n\nWhat the scenarios have besides with `--dovecot {REAL}`: the events of a real server that the list does not know.\n"
    ]
    parts += _head("event", names)
    for event in catalog.load(REAL).events.values():
        if event.canonical not in edition.by_canonical and any(one.events[event.name] for one in real.values()):
            parts.append(_row(f"`{event.name}`", [ALWAYS if real[name].events[event.name] else NEVER for name in names]))
    return "\n".join(parts) + "\n"


def _head(first: str, names: list[str]) -> list[str]:
    return [_row(first, names), _row("---", [":-:"] * len(names))]


def _row(first: str, cells: list[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"


if __name__ == "__main__":
    PAGE.write_text(page(everything(), beyond()), encoding="utf-8")
