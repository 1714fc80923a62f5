"""The catalog's answers: editions, events and fields as plain frozen data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Edition", "Event", "Field", "Section"]


@dataclass(frozen=True, slots=True)
class Section:
    """One section of the catalog: its key (``imap``), its title, and the note that stands above its events."""

    key: str
    title: str
    note: str


@dataclass(frozen=True, slots=True)
class Field:
    """One field of one event, as one edition writes it.

    Attributes:
        name: The name on the wire in this edition.
        canonical: The name that scenarios use, the same in every edition.
        type: ``string``, ``integer``, ``timestamp``, ``address`` or ``list``. An address is a string on the wire before 2.4 and from 2.4 on.
        unit: ``microseconds``, ``bytes``, ``seconds``, or empty.
        always: Whether every record of the event has it.
        values: The closed set of values, or None when any value goes.
        about: A short description.
        quirk: What is odd about it on the wire, such as a number that is written as a text; empty for most.
        becomes: Canonical name of the field that later releases have in its place; empty for most.
    """

    name: str
    canonical: str
    type: str
    unit: str = ""
    always: bool = False
    values: tuple[str, ...] | None = None
    about: str = ""
    quirk: str = ""
    becomes: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One event, as one edition writes it.

    Attributes:
        name: The name on the wire in this edition; ``canonical`` is the scenarios' name for it.
        section: Key of the section (``authentication-server``, ``imap`` ...).
        categories: Without the automatic ``service:`` one.
        services: Names of the processes that emit it (``auth``, ``auth-worker``); the first is the usual one.
        fields: By canonical name, in the order in which the usual service writes them; inherited ones and ``duration`` included.
        orders: For services that write the fields in another order: service -> canonical names.
            Such an order names only what that service writes; it leaves out the fields that only other services have.
        about: A short description.
        categories_by_service: For services whose records have other categories than ``categories``; read it with ``categories_for``.
        known_categories: Every category that a record of the event can have, whatever the service and its parents; also without ``service:``.
        inherited_categories: Those of them that a record can take over from the work that caused it.
        open_fields: Fields that can go on as they like behind their beginning, such as ``http_hdr_*``; they are not among ``fields``.
        quirk: What is odd about it; empty for most.
    """

    name: str
    canonical: str
    section: str
    categories: tuple[str, ...]
    services: tuple[str, ...]
    fields: Mapping[str, Field]
    orders: Mapping[str, tuple[str, ...]]
    about: str = ""
    categories_by_service: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    known_categories: frozenset[str] = frozenset()
    inherited_categories: frozenset[str] = frozenset()
    open_fields: tuple[Field, ...] = ()
    quirk: str = ""

    def categories_for(self, service: str) -> tuple[str, ...]:
        """The usual categories of a record that ``service`` sends, without the automatic one."""
        return self.categories_by_service.get(service, self.categories)

    def ordered(self, service: str) -> tuple[Field, ...]:
        """The fields in the order in which ``service`` writes them."""
        names = self.orders.get(service)
        return tuple(self.fields.values()) if names is None else tuple(self.fields[name] for name in names)


@dataclass(frozen=True, slots=True)
class Edition:
    """What one Dovecot version (or the 2.3.6 list) can emit.

    Attributes:
        version: ``2.3.6``, ``2.3.19`` ...
        events: By name on the wire.
        by_canonical: The same events by canonical name.
        service_category: Whether every record carries ``service:<name>`` (2.3.9 and later).
        upper_hex: Whether JSON escapes are written in upper case (2.4.0 and later).
        changed_categories: By canonical name, what the edition calls the categories that not all releases call so; None for those it lacks.
    """

    version: str
    events: Mapping[str, Event]
    by_canonical: Mapping[str, Event]
    service_category: bool
    upper_hex: bool
    changed_categories: Mapping[str, str | None] = field(default_factory=dict)

    def category(self, canonical: str) -> str | None:
        """What the edition calls a category, or None when it has none such."""
        return self.changed_categories.get(canonical, canonical)
