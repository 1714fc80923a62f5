"""The catalog as the loader asks it: which names there are, and what the chosen edition says about a field."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dovestorm import catalog
from dovestorm.scenario.place import ANYTHING, Place, field_place

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition

__all__ = ["Vocabulary"]

_EVENT_VARIABLES = frozenset({"duration", "start"})


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names of all editions, and one edition's facts."""

    edition: Edition

    @classmethod
    def of(cls, version: str) -> Vocabulary:
        """Give the vocabulary with the facts of ``version``.

        Raises:
            CatalogError: If there is no such edition.
        """
        return cls(catalog.load(version))

    @property
    def version(self) -> str:
        """The edition's version."""
        return self.edition.version

    def events(self) -> frozenset[str]:
        """Every event's canonical name."""
        return frozenset(catalog.event_names())

    def fields(self, *events: str | None) -> frozenset[str]:
        """Every field that one of the events has in any edition; of all events if none is named."""
        return _fields(events)

    def pairs(self) -> dict[str, tuple[str | None, str | None]]:
        """The start and finish event of every prefix that ``span`` takes."""
        return {prefix: (begins, finishes) for prefix, (begins, finishes) in catalog.pairs().items()}

    def categories(self, *events: str | None) -> frozenset[str] | None:
        """Every category that one of the events can have; None where the edition has none of them, so that nothing is known."""
        found = [event.known_categories for name in events if name is not None and (event := self.edition.by_canonical.get(name)) is not None]
        return frozenset().union(*found) if found else None

    def services(self) -> frozenset[str]:
        """The names of all services that the edition knows."""
        return frozenset(service for event in self.edition.by_canonical.values() for service in event.services)

    def place(self, field: str, *events: str | None, timing: bool = True, closed: bool = True) -> Place:
        """Give what a field of these events asks for; anything where the edition lacks it.

        Args:
            field: Canonical name.
            events: The events that may carry it, all events of the edition if none is named.
            timing: Whether ``$duration`` stands for something here.
            closed: Whether the closed set of values counts.
        """
        named = [self.edition.by_canonical.get(event) for event in events if event is not None] if events else self.edition.by_canonical.values()
        found = [event.fields[field] for event in named if event is not None and field in event.fields]
        names = _EVENT_VARIABLES if timing else frozenset({"start"}) if events else frozenset[str]()
        if not found:
            return Place(f"field '{field}'", event=names, optional=True)
        places = [field_place(one, event=names, closed=closed) for one in found]
        first = places[0]
        if any(place.kind != first.kind or place.unit != first.unit for place in places):
            return Place(ANYTHING.what, event=names, optional=True)
        if len(places) > 1 and closed:
            sets = [place.values for place in places]
            union = None if None in sets else tuple(dict.fromkeys(value for values in sets for value in values or ()))
            return Place(first.what, first.kind, first.unit, values=union, event=names, optional=True)
        return first


@lru_cache(maxsize=1024)
def _fields(events: tuple[str | None, ...]) -> frozenset[str]:
    named = [event for event in events if event is not None] if events else catalog.event_names()
    return frozenset(name for event in named for name in catalog.canonical_fields(event))
