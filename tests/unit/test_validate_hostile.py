"""Input that is no stream of ours, or tries to hurt: each bad record is one fault, and the rest is still read."""

from __future__ import annotations

import gzip
import io
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from validation import recording, report_on

from dovestorm import catalog
from dovestorm.errors import InputError, UsageError
from dovestorm.validate import Validator, validate_file
from dovestorm.validate.lines import LINE_LIMIT, LineSplitter
from dovestorm.validate.tab_text import unescape
from dovestorm.validate.times import TimeReader

if TYPE_CHECKING:
    from pathlib import Path

    from dovestorm.validate import Report

RECORDS = recording("clean_login")[:20]
LINES = [json.dumps(record, separators=(",", ":")).encode() for record in RECORDS]
GOOD = b"\n".join(LINES) + b"\n"
PACKED = [msgpack.packb(record) for record in RECORDS]
MIB = 1024 * 1024


def check(data: bytes, *, step: int = 4096, **options: Any) -> Report:
    validator = Validator(catalog.load("2.3.19"), **options)
    for at in range(0, len(data), step):
        validator.feed(data[at : at + step])
    return validator.finish()


def tab_line(record: dict[str, Any]) -> bytes:
    def escaped(text: str) -> str:
        return text.translate(str.maketrans({"\0": "\x010", "\x01": "\x011", "\t": "\x01t", "\r": "\x01r", "\n": "\x01n"}))

    def value(given: Any) -> str:
        return escaped("\t".join(map(escaped, given))) if isinstance(given, list) else escaped(str(given))

    tokens = [f"{name}:{escaped(record[name])}" for name in ("event", "hostname", "start_time", "end_time")]
    tokens += [f"category:{name}" for name in record["categories"]]
    tokens += [f"field:{escaped(key)}={value(given)}" for key, given in record["fields"].items()]
    return "\t".join(tokens).encode()


# ---------------------------------------------------------------- JSON lines


def test_the_good_lines_are_good() -> None:
    report = check(GOOD)
    assert report.valid
    assert report.events == len(LINES)


HOSTILE = {
    "binary": bytes(range(256)).replace(b"\n", b"") * 4,
    "nul": b"\0" * 100,
    "nested": b"[" * 100_000,
    "nested maps": b'{"event":' * 100_000,
    "nested and closed": b"[" * 100_000 + b"]" * 100_000,
    "invalid utf-8": LINES[0].replace(b"vm", b"\xff\xfe"),
    "half a line": LINES[0][:100],
    "two records": LINES[0] + LINES[0],
    "no json": b"Nov 23 04:07:50 vm stats: Info: hello",
    "not a number": LINES[0].replace(b'"remote_uid":0', b'"remote_uid":NaN'),
    "lone surrogate": LINES[0].replace(b'"vm"', b'"\\ud800"'),
    "very many digits": b"[" + b"9" * 100_000,
}


