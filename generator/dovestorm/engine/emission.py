"""From an event of a scenario to a record kind and what fills its rows."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dovestorm.batch import FIRST_FIELD, Column, Composition, Constant, Encoding, FieldSlot, Hole, RecordKind
from dovestorm.engine.bindings import Kind, Texts, Val, place_columns
from dovestorm.engine.blocks import CLOCK, Builder, Const, Operand, Reg
from dovestorm.errors import Fault, ScenarioError
from dovestorm.kernel.instructions import SAYS_ITSELF, Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovestorm.catalog.model import Edition, Event, Field

__all__ = ["LABEL_EVENT", "Emission", "Mark"]

_END = Reg(-1)
"""Stands for the end time, which no field of a scenario can be."""


_FITS = {
    "integer": {Kind.INTEGER},
    "timestamp": {Kind.TIMESTAMP},
    "string": {Kind.TEXT, Kind.INTEGER, Kind.ADDRESS, Kind.SESSION},
    "address": {Kind.ADDRESS, Kind.TEXT},
    "list": {Kind.LIST},
}
"""Which kinds of value a field of each type takes."""


LABEL_EVENT = ""
"""The event of records that only say that a session was labelled; no event is called so."""

_LABEL_PROCESS = "labels"


@dataclass(frozen=True, slots=True)
class Mark:
    """What one or more label steps say: the label's name, and during which fault windows only (always, if none is named)."""

    label: str
    windows: tuple[str, ...]


@dataclass(slots=True)
class Emission:
    """The record kinds of a program, each once, and the service that emits it; ``marks`` are the labels, None when nobody asks for them."""

    edition: Edition
    texts: Texts
    sections: frozenset[str] | None = None
    """The sections whose events leave, None for all."""
    kinds: dict[RecordKind, int] = field(default_factory=dict)
    services: dict[str, int] = field(default_factory=dict)
    service_of_kind: list[int] = field(default_factory=list)
    marks: dict[Mark, int] | None = None

    def event(self, canonical: str) -> Event | None:
        """The event in this edition, or None when the edition lacks it."""
        return self.edition.by_canonical.get(canonical)

    def emit(
        self,
        event: Event,
        service: str | None,
        fields: Mapping[str, Val],
        start: Operand,
        builder: Builder,
        *,
        categories: tuple[str, ...] | None = None,
        exported: Operand | None = None,
    ) -> None:
        """Add the operation that emits one record for every session of the group, unless its section is off.

        ``exported`` is when the stats process exports it, None for its own clock.
        """
        service = service or event.services[0]
        # The first two are the record's own: a field that is the start time needs no column of its own. The end time is stamped later.
        columns: list[Operand] = [start, _END]
        slots = []
        for spec in event.ordered(service):
            val = fields.get(spec.canonical)
            if val is not None and not (val.kind is Kind.NOTHING and val.constant):
                slots.append(FieldSlot(spec.name, self._source(event, spec, val, columns)))
        categories = event.categories_for(service) if categories is None else categories
        if self.edition.service_category:
            categories = (*categories, f"service:{service}")
        if self.sections is not None and event.section not in self.sections:
            return  # only now: its values are drawn all the same, so that those of the other events stay what they are
        kind = RecordKind(event.name, categories, tuple(slots), len(columns))
        sent = builder.read(CLOCK)
        number = self._number(kind, None if exported is not None else service)
        row = [start, sent if exported is None else builder.apply(Code.MAXIMUM, exported, sent), *columns[FIRST_FIELD:]]
        builder.emit(number, [*row, *[Const(0)] * (kind.width - len(row))])

    def mark(self, mark: Mark, known: Mapping[str, Val], builder: Builder) -> None:
        """Add the operation that tells of a label: a record that no format ever sees, with the number of its mark.

        It draws nothing, takes no time and begins no block, so that the program makes the same events as without it.

        Args:
            mark: What it says.
            known: What is known of the session, by the names of its variables.
            builder: The block being built.
        """
        if self.marks is None:
            return
        now = builder.read(CLOCK)
        columns: list[Operand] = [now, _END, Const(self.marks.setdefault(mark, len(self.marks)))]
        slots = [FieldSlot("mark", Column(FIRST_FIELD, Encoding.INTEGER))]
        for name, val in known.items():
            if val.kind is not Kind.NOTHING:
                slots.append(FieldSlot(name, Column(place_columns(val.columns, columns), val.kind.encoding, optional=val.optional)))
        number = self._number(RecordKind(LABEL_EVENT, (), tuple(slots), len(columns)), _LABEL_PROCESS)
        builder.emit(number, [now, now, *columns[FIRST_FIELD:]])

    def _number(self, kind: RecordKind, service: str | None) -> int:
        """The record kind's number; without a service its records say themselves when they are exported."""
        process = SAYS_ITSELF if service is None else self.services.setdefault(service, len(self.services))
        # Without the service category, one kind may come from two services: the process matters for the export clock, so it keeps them apart.
        for number in (self.kinds[kind],) if kind in self.kinds else ():
            if self.service_of_kind[number] == process:
                return number
            kind = RecordKind(kind.event, kind.categories, kind.fields, kind.width + 1)
            return self._number(kind, service)
        self.service_of_kind.append(process)
        return self.kinds.setdefault(kind, len(self.kinds))

    def _source(self, event: Event, spec: Field, val: Val, columns: list[Operand]) -> Constant | Column | Composition:
        if val.parts is not None:
            pieces: list[str | Hole] = []
            self.texts.lay_out(val.parts, pieces, columns, 0)
            if any(isinstance(piece, Hole) for piece in pieces):
                return Composition(tuple(pieces))
            return Constant("".join(str(piece) for piece in pieces))
        if spec.type == "timestamp" and val.kind is Kind.INTEGER and val.constant:
            val = Val(Kind.TIMESTAMP, val.columns)
        if spec.type == "integer":
            val = self._number_of(val)
        self._check(event, spec, val)
        if val.constant and not val.optional and val.kind in {Kind.INTEGER, Kind.TEXT, Kind.LIST} and len(val.columns) == 1:
            return self._constant(spec, val)
        index = place_columns(val.columns, columns)
        if spec.type == "string" and val.kind is Kind.INTEGER and not val.optional:
            return Composition((Hole(index, Encoding.INTEGER),))
        return Column(index, val.kind.encoding, optional=val.optional)

    def _number_of(self, val: Val) -> Val:
        """A number that was read as a text, because the field is one in other events of the release (ports before 2.3.9)."""
        if val.kind is not Kind.TEXT or not val.constant or len(val.columns) != 1:
            return val
        operand = val.columns[0]
        assert isinstance(operand, Const)
        text = str(self.texts.items[operand.value])
        return Val(Kind.INTEGER, (Const(int(text)),)) if re.fullmatch("[0-9]{1,18}", text) else val

    def _constant(self, spec: Field, val: Val) -> Constant:
        operand = val.columns[0]
        assert isinstance(operand, Const)
        if val.kind is not Kind.INTEGER:
            return Constant(self.texts.items[operand.value])
        return Constant(operand.value if spec.type == "integer" else str(operand.value))

    @staticmethod
    def _check(event: Event, spec: Field, val: Val) -> None:
        if val.kind is not Kind.NOTHING and val.kind not in _FITS[spec.type]:
            message = f"field {spec.canonical} of {event.canonical} is a {spec.type}, but its value is of kind {val.kind.value}"
            raise ScenarioError([Fault("<scenario>", 1, 1, message)])
