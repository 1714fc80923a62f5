"""A Dovecot of Debian's for the length of a test: on the loopback, in a folder of its own, ended with all that it started.

A test says ``with real_dovecot(require_program) as server:`` and has its ports, its ``stats-writer`` socket, ``doveadm`` and its logs.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

import pytest
from sink_peers import make_certificate
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PASSWORD", "USERS", "Ports", "RealDovecot", "real_dovecot"]

PATIENCE_S = 60

USERS = tuple(f"{name}@example.com" for name in ("anna", "bela", "cora", "dirk", "emil", "fina", "gero", "hana"))
PASSWORD = "correct-horse"

_LIBRARY = Path("/usr/lib/dovecot")
_PARTS = ("imap", "pop3", "lmtp", "modules/libdriver_sqlite.so")
_TEMPLATE = Path(__file__).with_name("dovecot.conf")

_DATABASES = """
passdb {
  driver = passwd-file
  args = scheme=PLAIN ${folder}/users
}
userdb {
  driver = passwd-file
  args = ${folder}/users
}
"""

# The default time of 250 ms includes the wait in the exporter's queue: bursts would be lost (and told in errors.log only).
_POST = """
event_exporter post {
  transport = http-post
  transport_args = ${receiver}
  transport_timeout = 60s
  format = json
  format_args = time-rfc3339
}
metric posted {
  filter = event=*
  exporter = post
}
"""

_LOG = """
event_exporter log {
  transport = log
  format = json
  format_args = time-rfc3339
}
metric logged {
  filter = event=*
  exporter = log
}
"""

_LOG_MARK = b" stats: Info: "


@dataclass(frozen=True, slots=True)
class Ports:
    """The TCP ports of a running server, all on 127.0.0.1 (Linux lets clients come from any 127.x.y.z)."""

    imap: int
    imaps: int
    pop3: int
    lmtp: int
    metrics: int


@dataclass(frozen=True, slots=True)
class RealDovecot:
    """A running server.

    Attributes:
        folder: Everything of this server's: ``run``, ``mail``, ``users``, the logs.
        version: As the program says it, such as ``2.3.19.1``.
        config: The configuration that it runs with.
        ports: Where it listens.
        certificate: Of its TLS port, its own authority.
    """

    folder: Path
    version: str
    config: Path
    ports: Ports
    certificate: Path
    doveadm_program: str

    @property
    def edition(self) -> str:
        """The catalog's edition of this server: its version without what Debian or a point release adds, such as ``2.3.19``."""
        return ".".join(self.version.split(".")[:3])

    @property
    def stats_socket(self) -> Path:
        """The ``stats-writer`` socket: what is written there is counted and exported."""
        return self.folder / "run" / "stats-writer"

    @property
    def metrics_url(self) -> str:
        """The page in OpenMetrics format."""
        return f"http://127.0.0.1:{self.ports.metrics}/metrics"

    def doveadm(self, *arguments: str, check: bool = True) -> str:
        """Run ``doveadm`` with this server's configuration and give what it printed."""
        command = [self.doveadm_program, "-c", str(self.config), *arguments]
        run = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
        assert run.returncode == 0 or not check, f"doveadm {' '.join(arguments)}: {run.stderr or run.stdout}"
        return run.stdout

    def counts(self) -> dict[str, int]:
        """How often each metric has counted, by name, as ``doveadm stats dump`` says."""
        rows = [row.split("\t") for row in self.doveadm("stats", "dump").splitlines()]
        place = rows[0].index("count")
        return {row[0]: int(row[place]) for row in rows[1:] if row[1] == "duration"}

    def logged(self) -> list[bytes]:
        """The events that the log exporter wrote, in the order in which the stats process got them.

        Text of more than 1,000 bytes is cut there, and an event of more than about 4,000 comes in several lines: those are left out.
        """
        path = self.folder / "info.log"
        lines = path.read_bytes().splitlines() if path.exists() else []
        records = (line.partition(_LOG_MARK)[2] for line in lines)
        return [record for record in records if record.startswith(b'{"event":') and record.endswith(b"}}")]

    def complaints(self) -> list[str]:
        """What went wrong inside the server: the lines of its log that are errors or worse."""
        path = self.folder / "errors.log"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        return [line for line in lines if any(word in line for word in (" Error: ", " Fatal: ", " Panic: "))]