@pytest.mark.parametrize("bad", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_unreadable_line_is_one_fault_and_the_rest_is_read(bad: bytes) -> None:
    report = check(LINES[0] + b"\n" + bad + b"\n" + b"\n".join(LINES[1:]))
    assert {rule: finding.count for rule, finding in report.faults.items()} == {"unreadable": 1}, report.to_text()
    assert report.faults["unreadable"].examples[0].position == 2
    assert report.events == len(LINES)


@pytest.mark.parametrize(
    "odd", [b"[]", b"1", b'"event"', b"null", b"{}", b'{"event":[1],"hostname":{},"start_time":"","end_time":"","categories":0,"fields":[]}']
)
def test_a_line_that_is_no_record_is_a_fault(odd: bytes) -> None:
    report = check(GOOD + odd)
    assert set(report.faults) == {"record-shape"}


def test_a_truncated_last_line_is_told_apart() -> None:
    report = check(GOOD[:-60])
    assert set(report.faults) == {"unreadable"}
    assert "cut off" in report.faults["unreadable"].examples[0].reason
    assert report.events == len(LINES) - 1


def test_empty_lines_and_crlf_are_let_pass() -> None:
    assert check(GOOD.replace(b"\n", b"\r\n") + b"\n\n").valid


def test_a_line_of_20_mib_is_one_fault_and_is_not_held() -> None:
    """The limit is 16 MiB; what is held is at most that, a chunk, and one joined copy."""
    piece = b'{"event":"' + b"x" * (64 * 1024)
    validator = Validator(catalog.load("2.3.19"))
    validator.feed(b"\n".join(LINES[:-1]) + b"\n")
    tracemalloc.start()
    for _ in range(20 * 16):
        validator.feed(piece)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    validator.feed(b"\n" + LINES[-1])
    report = validator.finish()
    assert {rule: finding.count for rule, finding in report.faults.items()} == {"too-long": 1}
    assert report.events == len(LINES)
    assert peak < LINE_LIMIT + 2 * MIB


@given(st.lists(st.binary(max_size=12)), st.integers(1, 7))
def test_lines_are_the_same_however_the_bytes_arrive(lines: list[bytes], step: int) -> None:
    data = b"\n".join(lines)
    splitter = LineSplitter(limit=8)
    got = [line for at in range(0, len(data), step) for line in splitter.push(data[at : at + step])] + list(splitter.finish())
    expected = [line if len(line) <= 8 else None for line in data.split(b"\n")]
    assert got == (expected if expected[-1] != b"" else expected[:-1])


REPEATED = {
    "in the record": LINES[0].replace(b'{"event"', b'{"hostname":"vm","event"', 1),
    "in the fields": LINES[0].replace(b'"fields":{', b'"fields":{"duration":1,', 1),
    "hidden by a space": LINES[0].replace(b'"fields":{', b'"fields":{"duration" :1,', 1),
    "hidden by a tab": LINES[0].replace(b'"fields":{', b'"fields":{"duration"\t:1,', 1),
    "hidden by an escape": LINES[0].replace(b'"fields":{', b'"fields":{"durat\\u0069on":1,', 1),
}


@pytest.mark.parametrize("line", REPEATED.values(), ids=REPEATED.keys())
def test_duplicate_key(line: bytes) -> None:
    """A decoder keeps the last of two and hides the first."""
    report = check(line)
    assert "duplicate-key" in report.faults, report.to_text()
    assert check(LINES[0]).valid


def test_a_quotation_mark_and_colon_inside_a_value_are_no_key() -> None:
    record = json.loads(LINES[0])
    record["fields"]["socket_path"] = 'a":b" : c\\":'
    assert check(json.dumps(record, separators=(",", ":")).encode()).valid


def test_a_report_shows_no_control_characters() -> None:
    """A hostile value cannot write on the reader's terminal."""
    record = json.loads(LINES[0])
    record["event"] = "\x1b[2J\u202e\ud7ff" + "x" * 5000
    text = check(json.dumps(record).encode()).to_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 4000


# ---------------------------------------------------------------- times


NO_TIMES = [
    "2026-11-23T04:07:50.81147Z",
    "2026-11-23 04:07:50.811472Z",
    "2026-11-23T04:07:50.811472+",
    "2026-11-23T04:07:50.81147\N{ARABIC-INDIC DIGIT TWO}Z",
    "2026-11-23T25:07:50.811472Z",
    "2026-11-23T04:07:50.-11472Z",
    "2026-11-23T04:07:50,811472Z",
    "20261123T0407500000.811472Z",
    "",
    "now",
    "1795406870.81147",
    "\N{ARABIC-INDIC DIGIT ONE}795406870.811472",
]


@pytest.mark.parametrize("text", NO_TIMES)
def test_these_are_no_times(text: str) -> None:
    assert TimeReader().read(text) is None


@pytest.mark.parametrize("value", [None, True, [], {}, -1.0, 1e300, float("inf"), float("nan"), 10**30])
def test_these_are_no_times_either(value: Any) -> None:
    assert TimeReader().read(value) is None


@given(st.integers(0, 4_000_000_000_000_000))
def test_both_ways_to_write_a_time_are_read_alike(us: int) -> None:
    import datetime as dt

    moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us)
    reader = TimeReader()
    assert reader.read(moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")) == us
    assert reader.read(f"{us // 1_000_000}.{us % 1_000_000:06d}") == us
    assert reader.read(float(f"{us // 1_000_000}.{us % 1_000_000:06d}")) == us


def test_unix_times_need_six_decimals() -> None:
    def line(start: str) -> bytes:
        return (
            LINES[0]
            .replace(f'"{RECORDS[0]["start_time"]}"'.encode(), start.encode())
            .replace(f'"{RECORDS[0]["end_time"]}"'.encode(), b"1795406999.500000")
        )

    assert check(line("1795406999.400000")).valid
    assert set(check(line("1795406999.4")).faults) == {"timestamp"}
    assert set(check(line("1795406999")).faults) == {"timestamp"}


# ---------------------------------------------------------------- tab-text


def test_tab_text_is_recognised_and_read() -> None:
    report = check(b"\n".join(map(tab_line, RECORDS)) + b"\n")
    assert report.valid, report.to_text()
    assert report.events == len(RECORDS)


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        (b"\thostname:vm", b"", "unreadable"),
        (b"category:", b"kategory:", "unreadable"),
        (b"field:socket_path=login", b"field:socket_path", "unreadable"),
        (b"socket_path=login", b"socket_path=lo\x01gin", "unreadable"),
        (b"remote_pid=", b"remote_pid=x", "field-type"),
        (b"remote_pid=", b"remote_uid=", "duplicate-key"),
        (b"remote_pid=", b"pid=", "unknown-field"),
        (b"start_time:2026", b"start_time:20x6", "timestamp"),
        (b"event:", b"event:x", "unknown-event"),
    ],
)
def test_a_broken_tab_text_line_is_rejected(old: bytes, new: bytes, rule: str) -> None:
    lines = [tab_line(record) for record in RECORDS]
    lines[0] = lines[0].replace(old, new, 1)
    validator = Validator(catalog.load("2.3.19"), format="tab-text")
    validator.feed(b"\n".join(lines))
    report = validator.finish()
    assert rule in report.faults, report.to_text()
    assert report.faults[rule].count == 1


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escapes_are_undone(text: str) -> None:
    escaped = text.translate(str.maketrans({"\0": "\x010", "\x01": "\x011", "\t": "\x01t", "\r": "\x01r", "\n": "\x01n"}))
    assert unescape(escaped) == text


