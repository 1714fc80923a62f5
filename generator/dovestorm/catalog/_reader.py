"""From the YAML files of a catalog folder to checked source data."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

import yaml

from ._nodes import Entry, Faults, Page, offer
from ._source import SILENT, CatalogSource, CategorySource, EventSource, Part, Place, Reference, Releases, Row, SectionSource, ServiceSource, Word

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["PARTS", "read_catalog"]

PARTS: Final[tuple[str, ...]] = ("listed", "servers")
TYPES: Final = ("string", "integer", "timestamp", "address", "list")
UNITS: Final = ("microseconds", "seconds", "bytes")
_COMMON_KEYS = ("releases", "listed", "sections", "service_category", "upper_hex", "globals", "categories", "vocabulary", "groups")
_SECTION_KEYS = ("section", "title", "note", "vocabulary", "groups", "events")
_WORD_KEYS = ("type", "unit", "values", "about", "names", "quirk", "becomes")
_ROW_KEYS = (*_WORD_KEYS, "is", "always", "since", "until")
_PART_KEYS = {
    "listed": ("name", "like", "services", "categories", "fields"),
    "servers": ("names", "since", "until", "like", "services", "categories", "also", "fields"),
}
_PRESENCE = {"always": True, "sometimes": False}
_REFERENCE = re.compile(r"fields from (\S+)")

_Items: TypeAlias = "tuple[Row | Reference, ...]"


class _PageReader:
    """Reads the parts that common.yaml and the section files share the shape of."""

    def __init__(self, page: Page, faults: Faults, releases: Releases) -> None:
        self.page, self.faults, self.releases = page, faults, releases

    def place(self, node: yaml.Node) -> Place:
        mark = node.start_mark
        return Place(self.page.file, mark.line + 1, mark.column + 1)

    def release(self, node: yaml.Node) -> int:
        return self.releases.number(self.page.text(node, "a release"), self.place(node))

    def span(self, entries: Mapping[str, Entry]) -> tuple[int, int]:
        since = self.release(entries["since"].value) if "since" in entries else 0
        until = self.release(entries["until"].value) if "until" in entries else len(self.releases.names) - 1
        if since > until:
            raise self.page.wrong(entries["until"].value, "until must not be before since")
        return since, until

    def names(self, entry: Entry) -> tuple[tuple[int, str], ...]:
        names: list[tuple[int, str]] = []
        for key, at, value in self.page.mapping(entry.value, "names").values():
            number = self.releases.number(key, self.place(at))
            if names and names[-1][0] > number:
                raise self.page.wrong(
                    at, f"'{key}' must come after {self.releases.names[names[-1][0]]}: names go from the oldest release to the newest"
                )
            names.append((number, self.page.text(value, "a name")))
        return tuple(names)

    def one_of(self, entries: Mapping[str, Entry], key: str, known: tuple[str, ...]) -> str | None:
        if key not in entries:
            return None
        text = self.page.text(entries[key].value, key)
        if text not in known:
            raise self.page.wrong(entries[key].value, f"unknown {key} '{text}'{offer(text, known)}")
        return text

    def word(self, entries: Mapping[str, Entry]) -> Word:
        if not entries:
            return SILENT
        page = self.page
        return Word(
            type=self.one_of(entries, "type", TYPES),
            unit=self.one_of(entries, "unit", UNITS),
            values=page.texts(entries["values"].value, "values") if "values" in entries else None,
            about=page.text(entries["about"].value, "about") if "about" in entries else None,
            names=self.names(entries["names"]) if "names" in entries else None,
            quirk=page.text(entries["quirk"].value, "quirk") if "quirk" in entries else None,
            becomes=page.text(entries["becomes"].value, "becomes") if "becomes" in entries else None,
        )

    def vocabulary(self, entry: Entry | None) -> dict[str, Word]:
        words: dict[str, Word] = {}
        for key, _, value in self.page.mapping(entry.value, "vocabulary").values() if entry else ():
            with self.faults:
                words[key] = self.word(self.page.mapping(value, f"'{key}'", _WORD_KEYS))
        return words

    def groups(self, entry: Entry | None) -> dict[str, _Items]:
        return {key: self.fields(value) for key, _, value in self.page.mapping(entry.value, "groups").values()} if entry else {}

    def fields(self, node: yaml.Node) -> _Items:
        """A list of fields and references; a field may stand in it again only for releases that the earlier ones leave out."""
        items: list[Row | Reference] = []
        for item in self.page.items(node, "a list of fields"):
            with self.faults:
                made = self.item(item)
                if isinstance(made, Row):
                    for other in items:
                        if isinstance(other, Row) and other.canonical == made.canonical and made.since <= other.until and other.since <= made.until:
                            raise made.place.wrong(f"field '{made.canonical}' is already in line {other.place.line}; give it once for each release")
                items.append(made)
        return tuple(items)

    def item(self, node: yaml.Node) -> Row | Reference:
        """``name``, ``name: always``, ``name: {...}``, ``fields from x`` or ``fields from x: sometimes``."""
        options: Mapping[str, Entry] = {}
        always: bool | None = None
        if isinstance(node, yaml.MappingNode):
            entries = self.page.mapping(node, "a field")
            if len(entries) != 1:
                raise self.page.wrong(node, "an entry of a list of fields has one name; further fields need a dash of their own")
            ((name, _, value),) = entries.values()
            if isinstance(value, yaml.ScalarNode):
                if value.value not in _PRESENCE:
                    raise self.page.wrong(value, f"'{value.value}' must be always, sometimes, or a mapping of options")
                always = _PRESENCE[value.value]
            else:
                options = self.page.mapping(value, f"field '{name}'", _ROW_KEYS)
        else:
            name = self.page.text(node, "a field")
        if reference := _REFERENCE.fullmatch(name):
            if options:
                raise self.page.wrong(node, "'fields from' takes only always or sometimes")
            return Reference(reference[1], always, self.place(node))
        if "always" in options:
            always = self.page.flag(options["always"].value, "always")
        canonical = self.page.text(options["is"].value, "is") if "is" in options else name
        return Row(canonical, name, *self.span(options), always, self.word(options), self.place(node))

    def services(self, entry: Entry) -> tuple[ServiceSource, ...]:
        page = self.page
        if isinstance(entry.value, yaml.SequenceNode):
            place = self.place(entry.value)
            return tuple(ServiceSource(name, None, None, place) for name in page.texts(entry.value, "services"))
        found: list[ServiceSource] = []
        for name, at, value in page.mapping(entry.value, "services").values():
            own = page.mapping(value, f"service '{name}'", ("categories", "order"))
            categories = page.texts(own["categories"].value, "categories") if "categories" in own else None
            order = page.texts(own["order"].value, "order") if "order" in own else None
            found.append(ServiceSource(name, categories, order, self.place(own["order"].value if order else at)))
        return tuple(found)

    def categories(self, entry: Entry) -> dict[str, CategorySource]:
        """What is to be known of categories: since when, until when, under what names."""
        found: dict[str, CategorySource] = {}
        for key, _, value in self.page.mapping(entry.value, "categories").values():
            with self.faults:
                own = self.page.mapping(value, f"category '{key}'", ("names", "since", "until"))
                found[key] = CategorySource(self.names(own["names"]) if "names" in own else ((0, key),), *self.span(own))
        return found

    def part(self, kind: str, canonical: str, at: yaml.Node, node: yaml.Node) -> Part:
        page = self.page
        entries = page.mapping(node, f"'{kind}'", _PART_KEYS[kind])
        names: tuple[tuple[int, str], ...] = ((0, canonical),)
        if "name" in entries:
            names = ((0, page.text(entries["name"].value, "name")),)
        elif "names" in entries:
            names = self.names(entries["names"])
        like = page.text(entries["like"].value, "like") if "like" in entries else None
        missing = [key for key in ("services", "categories", "fields") if key not in entries]
        if missing and like is None:
            raise page.wrong(at, f"'{kind}' of {canonical} lacks {' and '.join(missing)}; say it, or name an event with 'like'")
        return Part(
            names,
            *self.span(entries),
            like=like,
            services=self.services(entries["services"]) if "services" in entries else None,
            categories=page.texts(entries["categories"].value, "categories") if "categories" in entries else None,
            also=page.texts(entries["also"].value, "also") if "also" in entries else None,
            items=self.fields(entries["fields"].value) if "fields" in entries else None,
            place=self.place(entries["like"].value if like else at),
        )

    def events(self, entry: Entry) -> dict[str, EventSource]:
        events: dict[str, EventSource] = {}
        for canonical, at, value in self.page.mapping(entry.value, "events").values():
            with self.faults:
                own = self.page.mapping(value, f"event '{canonical}'", ("about", "quirk", *PARTS))
                if "about" not in own:
                    raise self.page.wrong(at, f"event '{canonical}' lacks about, a short description")
                about = self.page.text(own["about"].value, "about")
                parts: dict[str, Part] = {kind: self.part(kind, canonical, own[kind].at, own[kind].value) for kind in PARTS if kind in own}
                quirk = self.page.text(own["quirk"].value, "quirk") if "quirk" in own else ""
                events[canonical] = EventSource(canonical, about, quirk, parts)
        return events


def _required(page: Page, keys: tuple[str, ...], optional: tuple[str, ...]) -> dict[str, Entry]:
    entries = page.mapping(page.root, "the file", keys)
    if missing := [key for key in keys if key not in entries and key not in optional]:
        raise page.wrong(page.root, f"the file lacks {', '.join(missing)}")
    return entries


def _section(reader: _PageReader, key: str, words: Mapping[str, Word], groups: Mapping[str, _Items]) -> SectionSource:
    page = reader.page
    entries = _required(page, _SECTION_KEYS, ("vocabulary", "groups"))
    if (said := page.text(entries["section"].value, "section")) != key:
        raise page.wrong(entries["section"].value, f"section '{said}' must be '{key}', as the file is called")
    own = {name: word.over(words.get(name, SILENT)) for name, word in reader.vocabulary(entries.get("vocabulary")).items()}
    return SectionSource(
        key=key,
        title=page.text(entries["title"].value, "title"),
        note=page.text(entries["note"].value, "note"),
        vocabulary={**words, **own},
        groups={**groups, **reader.groups(entries.get("groups"))},
        events=reader.events(entries["events"]),
    )


def read_catalog(folder: Path) -> CatalogSource:
    """Read ``common.yaml`` and the section files that it names.

    Raises:
        CatalogError: With every fault of shape that the files have, each with file, line and column.
    """
    faults = Faults()
    sections: list[SectionSource] = []
    with faults:
        page = Page(folder / "common.yaml")
        entries = _required(page, _COMMON_KEYS, ())
        releases = Releases(page.texts(entries["releases"].value, "releases"))
        reader = _PageReader(page, faults, releases)
        words, groups = reader.vocabulary(entries["vocabulary"]), reader.groups(entries["groups"])
        keys = page.texts(entries["sections"].value, "sections")
        made = CatalogSource(
            releases=releases,
            listed=releases.names[reader.release(entries["listed"].value)],
            service_category=reader.release(entries["service_category"].value),
            upper_hex=reader.release(entries["upper_hex"].value),
            globals=tuple(item for item in reader.fields(entries["globals"].value) if isinstance(item, Row)),
            categories=reader.categories(entries["categories"]),
            sections=(),
        )
        for key in keys:
            with faults:
                sections.append(_section(_PageReader(Page(folder / f"{key}.yaml"), faults, releases), key, words, groups))
    faults.settle()
    return replace(made, sections=tuple(sections))
