"""What a stream consists of: events, their fields, types, order, categories, values and amounts, counted in one pass."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from dovestorm.compare.measures import Reservoir
from dovestorm.compare.vocabulary import WORDS, number, word

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.compare.records import Record

__all__ = ["OTHERS", "Tally", "type_name"]

OTHERS = "(others)"
"""Stands for all events, or values, beyond the first 2,000."""

_EVENTS = 2_000
_SHAPES = 20_000
_AMOUNTS = 5_000
_VALUES = 200
_ORDERED_SHAPES = 50

_TYPES = {str: "text", int: "integer", float: "fraction", bool: "boolean", list: "list", dict: "map", type(None): "null", bytes: "bytes"}

Key = tuple[str, str]
"""An event and a field."""


def type_name(kind: type) -> str:
    """The word for a value's type."""
    return _TYPES.get(kind, "other")


class _Shape:
    """The fields of some records of one event, with their types, in their order."""

    __slots__ = ("amounts", "count", "event", "names", "types", "words")

    def __init__(self, event: str, names: tuple[str, ...], types: tuple[type, ...]) -> None:
        self.event = event
        self.names = names
        self.types = types
        self.count = 0
        self.amounts: list[tuple[str, Reservoir]] = []
        self.words: list[tuple[str, Counter[str]]] = []


class Tally:
    """Counts a stream; its memory is bounded, whatever the stream holds.

    Attributes:
        events: Records by event.
        categories: By event and category.
        lasting: By event, end_time minus start_time in microseconds.
        amounts: By event and field, the numbers.
        values: By event and field, how often each value of a closed set was met.
        uncounted: Records whose fields were not counted, since more than 20,000 kinds of records had been met.
        first_us: The earliest end_time, or None.
        last_us: The latest.
    """

    def __init__(self) -> None:
        self.events: Counter[str] = Counter()
        self.lasting: dict[str, Reservoir] = {}
        self.amounts: dict[Key, Reservoir] = {}
        self.values: dict[Key, Counter[str]] = {}
        self.uncounted = 0
        self.first_us: int | None = None
        self.last_us: int | None = None
        self._sets: Counter[tuple[str, tuple[str, ...]]] = Counter()
        self._shapes: dict[tuple[Any, ...], _Shape] = {}

    def add(self, record: Record) -> str:
        """Take a record; gives the name under which its event is counted."""
        event, end = record.event, record.end_us
        if event not in self.events:
            if len(self.events) >= _EVENTS:
                event = OTHERS
            self.lasting.setdefault(event, Reservoir(f"{event} lasts"))
        self.events[event] += 1
        if self.first_us is None or self.last_us is None:
            self.first_us = self.last_us = end
        self.first_us, self.last_us = min(self.first_us, end), max(self.last_us, end)
        self.lasting[event].add(end - record.start_us)
        fields = record.fields
        key = (event, *fields, *map(type, fields.values()))
        shape = self._shapes.get(key) or self._new_shape(key, event, fields)
        if shape is None:
            self.uncounted += 1
            return event
        shape.count += 1
        for name, amounts in shape.amounts:
            amount = number(name, fields[name])
            if amount is not None:
                amounts.add(amount)
        for name, words in shape.words:
            text = word(name, fields[name])
            if text is not None:
                words[text if text in words or len(words) < _VALUES else OTHERS] += 1
        kinds = (event, record.categories)
        if kinds in self._sets or len(self._sets) < _SHAPES:
            self._sets[kinds] += 1
        return event

    def _new_shape(self, key: tuple[Any, ...], event: str, fields: dict[str, Any]) -> _Shape | None:
        if len(self._shapes) >= _SHAPES:
            return None
        shape = self._shapes[key] = _Shape(event, tuple(fields), tuple(map(type, fields.values())))
        for name, value in fields.items():
            place = (event, name)
            if name in WORDS:
                shape.words.append((name, self.values.setdefault(place, Counter())))
            if number(name, value) is not None and (place in self.amounts or len(self.amounts) < _AMOUNTS):
                shape.amounts.append((name, self.amounts.setdefault(place, Reservoir(f"{event}.{name}"))))
        return shape

    @property
    def total(self) -> int:
        """All records."""
        return self.events.total()

    @property
    def categories(self) -> Counter[Key]:
        """Records by event and category."""
        found: Counter[Key] = Counter()
        for (event, names), count in self._sets.items():
            for name in set(names):
                found[event, name] += count
        return found

    def fields(self) -> Counter[Key]:
        """In how many records of an event a field is."""
        found: Counter[Key] = Counter()
        for shape in self._shapes.values():
            for name in shape.names:
                found[shape.event, name] += shape.count
        return found

    def types(self) -> Counter[tuple[str, str, str]]:
        """How often an event's field has a type."""
        found: Counter[tuple[str, str, str]] = Counter()
        for shape in self._shapes.values():
            for name, kind in zip(shape.names, shape.types, strict=True):
                found[shape.event, name, type_name(kind)] += shape.count
        return found

    def order(self) -> Counter[tuple[str, str, str]]:
        """How often, in an event that has both, the one field stands before the other; the fifty most common kinds of records of an event count."""
        by_event: defaultdict[str, list[_Shape]] = defaultdict(list)
        for shape in self._shapes.values():
            by_event[shape.event].append(shape)
        found: Counter[tuple[str, str, str]] = Counter()
        for shapes in by_event.values():
            for shape in sorted(shapes, key=lambda shape: -shape.count)[:_ORDERED_SHAPES]:
                for first, second in _pairs(shape.names):
                    found[shape.event, first, second] += shape.count
        return found


def _pairs(names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    limited = names[:100]
    return ((first, second) for at, first in enumerate(limited) for second in limited[at + 1 :])