# ---------------------------------------------------------------- msgpack


def test_msgpack_is_recognised_and_read() -> None:
    for step in (1, 7, 100_000):
        report = check(b"".join(PACKED), step=step)
        assert report.valid, report.to_text()
        assert report.events == len(PACKED)
        assert report.unit == "record"


BROKEN_PACKS = {
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff",
    "a map of four thousand million": b"\xdf\xff\xff\xff\xff",
    "a text of four thousand million bytes": b"\xdb\xff\xff\xff\xff",
    "bytes that are no type": b"\xc1",
    "nested": b"\x91" * 100_000,
    "a list as a key": b"\x81\x91\x01\x01",
    "half a record": PACKED[0][:-20],
    "garbage": b"\xc1\x00garbage\xff" * 10,
}


@pytest.mark.parametrize("bad", BROKEN_PACKS.values(), ids=BROKEN_PACKS.keys())
def test_a_broken_pack_is_a_fault_and_the_stream_is_taken_up_again(bad: bytes) -> None:
    """Half a record swallows the beginning of the next one, since only lengths separate them."""
    report = check(b"".join(PACKED[:5]) + bad + b"".join(PACKED[5:]))
    assert "unreadable" in report.faults or "record-shape" in report.faults, report.to_text()
    assert report.events >= len(PACKED) - 2, report.to_text()
    assert "byte" in report.to_text()


def test_a_text_that_claims_ten_megabytes_at_the_end_does_not_swallow_what_follows() -> None:
    bad = b"\x81\xa5event\xdb\x00\xa0\x00\x00"
    report = check(b"".join(PACKED[:5]) + bad + b"".join(PACKED[5:]))
    assert set(report.faults) == {"unreadable"}, report.to_text()
    assert report.events == len(PACKED)


def test_a_truncated_pack_is_a_fault() -> None:
    report = check(b"".join(PACKED)[:-5])
    assert set(report.faults) == {"unreadable"}
    assert report.events == len(PACKED) - 1


def test_a_pack_with_a_key_twice() -> None:
    pack = PACKED[0].replace(b"\xaaremote_uid", b"\xaaremote_pid")
    assert "duplicate-key" in check(pack + PACKED[1]).faults


