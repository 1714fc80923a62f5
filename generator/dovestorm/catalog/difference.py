"""What changed from one edition to another: events, fields, values and categories that came, went or got other names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .model import Edition, Event, Field

__all__ = ["Change", "Difference", "Turnover", "difference"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is otherwise in the new edition.

    Attributes:
        old, new: What it was and what it is.
        event: The event, by its name in the new edition; empty when it is no matter of one event.
        field: The field, by its name in the new edition; empty for an event or a category.
        what: ``name``, ``type``, ``unit`` or ``value``.
    """

    old: str
    new: str
    event: str = ""
    field: str = ""
    what: str = "name"


@dataclass(frozen=True, slots=True)
class Turnover:
    """Names that came and went.

    Attributes:
        renamed: Those that are still there, under another name.
        added: (event, field, name): event and field are empty where the name is not one of an event's or a field's.
        removed: The same for what went; all by the names of the edition that has them, the event by its new name.
    """

    renamed: tuple[Change, ...]
    added: tuple[tuple[str, str, str], ...]
    removed: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything that tells two editions apart, in the order of the catalog.

    Attributes:
        old, new: The two versions.
        events: Events that came, went, or have another name.
        fields: The same for the fields of events that both editions have.
        values: The same for the closed sets of fields that both editions have. When one value went and one came, it was renamed.
        categories: The same for the categories of all events.
        changes: Fields whose type or unit is another one.
        service_category: Whether records carry ``service:<process>``, in the old and the new edition.
        upper_hex: Whether JSON escapes are in upper case, in the old and the new edition.
    """

    old: str
    new: str
    events: Turnover
    fields: Turnover
    values: Turnover
    categories: Turnover
    changes: tuple[Change, ...]
    service_category: tuple[bool, bool]
    upper_hex: tuple[bool, bool]


def difference(old: Edition, new: Edition, *, section: str | None = None) -> Difference:
    """Hold two editions against each other, event by event and field by field, by their canonical names.

    Args:
        old: The edition to start from.
        new: The edition to go to; it need not be the later one.
        section: Look at the events of this section only.
    """
    before = {name: event for name, event in old.by_canonical.items() if section in (None, event.section)}
    after = {name: event for name, event in new.by_canonical.items() if section in (None, event.section)}
    both = [(before[name], event) for name, event in after.items() if name in before]
    shared = [(two.name, *fields) for one, two in both for fields in _shared(one, two)]
    return Difference(
        old=old.version,
        new=new.version,
        events=Turnover(
            renamed=tuple(Change(one.name, two.name) for one, two in both if one.name != two.name),
            added=tuple(("", "", event.name) for name, event in after.items() if name not in before),
            removed=tuple(("", "", event.name) for name, event in before.items() if name not in after),
        ),
        fields=Turnover(
            renamed=tuple(Change(one.name, two.name, event, two.name) for event, one, two in shared if one.name != two.name),
            added=_apart((two.name, two, one) for one, two in both),
            removed=_apart((two.name, one, two) for one, two in both),
        ),
        values=_values(shared),
        categories=_categories(old, new, before.values(), after.values()),
        changes=tuple(change for event, one, two in shared for change in _changes(event, one, two)),
        service_category=(old.service_category, new.service_category),
        upper_hex=(old.upper_hex, new.upper_hex),
    )


def _shared(one: Event, two: Event) -> list[tuple[Field, Field]]:
    """The fields that both have, also those that one has in the other's place; in the order of the second."""
    found = [(one.fields[name], field) for name, field in two.fields.items() if name in one.fields]
    found += [(field, two.fields[field.becomes]) for name, field in one.fields.items() if name not in two.fields and _moved(field, one, two)]
    found += [(one.fields[field.becomes], field) for name, field in two.fields.items() if name not in one.fields and _moved(field, two, one)]
    return found


def _moved(field: Field, own: Event, other: Event) -> bool:
    """Whether the other event has, instead of the field, what it became."""
    return field.becomes in other.fields and field.becomes not in own.fields


def _apart(pairs: Iterable[tuple[str, Event, Event]]) -> tuple[tuple[str, str, str], ...]:
    """The fields that only the first event of each pair has, under any canonical name; with the name to tell the event by."""
    found: list[tuple[str, str, str]] = []
    for told, one, other in pairs:
        theirs = {field.name for field in other.fields.values()}
        met = {id(field) for pair in (*_shared(one, other), *_shared(other, one)) for field in pair}
        found += [(told, "", field.name) for field in one.fields.values() if id(field) not in met and field.name not in theirs]
    return tuple(found)


def _changes(event: str, one: Field, two: Field) -> Iterable[Change]:
    for what, before, after in (("type", one.type, two.type), ("unit", one.unit, two.unit)):
        if before != after:
            yield Change(before or "none", after or "none", event, two.name, what)


def _values(shared: Iterable[tuple[str, Field, Field]]) -> Turnover:
    renamed: list[Change] = []
    added: list[tuple[str, str, str]] = []
    removed: list[tuple[str, str, str]] = []
    for event, one, two in shared:
        if one.values is None or two.values is None:
            continue
        came = [value for value in two.values if value not in one.values]
        went = [value for value in one.values if value not in two.values]
        if len(came) == len(went) == 1:
            renamed.append(Change(went[0], came[0], event, two.name, "value"))
            continue
        added += [(event, two.name, value) for value in came]
        removed += [(event, two.name, value) for value in went]
    return Turnover(tuple(renamed), tuple(added), tuple(removed))


def _categories(old: Edition, new: Edition, before: Collection[Event], after: Collection[Event]) -> Turnover:
    had = {category for event in before for category in event.known_categories}
    has = {category for event in after for category in event.known_categories}
    renamed = {
        (one, two)
        for name in old.changed_categories.keys() & new.changed_categories.keys()
        if (one := old.category(name)) in had and (two := new.category(name)) in has and one is not None and two is not None and one != two
    }
    return Turnover(
        renamed=tuple(Change(one, two) for one, two in sorted(renamed)),
        added=tuple(("", "", name) for name in sorted(has - had - {two for _, two in renamed})),
        removed=tuple(("", "", name) for name in sorted(had - has - {one for one, _ in renamed})),
    )
