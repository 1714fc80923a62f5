"""The Locust entry points, in processes of their own, against consumers on the loopback."""

from __future__ import annotations

import re
import threading
from collections import Counter
from importlib.util import find_spec

import pytest
from locust_runs import Discarder, Member, free_port, load, locust
from waiting import wait_until

from dovestorm import generate
from dovestorm.audit import audit
from dovestorm.receive import Receiver
from dovestorm.stream import Limits, open_stream

pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="the extra 'load' is not installed")

TAKEOVER = re.compile(r"shard (\d) went from \S+ to \S+ after event (\d+) its last report; .*what was sent after it may arrive twice none is missing")


def expected(scenario="working-day", **options):
    return Counter(generate(scenario, **options).bytes().splitlines(keepends=True))


def test_one_worker_delivers_exactly_the_stream(tmp_path):
    with Discarder(keep=True) as consumer:
        done = locust("replay_stream.py", consumer.url, "--scenario", "imap-login", "--events", "5000", "--seed", "3", tmp_path=tmp_path)
        assert done.code == 0, done.output
        assert [len(held) > 0 for held in consumer.data] == [True]
        assert b"".join(consumer.data[0]) == generate("imap-login", seed=3, events=5000).bytes()
    assert "begin to end of write" in done.output
    assert "closed workload" in done.output
    assert (done.report["events"], done.report["complete"], done.report["verdict"]) == (5000, True, "PASS")


def test_two_workers_send_precisely_what_one_would(tmp_path):
    """Law: as multisets of lines; with more users than workers, and a rate."""
    with Discarder(keep=True) as consumer:
        options = ("--processes", "2", "-u", "5", "--events", "60000", "--seed", "3", "--rate", "60000/s")
        done = locust("replay_stream.py", consumer.url, *options, tmp_path=tmp_path)
        assert done.code == 0, done.output
        assert consumer.lines() == expected(seed=3, events=60_000)
    assert (done.report["workers"], done.report["shards"], done.report["workload"]) == (2, 2, "open")
    assert done.report["events"] == done.report["offered"] == 60_000
    assert 50_000 < done.report["achieved_per_s"] <= 70_000
    assert done.report["takeovers"] == []


def test_a_worker_without_users_leaves_its_shard_to_the_others(tmp_path):
    with Discarder(keep=True) as consumer:
        options = ("--processes", "2", "-u", "1", "--sessions", "500", "--prebuild", "20MB")
        done = locust("replay_stream.py", consumer.url, *options, tmp_path=tmp_path)
        assert done.code == 0, done.output
        assert consumer.lines() == expected(sessions=500)
    assert (done.report["workers"], done.report["shards"]) == (1, 2)


@pytest.mark.slow
def test_a_killed_workers_shard_is_taken_over(tmp_path):
    """Law: nothing is missing, and at least once it is; what is doubled is the lost shard from the event that the report names, without a gap."""
    port = str(free_port())
    shape = ("--events", "90000", "--seed", "5", "--rate", "30000/s")
    with (
        Discarder(keep=True) as consumer,
        Member(
            "--headless", "--master", "--master-bind-port", port, "--expect-workers", "2", "-u", "2", "-r", "9", "--host", consumer.url, *shape
        ) as master,
        Member("--worker", "--master-port", port) as victim,
        Member("--worker", "--master-port", port) as heir,
    ):
        wait_until(lambda: consumer.received > 4_000_000 or master.process.poll() is not None, lambda: master.output)
        victim.kill()
        assert master.wait() == 0, master.output
        assert heir.wait() == 0, heir.output
        received = consumer.lines()
    shard, position = map(int, TAKEOVER.search(master.output.replace(",", "")).groups())
    path = tmp_path / "received.json"
    path.write_bytes(b"".join(received.elements()))
    found = audit(open_stream("working-day", seed=5, limits=Limits(events=90_000)), [path])
    assert (found.missing, found.altered, found.foreign) == (0, 0, 0)
    # A tenth of a second of 15,000 events/s is between two reports; a busy machine may need more than one.
    assert found.doubled < 15_000
    rest = generate("working-day", seed=5, shard=(shard, 2), events=60_000).bytes().splitlines(keepends=True)[position:]
    assert received - expected(seed=5, events=90_000) == Counter(rest[: found.doubled])


@pytest.mark.slow
def test_a_worker_that_leaves_and_one_that_joins(tmp_path):
    """Law: in good order nothing is doubled either; a newcomer takes over a shard from who has two."""
    port = str(free_port())
    shape = ("--events", "80000", "--seed", "5", "--rate", "20000/s", "--shards", "2")
    with (
        Discarder(keep=True) as consumer,
        Member(
            "--headless", "--master", "--master-bind-port", port, "--expect-workers", "1", "-u", "2", "-r", "9", "--host", consumer.url, *shape
        ) as master,
        Member("--worker", "--master-port", port) as first,
    ):
        wait_until(lambda: consumer.received > 3_000_000 or master.process.poll() is not None, lambda: master.output)
        with Member("--worker", "--master-port", port) as second:
            wait_until(lambda: "in good order" in master.output or master.process.poll() is not None, lambda: master.output)
            first.process.terminate()
            assert master.wait() == 0, master.output
            assert second.wait() == 0, second.output
        received = consumer.lines()
    assert received == expected(seed=5, events=80_000)
    assert master.output.count("in good order: none twice, none missing") >= 2


