"""The sink ``dovecot-stats:`` against a stats process of our own that is as strict as the real one: what it says, and when it must begin anew."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sink_peers import PATIENCE_S, make_block
from stats_batches import HOSTILE, KINDS, LAYOUT, START, TOO_LONG, as_json, blocks, expected, make_batch, plain, some_sessions
from stats_peer import RefusedError, StatsPeer, StatsProcess

from dovestorm import formats, sinks
from dovestorm.batch import Batch, Column, Constant, Encoding, FieldSlot, RecordKind
from dovestorm.clock import FakeClock
from dovestorm.errors import DeliveryError, FormatError, UsageError
from dovestorm.kernel.pieces import LAST_MICROSECOND
from dovestorm.sinks import Options, Stopped
from dovestorm.sinks import stats_telling as telling
from dovestorm.sinks.event_filter import parse_filter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOVESTORM = (sys.executable, "-m", "dovestorm")
SERVER = b"VERSION\tstats-server\t4\t0\n"


@pytest.fixture
def place(tmp_path) -> Path:
    return tmp_path / "stats-writer"


def send(url: str, *batches: Batch, **options) -> sinks.Tally:
    sink = sinks.open_url(url, options=Options(clock=FakeClock(), **options))
    sink.open()
    for batch in batches:
        for block in blocks(batch):
            sink.write(block)
    sink.close()
    return sink.tally


def said(batch: Batch, text: str = "event=*", *, live: int = telling.LIVE_PARENTS) -> bytes:
    """What goes over one connection after its greeting."""
    told = telling.Told(parse_filter(text), live=live)
    parts = [told.say(bytes(block.data), [0, *block.ends.tolist()]).data for block in blocks(batch)]
    return b"".join([*parts, told.farewell()])


def heard(data: bytes) -> StatsProcess:
    process = StatsProcess()
    process.feed(b"VERSION\tstats-client\t4\t0\n" + data)
    return process


def write_all(sink, blocks) -> None:
    for block in blocks:
        sink.write(block)


def test_every_event_arrives_as_json_has_it(place) -> None:
    """Names, begins, durations, categories, and fields in their order: parents are a way to say it, not a loss."""
    batch = some_sessions(30)
    with StatsPeer(place) as peer:
        tally = send(peer.url, batch)
    assert peer.complaints == []
    assert (tally.written, tally.acknowledged, tally.undelivered, tally.unasked) == (len(batch), None, 0, 0)
    assert [plain(event) for event in peer.events] == [expected(record) for record in as_json(batch)]


def test_parents_are_begun_once_updated_and_ended() -> None:
    """Two sessions share the process's event; each has its own, whose user changes once."""
    batch = make_batch([(2, session, {"user": user}) for user in (2, 2, 3) for session in (8, 9)])
    process = heard(said(batch))
    assert process.commands == {"VERSION": 1, "CATEGORY": 4, "BEGIN": 3, "EVENT": 6, "UPDATE": 2, "END": 3}
    assert not process.alive
    assert [event.fields["user"] for event in process.events] == [HOSTILE[2]] * 4 + [HOSTILE[3]] * 2


def test_a_parent_whose_fields_come_or_go_is_begun_anew() -> None:
    """An update keeps what it does not name, and appends what is new: the order would be another than the server's."""
    batch = make_batch([(3, 1, {"n": 5}), (3, 1, {}), (3, 1, {"n": 6})])
    process = heard(said(batch))
    assert (process.commands["BEGIN"], process.commands["END"], "UPDATE" in process.commands) == (3, 3, False)
    assert [list(event.fields)[:3] for event in process.events] == [["user", "n", "duration"], ["user", "duration"], ["user", "n", "duration"]]


def test_parents_that_are_not_used_are_ended_and_come_back() -> None:
    """So many sessions never live in the server at once; each event is still whole."""
    order = [*range(50), *range(50), 7, 7, 49, 0]
    batch = make_batch([(kind, session, {"user": session % 5}) for session in order for kind in (2, 3)])
    process = heard(said(batch, live=10))
    assert process.most_alive <= 21
    assert [plain(event) for event in process.events] == [expected(record) for record in as_json(batch)]