def test_many_false_beginnings_end_quickly() -> None:
    """Each claims more than is left; the search gives up instead of reading the rest again for each."""
    report = check(PACKED[0] + b"\x81\xa5event\xdb\x00\xff\xff\xff" * 20_000, step=MIB)
    assert not report.valid
    assert report.faults["unreadable"].count < 200


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress], ids=["plain", "gzip", "zstd"])
def test_compression_is_recognised_by_its_first_bytes(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(pack(GOOD))
    report = validate_file(path, "2.3.19")
    assert report.valid
    assert report.events == len(LINES)


def test_several_gzip_members_are_one_stream(tmp_path: Path) -> None:
    path = tmp_path / "events.gz"
    path.write_bytes(b"".join(gzip.compress(line + b"\n") for line in LINES))
    assert validate_file(path, "2.3.19").events == len(LINES)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_damaged_compression_is_a_fault_of_the_stream(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(pack(GOOD * 20)[:-20] if pack is gzip.compress else pack(GOOD)[:-9] + b"\0" * 9)
    report = validate_file(path, "2.3.19")
    assert "unreadable" in report.faults
    assert any("compressed" in example.reason for example in report.faults["unreadable"].examples)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_a_bomb_is_read_in_pieces(kind: str, tmp_path: Path) -> None:
    """200 MiB of zeros without a newline in a few hundred KiB: one line that is too long, never held."""
    path = tmp_path / "bomb"
    buffer = io.BytesIO()
    opened: Any = (
        gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=1)
        if kind == "gzip"
        else zstandard.ZstdCompressor().stream_writer(buffer, closefd=False)
    )
    with opened as writer:
        for _ in range(200):
            writer.write(bytes(MIB))
    path.write_bytes(buffer.getvalue())
    tracemalloc.start()
    report = validate_file(path, "2.3.19")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert set(report.faults) == {"too-long"}
    assert peak < LINE_LIMIT + 8 * MIB


def test_an_empty_file_is_valid_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    report = validate_file(path, "2.3.19")
    assert report.valid
    assert report.events == 0


def test_a_file_that_cannot_be_read_is_no_report(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError):
            validate_file(path, "2.3.19")


def test_unknown_options_are_misuse() -> None:
    with pytest.raises(UsageError, match="did you mean 'imap'"):
        check(b"", sections=["imapp"])
    with pytest.raises(UsageError, match="unknown format 'xml'"):
        check(b"", format="xml")


# ---------------------------------------------------------------- reports


def test_examples_are_limited_and_counted() -> None:
    records = [json.loads(line) for line in LINES]
    for record in records:
        record["fields"]["odd"] = 1
    report = report_on(records, max_examples=2)
    finding = report.faults["unknown-field"]
    assert finding.count == len(records)
    assert [example.position for example in finding.examples] == [1, 2]
    assert (finding.examples[0].event, finding.examples[0].field) == (records[0]["event"], "odd")


def test_memory_does_not_grow_with_hostile_shapes() -> None:
    """Three thousand different field names and category lists leave no more behind than the limits say."""
    validator = Validator(catalog.load("2.3.19"))
    for number in range(3000):
        record = json.loads(LINES[0])
        record["fields"][f"odd{number}"] = 1
        record["categories"].append(f"odd{number}")
        validator.feed_record(record, number)
    check = validator._catalog.events[RECORDS[0]["event"]]
    assert len(check.by_categories) <= 2048
    assert sum(len(process.plans) for process in check.by_categories.values()) <= 2048


@given(st.binary(max_size=300))
def test_no_bytes_crash_it(data: bytes) -> None:
    for prefix in (b"", LINES[0][:80], PACKED[0][:40], tab_line(RECORDS[0])[:90]):
        assert check(prefix + data).events >= 0


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.integers(), inner, max_size=3),
)


@given(ANYTHING)
@settings(max_examples=50)
def test_no_record_crashes_it(value: Any) -> None:
    """Any value in any place of a record, and in any field, is a finding or fine."""
    edition = catalog.load("2.3.19")
    time = RECORDS[0]["end_time"]
    validator = Validator(edition)
    base = {"event": "imap_command_finished", "hostname": "mx", "start_time": time, "end_time": time, "categories": ["imap"], "fields": {}}
    for key in base:
        validator.feed_record({**base, key: value}, 1)
    for name, event in edition.events.items():
        fields = {field.name: value for field in event.fields.values()}
        validator.feed_record({**base, "event": name, "categories": list(event.categories), "fields": fields}, 2)
    assert not validator.finish().valid


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (r"\u001f", {"2.3.6": 0, "2.3.19": 0, "2.4.0": 1}),
        (r"\u001F", {"2.3.6": 1, "2.3.19": 1, "2.4.0": 0}),
        (r"\u2028", {"2.3.19": 0, "2.4.0": 0}),
        (r"\\u001F", {"2.3.19": 0, "2.4.0": 0}),
        (r"\\\u001F", {"2.3.19": 1, "2.4.0": 0}),
    ],
)
def test_escapes_are_in_the_case_of_the_edition(text, told):
    """A note: the stream is valid all the same."""
    for version, times in told.items():
        record = (
            '{"event":"imap_command_finished","hostname":"vm","start_time":"2026-11-23T04:07:50.811472Z","end_time":"2026-11-23T04:07:50.811816Z",'
            '"categories":["imap"],"fields":{"cmd_args":"' + text + '"}}'
        )
        validator = Validator(catalog.load(version))
        validator.feed_line(record.encode())
        notes = validator.finish().notes
        assert ("escape-case" in notes) == bool(times), (version, text)
