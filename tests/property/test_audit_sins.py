"""Law: whatever a consumer did to a stream, the audit reports exactly that, whether its tables fit in memory or not."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovestorm.audit import Auditor, read_into, scratch, upcoming

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))

from auditing import findings, oracle, records, reencoded, stream

EVENTS = 400
SMALL = {"_ROOM": 64, "LEAD": 40, "_LOST": 30}
"""The auditor's memory of what it expects, so small that most sins reach beyond it."""


@pytest.fixture(autouse=True, scope="module")
def few_bins():
    """Hundreds of bins for hundreds of events would only make files."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "BINS", 8)
        yield


def audited(received, *, chunk=50, **options):
    """The findings on records that come some at a time."""
    with Auditor(stream(EVENTS), **options) as audit:
        for begin in range(0, len(received), chunk):
            audit.lines(b"".join(record + b"\n" for record in received[begin : begin + chunk]))
        return audit.finish()


@st.composite
def sinned(draw):
    """What comes out of a proxy that drops, doubles and delays records, and puts in some of its own (below 0), by number."""
    received = list(range(EVENTS))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(received) - 1)))
        size = draw(st.integers(1, 60))
        match draw(st.sampled_from(["drop", "double", "delay", "foreign", "shuffle", "again"])):
            case "drop":
                del received[at : at + size]
            case "double":
                received[at:at] = received[at : at + size]
            case "delay":
                held = received[at : at + size]
                del received[at : at + size]
                later = at + draw(st.integers(0, 200))
                received[later:later] = held
            case "foreign":
                received.insert(at, -size)
            case "shuffle":
                received[at : at + size] = draw(st.permutations(received[at : at + size]))
            case "again":
                received += range(size)
    return received


def written(numbers, anew=frozenset()):
    """The records of these numbers, some of them written anew."""
    sent = records(EVENTS)
    texts = [sent[number] if number >= 0 else b'{"event":"none of ours","n":%d}' % -number for number in numbers]
    return [reencoded(text) if number >= 0 and at in anew else text for at, (number, text) in enumerate(zip(numbers, texts, strict=True))]


@settings(max_examples=50)
@given(compare=st.sampled_from(["bytes", "values"]), most_rows=st.sampled_from([10**6, 250]), received=sinned(), chunk=st.sampled_from([7, 50, 1000]))
def test_exactly_the_sins_are_found(compare, most_rows, received, chunk) -> None:
    """Counts, order and distance are those of an oracle that compares every record with every other."""
    received = written(received)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SMALL.items():
            patch.setattr(upcoming, name, value)
        report = audited(received, chunk=chunk, compare=compare, most_rows=most_rows)
    assert findings(report) == oracle(records(EVENTS), received)
    assert report.clean == (sorted(received) == sorted(records(EVENTS)))


@settings(max_examples=20)
@given(received=sinned(), mixed=st.sets(st.integers(0, EVENTS)), most_rows=st.sampled_from([10**6, 250]))
def test_a_record_that_was_written_anew_counts_like_the_original(received, mixed, most_rows) -> None:
    """Law: which records a collector wrote anew, with the same values, changes no finding."""
    for compare in ("bytes", "values"):
        found = findings(audited(written(received, mixed), compare=compare, most_rows=most_rows))
        assert found == oracle(records(EVENTS), written(received))


@settings(max_examples=20)
@given(
    cut=st.dictionaries(st.integers(0, EVENTS - 1), st.integers(1, 200), max_size=20),
    dropped=st.sets(st.integers(0, EVENTS - 1), max_size=20),
    compare=st.sampled_from(["bytes", "values"]),
)
def test_a_record_that_was_cut_off_is_altered_and_not_missing(cut, dropped, compare) -> None:
    sent = records(EVENTS)
    received = [record[: -min(cut[n], len(record) - 1)] if n in cut else record for n, record in enumerate(sent) if n not in dropped]
    cut = {number for number in cut if number not in dropped}
    found = findings(audited(received, compare=compare))
    assert (found["altered"], found["missing"], found["foreign"], found["doubled"]) == (len(cut), len(dropped), 0, 0)


@settings(max_examples=20)
@given(
    changed=st.dictionaries(st.integers(0, EVENTS - 1), st.sampled_from(["field", "end", "start", "both", "event"]), max_size=20),
    dropped=st.sets(st.integers(0, EVENTS - 1), max_size=20),
    compare=st.sampled_from(["bytes", "values"]),
)
def test_a_changed_event_is_one_altered_event(changed, dropped, compare) -> None:
    """Law: a change of a field, of a time, of both times or of the name is one finding, with the names of what changed."""
    sent = list(records(EVENTS))
    for number, what in changed.items():
        sent[number] = _changed(sent[number], what, number)
    found = audited([record for number, record in enumerate(sent) if number not in dropped], compare=compare)
    left = {number: what for number, what in changed.items() if number not in dropped}
    assert (found.altered, found.missing, found.foreign) == (len(left), len(dropped), 0)
    names = {"field": {"fields"}, "end": {"end_time"}, "start": {"start_time"}, "both": {"start_time", "end_time"}, "event": {"event"}}
    if not dropped and "both" not in left.values():
        assert set(found.altered_fields) == set().union(*(names[what] for what in left.values()), set())


def _changed(record: bytes, what: str, number: int) -> bytes:
    import json

    event = json.loads(record)
    if what == "field":
        event["fields"] = None
    if what in {"start", "both"}:
        event["start_time"] = f"1999-01-01T00:00:00.{number:06d}Z"
    if what in {"end", "both"}:
        event["end_time"] = f"1999-01-02T00:00:00.{number:06d}Z"
    if what == "event":
        event["event"] += "_x"
    return json.dumps(event, separators=(",", ":")).encode()


@settings(max_examples=20)
@given(format_name=st.sampled_from(["json", "tab-text", "msgpack"]), time_format=st.sampled_from(["rfc3339", "unix"]), pieces=st.data())
def test_files_of_every_format_are_read(format_name, time_format, pieces) -> None:
    sent = records(EVENTS, format_name, time_format)
    end = b"" if format_name == "msgpack" else b"\n"
    dropped = pieces.draw(st.sets(st.integers(0, EVENTS - 1), max_size=5))
    compare = pieces.draw(st.sampled_from(["auto", "bytes", "values"]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "received"
        path.write_bytes(b"".join(record + end for number, record in enumerate(sent) if number not in dropped))
        with Auditor(stream(EVENTS), format=format_name, time_format=time_format, compare=compare) as audit:
            read_into(audit, path)
            report = audit.finish()
    assert (report.delivered, report.missing, report.altered, report.foreign) == (EVENTS - len(dropped), len(dropped), 0, 0)
    assert np.all([example.place in dropped for example in report.examples.get("missing", ())])
