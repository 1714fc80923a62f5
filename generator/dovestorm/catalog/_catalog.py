"""The questions that the catalog answers."""

from __future__ import annotations

from functools import cache, cached_property
from typing import TYPE_CHECKING, Final

from dovestorm.errors import CatalogError, nearest
from dovestorm.resources import catalog_dir

from ._reader import read_catalog
from ._resolve import canonical_fields as fields_of_events
from ._resolve import check, edition
from ._versions import edition_of
from .model import Edition, Section

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Catalog", "canonical_fields", "event_names", "load", "pairs", "sections", "sections_of", "versions"]

_STARTS: Final = ("_started", "_connected")
_FINISHES: Final = ("_finished", "_disconnected")


class Catalog:
    """The catalog of one folder.

    Args:
        folder: Where ``common.yaml`` and the section files lie.

    Raises:
        CatalogError: When the files do not hold together; every fault is told with file, line and column.
    """

    def __init__(self, folder: Path) -> None:
        self._source = read_catalog(folder)
        check(self._source)
        self._editions: dict[str, Edition] = {}

    @cached_property
    def versions(self) -> tuple[str, ...]:
        """The editions there are, oldest first: the published list, then the server's releases."""
        return self._source.releases.names

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The sections in the order of the published list."""
        return tuple(Section(section.key, section.title, section.note) for section in self._source.sections)

    def load(self, version: str) -> Edition:
        """The edition of ``version``; a patch release has that of the release that it patches."""
        version = edition_of(version, known=self.versions, listed=self._source.listed)
        if version not in self._editions:
            self._editions[version] = edition(self._source, version)
        return self._editions[version]

    @cached_property
    def event_names(self) -> tuple[str, ...]:
        """The canonical names of all events, by section."""
        return tuple(name for section in self._source.sections for name in section.events)

    def canonical_fields(self, event: str) -> frozenset[str]:
        """The canonical names of all fields that ``event`` has in an edition."""
        if event not in self._fields:
            raise CatalogError(f"unknown event '{event}'{nearest(event, self.event_names)}")
        return self._fields[event]

    @cached_property
    def _fields(self) -> dict[str, frozenset[str]]:
        return fields_of_events(self._source)

    @cached_property
    def pairs(self) -> Mapping[str, tuple[str | None, str | None]]:
        """Which event starts an operation and which finishes it, by what their names share."""
        found: dict[str, tuple[str | None, str | None]] = {}
        for name in self.event_names:
            for index, endings in enumerate((_STARTS, _FINISHES)):
                for ending in endings:
                    if name.endswith(ending):
                        start, finish = found.get(name.removesuffix(ending), (None, None))
                        found[name.removesuffix(ending)] = (start, name) if index else (name, finish)
        return found


@cache
def _shipped() -> Catalog:
    return Catalog(catalog_dir())


def load(version: str) -> Edition:
    """What the Dovecot ``version`` can emit; ``2.3.6`` is the published list, ``2.3.19.1`` the same as ``2.3.19``. Cached.

    Raises:
        CatalogError: When there is no such edition.
    """
    return _shipped().load(version)


def versions() -> tuple[str, ...]:
    """The editions there are, oldest first: ``2.3.6``, ``2.3.19`` ..."""
    return _shipped().versions


def sections() -> tuple[Section, ...]:
    """The sections in the order of the published list."""
    return _shipped().sections


def sections_of(version: str) -> tuple[str, ...]:
    """The keys of the sections of which the Dovecot ``version`` has an event, in the order of the published list.

    Raises:
        CatalogError: When there is no such edition.
    """
    filled = {event.section for event in load(version).events.values()}
    return tuple(section.key for section in sections() if section.key in filled)


def event_names() -> tuple[str, ...]:
    """The canonical names of the events of all editions: a scenario may name an event that the chosen edition lacks."""
    return _shipped().event_names


def canonical_fields(event: str) -> frozenset[str]:
    """The canonical names of the fields that ``event`` (canonical) has in any edition.

    Raises:
        CatalogError: When no edition has the event.
    """
    return _shipped().canonical_fields(event)


def pairs() -> Mapping[str, tuple[str | None, str | None]]:
    """Which event starts an operation and which finishes it, by the prefix that a ``span`` names; all canonical.

    ``auth_client_request`` gives both, ``imap_command`` only a finish. Events in between (``auth_client_request_continued``) belong to no side.
    """
    return _shipped().pairs
