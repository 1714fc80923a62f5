"""The audit's parts: what collectors make of records, torn lines, the join, temporary files, the report, and the command."""

from __future__ import annotations

import gzip
import io
import json
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from auditing import SCENARIO, SEED, findings, oracle, records, reencoded, stream

from dovestorm.audit import PRECISIONS, Arrivals, Auditor, audit
from dovestorm.audit.bits import Bits
from dovestorm.audit.joining import join
from dovestorm.errors import DovestormError, InputError, UsageError
from dovestorm.stream import Limits, open_stream

if TYPE_CHECKING:
    from pathlib import Path

EVENTS = 400
STREAM = ["--scenario", SCENARIO, "--seed", str(SEED), "--events", str(EVENTS)]


def audited(lines, **options):
    with Auditor(stream(EVENTS), **options) as auditor:
        auditor.lines(b"".join(line + b"\n" for line in lines))
        return auditor.finish()


def with_time(record: bytes, write) -> bytes:
    event = json.loads(record)
    for name in ("start_time", "end_time"):
        event[name] = write(event[name])
    return json.dumps(event).encode()


def seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


COLLECTORS = {
    "syslog header": (lambda record: b"<30>1 2026-03-02T09:00:00Z mail01 stats - - - " + record, {}),
    "carriage return": (lambda record: record + b"\r", {}),
    "other order and more entries": (reencoded, {}),
    "unix seconds": (lambda record: with_time(record, seconds), {}),
    "microseconds": (lambda record: with_time(record, lambda text: round(seconds(text) * 1e6)), {}),
    "nanoseconds as text": (lambda record: with_time(record, lambda text: f"{round(seconds(text) * 1e6)}000"), {}),
    "another zone": (lambda record: with_time(record, lambda text: text.replace("Z", "+00:00")), {}),
    "nine digits": (lambda record: with_time(record, lambda text: text.replace("Z", "000Z")), {}),
    "milliseconds": (lambda record: with_time(record, lambda text: f"{text[:23]}Z"), {"precision": PRECISIONS["ms"]}),
    "rounded milliseconds": (
        lambda record: with_time(record, lambda text: round(seconds(text), 3)),
        {"precision": PRECISIONS["ms"], "rounded": True},
    ),
    "another host": (lambda record: record.replace(b'"mail01"', b'"relay"'), {"ignore": ("hostname",)}),
    "another port": (lambda record: record.replace(b'"client_port":', b'"client_port":1'), {"ignore": ("client_port",)}),
    "text in a field": (lambda record: json.dumps({"message": record.decode()}).encode(), {"field": "message"}),
    "map in a field": (lambda record: b'{"log": %s}' % record, {"field": "log"}),
    "numbers as texts": (
        lambda record: json.dumps(
            {**json.loads(record), "fields": {k: str(v) if isinstance(v, int) else v for k, v in json.loads(record)["fields"].items()}}
        ).encode(),
        {"untyped": True},
    ),
    "whole floats": (
        lambda record: json.dumps(
            {**json.loads(record), "fields": {k: float(v) if isinstance(v, int) else v for k, v in json.loads(record)["fields"].items()}}
        ).encode(),
        {},
    ),
}


@pytest.mark.parametrize("compare", ["auto", "bytes", "values"])
@pytest.mark.parametrize("collector", COLLECTORS)
def test_what_collectors_do_is_understood(collector, compare) -> None:
    """The same events in other clothes are delivered, and a change inside is still seen."""
    write, options = COLLECTORS[collector]
    lines = [write(record) for record in records(EVENTS)]
    assert audited(lines, compare=compare, **options).clean
    lines[7] = lines[7].replace(b"auth_userdb", b"auth_passdb")
    del lines[70]
    report = audited(lines, compare=compare, **options)
    assert (report.altered, report.missing, report.delivered) == (1, 1, EVENTS - 2)
    assert set(report.altered_fields) == {"event"}


def test_without_the_option_the_difference_is_named() -> None:
    lines = [record.replace(b'"mail01"', b'"relay"') for record in records(EVENTS)]
    report = audited(lines)
    assert (report.altered, report.altered_fields, report.missing, report.foreign) == (EVENTS, {"hostname": EVENTS}, 0, 0)
    assert report.examples["altered"][0].detail == 'hostname "mail01" became "relay"'


@pytest.mark.parametrize("compare", ["bytes", "values"])
def test_an_altered_record_belongs_to_the_event_that_it_is_most_like(compare) -> None:
    """Of events with the same name and times the first is lost, and the last is altered: it is told from the lost one."""

    def coarse(place: int) -> str:
        event = json.loads(records(EVENTS)[place])
        return json.dumps({**event, "start_time": event["start_time"][:16], "end_time": event["end_time"][:16]})

    lines, alike = list(records(EVENTS)), {}
    for number, line in enumerate(lines):
        event = json.loads(line)
        alike.setdefault((event["event"], event["start_time"][:16], event["end_time"][:16]), []).append(number)
    groups = [group for group in alike.values() if len(group) > 2]
    altered = [(number, group[-2 + number]) for group in groups for number in (0, 1)]
    for number, place in reversed(altered):
        event = json.loads(lines[place])
        event["fields"][f"altered_{number}"] = "x"
        event["hostname"] = "relay"
        lines[place] = json.dumps(event).encode()
    lost = {group[0] for group in groups}
    received = [line for number, line in enumerate(lines) if number not in lost]
    report = audited(received[::-1], compare=compare, precision=60_000_000, examples=EVENTS)
    assert len(groups) > 5
    assert (report.altered, report.missing, report.foreign) == (len(altered), len(groups), 0)
    assert report.altered_fields == {"hostname": len(altered), "altered_0": len(groups), "altered_1": len(groups)}
    assert sorted(coarse(example.place) for example in report.examples["missing"]) == sorted(map(coarse, lost))


