"""A real rsyslog gets what we say that we sent: every event once, whole, in order."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from collector_runs import EVENTS, PATIENCE_S, adapted, audited, bound_ports, documented, generate, lines_in
from locust_runs import load
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.real_server

MANY = 2_000_000

CONFIG, WRAPPED, DATAGRAMS = documented("rsyslog")
PORT = 'port="5170"'


@contextmanager
def rsyslog(program: str, folder: Path, text: str = CONFIG) -> Iterator[tuple[int, Path]]:
    """A server with the documented configuration, in a folder of its own; gives its port and its output file, and ends it orderly."""
    config = folder / "rsyslog.conf"
    if PORT in text:
        text = text.replace(PORT, f'port="0" listenPortFileName="{folder}/port"')
    config.write_text(f'global(workDirectory="{folder}")\n' + adapted(text, {"/var/log/": f"{folder}/"}), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "-n", "-C", "-f", config, "-i", folder / "pid"], stdout=log, stderr=subprocess.STDOUT)
        try:
            port, process = folder / "port", folder / "pid"
            wait_until(lambda: server.poll() is not None or all(map(has_text, (port, process))), "rsyslog's port", seconds=PATIENCE_S)
            assert server.poll() is None, (folder / "log").read_text()
            yield int(port.read_text()), folder / "received.json"
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def test_rsyslog_gets_every_event(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """200,000 events over one TCP connection: what rsyslog wrote is byte for byte what a file sink writes."""
    expected = tmp_path / "expected.json"
    assert generate(f"file:{expected}").returncode == 0
    with rsyslog(require_program("rsyslogd"), tmp_path) as (port, received):
        run = generate(f"tcp://127.0.0.1:{port}")
        assert run.returncode == 0, run.stderr
        wait_until(lambda: received.exists() and received.stat().st_size >= expected.stat().st_size, "the last event", seconds=PATIENCE_S)
    lines = received.read_bytes().splitlines()
    assert len(lines) == EVENTS
    assert received.read_bytes() == expected.read_bytes()


def test_the_audit_finds_that_nothing_was_lost(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """200,000 events over TCP, written whole by one action, and by another as JSON that rsyslog made, with the event in a field."""
    first = 'template="verbatim")'
    second = 'action(type="omfile" file="/var/log/wrapped" template="wrapped")'
    config = WRAPPED + adapted(CONFIG, {first: f"{first} {second}"})
    with rsyslog(require_program("rsyslogd"), tmp_path, config) as (port, received):
        run = generate(f"tcp://127.0.0.1:{port}")
        assert run.returncode == 0, run.stderr
        wait_until(lambda: lines_in(tmp_path / "wrapped") >= EVENTS, "the last event", seconds=PATIENCE_S)
    code, report = audited(received)
    # In whatever order: with two actions, rsyslog's queue is emptied by more than one thread.
    assert (code, report["once"], report["compared"]) == (0, EVENTS, "bytes")
    code, report = audited(tmp_path / "wrapped", "--field", "message")
    assert (code, report["once"]) == (0, EVENTS)


@pytest.mark.slow
def test_two_locust_workers_deliver_two_million_events(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """Locust over TCP into rsyslog's file: nothing is lost and nothing altered, however the workers' shards came in."""
    made = generate("/dev/null", "--events", str(MANY), "--json")
    size = json.loads(made.stdout)["sinks"][0]["written_bytes"]
    with rsyslog(require_program("rsyslogd"), tmp_path) as (port, received):
        options = ["--seed", "7", "--events", str(MANY), "--workers", "2", "--users", "2", "--for", "15min"]
        command = [sys.executable, "-P", "-m", "dovestorm", "load", "working-day", "--to", f"tcp://127.0.0.1:{port}", *options]
        run = subprocess.run(command, capture_output=True, text=True, timeout=10 * PATIENCE_S)
        assert run.returncode == 0, run.stdout + run.stderr
        wait_until(lambda: received.exists() and received.stat().st_size >= size, "the last event", seconds=PATIENCE_S)
    code, report = audited(received, "--events", str(MANY))
    assert (code, report["once"], report["missing"], report["altered"]) == (0, MANY, 0, 0)


@contextmanager
def rsyslog_over_udp(program: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """The same server, which takes datagrams too and has room for few of them; gives their port."""
    with rsyslog(program, folder, CONFIG + adapted(DATAGRAMS, {'port="5171"': 'port="0"'})) as (_, received):
        process = int((folder / "pid").read_text())
        wait_until(lambda: bound_ports(process, "udp") != [], "rsyslog's socket", seconds=PATIENCE_S)
        (port,) = bound_ports(process, "udp")
        yield port, received


def test_the_audit_counts_what_udp_loses(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """As fast as can be over UDP: what is missing is what was sent less what rsyslog wrote; the rest arrived unaltered."""
    with rsyslog_over_udp(require_program("rsyslogd"), tmp_path) as (port, received):
        run = generate(f"udp://127.0.0.1:{port}")
        assert run.returncode == 0, run.stderr
    missing_is_what_was_not_written(received, EVENTS)


@pytest.mark.slow
def test_the_audit_counts_what_two_locust_workers_lose_over_udp(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """Locust sends at a rate at which UDP must lose; the audit's missing are Locust's delivered less what rsyslog wrote."""
    with rsyslog_over_udp(require_program("rsyslogd"), tmp_path) as (port, received):
        options = ["--seed", "7", "--events", str(EVENTS), "--rate", "100000/s", "--workers", "2"]
        run = load(f"udp://127.0.0.1:{port}", "working-day", *options, tmp_path=tmp_path)
        assert run.code == 0, run.output
    missing_is_what_was_not_written(received, run.report["events"])


def missing_is_what_was_not_written(received: Path, sent: int) -> None:
    """The server has ended, and has written all that it took."""
    written = lines_in(received)
    code, report = audited(received)
    assert 0 < written < EVENTS
    assert sent == EVENTS
    assert (code, report["missing"], report["delivered"]) == (1, sent - written, written)
    assert (report["altered"], report["doubled"], report["foreign"]) == (0, 0, 0)


def has_text(path: Path) -> bool:
    """Whether the server has written it."""
    return path.exists() and path.read_text().strip() != ""
