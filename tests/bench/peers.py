"""The peers: what else makes such streams, each at its best, or the reason why it could not be measured."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from processes import Discard, NotMeasuredError, run
from report import Row

HERE = Path(__file__).resolve().parent
CACHE = HERE.parent.parent / ".cache"
LINE_BYTES = 400


def _program(name: str, *places: Path, package: str | None = None) -> str:
    for place in (*places, *(Path(found) for found in [shutil.which(name)] if found)):
        if place.is_file():
            return str(place)
    message = f"{name} is not here (scripts/fetch-{package or name})"
    raise NotMeasuredError(message)


def loggen(count: int) -> Row:
    """One connection, fixed lines, as fast as it goes; the listener says how much came."""
    program = _program("loggen", CACHE / "syslog-ng" / "loggen", package="syslog-ng")
    options = ["--inet", "--stream", "--quiet", "--size", str(LINE_BYTES), "--rate", "1000000000", "--active-connections", "1"]
    with Discard() as consumer:
        took = run([program, *options, "--interval", "600", "--number", str(count), "127.0.0.1", str(consumer.port)])
        received = consumer.received()
    return Row("loggen, 400-byte line, TCP", received // LINE_BYTES, took.seconds, received, took.peak_mib)


def logsynth(count: int, folder: Path) -> Row:
    """A template of the same event as the Python loops'; its output is counted, since it says what it liked to do."""
    program = _program("logsynth", CACHE / "bench-venv" / "bin" / "logsynth")
    out = folder / "logsynth.json"
    took = run([program, "run", "--template", str(HERE / "logsynth.yaml"), "--count", str(count), "--rate", "1000000000", "--output", str(out)])
    written = out.read_bytes()
    out.unlink()
    return Row("logsynth, template, file", written.count(b"\n"), took.seconds, len(written), took.peak_mib)


def loop(kind: str, count: int, path: str) -> Row:
    """A dict and orjson, with values made before (``precomputed``) or by Faker in the loop (``faker``)."""
    took = run([sys.executable, str(HERE / "same_event.py"), kind, str(count), path])
    figures = json.loads(took.output)
    name = {"precomputed": "dict + orjson loop", "faker": "the same with Faker in it"}[kind]
    return Row(f"{name}, {path if path.startswith('/dev') else 'file'}", figures["events"], figures["seconds"], figures["bytes"], took.peak_mib)
