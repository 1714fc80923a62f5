"""Streams for the validator's tests: recordings of a real server as records, and records made by hand."""

from __future__ import annotations

import copy
import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from dovestorm import catalog
from dovestorm.validate import Report, Validator

CAPTURES = Path(__file__).resolve().parents[2] / "seeds" / "captures"
EPOCH_US = 1_795_406_870_000_000

Record = dict[str, Any]


@cache
def _recorded(name: str) -> tuple[bytes, ...]:
    known = catalog.load("2.3.19").events
    with gzip.open(CAPTURES / f"{name}.jsonl.gz") as file:
        return tuple(line for line in file if json.loads(line)["event"] in known)


def recording(name: str) -> list[Record]:
    """Fresh copies of the records of a recording, as far as the catalog knows their events."""
    return [orjson.loads(line) for line in _recorded(name)]


def report_on(records: list[Record], version: str = "2.3.19", **options: Any) -> Report:
    validator = Validator(catalog.load(version), **options)
    for record in records:
        validator.feed_line(json.dumps(record, separators=(",", ":")).encode())
    return validator.finish()


def findings(report: Report) -> set[str]:
    """The rules that were broken, apart from field-order, which real streams break all the time."""
    return (set(report.faults) | set(report.notes)) - {"field-order"}


def first(records: list[Record], event: str, **fields: Any) -> Record:
    """The first record of that event with these fields."""
    return next(r for r in records if r["event"] == event and all(r["fields"].get(k) == v for k, v in fields.items()))


def without(records: list[Record], victim: Record) -> list[Record]:
    return [record for record in records if record is not victim]


def clock(us: int) -> str:
    seconds, fraction = divmod(EPOCH_US + us, 1_000_000)
    import datetime as dt

    return f"{dt.datetime.fromtimestamp(seconds, tz=dt.UTC):%Y-%m-%dT%H:%M:%S}.{fraction:06d}Z"


class Script:
    """Writes a stream of the 2.3.6 list by hand; ``at`` is the start in microseconds, ``lasts`` how much later it is exported."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def add(self, event: str, at: int, lasts: int = 10, **fields: Any) -> Script:
        categories = list(catalog.load("2.3.6").events[event].categories)
        record = {"event": event, "hostname": "mx", "start_time": clock(at), "end_time": clock(at + lasts), "categories": categories}
        self.records.append({**record, "fields": fields})
        return self

    def sorted(self) -> list[Record]:
        return copy.deepcopy(sorted(self.records, key=lambda record: record["end_time"]))
