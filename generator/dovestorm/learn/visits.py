"""The sessions of a recording as sequences of steps, in the order in which things happened rather than in that of their export."""

from __future__ import annotations

import heapq
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dovestorm.compare.sessions import Grouping
from dovestorm.compare.vocabulary import WORDS, label, word
from dovestorm.hashing import derive
from dovestorm.learn.commands import COMMANDS, UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dovestorm.catalog.model import Edition
    from dovestorm.compare.records import Record
    from dovestorm.compare.sessions import Place

__all__ = ["LONGEST_US", "OF_A_SESSION", "USERS", "Kind", "Step", "Visit", "visits"]

MOST_VISITS = 20_000
"""A larger recording is learnt from that many of its sessions, drawn at random."""

MOST_STEPS = 400_000
"""And from no more events than that, of whole sessions."""

_MOST_OF_ONE = 2_000
_MOST_TEXT = 256
_MOST_AMOUNT = 1 << 53
LONGEST_US = 30 * 86_400_000_000
_LOGIN = "auth_client_request_finished"
_ENDS = frozenset({"mail_user_session_finished"})
_FAREWELLS = frozenset({"LOGOUT", "QUIT"})
_PLAIN = re.compile(r"[a-z][a-z0-9-]{0,39}", re.ASCII)

OF_A_SESSION = ("mechanism", "transport", "service", "protocol")
"""Words that a session has throughout, so that they are drawn once for all of its events."""

USERS = ("user", "original_user", "translated_user", "login_user", "auth_user", "master_user", "rcpt_to")
"""Fields that hold a user's name."""


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
        exported: When the stats process exported it.
    """

    kind: Kind
    start: int
    sent: int
    values: dict[str, object]
    exported: int


@dataclass(frozen=True, slots=True)
class Visit:
    """A session, or an operation that stands alone.

    Attributes:
        named: Whether its events name a session.
        steps: In the order in which they were sent.
    """

    named: bool
    steps: tuple[Step, ...]


def visits(
    records: Iterable[Record], edition: Edition, *, seed: int = 0, most: int = MOST_VISITS, steps: int = MOST_STEPS
) -> tuple[list[Visit], int]:
    """All sessions of a recording in the order in which they began, and how many events were left out because the edition does not know them.

    Args:
        records: The recording's events.
        edition: What the edition does not know is left out: events, and fields of events.
        seed: Of the sample.
        most: Of more sessions so many are drawn at random.
        steps: And of more events, so many sessions that theirs are no more.
    """
    sample = _Sample(most, steps, seed)
    grouping = Grouping()
    unknown = 0
    for record in records:
        step = _step(record, edition)
        if step is None:
            unknown += 1
        else:
            sample.add(grouping.place(record), step)
    found = [Visit(place.named, _phased(_apart(sorted(steps, key=lambda step: step.sent)))) for place, steps in sample.kept.items() if steps]
    return sorted(found, key=lambda visit: visit.steps[0].start), unknown


def _phased(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps, those before the login, those behind it and those after the end made kinds of their own: nobody works before or after."""
    found = []
    phase = ""
    for step in steps:
        found.append(replace(step, kind=replace(step.kind, words=(*step.kind.words, ("phase", phase)))) if phase else step)
        what = dict(step.kind.words)
        if step.kind.event in _ENDS or what.get("label") in _FAREWELLS:
            phase = "over"
        elif step.kind.event == _LOGIN and not phase:
            phase = "known"
    return tuple(found)


def _apart(steps: list[Step]) -> Sequence[Step]:
    """The steps, those of another user than the session's own made another kind: the second user that was met, the third ..."""
    met = Counter(value for step in steps for name in USERS if isinstance(value := step.values.get(name), str))
    if len(met) < 2:
        return steps
    number = {value: place for place, (value, _) in enumerate(met.most_common())}
    found = []
    for step in steps:
        others = tuple((f"other {name}", str(place)) for name in USERS if (place := number.get(str(step.values.get(name)), 0)))
        found.append(replace(step, kind=replace(step.kind, words=(*step.kind.words, *others))) if others else step)
    return found


class _Sample:
    """The sessions whose names have the lowest hashes: a uniform sample, known from a session's first event on, the same in each run."""

    def __init__(self, most: int, steps: int, seed: int) -> None:
        self.kept: dict[Place, list[Step]] = {}
        self._most = most
        self._most_steps = steps
        self._seed = seed
        self._below = 1 << 64
        self._heap: list[tuple[int, int, Place]] = []
        self._count = 0
        self._steps = 0

    def add(self, place: Place, step: Step) -> None:
        """Take the next event; where there are too many sessions, or events of them, those with the highest hashes go."""
        steps = self.kept.get(place)
        if steps is None:
            rank = derive(self._seed, place.name)
            if rank >= self._below:
                return
            self._count += 1
            heapq.heappush(self._heap, (-rank, self._count, place))
            steps = self.kept[place] = []
        if len(steps) < _MOST_OF_ONE:
            steps.append(step)
            self._steps += 1
        while len(self._heap) > self._most or (self._steps > self._most_steps and len(self._heap) > 1):
            rank, _, gone = heapq.heappop(self._heap)
            self._below = -rank
            self._steps -= len(self.kept.pop(gone))


def _step(record: Record, edition: Edition) -> Step | None:
    event = edition.events.get(record.event)
    if event is None:
        return None
    record = _of_known_command(record)
    known = {field.name: field for field in event.fields.values()}
    values = {field.canonical: _held(value) for name, value in record.fields.items() if (field := known.get(name)) and _fits(field.type, value)}
    lasted = values.pop("duration", None)
    if type(lasted) is not int or lasted < 0:
        lasted = max(record.end_us - record.start_us, 0)
    lasted = min(lasted, LONGEST_US)
    words = []
    for name in sorted(WORDS.intersection(values).difference(OF_A_SESSION)):
        text = word(name, values[name])
        if text is not None:
            words.append((name, text))
    categories = tuple(sorted(name for name in record.categories if _PLAIN.fullmatch(name)))
    service = record.service if _PLAIN.fullmatch(record.service) else ""
    kind = Kind(event.canonical, service, categories, tuple(values), (*words, ("label", label(record).partition(" ")[2])))
    sent = record.start_us + lasted
    return Step(kind, record.start_us, sent, values, min(max(record.end_us, sent), sent + LONGEST_US))


def _held(value: object) -> object:
    """A value, of a text no more than its beginning."""
    return value[:_MOST_TEXT] if isinstance(value, str) else value


def _fits(kind: str, value: object) -> bool:
    """Whether it is a value of a field of that type, and no amount that no server counts."""
    if kind == "list":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if type(value) is int:
        return abs(value) <= _MOST_AMOUNT
    return isinstance(value, str) and kind != "integer"


def _of_known_command(record: Record) -> Record:
    """The record, a command that no protocol knows made ``unknown``: a client that errs may send a password there."""
    fields = record.fields
    strange = [name for name in ("cmd_name", "name") if isinstance(text := fields.get(name), str) and text.upper() not in COMMANDS]
    return record._replace(fields=fields | dict.fromkeys(strange, UNKNOWN)) if strange else record
