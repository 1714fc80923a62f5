"""Streams made by hand for the tests of ``dovestorm compare``, and recordings as records."""

from __future__ import annotations

import gzip
import itertools
import json
from pathlib import Path
from typing import Any

from dovestorm.compare import Record, Session, group, records

CAPTURES = Path(__file__).resolve().parents[2] / "seeds" / "captures"
NOON = 1_795_435_200


def event(name: str, at_us: int, *, lasts_us: int = 100, categories: tuple[str, ...] = ("imap",), **fields: Any) -> dict[str, Any]:
    """A decoded event that ends ``at_us`` after noon."""

    def unix(us: int) -> float:
        return NOON + us / 1_000_000

    return {
        "event": name,
        "hostname": "mail01",
        "start_time": unix(at_us - lasts_us),
        "end_time": unix(at_us),
        "categories": list(categories),
        "fields": fields,
    }


def sessions(
    count: int, *, name: str = "s", step_us: int = 1_000, names: tuple[str, ...] = ("login", "work", "bye"), **fields: Any
) -> list[dict[str, Any]]:
    """So many sessions, one after another, of the same events; each session's steps are up to 7 % longer than its forerunner's."""
    made = []
    for number, (at, what) in itertools.product(range(count), enumerate(names)):
        made.append(event(what, 1_000_000 * number + at * step_us * (100 + number % 7) // 100 + 200, session=f"{name}{number}", **fields))
    return made


def recorded(name: str) -> list[Session]:
    """The sessions of a recording."""
    with gzip.open(CAPTURES / f"{name}.jsonl.gz") as file:
        return [session for session in group(records(map(json.loads, file))) if session.named]


def record(name: str, at_us: int, **fields: Any) -> Record:
    """One record, as ``event`` makes it."""
    (made,) = records([event(name, at_us, **fields)])
    return made
