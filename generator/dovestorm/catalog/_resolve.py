"""From catalog sources to one edition: references followed, releases picked, names put on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from dovestorm.errors import nearest

from ._nodes import Faults
from ._source import CatalogSource, CategorySource, EventSource, Part, Reference, Row, SectionSource, Word
from .model import Edition, Event, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["OPEN", "canonical_fields", "check", "edition"]

OPEN = "*"
"""A field whose name ends so stands for all that begin like it."""

_Items: TypeAlias = "tuple[Row | Reference, ...]"


@dataclass(frozen=True, slots=True)
class _View:
    """One kind of part (``listed`` or ``servers``) of one section, at one release; without a release, everything there ever was."""

    section: SectionSource
    kind: str
    globals: Mapping[str, Row]
    changed: Mapping[str, CategorySource]
    release: int | None = None

    def part(self, event: EventSource) -> Part:
        """The event's part, with what it takes over by ``like``."""
        part = event.parts[self.kind]
        seen = {event.canonical}
        while part.like is not None:
            model = self.section.events.get(part.like)
            known = [name for name, other in self.section.events.items() if self.kind in other.parts]
            if model is None or self.kind not in model.parts:
                raise part.place.wrong(f"unknown event '{part.like}' after 'like'{nearest(part.like, known)}")
            if part.like in seen:
                raise part.place.wrong(f"'like' leads from '{event.canonical}' back to itself")
            seen.add(part.like)
            base = model.parts[self.kind]
            part = replace(
                part,
                like=base.like,
                services=base.services if part.services is None else part.services,
                categories=base.categories if part.categories is None else part.categories,
                also=base.also if part.also is None else part.also,
                items=base.items if part.items is None else part.items,
            )
        return part

    def target(self, reference: Reference) -> _Items:
        """The rows that a reference stands for."""
        if reference.target in self.section.groups:
            return self.section.groups[reference.target]
        event = self.section.events.get(reference.target)
        if event is not None and self.kind in event.parts:
            return self.part(event).items or ()
        known = [*self.section.groups, *self.section.events]
        raise reference.place.wrong(f"unknown group or event '{reference.target}'{nearest(reference.target, known)}")

    def rows(self, items: _Items, trail: tuple[str, ...] = ()) -> dict[str, Row]:
        """The fields of a list in order: a field given after a reference replaces the one that the reference brought."""
        found: dict[str, Row] = {}
        for item in items:
            if isinstance(item, Row):
                row = self.with_global(item)
                if self.release is not None and not row.since <= self.release <= row.until:
                    continue
                found[row.canonical] = row
                continue
            if item.target in trail:
                raise item.place.wrong(f"'fields from {item.target}' leads back to itself")
            for canonical, row in self.rows(self.target(item), (*trail, item.target)).items():
                if canonical in found:
                    if self.release is None:
                        continue
                    raise item.place.wrong(f"duplicate field '{canonical}': 'fields from {item.target}' brings it again")
                found[canonical] = row if item.always is None else replace(row, always=item.always)
        return found

    def with_global(self, row: Row) -> Row:
        """A global field that an event places itself keeps its releases and presence."""
        common = self.globals.get(row.canonical)
        if common is None:
            return row
        return replace(row, since=max(row.since, common.since), always=common.always if row.always is None else row.always)

    def word(self, row: Row) -> Word:
        """What is known of the row's field."""
        known = self.section.vocabulary.get(row.canonical)
        if known is None:
            raise row.place.wrong(
                f"unknown field '{row.canonical}'{nearest(row.canonical, self.section.vocabulary)}: the vocabulary must describe it"
            )
        word = row.word.over(known)
        if word.becomes is not None and word.becomes not in self.section.vocabulary:
            raise row.place.wrong(f"unknown field '{word.becomes}' after 'becomes'{nearest(word.becomes, self.section.vocabulary)}")
        if word.type is None:
            raise row.place.wrong(f"field '{row.canonical}' has no type; the vocabulary must give it")
        return word

    def name(self, row: Row, word: Word) -> str | None:
        """The field's name on the wire, or None when the release hasn't got it."""
        if self.kind == "listed":
            return row.listed_name
        return row.canonical if word.names is None else _at(word.names, self.release or 0)

    def fields(self, items: _Items) -> dict[str, Field]:
        """The fields of a list, by canonical name."""
        rows = self.rows(items)
        if self.kind != "listed":
            rows |= {name: row for name, row in self.globals.items() if name not in rows and row.since <= (self.release or 0) <= row.until}
        fields: dict[str, Field] = {}
        taken: dict[str, str] = {}
        for canonical, row in rows.items():
            word = self.word(row)
            name = self.name(row, word)
            if name is None:
                continue
            if name in taken:
                raise row.place.wrong(f"'{canonical}' and '{taken[name]}' would both be called '{name}'; give one an end or another name")
            taken[name] = canonical
            fields[canonical] = Field(
                name=name,
                canonical=canonical,
                type=word.type or "",
                unit=word.unit or "",
                always=bool(row.always),
                values=word.values,
                about=word.about or "",
                quirk=word.quirk or "",
                becomes=word.becomes or "",
            )
        return fields

    def event(self, source: EventSource) -> Event | None:
        """The event, or None when the release hasn't got it."""
        if self.kind not in source.parts:
            return None
        part = self.part(source)
        name = _at(part.names, self.release or 0)
        if name is None or (self.kind != "listed" and not part.since <= (self.release or 0) <= part.until):
            return None
        found = self.fields(part.items or ())
        fields = {canonical: field for canonical, field in found.items() if not canonical.endswith(OPEN)}
        services = part.services or ()
        categories = self.categories(part.categories or ())
        by_service = {service.name: self.categories(service.categories) for service in services if service.categories is not None}
        inherited = frozenset(self.categories(part.also or ()))
        return Event(
            name=name,
            canonical=source.canonical,
            section=self.section.key,
            categories=categories,
            services=tuple(service.name for service in services),
            fields=fields,
            orders={s.name: tuple(field for field in s.order if field in fields) for s in services if s.order is not None},
            about=source.about,
            categories_by_service=by_service,
            known_categories=inherited.union(categories, *by_service.values()),
            inherited_categories=inherited,
            open_fields=tuple(field for canonical, field in found.items() if canonical.endswith(OPEN)),
            quirk=source.quirk,
        )

    def categories(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """What the release calls these categories, without those that it hasn't got; the published list is taken at its word."""
        changed = {} if self.kind == "listed" else _categories(self.changed, self.release or 0)
        return tuple(dict.fromkeys(name for name in (changed.get(name, name) for name in names) if name is not None))


def _categories(changed: Mapping[str, CategorySource], release: int) -> dict[str, str | None]:
    """What a release calls the categories that came, went or were renamed; None for those that it lacks."""
    return {name: _at(one.names, release) if one.since <= release <= one.until else None for name, one in changed.items()}


def _at(names: tuple[tuple[int, str], ...], release: int) -> str | None:
    holding = [name for since, name in names if since <= release]
    return holding[-1] if holding else None


def check(source: CatalogSource) -> None:
    """Follow every reference of every event once, whatever the release.

    Raises:
        CatalogError: With every reference, field and order entry that leads nowhere.
    """
    faults = Faults()
    home: dict[str, str] = {}
    shared = {row.canonical: row for row in source.globals}
    for section in source.sections:
        for event in section.events.values():
            for kind, part in event.parts.items():
                view = _View(section, kind, shared, source.categories)
                with faults:
                    if home.setdefault(event.canonical, section.key) != section.key:
                        raise part.place.wrong(f"event '{event.canonical}' is already in section '{home[event.canonical]}'")
                    full = view.part(event)
                    rows = view.rows(full.items or ()) | shared
                    for row in rows.values():
                        with faults:
                            view.word(row)
                    for service in full.services or ():
                        for name in service.order or ():
                            if name not in rows:
                                raise service.place.wrong(f"unknown field '{name}' in the order of '{service.name}'{nearest(name, rows)}")
    faults.settle()


def canonical_fields(source: CatalogSource) -> dict[str, frozenset[str]]:
    """The canonical names of the fields that every event has, whatever the release."""
    shared = {row.canonical: row for row in source.globals}
    found: dict[str, frozenset[str]] = {}
    for section in source.sections:
        for event in section.events.values():
            names: set[str] = set()
            for kind in event.parts:
                view = _View(section, kind, shared, source.categories)
                names |= view.rows(view.part(event).items or ()).keys()
                names |= set() if kind == "listed" else shared.keys()
            found[event.canonical] = frozenset(name for name in names if not name.endswith(OPEN))
    return found


def edition(source: CatalogSource, version: str) -> Edition:
    """What ``version`` can emit; ``version`` must be on the axis of releases.

    Raises:
        CatalogError: When an event of this release would have a field twice.
    """
    faults = Faults()
    release = source.releases.names.index(version)
    kind = "listed" if version == source.listed else "servers"
    shared = {row.canonical: row for row in source.globals}
    events: list[Event] = []
    for section in source.sections:
        view = _View(section, kind, shared, source.categories, release)
        for event in section.events.values():
            with faults:
                made = view.event(event)
                if made is not None:
                    events.append(made)
    faults.settle()
    return Edition(
        version=version,
        events={event.name: event for event in events},
        by_canonical={event.canonical: event for event in events},
        service_category=release >= source.service_category,
        upper_hex=release >= source.upper_hex,
        changed_categories={} if kind == "listed" else _categories(source.categories, release),
    )
