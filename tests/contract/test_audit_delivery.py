"""Proof of delivery, end to end: what goes wrong between a sender and a consumer is reported, all of it and nothing else."""

from __future__ import annotations

import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import wait_until

from dovestorm.audit import Arrivals, Auditor, audit
from dovestorm.receive import Receiver

sys.path.append(str(Path(__file__).resolve().parents[1] / "unit"))

from auditing import SCENARIO, SEED, findings, oracle, records, stream

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS = 400
PATIENCE_S = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dovestorm", *arguments]


def run(*arguments: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=PATIENCE_S, **options)


def generated(to: str, *, events: int, **options) -> tuple[int, dict]:
    done = run("generate", SCENARIO, "--seed", str(SEED), "--events", str(events), "--to", to, "--json", **options)
    return done.returncode, json.loads(done.stdout)


@contextmanager
def receiving(url: str, tmp_path: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``dovestorm receive`` in a process of its own; gives it and the URL."""
    ready = tmp_path / f"ready-{time.monotonic_ns()}"
    consumer = subprocess.Popen(
        command("receive", url, "--ready-file", str(ready), *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: ready.exists() or consumer.poll() is not None, "the consumer")
        assert consumer.poll() is None, consumer.stderr.read()
        yield consumer, ready.read_text().strip()
    finally:
        if consumer.poll() is None:
            consumer.kill()
        consumer.communicate()


@pytest.mark.parametrize(("url", "events"), [("tcp://127.0.0.1:0", 16_000), ("http://127.0.0.1:0/", 1000)])
def test_receive_audits_live(url, events, tmp_path: Path) -> None:
    """All arrives: exit code 0, everything delivered once."""
    arguments = ("--audit", "--scenario", SCENARIO, "--seed", str(SEED), "--events", str(events), "--for", "50s", "--json")
    with receiving(url, tmp_path, *arguments) as (consumer, address):
        assert generated(address, events=events)[0] == 0
        out, _ = consumer.communicate(timeout=PATIENCE_S)
    assert consumer.returncode == 0
    assert {**json.loads(out)["audit"], "delivered": events, "once": events, "received": events} == json.loads(out)["audit"]


def test_receive_says_what_lacks_and_how_late_it_came(tmp_path: Path) -> None:
    """A sender with another seed's tail missing: exit code 1; with --speed, the latency is told."""
    arguments = ("--audit", "--scenario", SCENARIO, "--seed", str(SEED), "--stream-events", "40", "--speed", "20", "--once")
    with receiving("unix:" + str(tmp_path / "s"), tmp_path, *arguments) as (consumer, address):
        done = run("generate", SCENARIO, "--seed", str(SEED), "--events", "30", "--speed", "20", "--to", address)
        assert done.returncode == 0, done.stderr
        out, _ = consumer.communicate(timeout=PATIENCE_S)
    assert consumer.returncode == 1
    assert "delivered once 30, missing 10, doubled 0, altered 0, foreign 0" in out
    assert "latency p50" in out


def test_audit_without_a_scenario_is_misuse() -> None:
    done = run("receive", "tcp://127.0.0.1:0", "--audit")
    assert (done.returncode, "--audit needs --scenario" in done.stderr) == (2, True)


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(sins=st.lists(st.tuples(st.sampled_from(["drop", "double", "delay", "cut"]), st.integers(0, EVENTS - 1), st.integers(1, 30)), max_size=8))
def test_a_proxy_gets_its_own_sins_reported(sins) -> None:
    """Records go through a proxy that drops, doubles, reorders and truncates them, over TCP, into a live audit."""
    sent = records(EVENTS)
    passed = list(enumerate(sent))
    cut = set()
    for what, at, size in sins:
        part = passed[at : at + size]
        if what == "drop":
            del passed[at : at + size]
        elif what == "double":
            passed[at:at] = part
        elif what == "delay":
            del passed[at : at + size]
            passed[at + 50 : at + 50] = part
    numbers = [number for number, _ in passed]
    for what, at, size in sins:
        if what == "cut" and numbers.count(at) == 1:
            cut.add(at)
            passed[numbers.index(at)] = (at, sent[at][:-size])
    with Auditor(stream(EVENTS), ahead=True) as auditor:
        with Receiver("tcp://127.0.0.1:0", auditor=auditor) as receiver, socket.create_connection(_place(receiver.url)) as sender:
            sender.sendall(b"".join(record + b"\n" for _, record in passed))
            sender.shutdown(socket.SHUT_WR)
            receiver.wait_for(len(passed))
        found = findings(auditor.finish())
    wanted = oracle(sent, [record for number, record in passed if number not in cut])
    wanted.update(received=len(passed), altered=len(cut), missing=wanted["missing"] - len(cut))
    assert found == wanted


def test_a_proxy_that_delays_gets_its_delay_reported() -> None:
    """It holds everything up for 0.3 s in the middle of a run in real time: so late are the last ones, and not the first."""
    begin = 1_000_000_000_000_000
    due = [int(moment) for block in stream(EVENTS).blocks("json") for moment in block.due.tolist()]
    arrivals = Arrivals(speed=1.0, wall=False)
    with Auditor(stream(EVENTS), arrivals=arrivals, ahead=True) as auditor:
        for number, record in enumerate(records(EVENTS)):
            auditor.record(record, begin + due[number] - due[0] + (300_000 if number >= EVENTS // 2 else 0))
        latency = auditor.finish().latency
    assert latency is not None
    assert (latency.p50_ms < 1, latency.p90_ms == pytest.approx(300, rel=0.05)) == (True, True)


def test_a_consumer_that_is_killed_and_started_again(tmp_path: Path) -> None:
    """What both of its lives wrote is what the audit counts, record for record."""
    events = 16_000
    path = tmp_path / "socket"
    files = [tmp_path / "first", tmp_path / "second"]
    sender = None
    try:
        with receiving(f"unix:{path}", tmp_path, "--write", str(files[0])) as (consumer, url):
            words = command("generate", SCENARIO, "--seed", str(SEED), "--events", str(events), "--rate", "8000/s", "--to", url, "--json")
            sender = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            wait_until(lambda: files[0].stat().st_size > 500_000, "the first half megabyte")
            consumer.send_signal(signal.SIGKILL)
            consumer.wait()
        with receiving(f"unix:{path}", tmp_path, "--write", str(files[1]), "--once") as (consumer, _):
            out, _ = sender.communicate(timeout=PATIENCE_S)
            consumer.wait(PATIENCE_S)
    finally:
        if sender is not None and sender.poll() is None:
            sender.kill()
            sender.communicate()
    wrote = b"".join(file.read_bytes() for file in files)
    lines = wrote.split(b"\n")
    lines.pop()
    (tmp_path / "all").write_bytes(wrote)
    report = audit(stream(events), [tmp_path / "all"])
    assert json.loads(out)["sinks"][0]["reconnects"] >= 1
    sent = set(records(events))
    assert report.delivered == len(sent & set(lines))
    assert report.doubled == sum(line in sent for line in lines) - report.delivered
    assert report.expected == report.delivered + report.missing + report.altered == events


def test_a_full_disk_loses_what_the_sender_says(tmp_path: Path) -> None:
    """A file that must not grow beyond 50,000 bytes: the sender counts so many events as written as the audit finds."""
    path = tmp_path / "received"

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    code, told = generated(f"file:{path}", events=EVENTS, preexec_fn=limited)
    report = audit(stream(EVENTS), [path])
    assert code == 1
    assert 0 < told["sinks"][0]["written"] < EVENTS
    assert (report.delivered, report.missing + report.altered) == (told["sinks"][0]["written"], told["sinks"][0]["undelivered"])
    assert (report.altered, report.unreadable, report.foreign) in {(1, 1, 0), (0, 0, 0)}


def test_a_device_without_room(tmp_path: Path) -> None:
    """Nothing is written, and a consumer that writes there says so."""
    code, told = generated("file:/dev/full", events=EVENTS)
    assert (code, told["sinks"][0]["written"], told["sinks"][0]["undelivered"]) == (1, 0, EVENTS)
    with receiving("tcp://127.0.0.1:0", tmp_path, "--write", "/dev/full", "--for", "50s", "--quiet") as (consumer, address):
        generated(address, events=16_000)
        _, told_by_consumer = consumer.communicate(timeout=PATIENCE_S)
    assert consumer.returncode == 1
    assert "No space left on device" in told_by_consumer


@pytest.mark.parametrize("pace", [("--rate", "4000/s"), ("--speed", "100")])
def test_a_socket_that_stalls_shows_in_full_as_lateness(pace, tmp_path: Path) -> None:
    """The consumer does not read for 2 s: that long, less what the buffers take, the latest events are late; and all arrive."""
    stall_s, events = 2.0, 12_000
    path = tmp_path / "stalling"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(1)
    received = bytearray()

    def consume() -> None:
        connection, _ = listener.accept()
        with connection:
            received.extend(connection.recv(10_000))
            threading.Event().wait(stall_s)
            while data := connection.recv(1 << 20):
                received.extend(data)

    consumer = threading.Thread(target=consume)
    consumer.start()
    done = run("generate", SCENARIO, "--seed", str(SEED), "--events", str(events), *pace, "--to", f"unix:{path}", "--json")
    consumer.join(PATIENCE_S)
    listener.close()
    (tmp_path / "received").write_bytes(received)
    assert done.returncode == 0, done.stderr
    lateness = json.loads(done.stdout)["lateness"]
    assert 0.6 * stall_s * 1000 < lateness["max_ms"] < 3 * stall_s * 1000
    assert lateness["p99_ms"] > 0.5 * stall_s * 1000
    assert audit(stream(events), [tmp_path / "received"]).clean


def _place(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("tcp://").rpartition(":")
    return host, int(port)
