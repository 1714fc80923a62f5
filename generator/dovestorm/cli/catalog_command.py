"""``dovestorm catalog``: what an edition can emit, and what is known of one event."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import click

from dovestorm.errors import CatalogError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dovestorm.catalog import Edition, Event, Field

__all__ = ["command"]

_DEFAULT = "2.3.6"


@click.command("catalog")
@click.argument("name", required=False, metavar="[EVENT]")
@click.option("--dovecot", "version", metavar="VERSION", help=f"The edition to show (default {_DEFAULT}, or the first that has EVENT).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def command(*, name: str | None, version: str | None, as_json: bool) -> None:
    """List the events of a Dovecot version, or show one EVENT: its fields, their types, values and versions."""
    from dovestorm import catalog

    if name is None:
        edition = catalog.load(version or _DEFAULT)
        _print_json(_edition_data(edition)) if as_json else _print_edition(edition)
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
        raise CatalogError(f"Dovecot {wanted.version} has no event '{name}'; {', '.join(edition.version for edition in having)} has it")
    chosen = wanted or having[0]
    return chosen, chosen.by_canonical[canonical]


def _event_names(editions: Iterable[Edition], event: str) -> dict[str, str]:
    """The name of an event in every edition that has it."""
    return {edition.version: edition.by_canonical[event].name for edition in editions if event in edition.by_canonical}


def _field_names(editions: Iterable[Edition], event: str, field: str) -> dict[str, str]:
    """The name of an event's field in every edition that has both."""
    known = {edition.version: edition.by_canonical[event].fields for edition in editions if event in edition.by_canonical}
    return {version: fields[field].name for version, fields in known.items() if field in fields}


def _edition_data(edition: Edition) -> dict[str, Any]:
    from dovestorm import catalog

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
        for section in catalog.sections()
    ]
    return {"edition": edition.version, "sections": sections}


def _event_data(edition: Edition, event: Event, editions: Sequence[Edition]) -> dict[str, Any]:
    return {
        "name": event.name,
        "canonical": event.canonical,
        "edition": edition.version,
        "section": event.section,
        "about": event.about,
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
                "editions": _field_names(editions, event.canonical, field.canonical),
            }
            for field in event.fields.values()
        ],
    }


def _print_json(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def _print_edition(edition: Edition) -> None:
    from dovestorm import catalog

    pairs = sum(len(event.fields) for event in edition.events.values())
    click.echo(_heading(f"Dovecot {edition.version}: {len(edition.events)} events, {pairs} event fields"))
    for section in catalog.sections():
        click.echo(f"\n{_heading(section.title)}: {section.note}")
        events = [event for event in edition.events.values() if event.section == section.key]
        _print_table([(f"  {event.name}", _counted(len(event.fields)), event.about) for event in events])


def _print_event(edition: Edition, event: Event, editions: Sequence[Edition]) -> None:
    click.echo(f"{_heading(event.name)} (Dovecot {edition.version}, {event.section}): {event.about}")
    automatic = ["service:<process>"] if edition.service_category else []
    _print_table(
        [
            ("  versions", _versions(_event_names(editions, event.canonical), event.canonical)),
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
                _versions(_field_names(editions, event.canonical, field.canonical), field.canonical),
                field.about if field.values is None else f"{field.about}: {' | '.join(field.values)}",
            )
            for field in event.fields.values()
        ]
    )


def _presence(field: Field) -> str:
    return "always" if field.always else "sometimes"


def _versions(names: dict[str, str], canonical: str) -> str:
    """``2.3.6 as tag, 2.3.19``: where it exists, with the name where that is not the canonical one."""
    return ", ".join(version if name == canonical else f"{version} as {_shown(name)}" for version, name in names.items())


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
