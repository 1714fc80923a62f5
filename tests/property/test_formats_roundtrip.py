"""Every format round-trips through a decoder that is not ours, whatever texts, numbers and missing fields a stream holds."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import msgpack
import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovestorm import formats
from dovestorm.batch import ABSENT, Batch, Column, Composition, Constant, Encoding, FieldSlot, Hole, Layout, RecordKind
from dovestorm.kernel import RecordTooLargeError, reference

HOSTILE = [
    *("", " ", ",", "=", '"', "\\", '\\"', "}}\n{", "event:x"),
    *("\0", "\x01", "\x01t", "\t", "a\tb\tc", "\n", "\r\n", "\x1b[31m", "\x7f", "\b\f", "\u2028", "\u2029x"),
    *("é", "\ufffd", "\U0001f54a\ufe0f", "\ud800", "\udc80", "\udcff\udcc3\udca9", "a\udc80b", "\udfff"),
    *("é" * 32_768, '"' * 65_536, "x" * 31, "x" * 32, "x" * 255, "x" * 256, "x" * 65_535, "x" * 65_536),
]
TEXT = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=40), st.text(st.characters(codec=None, exclude_categories=()), max_size=8))
LIST = st.lists(TEXT, max_size=17).map(tuple)
INT = st.one_of(st.integers(-40, 300), st.integers(-(2**63), 2**63 - 1), st.integers(0, 63).map(lambda bits: 2**bits - 1))
TIME = st.one_of(st.integers(0, 253_402_300_799_999_999), st.integers(1_795_406_870_000_000, 1_795_406_990_000_000))
NUMBER = st.integers(-(2**62), 2**62)
ADDRESS = st.integers(0, 2**32 - 1)
NAMES = [name for name in formats.names() if name != "dovecot-stats"]
"""The other one holds less (no empty names) and is held against a stats process of its own: test_stats_lines.py."""

SHAPE_COLUMNS = 4
"""Columns that every test shape takes; a shape may call a plainer one from its last."""


@st.composite
def _parts(draw: st.DrawFn, columns: list[int]) -> tuple[str | Hole, ...]:
    """A composed text with at most one hole a column, some of them packed into part of the column's bits."""
    parts: list[str | Hole] = [draw(TEXT)] if draw(st.booleans()) else []
    for column in columns:
        encoding = draw(st.sampled_from([Encoding.INTEGER, Encoding.TEXT, Encoding.ADDRESS]))
        if draw(st.booleans()):
            parts.append(Hole(column, encoding))
        else:
            bits = draw(st.integers(34, 40))
            parts.append(Hole(column, encoding, shift=draw(st.integers(0, 23)), bits=bits, base=-draw(st.integers(0, 20))))
        if draw(st.booleans()):
            parts.append(draw(TEXT))
    return tuple(parts)


class _Filler:
    """Draws rows whose integers mean something."""

    def __init__(self, draw: st.DrawFn, layout: Layout) -> None:
        self.draw = draw
        self.layout = layout
        self.plain = [number for number, text in enumerate(layout.texts) if isinstance(text, str)]

    def row(self, kind: RecordKind) -> list[int]:
        row = [self.draw(TIME), self.draw(TIME), *(0 for _ in range(2, kind.width))]
        for slot in kind.fields:
            if isinstance(slot.source, Composition):
                self.parts(row, slot.source.parts, 0)
            elif isinstance(slot.source, Column):
                self.column(row, slot.source)
        return row

    def column(self, row: list[int], column: Column) -> None:
        if column.optional and self.draw(st.booleans()):
            row[column.index] = ABSENT
        elif column.encoding is Encoding.TEXT:
            self.text(row, column.index, self.draw(st.integers(-len(self.layout.shapes), len(self.layout.texts) - 1)))
        elif column.encoding is Encoding.SESSION_ID:
            row[column.index : column.index + 2] = [self.draw(INT.filter(lambda value: value != ABSENT)), self.draw(ADDRESS)]
        else:
            strategy = {Encoding.INTEGER: INT, Encoding.TIMESTAMP: TIME, Encoding.ADDRESS: ADDRESS}[column.encoding]
            row[column.index] = self.draw(strategy.filter(lambda value: value != ABSENT))

    def text(self, row: list[int], at: int, value: int) -> None:
        row[at] = value
        if value < 0:
            self.parts(row, self.layout.shapes[~value], at + 1)

    def parts(self, row: list[int], parts: tuple[str | Hole, ...], origin: int) -> None:
        for hole in parts:
            if isinstance(hole, Hole):
                self.hole(row, hole, origin + hole.column)

    def hole(self, row: list[int], hole: Hole, at: int) -> None:
        if hole.encoding is Encoding.TEXT:
            deeper = -1 if at + SHAPE_COLUMNS < len(row) and (hole.base < 0 or hole.bits == 64) else 0
            value = self.draw(st.sampled_from([*self.plain, deeper]))
        else:
            value = self.draw(ADDRESS if hole.encoding is Encoding.ADDRESS or hole.bits < 64 else NUMBER)
        if hole.bits < 64:
            row[at] = ((value - hole.base) << hole.shift) | self.draw(st.integers(0, (1 << hole.shift) - 1))
        else:
            row[at] = value
        if value < 0 and hole.encoding is Encoding.TEXT:
            self.parts(row, self.layout.shapes[~value], at + 1)