def test_a_consumer_that_was_killed_and_began_anew(tmp_path: Path) -> None:
    """It wrote part of a line, then all from the beginning: the part is foreign and broken, what came before it doubled, nothing missing."""
    whole = b"".join(record + b"\n" for record in records(EVENTS))
    path = tmp_path / "received"
    path.write_bytes(whole[: len(whole) // 3] + whole)
    report = audit(stream(EVENTS), [path])
    before = whole[: len(whole) // 3].count(b"\n")
    assert (report.delivered, report.doubled, report.foreign, report.unreadable, report.missing) == (EVENTS, before, 1, 1, 0)


def test_a_consumer_that_was_killed_and_went_on(tmp_path: Path) -> None:
    """It lost what it had in memory: the part of a line is its event, altered; the rest up to the restart is missing."""
    sent = records(EVENTS)
    path = tmp_path / "received"
    path.write_bytes(b"\n".join(sent[:100]) + b"\n" + sent[100][:-30] + b"\n".join(sent[130:]))
    report = audit(stream(EVENTS), [path])
    assert (report.altered, report.missing, report.foreign, report.delivered) == (1, 29, 0, EVENTS - 30)
    assert [example.place for example in report.examples["missing"]] == [101, 102, 103, 104, 105]


def test_sessions_are_named() -> None:
    lines = list(records(EVENTS))
    session = [event.session for event in __import__("dovestorm").generate(SCENARIO, seed=SEED, events=EVENTS)]
    report = audited(lines[:30] + lines[33:])
    assert report.affected == tuple(dict.fromkeys(session[30:33]))
    assert report.sessions == {"any": len(set(session[30:33])), "missing": len(set(session[30:33]))}
    assert [example.session for example in report.examples["missing"]] == session[30:33]


def test_nothing_received_and_the_wrong_stream() -> None:
    assert audited([]).missing == EVENTS
    other = [record.replace(b"2026-03-02", b"2031-01-01").replace(b"_", b"-") for record in records(EVENTS)]
    report = audited(other)
    assert report.received == EVENTS == report.altered + report.foreign
    assert report.expected == report.delivered + report.altered + report.missing


def test_hostile_records_are_counted(tmp_path: Path) -> None:
    bad = [b"", b"{", b"[" * 5000, b'{"event":1,"fields":[]}', b'{"event":"x","start_time":1e999}', b"\xff\xfe", b'{"a":"' + b"x" * 70000, b"null"]
    report = audited([*records(EVENTS), *bad])
    assert (report.delivered, report.foreign) == (EVENTS, len(bad) - 1)
    assert json.loads(json.dumps(report.to_dict()))["foreign"] == len(bad) - 1
    assert "\n    received as" in report.to_text()


def test_files_one_after_another_and_compressed(tmp_path: Path) -> None:
    first, second = tmp_path / "a.gz", tmp_path / "b"
    first.write_bytes(gzip.compress(b"".join(record + b"\n" for record in records(EVENTS)[:150])))
    second.write_bytes(b"\n".join(records(EVENTS)[150:]))
    assert audit(stream(EVENTS), [first, second]).clean
    assert findings(audit(stream(EVENTS), [second, first]))["out_of_order"] == 150
    first.write_bytes(first.read_bytes()[:-200])
    with pytest.raises(InputError, match="an audit needs all of it"):
        audit(stream(EVENTS), [first])
    with pytest.raises(InputError, match="cannot be read"):
        audit(stream(EVENTS), [tmp_path / "none"])


def test_events_that_are_the_same_are_counted() -> None:
    """A multiset: three of five equal keys, and keys that agree in one of two words only."""
    joined = join(
        tuple(np.array(k, np.uint64) for k in ([5, 5, 9, 5], [1, 1, 1, 2])), tuple(np.array(k, np.uint64) for k in ([5, 5, 5, 9, 5], [2, 1, 3, 1, 2]))
    )
    pairs = dict(zip(joined.received.tolist(), joined.expected.tolist(), strict=True))
    assert pairs == {0: 3, 1: 0, 3: 2}
    assert (joined.surplus.tolist(), joined.original.tolist(), joined.unknown.tolist()) == ([4], [3], [2])


@pytest.mark.parametrize(("first", "count"), [(0, 64), (0, 65), (7, 99), (13, 1000), (4090, 70_000)])
def test_a_stretch_of_numbers_is_in_a_set_and_its_neighbours_are_not(first, count) -> None:
    bits = Bits()
    bits.add(np.array([3, 200_000]))
    bits.add(np.arange(first, first + count))
    held = {3, 200_000, *range(first, first + count)}
    asked = np.array(sorted({*range(first + 20), *range(first + count - 20, first + count + 20), 200_000}))
    assert bits.has(asked).tolist() == [number in held for number in asked.tolist()]
    assert len(bits) == len(held)


def test_what_is_all_well_needs_no_disk() -> None:
    """Nor what is doubled or lost here and there, beyond its own few rows."""
    lines = list(records(EVENTS))
    assert audited(lines, most_rows=1).scratch_bytes == 0
    report = audited([*lines[:20], *lines[19:40], *lines[41:]], most_rows=10)
    assert (report.doubled, report.missing, report.scratch_bytes) == (1, 1, 0)


def test_of_events_that_are_the_same_the_one_that_is_lost_is_named() -> None:
    """The other comes in its own place, and is neither out of order nor missing."""
    wanted = open_stream("working-day", seed=1, limits=Limits(events=1000))
    lines = b"".join(bytes(block.data) for block in wanted.blocks("json")).splitlines(keepends=True)
    first, second = next((lines.index(line), number) for number, line in enumerate(lines) if line in lines[:number])
    for lost in (first, second):
        with Auditor(wanted) as auditor:
            auditor.lines(b"".join(lines[:lost] + lines[lost + 1 :]))
            report = auditor.finish()
        assert [example.place for example in report.examples["missing"]] == [lost]
        assert (report.delivered, report.missing, report.doubled, report.out_of_order) == (999, 1, 0, 0)


def test_a_full_disk_is_told(tmp_path: Path) -> None:
    """Temporary files that cannot grow end the audit with a reason."""
    path = tmp_path / "received"
    path.write_bytes(b"\n".join(reversed(records(EVENTS))))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64, limits[1]))
    try:
        with pytest.raises(DovestormError, match="temporary files cannot be written: File too large"):
            audit(stream(EVENTS), [path], most_rows=100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_latency_counts_from_the_first_arrival() -> None:
    """Every event comes 5 ms after it is due at twice the speed, but the last ones: 2 s."""
    arrivals = Arrivals(speed=2.0, wall=False)
    sent = records(EVENTS)
    due = [event.end_us for event in __import__("dovestorm").generate(SCENARIO, seed=SEED, events=EVENTS)]
    with Auditor(stream(EVENTS), arrivals=arrivals) as auditor:
        for number, record in enumerate(sent):
            late = 0 if number == 0 else 5_000 if number < EVENTS - 20 else 2_000_000
            auditor.record(record, 10**15 + (due[number] - due[0]) // 2 + late)
        latency = auditor.finish().latency
    assert latency is not None
    assert latency.events == EVENTS
    assert latency.p50_ms == pytest.approx(5, rel=0.05)
    assert (latency.p99_ms, latency.max_ms) == (pytest.approx(2000, rel=0.05), pytest.approx(2000, rel=0.001))


def test_options_that_cannot_be() -> None:
    with pytest.raises(UsageError, match="compare: 'x', must be one of"):
        Auditor(stream(EVENTS), compare="x")
    with pytest.raises(UsageError, match="unknown format 'jsn', did you mean 'json'"):
        Auditor(stream(EVENTS), format="jsn")
    with pytest.raises(UsageError, match="no temporary files can be made there"):
        Auditor(stream(EVENTS), scratch="/nowhere/at/all")


def run(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-m", "dovestorm", *arguments], input=stdin, capture_output=True, timeout=120)


def test_the_command(tmp_path: Path) -> None:
    sent = records(EVENTS)
    done = run("audit", *STREAM, "-", stdin=b"\n".join(sent))
    assert (done.returncode, done.stdout.splitlines()[1]) == (0, b"  delivered once 400, missing 0, doubled 0, altered 0, foreign 0")
    shuffled = io.BytesIO(b"\n".join([sent[9], *sent[:9], *sent[10:]])).getvalue()
    assert run("audit", *STREAM, "-", stdin=shuffled).returncode == 0
    assert run("audit", *STREAM, "--in-order", "-", stdin=shuffled).returncode == 1
    done = run("audit", *STREAM, "--json", "-", stdin=b"\n".join(sent[:-3]))
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert {name: told[name] for name in oracle(sent, sent)} == oracle(sent, sent[:-3])
    assert run("audit", *STREAM, str(tmp_path / "none")).returncode == 2
    assert run("audit", "--scenario", "imap-logn", "-").returncode == 2


@pytest.mark.parametrize("anew", [False, True])
def test_what_was_made_beforehand_counts_once(anew) -> None:
    """A live audit is ready before the first record comes; where that is one that was written anew, it begins again."""
    with Auditor(stream(EVENTS), ahead=True) as auditor:
        assert auditor.made == EVENTS
        for record in records(EVENTS):
            auditor.record(reencoded(record) if anew else record)
        report = auditor.finish()
    assert (report.clean, report.expected, report.compared) == (True, EVENTS, "values" if anew else "bytes")
