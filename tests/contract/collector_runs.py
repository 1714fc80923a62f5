"""What the tests of real collectors share: the configuration that the documents show, a run of ours into it, and the audit of what it wrote."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

__all__ = ["EVENTS", "PATIENCE_S", "adapted", "audited", "bound_ports", "documented", "generate", "lines_in"]

EVENTS = 200_000
PATIENCE_S = 120

_PAGE = Path(__file__).resolve().parents[2] / "docs" / "audit.md"


def documented(collector: str) -> list[str]:
    """The indented blocks in the section that ``docs/audit.md`` has for a collector, so that what we run is what we show."""
    _, _, rest = _PAGE.read_text(encoding="utf-8").partition(f"\n### {collector}\n")
    section = re.split(r"(?m)^##+ ", rest)[0]
    blocks = re.findall(r"(?m)(?:^    .*\n)+", section)
    assert blocks, f"{_PAGE.name} shows nothing for {collector}"
    return [textwrap.dedent(block) for block in blocks]


def adapted(text: str, changes: dict[str, str]) -> str:
    """The text with some of its words replaced, every one of which must be there: old to new."""
    for old, new in changes.items():
        assert old in text, f"{old} is not in the documented configuration"
        text = text.replace(old, new)
    return text


def generate(to: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Deliver ``EVENTS`` events of a working day with seed 7; options that are given again win."""
    what = ["working-day", "--events", str(EVENTS), "--seed", "7", "--format", "json", "--to", to, *options]
    command = [sys.executable, "-m", "dovestorm", "generate", *what]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)


def audited(received: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of an audit of what a collector wrote."""
    words = ["--scenario", "working-day", "--events", str(EVENTS), "--seed", "7", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "dovestorm", "audit", *words, *arguments, received], capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def lines_in(path: Path) -> int:
    """How many whole lines a file has; none while it is not there."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def bound_ports(process: int, protocol: str) -> list[int]:
    """The IPv4 ports on which a process takes connections (``tcp``) or datagrams (``udp``). Source: proc(5), state 0A is LISTEN, 07 a UDP socket."""
    folder = Path(f"/proc/{process}")
    sockets = set()
    for entry in (folder / "fd").iterdir():
        # What is closed meanwhile was no listening socket.
        with contextlib.suppress(FileNotFoundError):
            sockets.add(str(entry.readlink()))
    rows = [line.split() for line in (folder / "net" / protocol).read_text(encoding="ascii").splitlines()[1:]]
    state = {"tcp": "0A", "udp": "07"}[protocol]
    return [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == state and f"socket:[{row[9]}]" in sockets]
