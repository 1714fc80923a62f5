"""A real syslog-ng gets what we say that we sent, with the configuration that ``docs/audit.md`` shows."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from collector_runs import PATIENCE_S, adapted, audited, bound_ports, documented, generate, lines_in
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.real_server

LINES, SOCKET, WRAPPED, PARSED = documented("syslog-ng")
EVENTS = 100_000
FEWER = 10_000


@dataclass(frozen=True, slots=True)
class SyslogNg:
    """One that runs: its process and its folder, where what it writes lands."""

    process: int
    folder: Path

    def port(self, protocol: str) -> int:
        """Where it listens, which it chose itself."""
        wait_until(lambda: bound_ports(self.process, protocol) != [], f"syslog-ng's {protocol} port", seconds=PATIENCE_S)
        return bound_ports(self.process, protocol)[0]

    def wait_for(self, name: str, events: int) -> Path:
        """The file of that name, once so many lines are in it."""
        path = self.folder / name
        wait_until(lambda: lines_in(path) >= events, lambda: f"{events} lines, {lines_in(path)} of which are in {name}", seconds=PATIENCE_S)
        return path


@contextmanager
def syslog_ng(program: str, folder: Path, *blocks: str) -> Iterator[SyslogNg]:
    """A server with these blocks as its configuration, on a port of its choice; all that it keeps is in the folder. It is ended orderly."""
    text = adapted("".join(blocks), {"/var/log/": f"{folder}/", "port(5170)": "port(0)"})
    config, control = folder / "syslog-ng.conf", folder / "control"
    config.write_text("@version: current\n" + text.replace("/run/", f"{folder}/"), encoding="utf-8")
    own = ["--persist-file", folder / "persist", "--pidfile", folder / "pid", "--control", control]
    with (folder / "log").open("wb") as log:
        command = [program, "--foreground", "--stderr", "--no-caps", "--cfgfile", config, *own]
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        try:
            wait_until(lambda: server.poll() is not None or control.exists(), "syslog-ng's start", seconds=PATIENCE_S)
            assert server.poll() is None, (folder / "log").read_text()
            yield SyslogNg(server.pid, folder)
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def test_syslog_ng_gets_every_event(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """100,000 events over TCP, while 20 others are connected: what it wrote is byte for byte what a file sink writes, and the audit says so."""
    expected = tmp_path / "expected.json"
    events = ["--events", str(EVENTS)]
    assert generate(f"file:{expected}", *events).returncode == 0
    with syslog_ng(require_program("syslog-ng"), tmp_path, LINES) as server, ExitStack() as others:
        for _ in range(20):
            others.enter_context(socket.create_connection(("127.0.0.1", server.port("tcp")), timeout=PATIENCE_S))
        run = generate(f"tcp://127.0.0.1:{server.port('tcp')}", *events)
        assert run.returncode == 0, run.stderr
        received = server.wait_for("received.json", EVENTS)
    assert received.read_bytes() == expected.read_bytes()
    code, report = audited(received, *events)
    assert (code, report["once"], report["compared"]) == (0, EVENTS, "bytes")


def test_every_documented_way_delivers(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """All the blocks at once: the line as it came, in a field of JSON, and read and written anew; then from a Unix socket."""
    events = ["--events", str(FEWER)]
    with syslog_ng(require_program("syslog-ng"), tmp_path, LINES, SOCKET, WRAPPED, PARSED) as server:
        run = generate(f"tcp://127.0.0.1:{server.port('tcp')}", *events)
        assert run.returncode == 0, run.stderr
        files = [server.wait_for(name, FEWER) for name in ("received.json", "wrapped.json", "parsed.json")]
        first = files[0].read_bytes()
        run = generate(f"unix:{os.path.relpath(tmp_path)}/events.sock", *events)
        assert run.returncode == 0, run.stderr
        server.wait_for("received.json", 2 * FEWER)
    assert files[0].read_bytes() == 2 * first
    for path, options in zip(files[1:], (["--field", "message"], ["--untyped", "--ignore", "categories"]), strict=True):
        code, report = audited(path, *events, *options)
        assert (code, report["once"]) == (0, FEWER), path.name


def test_the_audit_counts_what_udp_loses(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """As fast as can be over UDP: what is missing is what was sent less what syslog-ng wrote; the rest arrived unaltered."""
    datagrams = adapted(LINES, {'transport("tcp")': 'transport("udp") so-rcvbuf(4096)', " max-connections(100)": ""})
    with syslog_ng(require_program("syslog-ng"), tmp_path, datagrams) as server:
        run = generate(f"udp://127.0.0.1:{server.port('udp')}", "--events", str(FEWER))
        assert run.returncode == 0, run.stderr
        received = server.wait_for("received.json", 1)
    written = lines_in(received)
    code, report = audited(received, "--events", str(FEWER))
    assert written < FEWER
    assert (code, report["missing"], report["delivered"]) == (1, FEWER - written, written)
    assert (report["altered"], report["doubled"], report["foreign"]) == (0, 0, 0)