@contextlib.contextmanager
def real_dovecot(
    require_program: Callable[[str], str],
    *,
    receiver: str | None = None,
    log: bool = False,
    databases: str = _DATABASES,
    settings: str = "",
) -> Iterator[RealDovecot]:
    """Start a server, give it, end it with everything that it started, and remove its folder.

    Args:
        require_program: The fixture that finds the program or skips the test.
        receiver: URL that takes every event over http-post, one each request, whole but (within a burst) out of order.
        log: Whether every event is written to the log as well, in order but cut (``logged`` reads them).
        databases: Password and user databases; ``${folder}/users`` is a passwd-file of USERS with PASSWORD.
        settings: More of the configuration, such as metrics and exporters of the test's own. Names in ``${...}`` are those of the template.
    """
    programs = {name: require_program(name) for name in ("dovecot", "doveadm", "openssl")}
    _require(programs["dovecot"])
    # Not pytest's folder: that is closed to all other accounts, and Dovecot's services run under several. Short, because socket paths are.
    folder = Path(tempfile.mkdtemp(prefix="dovestorm-dovecot-"))
    try:
        folder.chmod(0o755)
        exporters = (_POST if receiver else "") + (_LOG if log else "")
        with _running(programs, folder, {"receiver": receiver or ""}, databases, exporters, settings) as server:
            yield server
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _running(programs: dict[str, str], folder: Path, values: dict[str, str], databases: str, exporters: str, settings: str) -> Iterator[RealDovecot]:
    certificate, key = make_certificate(folder)
    mail = folder / "mail"
    mail.mkdir()
    if os.geteuid() == 0:
        shutil.chown(mail, "mail", "mail")
    (folder / "users").write_text("".join(f"{user}:{PASSWORD}::::::\n" for user in USERS), encoding="utf-8")
    ports = _free_ports()
    values |= {name: str(getattr(ports, name)) for name in ports.__slots__}
    values |= {"folder": str(folder), "certificate": str(certificate), "key": str(key), "accounts": _accounts()}
    for name, text in (("databases", databases), ("exporters", exporters), ("settings", settings)):
        values[name] = Template(text).substitute(values)
    config = folder / "dovecot.conf"
    config.write_text(Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(values), encoding="utf-8")
    version = _version(programs["dovecot"])
    with (folder / "output").open("wb") as output:
        # In a process group of its own: what it started can be told from everything else.
        process = subprocess.Popen([programs["dovecot"], "-F", "-c", config], stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            _wait_for_greetings(process, folder, ports)
            yield RealDovecot(folder, version, config, ports, certificate, programs["doveadm"])
        finally:
            _end(process)


def _version(program: str) -> str:
    return subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.split()[0]


def _require(program: str) -> None:
    """Skip the test where a part of the server lacks, or where it is one that reads another kind of configuration."""
    if lacking := [name for name in _PARTS if not (_LIBRARY / name).exists()]:
        pytest.skip(f"Dovecot's {', '.join(lacking)} is not installed (scripts/install-servers)")
    if not (version := _version(program)).startswith("2.3."):
        pytest.skip(f"the Dovecot here is {version}, and the configuration of these tests is one of 2.3")


def _accounts() -> str:
    if os.geteuid() == 0:
        return "mail_uid = mail\nmail_gid = mail"
    name = pwd.getpwuid(os.geteuid()).pw_name
    lines = [f"default_internal_user = {name}", f"default_login_user = {name}", f"default_internal_group = {grp.getgrgid(os.getegid()).gr_name}"]
    return "\n".join([*lines, *(f"service {service} {{\n  chroot =\n}}" for service in ("anvil", "imap-login", "pop3-login"))])


def _free_ports() -> Ports:
    """Ports that nobody listens on now. Dovecot takes 0 for 'none', so it cannot choose them itself."""
    with contextlib.ExitStack() as open_sockets:
        found = []
        for _ in Ports.__slots__:
            sock = open_sockets.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("127.0.0.1", 0))
            found.append(sock.getsockname()[1])
        return Ports(*found)


def _wait_for_greetings(process: subprocess.Popen[bytes], folder: Path, ports: Ports) -> None:
    def story() -> str:
        texts = (path.read_text(encoding="utf-8", errors="replace") for path in (folder / "output", folder / "errors.log") if path.exists())
        return f"Dovecot to answer; it said: {' '.join(texts)}"

    def answers(port: int) -> bool:
        assert process.poll() is None, story()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S):
                return True
        except ConnectionRefusedError:
            return False

    def all_listen() -> bool:
        return {getattr(ports, name) for name in ports.__slots__} <= _listening()

    # The master opens its listeners one after another, so one that answers says nothing of the others. Those of the logins are only looked at: a
    # connection to one would leave an event behind, one to the metrics page does not.
    wait_until(lambda: answers(ports.metrics) and all_listen() and (folder / "run" / "stats-writer").exists(), story)


def _listening() -> set[int]:
    """The TCP ports of this machine's IPv4 addresses on which somebody listens. Source: proc(5), state 0A is LISTEN."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the master to end, which ends its services; whoever should be left is of its group, and nobody else is."""
    process.terminate()
    try:
        # Looked at without taking it: until the master is taken, its number stands for its group and no other.
        wait_until(lambda: os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None, "Dovecot's end")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_S)