@st.composite
def _kinds(draw: st.DrawFn) -> RecordKind:
    names = draw(st.lists(TEXT.filter(lambda text: "=" not in text and not _lone(text)), max_size=6, unique=True))
    width, fields = 2, []
    for name in names:
        choice = draw(st.sampled_from(["constant", "composition", *Encoding]))
        if choice == "constant":
            source = Constant(draw(st.one_of(TEXT, INT, LIST)))
        elif choice == "composition":
            source = Composition(draw(_parts([width, width + 1])))
            width += 2 + SHAPE_COLUMNS
        else:
            source = Column(width, choice, optional=draw(st.booleans()))
            width += 2 if choice is Encoding.SESSION_ID else 1 + 2 * SHAPE_COLUMNS
        fields.append(FieldSlot(name, source))
    return RecordKind(draw(TEXT), draw(LIST), tuple(fields), width + SHAPE_COLUMNS)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    texts = ("", *draw(st.lists(st.one_of(TEXT, LIST), max_size=6)))
    plain = tuple(draw(st.lists(st.one_of(TEXT, st.just(Hole(1, Encoding.INTEGER))), max_size=3)))
    shapes = (plain, *draw(st.lists(_parts(list(range(SHAPE_COLUMNS))), max_size=3)))
    edition = draw(st.sampled_from(["2.3.6", "2.3.19", "2.4.0", "2.4.4"]))
    layout = Layout(edition, draw(TEXT), tuple(draw(st.lists(_kinds(), min_size=1, max_size=3))), texts, shapes)
    filler = _Filler(draw, layout)
    kinds = draw(st.lists(st.integers(0, len(layout.kinds) - 1), max_size=5))
    rows = [filler.row(layout.kinds[kind]) for kind in kinds]
    offset = np.cumsum([0, *map(len, rows)])[:-1].astype(np.int64) if rows else np.zeros(0, np.int64)
    values = np.array([value for row in rows for value in row], np.int64)
    return Batch(layout, np.array(kinds, np.int32), offset, np.zeros(len(rows), np.int64), values)


