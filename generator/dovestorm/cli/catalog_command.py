"""``dovestorm catalog``: what an edition can emit, and what is known of one event."""

from __future__ import annotations

import json
import os
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

from dovestorm.errors import CatalogError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dovestorm.catalog import Difference, Edition, Event, Field, Section

__all__ = ["command"]

_DEFAULT = "2.3.6"


@click.command("catalog")
@click.argument("name", required=False, metavar="[EVENT]")
@click.option("--dovecot", "version", metavar="VERSION", help=f"The edition to show (default {_DEFAULT}, or the first that has EVENT).")
@click.option("--section", metavar="NAME", help="List only the events of this section.")
@click.option("--diff", "two", nargs=2, metavar="OLD NEW", help="Show what changed from one version to another.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(*, name: str | None, version: str | None, section: str | None, two: tuple[str, str] | None, as_json: bool) -> None:
    """List the events of a Dovecot version, or show one EVENT: its fields, their types, values and versions."""
    from dovestorm import catalog

    if name is not None and (two or section):
        raise click.UsageError(f"{'--diff' if two else '--section'} and EVENT exclude each other: give one")
    if two and version:
        raise click.UsageError("--diff and --dovecot exclude each other: give one")
    if section is not None and section not in (known := [one.key for one in catalog.sections()]):
        raise CatalogError(f"unknown section '{section}'{nearest(section, known)}, known are {', '.join(known)}")
    if two:
        _print_difference(catalog.difference(catalog.load(two[0]), catalog.load(two[1]), section=section), as_json=as_json)
        return
    if name is None:
        edition = catalog.load(version or _DEFAULT)
        _print_json(_edition_data(edition, section)) if as_json else _print_edition(edition, section)
        return
    editions = [catalog.load(known) for known in catalog.versions()]
    chosen, event = _find(name, editions, catalog.load(version) if version else None)
    _print_json(_event_data(chosen, event, editions)) if as_json else _print_event(chosen, event, editions)


def _find(name: str, editions: Sequence[Edition], wanted: Edition | None) -> tuple[Edition, Event]:
    """The event that ``name`` means, on the wire or canonical, in the edition that is wanted or the first that has it."""
    canonical = next((edition.events[name].canonical for edition in editions if name in edition.events), name)
    having = [edition for edition in editions if canonical in edition.by_canonical]
    if not having:
        known = {name for edition in editions for name in (*edition.events, *edition.by_canonical)}
        hint = nearest(name, sorted(known)) or "; 'dovestorm catalog' lists them all"
        raise CatalogError(f"unknown event '{name}'{hint}")
    if wanted is not None and wanted not in having:
        found = _versions(_event_names(editions, canonical), canonical, editions)
        raise CatalogError(f"Dovecot {wanted.version} has no event '{name}', it is in {found}")
    chosen = wanted or having[0]
    return chosen, chosen.by_canonical[canonical]


def _event_names(editions: Iterable[Edition], event: str) -> dict[str, str]:
    """The name of an event in every edition that has it."""
    return {edition.version: edition.by_canonical[event].name for edition in editions if event in edition.by_canonical}


def _field_names(editions: Iterable[Edition], event: str, field: str) -> dict[str, str]:
    """The name of an event's field in every edition that has both."""
    known = {edition.version: edition.by_canonical[event].fields for edition in editions if event in edition.by_canonical}
    return {version: fields[field].name for version, fields in known.items() if field in fields}


def _print_difference(found: Difference, *, as_json: bool) -> None:
    from dovestorm.cli.catalog_difference import difference_data, difference_lines

    if as_json:
        _print_json(difference_data(found))
        return
    for line, is_heading in difference_lines(found):
        click.echo(_heading(line) if is_heading else line)


def _shown_sections(edition: Edition, wanted: str | None) -> list[Section]:
    from dovestorm import catalog

    there = catalog.sections_of(edition.version)
    return [section for section in catalog.sections() if section.key in there and wanted in (None, section.key)]


def _edition_data(edition: Edition, wanted: str | None) -> dict[str, Any]:
    sections = [
        {
            "section": section.key,
            "title": section.title,
            "note": section.note,
            "events": [
                {"name": event.name, "canonical": event.canonical, "about": event.about, "fields": [field.name for field in event.fields.values()]}
                for event in edition.events.values()
                if event.section == section.key
            ],
        }
        for section in _shown_sections(edition, wanted)
    ]
    return {"edition": edition.version, "sections": sections}


def _event_data(edition: Edition, event: Event, editions: Sequence[Edition]) -> dict[str, Any]:
    return {
        "name": event.name,
        "canonical": event.canonical,
        "edition": edition.version,
        "section": event.section,
        "about": event.about,
        "quirk": event.quirk or None,
        "editions": _event_names(editions, event.canonical),
        "categories": list(event.categories),
        "categories_by_service": {service: list(categories) for service, categories in event.categories_by_service.items()},
        "service_category": edition.service_category,
        "services": list(event.services),
        "fields": [
            {
                "name": field.name,
                "canonical": field.canonical,
                "type": field.type,
                "unit": field.unit or None,
                "values": None if field.values is None else list(field.values),
                "presence": _presence(field),
                "about": field.about,
                "quirk": field.quirk or None,
                "editions": _field_names(editions, event.canonical, field.canonical),
            }
            for field in event.fields.values()
        ],
        "open_fields": [{"name": field.name, "type": field.type, "about": field.about} for field in event.open_fields],
    }


def _print_json(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _print_edition(edition: Edition, wanted: str | None) -> None:
    pairs = sum(len(event.fields) for event in edition.events.values())
    click.echo(_heading(f"Dovecot {edition.version}: {len(edition.events)} events, {pairs} event fields"))
    for section in _shown_sections(edition, wanted):
        click.echo(f"\n{_heading(section.title)}: {section.note}")
        events = [event for event in edition.events.values() if event.section == section.key]
        _print_table([(f"  {event.name}", _counted(len(event.fields)), event.about) for event in events])


def _print_event(edition: Edition, event: Event, editions: Sequence[Edition]) -> None:
    click.echo(f"{_heading(event.name)} (Dovecot {edition.version}, {event.section}): {_told(event)}")
    automatic = ["service:<process>"] if edition.service_category else []
    _print_table(
        [
            ("  versions", _versions(_event_names(editions, event.canonical), event.canonical, editions)),
            ("  in scenarios", event.canonical),
            ("  categories", ", ".join([*event.categories, *automatic]) or "none"),
            *((f"    of {service}", ", ".join([*categories, *automatic]) or "none") for service, categories in event.categories_by_service.items()),
            ("  sent by", ", ".join(event.services)),
        ]
    )
    if not event.fields:
        click.echo("\nIt has no fields.")
        return
    click.echo("\n" + _heading(_counted(len(event.fields)).strip()))
    _print_table(
        [
            (
                f"  {_shown(field.name)}",
                f"{field.type}, {field.unit}" if field.unit else field.type,
                _presence(field),
                _versions(_field_names(editions, event.canonical, field.canonical), field.canonical, editions),
                _told(field) if field.values is None else f"{_told(field)}: {' | '.join(field.values)}",
            )
            for field in event.fields.values()
        ]
    )
    for field in event.open_fields:
        click.echo(f"  and any {field.name}  {field.type}  {_told(field)}")


def _presence(field: Field) -> str:
    return "always" if field.always else "sometimes"


def _told(one: Event | Field) -> str:
    """What it is, and what is odd about it."""
    return f"{one.about} (quirk: {one.quirk})" if one.quirk else one.about


def _versions(names: dict[str, str], canonical: str, editions: Iterable[Edition]) -> str:
    """``2.3.6 to 2.3.8 as tag, 2.3.9 to 2.4.4``: where it exists, with the name where that is not the canonical one."""
    parts: list[str] = []
    for name, group in groupby((edition.version for edition in editions), names.get):
        versions = list(group)
        if name is not None:
            span = versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"
            parts.append(span if name == canonical else f"{span} as {_shown(name)}")
    return ", ".join(parts)


def _shown(name: str) -> str:
    """The name, in quotes when it begins or ends with a blank."""
    return name if name == name.strip() else json.dumps(name)


def _counted(fields: int) -> str:
    return f"{fields:3} field{'' if fields == 1 else 's'}"


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows in columns, each as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _heading(text: str) -> str:
    return text if os.environ.get("NO_COLOR") else click.style(text, bold=True)
