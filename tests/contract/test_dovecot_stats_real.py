"""A real Dovecot's stats process counts, shows and exports what we say that we sent, as if its own processes had said it."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from real_dovecot import PATIENCE_S, real_dovecot, wait_until
from stats_batches import HOSTILE, START, TOO_LONG, as_json, blocks, expected, make_batch, some_sessions

from dovestorm import sinks
from dovestorm.kernel.pieces import LAST_MICROSECOND
from dovestorm.receive import Receiver

if TYPE_CHECKING:
    from real_dovecot import RealDovecot

    from dovestorm.batch import Batch

pytestmark = pytest.mark.real_server

EVENTS = 20_000
SESSIONS = 40

METRICS = """
metric logins {
  filter = event=auth_request_finished AND success=yes
}
metric commands {
  filter = event=imap_command_finished
  group_by = cmd_name
}
"""

ONLY_AUTH = """
metric some {
  filter = (event=of_a_request AND user=tab*) OR category=auth-client
}
"""


def generate(server: RealDovecot, *arguments: str, to_file: str = "") -> subprocess.CompletedProcess[str]:
    where = to_file or f"dovecot-stats:{server.stats_socket}"
    command = [sys.executable, "-m", "dovestorm", "generate", "imap-login", "--dovecot", server.edition, "--seed", "3", *arguments, "--to", where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    return done


def send(server: RealDovecot, batch: Batch) -> sinks.Tally:
    sink = sinks.open_url(f"dovecot-stats:{server.stats_socket}")
    sink.open()
    for block in blocks(batch):
        sink.write(block)
    sink.close()
    return sink.tally


def comparable(record: bytes) -> dict:
    """Without what the stats process adds of its own: its host, its clock, and its order of categories."""
    event = json.loads(record)
    return {"event": event["event"], "start": event["start_time"], "categories": sorted(event["categories"]), "fields": list(event["fields"].items())}


def test_n_sent_n_counted_n_shown_n_exported(require_program, tmp_path) -> None:
    """Every event once, whole, with its fields in the order in which a server of that version writes them."""
    with (
        Receiver("http://127.0.0.1:0", keep=True) as receiver,
        real_dovecot(require_program, receiver=receiver.url, log=True, settings=METRICS) as server,
    ):
        generate(server, "--sessions", str(SESSIONS), to_file=str(tmp_path / "same.json"))
        made = (tmp_path / "same.json").read_bytes().splitlines()
        generate(server, "--sessions", str(SESSIONS))
        wait_until(lambda: len(receiver.records()) >= len(made), lambda: f"{len(made)} events over http-post, {len(receiver.records())} came")
        wait_until(lambda: len(server.logged()) >= len(made), lambda: f"{len(made)} events in the log, {len(server.logged())} came")
        counts = server.counts()
        with urllib.request.urlopen(server.metrics_url, timeout=PATIENCE_S) as page:  # noqa: S310 - our own loopback address
            shown = page.read().decode()
        assert server.complaints() == []
        due = [comparable(record) for record in made]
        logins = sum(event["event"] == "auth_request_finished" and ("success", "yes") in event["fields"] for event in due)
        commands = sum(event["event"] == "imap_command_finished" for event in due)
        assert (counts["every_event"], counts["logins"], counts["commands"]) == (len(made), logins, commands)
        assert min(logins, commands) >= SESSIONS // 2
        for line in (f"dovecot_every_event_total {len(made)}", f"dovecot_logins_total {logins}", f"dovecot_commands_count {commands}"):
            assert f"\n{line}\n" in shown
        assert [comparable(record) for record in server.logged()] == due
        assert sorted(map(comparable, receiver.records()), key=repr) == sorted(due, key=repr)


def as_logged(record: dict) -> dict:
    """As the log exporter writes it: long texts are cut, and a list without items is left out."""
    shown = [(name, value) for name, value in record["fields"] if value != []]
    cut = [(name, list(map(shortened, value)) if isinstance(value, list) else shortened(value)) for name, value in shown]
    return record | {"fields": cut}


def shortened(value: object) -> object:
    return value[:1000] + "..." if isinstance(value, str) and len(value) > 1000 else value


def from_log(record: bytes) -> dict:
    """With moments in microseconds, as the batches have them."""
    event = comparable(record)
    fields = [(name, micros(value) if name == "last_run_time" else value) for name, value in event["fields"]]
    return {"event": event["event"], "start_time": micros(event["start"]), "categories": event["categories"], "fields": fields}


def micros(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def test_what_is_at_the_edge_of_the_protocol_arrives_as_it_is(require_program) -> None:
    """Parents that change, come back and have no fields; texts full of separators; what makes the real process drop us or fall, is never said."""
    rows = [
        (1, 0, {"took": -1}),
        (1, 0, {"took": -(2**63) + 1}),
        (1, 0, {"took": 2**63 - 1}),
        (0, 0, {"at": 0, "took": 0}),
        (0, 0, {"at": LAST_MICROSECOND}),
        (5, 1, {"at": START, "end": START - 5}),
        (2, 2**62, {"user": 0, "n": 2**63 - 1}),
        (2, 2**62, {"user": 1, "n": -(2**63) + 1}),
        (3, 7, {"when": 0, "reason": len(HOSTILE)}),
    ]
    batches = some_sessions(len(HOSTILE)), make_batch(rows)
    with real_dovecot(require_program, log=True) as server:
        for batch in batches:
            assert send(server, batch).written == len(batch)
        total = sum(map(len, batches))
        wait_until(
            lambda: server.counts()["every_event"] == total or bool(server.complaints()), lambda: f"{total} events, it counts {server.counts()}"
        )
        assert server.complaints() == []
        due = [as_logged(expected(record)) for batch in batches for record in as_json(batch)]
        last = due[len(batches[0]) + 2]
        assert last["fields"][0] == ("duration", 2**63 - 1)
        last["fields"][0] = ("duration", LAST_MICROSECOND - last["start_time"])
        due[len(batches[0]) + 4]["fields"][-1] = ("duration", 0)
        assert [from_log(record) for record in server.logged()] == due


def test_a_record_longer_than_it_reads_is_told_and_the_others_arrive(require_program) -> None:
    """A line of more than 128 KiB would end the connection without a word."""
    batch = make_batch([(kind, session, {"user": session}) for session in range(4) for kind in (2, 3, 5)], TOO_LONG)
    with real_dovecot(require_program) as server:
        tally = send(server, batch)
        assert (tally.written, tally.undelivered, tally.reconnects) == (6, 6, 0)
        assert "an event of more than 131,072 bytes" in tally.fault
        assert server.counts()["every_event"] == 6
        assert server.complaints() == []


def test_only_what_the_filter_asks_for_is_sent(require_program) -> None:
    """The server's filter is honoured, on names, categories and fields; what it then counts is all that was sent."""
    batch = some_sessions(len(HOSTILE))
    with real_dovecot(require_program, settings=ONLY_AUTH) as server:
        server.doveadm("stats", "remove", "every_event")
        server.doveadm("stats", "dump")
        tally = send(server, batch)
        assert 0 < tally.written < len(batch)
        assert tally.written + tally.unasked == len(batch)
        assert server.counts()["some"] == tally.written
        assert server.complaints() == []


def test_it_goes_on_at_speed(require_program) -> None:
    """Many events with parents of many sessions: each is counted once."""
    with real_dovecot(require_program) as server:
        done = generate(server, "--events", str(EVENTS), "--scale", "20")
        assert f"written {EVENTS:,}, undelivered 0" in done.stderr
        assert server.counts()["every_event"] == EVENTS
        assert server.complaints() == []