def test_a_parent_begins_with_its_first_event_and_says_nothing_of_the_ones_left_out() -> None:
    batch = make_batch([(3, 1, {"at": START}), (3, 2, {"at": START + 5_000_007})])
    lines = said(batch, "user=nobody OR event=of_a_process").splitlines()
    assert lines == []
    begun = [line.split(b"\t")[4:6] for line in said(batch).splitlines() if line.startswith(b"BEGIN")]
    assert begun == [[b"%d" % (at // 1_000_000), b"%d" % (at % 1_000_000)] for at in (START, START + 5_000_007)]


NEVER_SAID = {
    "a last sending before the begin, which kills it": [(1, 0, {"took": -1}), (1, 0, {"took": -(2**62)}), (5, 0, {"end": START - 9})],
    "a last sending beyond all time": [(1, 0, {"took": 2**63 - 1}), (0, 0, {"at": LAST_MICROSECOND, "took": 1})],
    "a million microseconds": [(1, 0, {"at": 999_999, "took": 1}), (3, 0, {"when": 1_999_999})],
    "a number without 64 bits": [(0, 0, {"n": 2**63 - 1}), (0, 0, {"n": -(2**63) + 1})],
    "a missing value": [(3, 0, {"user": 0, "n": 0}), (2, 1, {"user": 0})],
    "a short list": [(1, 0, {"reason": len(HOSTILE) + number}) for number in range(3)],
    "an empty line, an unknown command": [(kind, 0, {"user": 3, "reason": 7}) for kind in (1, 2, 3)],
    "an unregistered category": [(kind, kind, {}) for kind in range(len(KINDS))],
    "an id that is none": [(3, -1, {}), (3, -(2**63), {}), (3, 2**63 - 1, {}), (2, 2**62, {})],
}


@pytest.mark.parametrize("what", NEVER_SAID)
def test_what_ends_the_connection_is_never_said(what) -> None:
    """Source: the inputs after which a real 2.3.19 closed the connection or fell."""
    batch = make_batch(NEVER_SAID[what])
    process = heard(said(batch))
    assert len(process.events) == len(batch)


@pytest.mark.parametrize(
    "line",
    [
        b"EVENT\t0\t0\t0\t5\t0\tl4\t999999\tnx\n",
        b"EVENT\t0\t0\t0\t5\t1000000\tnx\n",
        b"EVENT\t0\t0\t6\t5\t0\tnx\n",
        b"EVENT\t0\t9\t0\t5\t0\tnx\n",
        b"EVENT\t0\t0\t0\t5\t0\tnx\tcnone\n",
        b"EVENT\t0\t0\t0\t5\t0\tnx\tIa\t1.5\n",
        b"EVENT\t0\t0\t0\t5\t0\tnx\tSa\n",
        b"EVENT\t0\t0\t0\t5\t0\tnx\tS\ta\n",
        b"EVENT\t0\t0\t0\t5\t0\tnx\tLa\t2\tb\n",
        b"BEGIN\t1\t0\t0\t5\t0\nBEGIN\t1\t0\t0\t5\t0\n",
        b"UPDATE\t1\t0\t5\t0\n",
        b"END\t1\n",
        b"CATEGORY\ta\nCATEGORY\tb\nCATEGORY\ta\tb\n",
        b"\n",
        b"SAY\t1\n",
        b"EVENT\t0\t0\t0\t5\t0\tnx\tSa\t" + b"y" * 131_072 + b"\n",
    ],
)
def test_our_own_stats_process_refuses_what_a_real_one_refuses(line) -> None:
    """The tests around this one can fail."""
    with pytest.raises(RefusedError):
        heard(line)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (RecordKind("", (), (), 7), "the event name '' cannot be sent"),
        (RecordKind("e\0", (), (), 7), "the event name"),
        (RecordKind("e", ("",), (), 7), "the category name ''"),
        (RecordKind("e", (), (FieldSlot("", Constant("x")),), 7), "the field name ''"),
        (RecordKind("e", (), (FieldSlot("\0k", Constant("x")),), 7), "the field name"),
        (RecordKind("e", (), (FieldSlot("n", Constant(2**63)),), 7), "a 64-bit integer"),
    ],
)
def test_what_cannot_be_said_is_refused_before_anything_is(kind, message) -> None:
    with pytest.raises(FormatError, match=message):
        formats.renderer("dovecot-stats", replace(LAYOUT, kinds=(kind,)))


@pytest.mark.parametrize("own", [{"at": -1}, {"at": LAST_MICROSECOND + 1}, {"when": -5}])
def test_a_moment_outside_all_time_is_an_error(own) -> None:
    with pytest.raises(FormatError, match="record 1: time outside the years 1970 to 9999"):
        blocks(make_batch([(1, 0, {}), (1, 0, own)]))


def test_a_category_keeps_the_parent_that_a_real_process_announced(place) -> None:
    """Registration is common to all connections: another parent would cost us ours, or a real process its own."""
    with StatsPeer(place) as peer:
        peer.known |= {"storage": None, "mailbox": "storage", "mail": "mailbox", "sql": None, "sqlite": "sql"}
        send(peer.url, some_sessions(2))
    assert peer.complaints == []
    assert len(peer.events) == len(some_sessions(2))


def test_a_record_too_long_for_the_server_is_told_and_the_others_arrive(place) -> None:
    batch = make_batch([(kind, session, {"user": session}) for session in range(4) for kind in (2, 3, 5)], TOO_LONG)
    with StatsPeer(place) as peer:
        tally = send(peer.url, batch)
    assert (tally.written, tally.undelivered, peer.complaints) == (6, 6, [])
    assert tally.fault == f"{peer.url}: an event of more than 131,072 bytes, which a stats process does not read; shorten it"


@pytest.mark.parametrize("bytes_read", [26, 500, 3_000, 40_000])
def test_after_a_loss_it_introduces_itself_anew(place, bytes_read) -> None:
    """Categories and parents belong to a connection; the new one is told them again, and no event is said twice to it."""
    batches = [some_sessions(40) for _ in range(3)]
    with StatsPeer(place, leave_after=(bytes_read,)) as peer:
        tally = send(peer.url, *batches)
    assert peer.complaints == []
    assert (tally.written, tally.reconnects, len(peer.processes)) == (sum(map(len, batches)), 1, 2)
    due = [expected(record) for batch in batches for record in as_json(batch)]
    second = [plain(event) for event in peer.processes[1].events]
    assert second == due[len(due) - len(second) :]


def test_only_what_is_asked_for_is_sent_and_the_rest_is_no_loss(place) -> None:
    batch = some_sessions(10)
    greeting = SERVER + b'FILTER\t(event="of_a_request" AND "user"="tab*") OR (category="auth-client")\n'
    with StatsPeer(place, greeting=greeting) as peer:
        tally = send(peer.url, batch)
    due = [
        record
        for record in map(expected, as_json(batch))
        if "auth-client" in record["categories"] or (record["event"] == "of_a_request" and dict(record["fields"])["user"].startswith("tab"))
    ]
    assert [plain(event) for event in peer.events] == due
    assert (tally.written, tally.unasked, tally.undelivered) == (len(due), len(batch) - len(due), 0)


def test_a_filter_that_comes_later_holds_from_then_on(place) -> None:
    """As after ``doveadm stats add``; an empty one asks for nothing."""
    batch = some_sessions(5)
    with StatsPeer(place, greeting=SERVER + b"FILTER\t\n") as peer:
        sink = sinks.open_url(peer.url)
        sink.open()
        for block in blocks(batch):
            sink.write(block)
        assert (sink.tally.written, sink.tally.unasked) == (0, len(batch))
        peer.connections[0].sendall(b'FILTER\t(event="old")\nFILTER\t(event="bare")\n')
        for block in blocks(batch):
            sink.write(block)
        sink.close()
    assert (sink.tally.written, sink.tally.unasked) == (15, 2 * len(batch) - 15)
    assert {event.name for event in peer.events} == {"bare"}
    assert peer.count("BEGIN") == 0


@pytest.mark.parametrize(
    ("greeting", "message"),
    [
        (b"VERSION\tstats-server\t3\t0\n", "the stats process speaks version 3 of its protocol, we speak 4: Dovecot 2.3.18 or later is needed"),
        (b"VERSION\tauth\t1\t2\n", "no stats process answers there .*give the path of a Dovecot's stats-writer socket"),
        (b"220 mail.example.com ESMTP\r\n", "no stats process answers there \\(it says '220 mail"),
        (b"* OK ready", "no stats process answers there"),
        (b"VERSION\tstats-server\n", "no stats process answers there"),
    ],
)
def test_who_is_no_stats_process_is_told_at_once(place, greeting, message) -> None:
    """Trying again would not help, and nothing was lost."""
    with StatsPeer(place, greeting=greeting) as peer:
        with pytest.raises(DeliveryError, match=message):
            sinks.open_url(peer.url).open()
        assert len(peer.processes) == 1


def test_who_asks_for_nothing_in_time_is_given_up(place) -> None:
    class Hasty(FakeClock):
        def monotonic(self) -> float:
            self.now += 1
            return self.now

    with StatsPeer(place, greeting=SERVER) as peer:
        sink = sinks.open_url(peer.url, options=Options(clock=Hasty(), retries=1, timeout_s=2))
        with pytest.raises(DeliveryError, match="no greeting: no answer in time"):
            sink.open()
        assert len(peer.processes) == 2


def test_another_format_is_refused(place) -> None:
    with StatsPeer(place) as peer:
        sink = sinks.open_url(peer.url)
        sink.open()
        with pytest.raises(UsageError, match="events come as application/json, but a stats process takes the format 'dovecot-stats' only"):
            sink.write(make_block([b"{}"]))
        sink.abort()


def test_abort_ends_a_call_that_waits_for_the_server(place) -> None:
    """Back-pressure: a server that reads nothing stops us, until we are stopped."""
    batch = some_sessions(400)
    with StatsPeer(place, leave_after=(0,)) as peer, contextlib.ExitStack() as cleanup:
        peer._talk = lambda sock, *_: (sock.sendall(SERVER + b"FILTER\t(event=*)\n"), stay.wait(PATIENCE_S))  # type: ignore[method-assign]
        stay = threading.Event()
        cleanup.callback(stay.set)
        sink = sinks.open_url(peer.url)
        sink.open()
        threading.Timer(0.3, sink.abort).start()
        with pytest.raises(Stopped):
            write_all(sink, blocks(batch) * 100)
        assert sink.tally.undelivered > 0


def records(data: bytes) -> Iterator[bytes]:
    yield from data.splitlines(keepends=True)


def test_each_record_stands_by_itself() -> None:
    """Said alone, as the format writes it, each is understood: categories, parents, the event, and their ends."""
    batch = some_sessions(4)
    for block in blocks(batch):
        whole = bytes(block.data)
        bounds = [0, *block.ends.tolist()]
        for begin, end in pairwise(bounds):
            process = heard(whole[begin:end])
            assert (len(process.events), len(process.alive)) == (1, 0)


def test_a_batch_that_cannot_be_read_is_an_error() -> None:
    renderer = formats.renderer("dovecot-stats", LAYOUT)
    batch = make_batch([(0, 0, {})])
    for wrong in (replace(batch, kind=np.array([99], np.int32)), replace(batch, offset=np.array([5])), replace(batch, offset=np.array([-1]))):
        with pytest.raises(FormatError, match="record 0: "):
            list(renderer.render(wrong))


def test_fields_of_one_column_read_it_twice() -> None:
    """Two names for one moment, one list and one text."""
    pairs = [
        FieldSlot(name, Column(index, encoding))
        for index, encoding in ((5, Encoding.TIMESTAMP), (6, Encoding.TEXT))
        for name in (f"x{index}", f"y{index}")
    ]
    layout = replace(LAYOUT, kinds=(RecordKind("twice", (), tuple(pairs), 7),))
    batch = make_batch([(0, 0, {"when": START, "reason": len(HOSTILE)}), (0, 0, {"when": START, "reason": 2})], layout)
    assert [plain(event) for event in heard(said(batch)).events] == [expected(record) for record in as_json(batch)]


def generate(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DOVESTORM, "generate", "imap-login", *arguments], capture_output=True, text=True, timeout=PATIENCE_S * 6)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_command_line_chooses_the_format_itself(place, workers) -> None:
    with StatsPeer(place) as peer:
        done = generate("--dovecot", "2.3.19", "--sessions", "20", "--workers", workers, "--to", peer.url)
    assert done.returncode == 0, done.stderr
    assert f"written {len(peer.events):,}, undelivered 0" in done.stderr
    assert peer.complaints == []
    assert peer.count("BEGIN") > 20


def test_the_command_line_tells_what_nobody_asked_for(place) -> None:
    with StatsPeer(place, greeting=SERVER + b"FILTER\t\n") as peer:
        done = generate("--events", "50", "--to", peer.url)
    assert done.returncode == 0, done.stderr
    assert "written 0, undelivered 0, not asked for 50 (the receiver's filter leaves them out)" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "json"), "dovecot-stats: takes the format 'dovecot-stats' only, not 'json'"),
        (("--to", "-"), "dovecot-stats: takes the format 'dovecot-stats' only, which - would get too"),
    ],
)
def test_the_command_line_refuses_other_formats(place, arguments, message) -> None:
    """Misuse is told before anything is connected."""
    done = generate("--events", "5", "--to", f"dovecot-stats:{place}", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stdout == ""
