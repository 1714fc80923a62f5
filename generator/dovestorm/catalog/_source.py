"""The catalog files as data, before an edition is made of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovestorm.errors import Fault, nearest

from ._nodes import WrongNodeError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "SILENT",
    "CatalogSource",
    "CategorySource",
    "EventSource",
    "Part",
    "Place",
    "Reference",
    "Releases",
    "Row",
    "SectionSource",
    "ServiceSource",
    "Word",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands in the catalog files."""

    file: str
    line: int
    column: int

    def wrong(self, message: str) -> WrongNodeError:
        """The error to raise for a fault at this place."""
        return WrongNodeError(Fault(self.file, self.line, self.column, message))


@dataclass(frozen=True, slots=True)
class Releases:
    """The axis of versions: every release of the server, oldest first."""

    names: tuple[str, ...]

    def number(self, name: str, place: Place) -> int:
        """The release's place on the axis."""
        if name not in self.names:
            raise place.wrong(f"unknown release '{name}'{nearest(name, self.names) or f', known are {self.names[0]} to {self.names[-1]}'}")
        return self.names.index(name)


@dataclass(frozen=True, slots=True)
class Word:
    """What is known of a field wherever it occurs; None where nothing is said.

    Attributes:
        names: Names on the wire: number of the release from which on each holds, ascending.
        becomes: The field that later releases have in its place.
    """

    type: str | None = None
    unit: str | None = None
    values: tuple[str, ...] | None = None
    about: str | None = None
    names: tuple[tuple[int, str], ...] | None = None
    quirk: str | None = None
    becomes: str | None = None

    def over(self, base: Word) -> Word:
        """This word, and ``base`` where this one says nothing."""
        if self is SILENT or base is SILENT:
            return base if self is SILENT else self
        return Word(
            type=base.type if self.type is None else self.type,
            unit=base.unit if self.unit is None else self.unit,
            values=base.values if self.values is None else self.values,
            about=base.about if self.about is None else self.about,
            names=base.names if self.names is None else self.names,
            quirk=base.quirk if self.quirk is None else self.quirk,
            becomes=base.becomes if self.becomes is None else self.becomes,
        )


SILENT = Word()
"""What most rows say of their field: nothing that the vocabulary does not."""


@dataclass(frozen=True, slots=True)
class Row:
    """One field in a list of fields; ``since`` and ``until`` are numbers of releases, both included."""

    canonical: str
    listed_name: str
    since: int
    until: int
    always: bool | None
    word: Word
    place: Place


@dataclass(frozen=True, slots=True)
class Reference:
    """``fields from`` a group or an event; ``always`` overrides what is said there."""

    target: str
    always: bool | None
    place: Place


@dataclass(frozen=True, slots=True)
class ServiceSource:
    """What one emitting process does in its own way."""

    name: str
    categories: tuple[str, ...] | None
    order: tuple[str, ...] | None
    place: Place


@dataclass(frozen=True, slots=True)
class Part:
    """One event in the published list (``listed``) or on servers (``servers``); None where ``like`` has the say."""

    names: tuple[tuple[int, str], ...]
    since: int
    until: int
    like: str | None
    services: tuple[ServiceSource, ...] | None
    categories: tuple[str, ...] | None
    also: tuple[str, ...] | None
    items: tuple[Row | Reference, ...] | None
    place: Place


@dataclass(frozen=True, slots=True)
class EventSource:
    """One event under its canonical name."""

    canonical: str
    about: str
    quirk: str
    parts: Mapping[str, Part]


@dataclass(frozen=True, slots=True)
class SectionSource:
    """One section file."""

    key: str
    title: str
    note: str
    vocabulary: Mapping[str, Word]
    groups: Mapping[str, tuple[Row | Reference, ...]]
    events: Mapping[str, EventSource]


@dataclass(frozen=True, slots=True)
class CategorySource:
    """A category that not all releases have, or that was once called otherwise; ``names`` as in ``Word``."""

    names: tuple[tuple[int, str], ...]
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class CatalogSource:
    """All files together; vocabulary and groups of a section already include the common ones.

    Attributes:
        listed: The edition that the published list makes up.
        service_category: Number of the first release with automatic ``service:`` categories.
        upper_hex: Number of the first release that writes JSON escapes in upper case.
        categories: Those of the servers that came, went or were renamed.
    """

    releases: Releases
    listed: str
    service_category: int
    upper_hex: int
    globals: tuple[Row, ...]
    categories: Mapping[str, CategorySource]
    sections: tuple[SectionSource, ...]
