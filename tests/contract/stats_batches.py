"""Batches for the tests of the stats protocol: sessions whose events share fields, and texts and numbers at the edge of what can be said."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from dovestorm import formats
from dovestorm.batch import ABSENT, Batch, Column, Constant, Encoding, FieldSlot, Layout, RecordKind
from dovestorm.kernel.pieces import LAST_MICROSECOND

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stats_peer import Said

    from dovestorm.block import Block

START = 1_795_406_870_811_472
HOSTILE = ("", " ", "tab\there", "line\nend\r", "\x01", "\x01t", "EVENT", "a\nEVENT\t0", "é\U0001f54a", "\udcff", "x" * 5000, "Suser", "cauth")


def column(name: str, index: int, encoding: Encoding = Encoding.INTEGER, *, optional: bool = False) -> FieldSlot:
    return FieldSlot(name, Column(index, encoding, optional=optional))


DURATION = column("duration", 2)
USER = column("user", 3, Encoding.TEXT)
COUNT = column("n", 4, optional=True)
WHEN = column("last_run_time", 5, Encoding.TIMESTAMP, optional=True)
REASON = column("reason_code", 6, Encoding.TEXT, optional=True)
SERVICE = FieldSlot("service", Constant("imap"))
WIDTH = 7

KINDS = (
    RecordKind("no_parent", ("auth-client", "service:imap-login"), (SERVICE, COUNT, DURATION), WIDTH),
    RecordKind("of_a_process", ("auth-client", "service:imap-login"), (DURATION, COUNT, SERVICE, WHEN, REASON), WIDTH),
    RecordKind("of_a_request", ("sqlite", "sql", "auth", "service:auth"), (DURATION, SERVICE, USER, COUNT, REASON), WIDTH),
    RecordKind("of_a_session", ("mail", "mailbox", "storage", "service:imap"), (USER, COUNT, DURATION, REASON, WHEN), WIDTH),
    RecordKind("bare", (), (), WIDTH),
    RecordKind("old", ("imap",), (USER, COUNT), WIDTH),
)
LISTS = (("imap:cmd_select",), (), ("a\tb", "c\nd", ""))
LAYOUT = Layout("2.3.19", "vm", KINDS, HOSTILE + LISTS, ())
TOO_LONG = replace(LAYOUT, texts=("y" * 140_000, "y" * 131_072, *LAYOUT.texts[2:]))
"""Its first two texts fit into no line that a stats process reads."""


def make_batch(rows: list[tuple[int, int, dict[str, int]]], layout: Layout = LAYOUT) -> Batch:
    """Rows of kind, session, and columns: ``at`` the begin, ``took`` the duration, ``user``, ``n``, ``when``, ``reason``."""
    values = []
    for number, (_, _, own) in enumerate(rows):
        at = own.get("at", START + number * 1000)
        values += [
            at,
            own.get("end", min(at + 777, LAST_MICROSECOND)),
            own.get("took", 322),
            own.get("user", 2),
            own.get("n", ABSENT),
            own.get("when", ABSENT),
            own.get("reason", ABSENT),
        ]
    kinds = np.array([kind for kind, _, _ in rows], np.int32)
    return Batch(layout, kinds, np.arange(len(rows)) * WIDTH, np.array([session for _, session, _ in rows]), np.array(values, np.int64))


def some_sessions(count: int) -> Batch:
    """Sessions with events of every kind and all texts; the user of a session changes once, a field comes and goes."""
    rows: list[tuple[int, int, dict[str, int]]] = []
    for session in range(count):
        for kind in range(len(KINDS)):
            for step in range(3):
                own = {"user": (session + step // 2) % len(HOSTILE), "took": step * 1000}
                if (session + step) % 3:
                    own |= {"n": session * 7 - 3, "when": START - session, "reason": (session + step) % (len(HOSTILE) + len(LISTS))}
                rows.append((kind, session, own))
    return make_batch(rows)


def blocks(batch: Batch) -> list[Block]:
    return list(formats.renderer("dovecot-stats", batch.layout).render(batch))


def as_json(batch: Batch) -> list[dict]:
    return from_json(formats.renderer("json", batch.layout, time_format="unix").render(batch))


def from_json(blocks: Iterable[Block]) -> list[dict]:
    """Records of the format ``json`` with times in Unix seconds; a time becomes a whole number of microseconds."""
    lines = b"".join(bytes(block.data) for block in blocks).splitlines()
    return [json.loads(line, parse_float=lambda text: int(text.replace(".", ""))) for line in lines]


def plain(event: Said) -> dict:
    """What a stats process knows, as JSON has it: the clock of the stats process, and its host, are its own."""
    fields = {name: shown(value) for name, value in event.fields.items()}
    return {"event": event.name, "start_time": event.created, "categories": sorted(event.categories), "fields": list(fields.items())}


def expected(record: dict) -> dict:
    """The same of a record of our JSON; a server adds ``duration`` where an edition did not have it, and no duration is negative."""
    fields = dict(record["fields"])
    fields.setdefault("duration", record["end_time"] - record["start_time"])
    fields["duration"] = max(fields["duration"], 0)
    return {"event": record["event"], "start_time": record["start_time"], "categories": sorted(record["categories"]), "fields": list(fields.items())}


def shown(value: object) -> object:
    if isinstance(value, tuple):
        return value[1]
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace") if isinstance(value, str) else value
