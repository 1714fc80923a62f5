"""Whatever a stream holds, the stats protocol's lines say it, in a way that a stats process takes, by both kernels, from buffers of any size."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_formats_roundtrip import batches

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))

from stats_peer import StatsProcess

from dovestorm import formats
from dovestorm.batch import ABSENT, Batch, Column, Encoding, FieldSlot, Layout, RecordKind
from dovestorm.kernel import RecordTooLargeError, reference
from dovestorm.sinks.event_filter import parse_filter
from dovestorm.sinks.stats_telling import Told


def named(batch: Batch) -> Batch:
    """With names that can be said; a kind's first integer is its duration, wherever it stands."""
    kinds = tuple(_named(kind) for kind in batch.layout.kinds)
    layout = replace(batch.layout, kinds=kinds)
    session = np.arange(len(batch)) // 2
    return Batch(layout, batch.kind, batch.offset, session, batch.values)


def _named(kind: RecordKind) -> RecordKind:
    fields = []
    for number, slot in enumerate(kind.fields):
        is_first = all(one.name != "duration" for one in fields)
        is_duration = is_first and isinstance(slot.source, Column) and slot.source.encoding is Encoding.INTEGER
        name = "duration" if is_duration else ("user", "service", "session")[number] if number < 3 else f"f{number}" + _said(slot.name)
        fields.append(FieldSlot(name, slot.source))
    return RecordKind(
        "e" + _said(kind.event), tuple(f"c{number}" + _said(name) for number, name in enumerate(kind.categories)), tuple(fields), kind.width
    )


def _said(name: str) -> str:
    return name.replace("\0", "")[:200]


def rendered(batch: Batch) -> list[bytes]:
    blocks = list(formats.renderer("dovecot-stats", batch.layout).render(batch))
    return [bytes(block.data)[begin:end] for block in blocks for begin, end in pairwise([0, *block.ends.tolist()])]


def shown(value: object) -> object:
    if isinstance(value, str):
        return value.partition("\0")[0].encode("utf-8", "surrogateescape" if not _lone(value) else "replace").decode("utf-8", "surrogateescape")
    return [shown(item) for item in value] if isinstance(value, list) else value


def _lone(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" and not "\udc80" <= character <= "\udcff" for character in text)


def comparable(value: object) -> object:
    """Without telling U+FFFD from the question mark of Python's replacement."""
    if isinstance(value, str):
        return value.replace("\ufffd", "?")
    return [comparable(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=60)
@given(batch=batches().map(named), live=st.integers(1, 3))
def test_a_stats_process_understands_all_of_it(batch, live) -> None:
    """Fields, categories and begins; too long a record is left out."""
    records = rendered(batch)
    told = Told(parse_filter("event=*"), live=live)
    telling = told.say(b"".join(records), np.cumsum([0, *map(len, records)]).tolist())
    process = StatsProcess()
    process.feed(b"VERSION\tstats-client\t4\t0\n" + telling.data + told.farewell())
    assert not process.alive
    sent = [row for row, fate in zip(batch.rows(), telling.fates.tolist(), strict=True) if fate == 0]
    assert len(process.events) == len(sent)
    for event, (kind, _, row) in zip(process.events, sent, strict=True):
        assert (event.created, len(event.categories)) == (row[0], len(kind.categories))
        due = batch.field_values(kind, row)
        assert event.fields.pop("duration") >= 0
        due.pop("duration", None)
        assert {name: comparable(_plain(value)) for name, value in event.fields.items()} == {
            shown(name): comparable(shown(value)) for name, value in due.items()
        }


def _plain(value: object) -> object:
    return value[1] if isinstance(value, tuple) else value


@settings(max_examples=30)
@given(batch=batches().map(named))
def test_the_reference_kernel_says_the_same(batch) -> None:
    records = rendered(batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dovestorm.formats.rendering.Walker", reference.Walker)
        assert rendered(batch) == records


@settings(max_examples=30)
@given(batch=batches().map(named), size=st.integers(1, 400), slots=st.integers(1, 3))
def test_small_buffers_that_grow_give_the_same_bytes(batch, size, slots) -> None:
    renderer = formats.renderer("dovecot-stats", batch.layout)
    records: list[bytes] = []
    while len(records) < len(batch):
        out, ends = np.empty(size, np.uint8), np.empty(slots, np.int64)
        try:
            count, _ = renderer.render_into(batch, len(records), out, ends)
        except RecordTooLargeError:
            size *= 2
            continue
        records += [out[begin:end].tobytes() for begin, end in pairwise([0, *ends[:count].tolist()])]
    assert records == rendered(batch)


def test_a_layout_without_kinds_is_no_error() -> None:
    layout = Layout("2.3.19", "vm", (), (), ())
    empty = Batch(layout, np.zeros(0, np.int32), *(np.zeros(0, np.int64) for _ in range(3)))
    assert rendered(empty) == []


@pytest.mark.parametrize("first", [Column(2, Encoding.TIMESTAMP, optional=True), Column(2, Encoding.INTEGER)])
def test_a_parent_without_categories_and_fields_is_said(first) -> None:
    """Of a session, whose optional fields are absent; of a process, whose event has no categories."""
    fields = (
        FieldSlot("user", first),
        FieldSlot("service", Column(3, Encoding.INTEGER, optional=True)),
        FieldSlot("duration", Column(4, Encoding.INTEGER)),
    )
    kinds = (RecordKind("e", (), (*fields, FieldSlot("more", Column(5, Encoding.INTEGER))), 6), RecordKind("f", (), (fields[2], fields[0]), 6))
    rows = [[5, 6, ABSENT if first.optional else 7, ABSENT, 1, 2], [5, 6, 8, ABSENT, 1, 2]] * 2
    layout = Layout("2.3.19", "vm", kinds, (), ())
    kind, offset = np.array([0, 1] * 2, np.int32), np.arange(4) * 6
    records = rendered(Batch(layout, kind, offset, np.zeros(4, np.int64), np.array(rows, np.int64).ravel()))
    told = Told(parse_filter("event=*"), live=1)
    telling = told.say(b"".join(records), np.cumsum([0, *map(len, records)]).tolist())
    process = StatsProcess()
    process.feed(b"VERSION\tstats-client\t4\t0\n" + telling.data + told.farewell())
    assert [event.name for event in process.events] == ["e", "f"] * 2
