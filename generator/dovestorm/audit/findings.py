"""A last look at the stream: which sessions the findings concern, in what altered events differ, and the first examples of each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from dovestorm.audit.bits import Bits
from dovestorm.audit.differing import differences, shortened
from dovestorm.audit.leftovers import PLACE_BITS
from dovestorm.audit.report import Example
from dovestorm.batch import Batch
from dovestorm.validate.json_lines import UnreadableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dovestorm.audit.auditor import Auditor
    from dovestorm.audit.expectation import Stretch
    from dovestorm.audit.leftovers import Leftovers
    from dovestorm.audit.settling import Ledger

__all__ = ["Found", "examine"]

_AFFECTED = 20
_NAMES = 1000
"""Names of altered fields that are counted one by one: whoever sends nonsense does not fill the memory."""
_BROKEN = "(broken record)"
_OTHERS = "(others)"


class Found:
    """Collects what there is to say of each finding.

    Attributes:
        fields: How often which field differs.
        affected: The first sessions with a finding.
    """

    def __init__(self, auditor: Auditor, ledger: Ledger, leftovers: Leftovers, late: list[tuple[int, int, int]]) -> None:
        self.auditor, self.ledger, self.leftovers = auditor, ledger, leftovers
        self.fields: Counter[str] = Counter()
        self.affected: list[int] = []
        self._sessions = {name: Bits() for name in ("any", "missing", "doubled", "altered", "out_of_order")}
        self._examples: dict[str, list[Example]] = {name: [] for name in ("missing", "doubled", "altered", "out_of_order", "foreign")}
        self._doubled = dict(ledger.first_doubled[::-1])
        self._late = {place: (arrival, behind) for place, arrival, behind in late}
        self._pairs: dict[int, tuple[int, int, int]] = {}
        self._bin = -1

    def concerns(self, name: str, sessions: NDArray[np.int64]) -> None:
        """Note the sessions of some events with a finding."""
        if not len(sessions):
            return
        self._sessions[name].add(sessions)
        if len(self.affected) < _AFFECTED:
            self.affected = list(dict.fromkeys([*self.affected, *sessions[: 64 * _AFFECTED].tolist()]))[:_AFFECTED]
        self._sessions["any"].add(sessions)

    def session_counts(self) -> dict[str, int]:
        """How many sessions each finding concerns."""
        return {name: count for name, bits in self._sessions.items() if (count := len(bits))}

    def examples(self) -> dict[str, tuple[Example, ...]]:
        """The first of each finding, in the order of the stream or of arrival."""
        return {name: tuple(found) for name, found in self._examples.items() if found}

    def show(self, name: str, stretch: Stretch, places: NDArray[np.int64]) -> None:
        """Take examples from events of a stretch."""
        room = self.auditor.examples - len(self._examples[name])
        if name == "missing":
            chosen = places[:room].tolist()
        else:
            chosen = [place for place in places.tolist() if place in (self._doubled if name == "doubled" else self._late)]
        if not chosen:
            return
        part = _part(stretch.batch, np.array(chosen) - stretch.first)
        for place, session, text in zip(chosen, part.session.tolist(), self.auditor.expectation.texts(part), strict=True):
            arrival, detail = None, shortened(text.decode("utf-8", "replace"))
            if name == "doubled":
                arrival = self._doubled[place]
            elif name == "out_of_order":
                arrival, behind = self._late[place]
                detail = f"{behind:,} places behind, {detail}"
            self._examples[name].append(Example(place=place, arrival=arrival, session=session, detail=detail))

    def compare(self, stretch: Stretch, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Say in what some altered events differ; gives those that really do, apart from how their times were rounded."""
        part = _part(stretch.batch, places - stretch.first)
        real = []
        for place, session, sent in zip(places.tolist(), part.session.tolist(), self.auditor.expectation.spellings(part), strict=True):
            arrival, offset, size = self._pair(place)
            record = self.auditor.spool.read(offset, size)
            detail = self._difference(sent, record)
            if detail is None:
                self.ledger.altered_count -= 1
                self.ledger.deliver(np.array([place]), np.array([arrival]))
                continue
            real.append(place)
            if len(self._examples["altered"]) < self.auditor.examples:
                self._examples["altered"].append(Example(place=place, arrival=arrival, session=session, detail=shortened(detail)))
        return np.array(real, np.int64)

    def _difference(self, sent: bytes, record: bytes) -> str | None:
        try:
            event = self.auditor.decoder.decode(record)
        except UnreadableError as error:
            self._count(_BROKEN)
            return str(error)
        spelling = self.auditor.spelling
        differing = differences(sent, spelling.spell(event))
        for name in differing:
            self._count(name)
        return ", ".join(f"{name} {_said(before)} became {_said(after)}" for name, (before, after) in differing.items()) or None

    def _count(self, name: str) -> None:
        self.fields[name if name in self.fields or len(self.fields) < _NAMES else _OTHERS] += 1

    def _pair(self, place: int) -> tuple[int, int, int]:
        """Arrival, and offset and size in the spool, of an altered event; places are asked for in order."""
        if place >> PLACE_BITS != self._bin:
            self._bin = place >> PLACE_BITS
            self.leftovers.altered.spill()
            rows = self.leftovers.altered.rows(self._bin)
            self._pairs = {row[0]: (row[1], row[2], row[3]) for row in rows.tolist()}
        return self._pairs[place]

    def add_foreign(self, count: int) -> None:
        """Take examples from the records that no event was found for."""
        if not count:
            return
        found = self._examples["foreign"]
        for at, _, record in self.auditor.spool.records(self.ledger.unknown):
            if len(found) == self.auditor.examples:
                return
            if not self.leftovers.taken.has(np.array([at]))[0]:
                found.append(Example(arrival=at, detail=shortened(record[:1000].decode("utf-8", "backslashreplace"))))


def examine(found: Found) -> None:
    """Go through the stream, as far as anything is to be found in it."""
    ledger, auditor = found.ledger, found.auditor
    left = {
        "missing": auditor.made - ledger.delivered_count - ledger.altered_count,
        "altered": ledger.altered_count,
        "doubled": len(ledger.doubled),
        "out_of_order": ledger.order.count,
    }
    for stretch in auditor.expectation.stretches():
        count = len(stretch.batch)
        altered = ledger.altered.stretch(stretch.first, count)
        marks = {
            "missing": ~(ledger.delivered.stretch(stretch.first, count) | altered),
            "altered": altered,
            "doubled": ledger.doubled.stretch(stretch.first, count),
            "out_of_order": ledger.late.stretch(stretch.first, count),
        }
        for name, mark in marks.items():
            places = np.flatnonzero(mark) + stretch.first
            if not len(places):
                continue
            left[name] -= len(places)
            if name == "altered":
                places = found.compare(stretch, places)
            else:
                found.show(name, stretch, places)
            found.concerns(name, stretch.batch.session[places - stretch.first])
        if not any(left.values()):
            return


def _part(batch: Batch, chosen: NDArray[np.int64]) -> Batch:
    return Batch(batch.layout, batch.kind[chosen], batch.offset[chosen], batch.session[chosen], batch.values)


def _said(value: Any) -> str:
    return "nothing" if value is None else orjson.dumps(value).decode()