def _lone(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _replaced(value):
    """What a text becomes where every byte that is not UTF-8 is shown as U+FFFD."""
    if isinstance(value, str):
        return "".join("\ufffd" if _lone(character) else character for character in value)
    return [_replaced(item) for item in value] if isinstance(value, (list, tuple)) else value


def _rfc3339(microseconds: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _seconds(microseconds: int) -> Decimal:
    return Decimal(microseconds) / 1_000_000


def _expected(batch: Batch, time):
    """The records as nested Python values, from ``Batch.field_values`` and not from any renderer."""
    for kind, _, row in batch.rows():
        fields = batch.field_values(kind, row)
        for slot in kind.fields:
            if isinstance(slot.source, Column) and slot.source.encoding is Encoding.TIMESTAMP and slot.name in fields:
                fields[slot.name] = time(fields[slot.name])
        yield {
            "event": kind.event,
            "hostname": batch.layout.hostname,
            "start_time": time(row[0]),
            "end_time": time(row[1]),
            "categories": list(kind.categories),
            "fields": fields,
        }


def _records(batch: Batch, name: str, **options) -> list[bytes]:
    blocks = list(formats.renderer(name, batch.layout, **options).render(batch))
    assert sum(map(len, blocks)) == len(batch)
    records = []
    for block in blocks:
        ends = [0, *block.ends.tolist()]
        assert ends[-1] == len(block.data)
        records += [bytes(block.data[begin:end]) for begin, end in pairwise(ends)]
    return records


def _ordered(record):
    return [list(record), list(record["fields"])]


@settings(max_examples=40)
@given(batch=batches(), time_format=st.sampled_from(formats.TIME_FORMATS))
def test_json_round_trips(batch, time_format) -> None:
    """A public parser gives back every value, in Dovecot's key order, one record a line."""
    lines = _records(batch, "json", time_format=time_format)
    for line, expected in zip(lines, _expected(batch, _rfc3339 if time_format == "rfc3339" else _seconds), strict=True):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        record = json.loads(line, parse_float=Decimal)
        assert record == {key: _json_fields(value) for key, value in expected.items()}
        assert _ordered(record) == _ordered(expected)
        assert orjson.loads(line).keys() == record.keys()


def _json_fields(value):
    return {name: _replaced(item) for name, item in value.items()} if isinstance(value, dict) else _replaced(value)


@settings(max_examples=50)
@given(batch=batches(), time_format=st.sampled_from(formats.TIME_FORMATS))
def test_msgpack_is_what_the_public_packer_writes(batch, time_format) -> None:
    """Byte for byte, so headers are as short as they can be; and the whole stream unpacks again."""
    records = _records(batch, "msgpack", time_format=time_format)
    expected = [
        {key: _json_fields(value) for key, value in record.items()}
        for record in _expected(batch, _rfc3339 if time_format == "rfc3339" else lambda microseconds: microseconds / 1e6)
    ]
    assert records == [msgpack.packb(record, use_bin_type=True) for record in expected]
    unpacker = msgpack.Unpacker()
    unpacker.feed(b"".join(records))
    assert list(unpacker) == expected


@settings(max_examples=50)
@given(batch=batches(), time_format=st.sampled_from(formats.TIME_FORMATS))
def test_tab_text_round_trips(batch, time_format) -> None:
    """A parser of a few lines gives back every value; bytes that were not UTF-8 are the same bytes again."""
    time = _rfc3339 if time_format == "rfc3339" else lambda microseconds: f"{_seconds(microseconds):.6f}"
    for line, expected in zip(_records(batch, "tab-text", time_format=time_format), _expected(batch, time), strict=True):
        assert line.endswith(b"\n")
        assert line.count(b"\n") == 1
        tokens = [token.split(b":", 1) for token in line[:-1].split(b"\t")]
        flat = [(key, value) for key, value in expected.items() if key not in {"categories", "fields"}]
        flat += [("category", category) for category in expected["categories"]]
        assert [key.decode() for key, _ in tokens] == [*(key for key, _ in flat), *("field" for _ in expected["fields"])]
        for (_, token), (_, value) in zip(tokens, flat, strict=False):
            assert _unescaped(token) == _raw(value)
        for (_, token), (name, value) in zip(tokens[len(flat) :], expected["fields"].items(), strict=True):
            key, shown = token.split(b"=", 1)
            assert _unescaped(key) == _raw(name)
            if isinstance(value, list):
                assert [_unescaped(item) for item in _unescaped(shown).split(b"\t")] == ([_raw(item) for item in value] or [b""])
            else:
                assert _unescaped(shown) == _raw(str(value))


def _unescaped(data: bytes) -> bytes:
    pieces = data.split(b"\x01")
    return pieces[0] + b"".join({b"0": b"\0", b"1": b"\x01", b"t": b"\t", b"r": b"\r", b"n": b"\n"}[piece[:1]] + piece[1:] for piece in pieces[1:])


def _raw(text: str) -> bytes:
    return b"".join(
        character.encode("utf-8", "surrogateescape") if not _lone(character) or "\udc80" <= character <= "\udcff" else b"\xef\xbf\xbd"
        for character in text
    )


@settings(max_examples=40)
@given(batch=batches(), name=st.sampled_from(NAMES), size=st.integers(1, 400), slots=st.integers(1, 3))
def test_small_buffers_that_grow_give_the_same_bytes(batch, name, size, slots) -> None:
    renderer = formats.renderer(name, batch.layout)
    records, first = [], 0
    while first < len(batch):
        out, ends = np.zeros(size, np.uint8), np.zeros(slots, np.int64)
        try:
            count, used = renderer.render_into(batch, first, out, ends)
        except RecordTooLargeError:
            size *= 2
            continue
        assert count >= 1
        assert used == ends[count - 1]
        records += [out[begin:end].tobytes() for begin, end in pairwise([0, *ends[:count].tolist()])]
        first += count
    assert records == _records(batch, name)


@settings(max_examples=40)
@given(batch=batches(), name=st.sampled_from(NAMES), time_format=st.sampled_from(formats.TIME_FORMATS))
def test_the_reference_kernel_renders_the_same_records(batch, name, time_format) -> None:
    expected = _records(batch, name, time_format=time_format)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dovestorm.formats.rendering.Walker", reference.Walker)
        assert _records(batch, name, time_format=time_format) == expected
