"""What two sets of events have in common: their shapes (fields, order, types, categories), their order within sessions, how long they last.

A *kind* is an event as one process emits it, and where one event says many things, what it says: the command and its reply, the result.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "RECORDED",
    "Shape",
    "by_session",
    "common_pairs",
    "connection",
    "durations",
    "kind",
    "misfits",
    "recordings",
    "service",
    "shapes",
    "transitions",
    "usual_steps",
]

RECORDED = "2.3.19"
_CAPTURES = Path(__file__).resolve().parents[2] / "seeds" / "captures"
_TELLING = ("cmd_name", "tagged_reply_state", "result", "success", "mode")


@cache
def recordings() -> list[list[dict[str, Any]]]:
    """What a real server of the edition ``RECORDED`` said, by recording."""
    lines = (gzip.decompress(path.read_bytes()).splitlines() for path in sorted(_CAPTURES.glob("*.jsonl.gz")))
    return [[json.loads(line) for line in recording] for recording in lines]


def service(event: dict[str, Any]) -> str:
    """The process that emitted the event."""
    return next(name.removeprefix("service:") for name in event["categories"] if name.startswith("service:"))


def kind(event: dict[str, Any]) -> str:
    """What the event is, such as ``imap_command_finished@imap SELECT OK``."""
    told = (str(event["fields"][name]) for name in _TELLING if name in event["fields"])
    return " ".join([f"{event['event']}@{service(event)}", *told])


@dataclass(slots=True)
class Shape:
    """What was seen of a kind."""

    count: int = 0
    fields: Counter[str] = field(default_factory=Counter)
    types: set[tuple[str, str]] = field(default_factory=set)
    before: set[tuple[str, str]] = field(default_factory=set)
    categories: set[frozenset[str]] = field(default_factory=set)

    def add(self, event: dict[str, Any]) -> None:
        """Take an event into account."""
        names = list(event["fields"])
        self.count += 1
        self.fields.update(names)
        self.types.update((name, type(value).__name__) for name, value in event["fields"].items())
        self.before.update((first, later) for place, first in enumerate(names) for later in names[place + 1 :])
        self.categories.add(frozenset(event["categories"]))

    @property
    def always(self) -> set[str]:
        """Fields that no event of this kind lacks."""
        return {name for name, count in self.fields.items() if count == self.count}


def shapes(events: Iterable[dict[str, Any]]) -> dict[str, Shape]:
    """What was seen of each kind."""
    found: dict[str, Shape] = defaultdict(Shape)
    for event in events:
        found[kind(event)].add(event)
    return dict(found)


def misfits(real: dict[str, Shape], made: dict[str, Shape]) -> list[str]:
    """What the made events have that the real ones never have, one line each; empty is what it should be.

    Of two fields each order counts that a process has given them in that event, whatever it told: a real one moves the fields of a command
    forward once an event inside it has told them already.
    """
    orders: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for name, shape in real.items():
        orders[name.partition(" ")[0]] |= shape.before
    lines = []
    for name, shape in made.items():
        if (truth := real.get(name)) is None:
            lines.append(f"{name}: no real server emits it")
            continue
        lines += [f"{name}: field {one} does not occur" for one in shape.fields.keys() - truth.fields.keys()]
        lines += [f"{name}: field {one} is never missing" for one in truth.always - shape.always]
        lines += [f"{name}: {one} is no {type_}" for one, type_ in shape.types - truth.types if one in truth.fields]
        before = orders[name.partition(" ")[0]]
        lines += [f"{name}: {one} stands before {other}" for one, other in shape.before - before if (other, one) in before]
        lines += [f"{name}: categories {sorted(one)} do not occur" for one in shape.categories - truth.categories]
    return lines


def connection(event: dict[str, Any]) -> str:
    """The session that the event names, without what an LMTP server appends for a transaction or a recipient; empty if it names none."""
    return str(event["fields"].get("session", "")).partition(":")[0]


def by_session(events: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The events that name a session, apart by session."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for event in events:
        if session := connection(event):
            found[session].append(event)
    return list(found.values())


def transitions(sessions: Iterable[Sequence[dict[str, Any]]], *, name: Callable[[dict[str, Any]], str] = kind) -> set[tuple[str, str]]:
    """What follows what within a session and process (only there is the order strict); ``<`` is before the first, ``>`` after the last."""
    found = set()
    for session in sessions:
        lines: dict[str, list[str]] = defaultdict(list)
        for event in session:
            lines[service(event)].append(name(event))
        found |= {pair for names in lines.values() for pair in pairwise(["<", *names, ">"])}
    return found


def usual_steps(sessions: Sequence[Sequence[dict[str, Any]]], *, share: float, name: Callable[[dict[str, Any]], str] = kind) -> set[tuple[str, str]]:
    """The steps of ``transitions`` that at least this share of those sessions have in which both of a step's events occur."""
    having: Counter[tuple[str, str]] = Counter(step for session in sessions for step in transitions([session], name=name))
    names = [{"<", ">", *map(name, session)} for session in sessions]
    return {step for step, count in having.items() if count >= share * sum(set(step) <= found for found in names)}


def common_pairs(sessions: Sequence[Sequence[dict[str, Any]]], *, share: float) -> set[tuple[str, str]]:
    """Which kinds follow each other, whatever their process, in at least this share of the sessions that have both."""
    followed: Counter[tuple[str, str]] = Counter()
    having: Counter[str] = Counter()
    for session in sessions:
        kinds = [kind(event) for event in session]
        followed.update(set(pairwise(kinds)))
        having.update(set(kinds))
    return {pair for pair, count in followed.items() if count >= share * max(having[pair[0]], having[pair[1]])}


def durations(events: Iterable[dict[str, Any]]) -> dict[str, list[int]]:
    """The durations of each kind, in microseconds, sorted."""
    found: dict[str, list[int]] = defaultdict(list)
    for event in events:
        found[kind(event)].append(event["fields"]["duration"])
    return {name: sorted(values) for name, values in found.items()}
