"""How ``dovestorm catalog --diff`` tells what changed between two editions: as lines for people, as data for programs."""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from dovestorm.catalog import Difference
    from dovestorm.catalog.difference import Change, Turnover

__all__ = ["difference_data", "difference_lines"]

_WIDTH = 140
_FEW = 3


def difference_data(found: Difference) -> dict[str, Any]:
    """The difference as JSON can hold it; every part has ``renamed``, ``added`` and ``removed``."""
    return {
        "old": found.old,
        "new": found.new,
        "events": _data(found.events),
        "fields": _data(found.fields),
        "values": _data(found.values),
        "categories": _data(found.categories),
        "changes": [asdict(change) for change in found.changes],
        "service_category": dict(zip(("old", "new"), found.service_category, strict=True)),
        "upper_hex": dict(zip(("old", "new"), found.upper_hex, strict=True)),
    }


def difference_lines(found: Difference) -> Iterator[tuple[str, bool]]:
    """The difference as lines, each with whether it is a heading. What changed alike in many events is told once."""
    yield f"From Dovecot {found.old} to {found.new}", True
    parts = (
        ("Events", [*_renamed(found.events), *_plain("added", found.events.added), *_plain("removed", found.events.removed)]),
        ("Fields", [*_renamed(found.fields), *_by_event("added", found.fields.added), *_by_event("removed", found.fields.removed)]),
        ("Types and units", [_alike(change, events) for change, events in _grouped(found.changes)]),
        ("Values", [*_renamed(found.values), *_of_fields("added", found.values.added), *_of_fields("removed", found.values.removed)]),
        ("Categories", [*_renamed(found.categories), *_plain("added", found.categories.added), *_plain("removed", found.categories.removed)]),
        ("Records", [*_record(found)]),
    )
    for title, lines in parts:
        if lines:
            yield "", False
            yield title, True
            for line in lines:
                yield from ((folded, False) for folded in _wrapped(line))
    if not any(lines for _, lines in parts):
        yield "Nothing changed.", False


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, _WIDTH, initial_indent="  ", subsequent_indent="      ", break_on_hyphens=False)


def _data(turnover: Turnover) -> dict[str, Any]:
    def named(entries: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
        return [{key: value for key, value in zip(("event", "field", "name"), entry, strict=True) if value} for entry in entries]

    renamed = [{key: value for key, value in asdict(change).items() if value and key != "what"} for change in turnover.renamed]
    return {"renamed": renamed, "added": named(turnover.added), "removed": named(turnover.removed)}


def _grouped(changes: Iterable[Change]) -> list[tuple[Change, list[str]]]:
    """Changes that differ in nothing but the event, with their events."""
    found: dict[tuple[str, str, str, str], tuple[Change, list[str]]] = {}
    for change in changes:
        found.setdefault((change.what, change.field, change.old, change.new), (change, []))[1].append(change.event)
    return list(found.values())


def _renamed(turnover: Turnover) -> Iterator[str]:
    for change, events in _grouped(turnover.renamed):
        yield _alike(change, events)


def _alike(change: Change, events: list[str]) -> str:
    of = {"name": "", "value": f" of {change.field}"}.get(change.what, f" of {change.field} ({change.what})")
    where = f": {_events(events)}" if change.event else ""
    word = "renamed" if change.what in {"name", "value"} else "changed"
    return f"{word}  {_shown(change.old)} -> {_shown(change.new)}{of}{where}"


def _plain(word: str, entries: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    if entries:
        yield f"{word}  ({len(entries)}) {', '.join(name for _, _, name in entries)}"


def _by_event(word: str, entries: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """One line for each event; events in which the same came or went share one."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for event, group in groupby(entries, itemgetter(0)):
        alike.setdefault(tuple(_shown(name) for _, _, name in group), []).append(event)
    for names, events in alike.items():
        yield f"{word}  {', '.join(events)}: {', '.join(names)}"


def _of_fields(word: str, entries: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (event, field), group in groupby(entries, itemgetter(0, 1)):
        alike.setdefault((field, tuple(name for _, _, name in group)), []).append(event)
    for (field, names), events in alike.items():
        yield f"{word}  {', '.join(names)} of {field}: {_events(events)}"


def _record(found: Difference) -> Iterator[str]:
    for (before, after), text in ((found.service_category, "the category service:<process>"), (found.upper_hex, "JSON escapes in upper case")):
        if before != after:
            yield f"{'added' if after else 'removed'}  {text}"


def _events(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= _FEW else f"{len(names)} events ({', '.join(names[:_FEW])} ...)"


def _shown(name: str) -> str:
    return name if name == name.strip() else f'"{name}"'