def test_a_stall_is_seen_in_full(tmp_path):
    """Law: a consumer that stands still for 1.5 s of a 4 s run at constant rate shows: over a quarter of the events were due meanwhile."""
    with Discarder() as consumer:

        def stall():
            wait_until(lambda: consumer.received > 5_000_000)
            consumer.goes_on.clear()
            threading.Timer(1.5, consumer.goes_on.set).start()

        threading.Thread(target=stall, daemon=True).start()
        # Large enough events of time that the buffers of both sides fill in a moment: 100 MB/s against some MB.
        done = locust("replay_stream.py", consumer.url, "--rate", "100000/s", "--send-for", "4s", "--prebuild", "150MB", tmp_path=tmp_path)
    assert done.report["lateness_ms"]["p99"] > 1000, done.output
    assert done.report["lateness_ms"]["p90"] > 700, done.output
    assert done.report["service_ms"]["p50"] < 100, done.output
    assert done.report["offered_per_s"] == pytest.approx(100_000, rel=0.1)


def test_sessions_keep_their_think_times(tmp_path):
    with Discarder(keep=True) as consumer:
        options = ("-u", "40", "--scenario", "imap-login", "--sessions", "60", "--seed", "4", "--speed", "50", "--connection", "session")
        done = locust("replay_sessions.py", consumer.url, *options, tmp_path=tmp_path)
        assert done.code == 0, done.output
        assert consumer.lines() == expected("imap-login", sessions=60, seed=4)
        sessions = [held for held in consumer.data if held]
    assert len(sessions) == 60, "a connection for each session"
    assert done.report["deliveries"] == done.report["events"]


def test_posts_one_event_each(tmp_path):
    with Receiver("http://127.0.0.1:0", keep=True) as receiver:
        options = ("-u", "5", "--processes", "2", "--scenario", "imap-login", "--events", "800", "--seed", "4", "--rate", "800/s")
        done = locust("replay_post.py", receiver.url, *options, tmp_path=tmp_path)
        assert done.code == 0, done.output
        assert Counter(line + b"\n" for line in receiver.records()) == expected("imap-login", events=800, seed=4)
    assert "POST" in done.output
    assert done.report["lateness_ms"]["p50"] > 0
    assert "due to acknowledgement" in done.output


def test_a_recording_is_replayed(tmp_path):
    path = tmp_path / "day.jsonl"
    path.write_bytes(generate("working-day", seed=1, events=12_000).bytes())
    with Discarder(keep=True) as consumer:
        done = locust("replay_stream.py", consumer.url, "--recording", str(path), "--processes", "2", "-u", "2", tmp_path=tmp_path)
        assert done.code == 0, done.output
        assert consumer.lines() == expected(seed=1, events=12_000)


def test_a_target_that_is_not_there_is_a_failure(tmp_path):
    done = locust("replay_stream.py", f"tcp://127.0.0.1:{free_port()}?retries=0", "-t", "3s", "--scenario", "imap-login", tmp_path=tmp_path)
    assert done.code == 1
    assert "nothing was delivered" in done.output


def test_wrong_options_are_told_before_anything_starts(tmp_path):
    options = ("--scenario", "imap-logn", "--threshold", "p99_latenes < 1ms", "--event-format", "jsn")
    done = locust("replay_stream.py", "tcp://127.0.0.1:9", *options, tmp_path=tmp_path)
    assert done.code == 2
    for offered in ("'imap-login'", "'p99_lateness'", "'json'"):
        assert offered in done.output


def test_the_load_command_judges(tmp_path):
    junit = tmp_path / "verdict.xml"
    with Discarder() as consumer:
        options = (
            "imap-login",
            "--rate",
            "5000/s",
            "--for",
            "500ms",
            "--threshold",
            "p99_lateness < 1us",
            "--threshold",
            "lost == 0",
            "--junit",
            str(junit),
        )
        done = load(consumer.url, *options, tmp_path=tmp_path)
    assert done.code == 3, done.output
    assert "FAIL  p99_lateness < 1us" in done.output
    assert "pass  lost == 0" in done.output
    assert done.report["ceiling_per_s"] > 10_000
    assert done.report["offered"] == 2500
    assert 'failures="1"' in junit.read_text()


def test_the_load_command_is_misused(tmp_path):
    done = load("tcp://127.0.0.1:9", "imap-logn", tmp_path=tmp_path)
    assert (done.code, "did you mean 'imap-login'" in done.output) == (2, True)
    assert load("tcp://127.0.0.1:9", tmp_path=tmp_path).code == 2


def test_a_shape_leads_the_rate(tmp_path):
    """A ramp up, then a plateau: two workers send its area, and each second what the shape says."""
    with Discarder() as sink:
        done = locust(
            "replay_stream.py",
            sink.url,
            "--processes",
            "2",
            "-u",
            "2",
            "--shape",
            "ramp:from=0/s,to=8000/s,over=2s;steady:rate=8000/s,for=1s",
            tmp_path=tmp_path,
        )
    assert done.code == 0, done.output
    assert done.report["offered"] == pytest.approx(16_000, rel=0.01)
    assert done.report["events"] == done.report["offered"]
    assert done.report["seconds"] == pytest.approx(3.0, abs=0.3)


def test_a_locustfile_names_its_shape(tmp_path):
    """As Locust has it: a shape class beside the user class, with the users asked for on the command line."""
    path = tmp_path / "locustfile.py"
    path.write_text(
        "from dovestorm.load import RateShape, StreamUser\n\n\nclass Sender(StreamUser):\n    pass\n\n\n"
        "class Steps(RateShape):\n    curve = 'steps:from=1000,to=3000,by=1000,every=500ms'\n"
    )
    with Discarder() as sink:
        done = locust(path, sink.url, "-u", "2", tmp_path=tmp_path)
    assert done.code == 0, done.output
    assert done.report["events"] == pytest.approx(3000, rel=0.01)
