"""A real rsyslog gets what we say that we sent: every event once, whole, in order."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.real_server

EVENTS = 200_000
PATIENCE_S = 120

CONFIG = """
module(load="imtcp")
global(workDirectory="{folder}" maxMessageSize="256k" parser.escapeControlCharactersOnReceive="off")
template(name="verbatim" type="string" string="%rawmsg%\\n")
ruleset(name="take") {{
  action(type="omfile" file="{folder}/received" template="verbatim" ioBufferSize="256k" flushOnTXEnd="on")
}}
input(type="imtcp" address="127.0.0.1" port="0" listenPortFileName="{folder}/port" supportOctetCountedFraming="off" ruleset="take")
"""


@contextmanager
def rsyslog(program: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """A server with a configuration of its own; gives its port and its output file, and ends it orderly."""
    config = folder / "rsyslog.conf"
    config.write_text(CONFIG.format(folder=folder), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, "-n", "-C", "-f", config, "-i", folder / "pid"], stdout=log, stderr=subprocess.STDOUT)
        try:
            port = folder / "port"
            wait_until(lambda: server.poll() is not None or (port.exists() and port.read_text().strip() != ""), "rsyslog's port", seconds=PATIENCE_S)
            assert server.poll() is None, (folder / "log").read_text()
            yield int(port.read_text()), folder / "received"
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def generate(to: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dovestorm", "generate", "working-day", "--events", str(EVENTS), "--seed", "7", "--format", "json", "--to", to]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


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
