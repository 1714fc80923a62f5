"""What we measure of ourselves, always through a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from processes import Discard, NotMeasuredError, run
from report import Figure, Row

HERE = Path(__file__).resolve().parent
DOVESTORM = (sys.executable, "-m", "dovestorm")
SCENARIO = "working-day"
EVEN = "imap-login"
EVENTS_A_SESSION = 14
NS = 1_000_000_000
REPEATS = 3
PAIRS = 5
_ARRANGEMENTS = {"one": "one worker", "two": "two workers", "apart": "two processes, half each"}


def processor() -> str:
    """The processor's name, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "unknown processor"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown processor")


def _generate(name: str, to: str, *options: str | int, cores: int | None = None, scenario: str = SCENARIO) -> Row:
    """The whole command, from a cold start to its end; bytes are what its summary says it wrote."""
    fixed = ["--seed", "7", "--format", "json", "--json", "--to", to]
    took = run([*DOVESTORM, "generate", scenario, *fixed, *map(str, options)], cores=cores)
    (sink,) = json.loads(took.output)["sinks"]
    return Row(f"dovestorm, {name}", sink["written"], took.seconds, sink["written_bytes"], took.peak_mib)


def _workers(count: int) -> str:
    return f"{count} worker{'s' * (count > 1)}"


def generate(path: str, events: int, *, workers: int, cores: int | None = None) -> Row:
    """To a file, whose size must be what was said, or to /dev/null."""
    file = Path(path)
    bound = "one core" if cores == 1 else _workers(workers)
    row = _generate(f"{bound}, {'file' if file.parent.name != 'dev' else path}", path, "--events", events, "--workers", workers, cores=cores)
    if file.is_file():
        size = file.stat().st_size
        file.unlink()
        if size != row.bytes:
            message = f"{row.bytes} bytes were reported, {size} are in the file"
            raise NotMeasuredError(message)
    return row


def _side_by_side(events: int, count: int) -> float:
    """Seconds that ``count`` processes need that know nothing of each other, each for its share of the events: what the machine gives at best."""
    begun = time.perf_counter()
    with ThreadPoolExecutor(count) as pool:
        shares = [
            pool.submit(_generate, "", "/dev/null", "--events", events // count, "--shard", f"{number}/{count}") for number in range(1, count + 1)
        ]
        for share in shares:
            share.result()
    return time.perf_counter() - begun


def scaling(events: int, rounds: int) -> list[Figure]:
    """Two workers against one, and against two processes that share nothing; in turns, so that a machine whose speed wanders is fair to all."""
    one, two, apart = [], [], []
    for _ in range(rounds):
        one.append(_generate("", "/dev/null", "--events", events, "--workers", 1).seconds)
        two.append(_generate("", "/dev/null", "--events", events, "--workers", 2).seconds)
        apart.append(_side_by_side(events, 2))
    took = {name: statistics.median(seconds) for name, seconds in (("one", one), ("two", two), ("apart", apart))}
    return [
        *(Figure(f"{events:,} events, {name}", events / took[key], "events/s", f"median of {rounds}") for key, name in _ARRANGEMENTS.items()),
        Figure("two workers against one", took["one"] / took["two"], "x", "wanted: 1.8"),
        Figure("two processes that share nothing, against one worker", took["one"] / took["apart"], "x", "what this machine gives"),
    ]


def generate_tcp(events: int, *, workers: int) -> Row:
    """To a listener that discards, and counts."""
    with Discard() as consumer:
        row = _generate(f"{_workers(workers)}, TCP", f"tcp://127.0.0.1:{consumer.port}", "--events", events, "--workers", workers)
        received = consumer.received()
    if received != row.bytes:
        message = f"{row.bytes} bytes were reported, {received} arrived"
        raise NotMeasuredError(message)
    return row


def _inside(*arguments: str | int) -> tuple[dict[str, float], float]:
    """The figures of a measurement from inside, and its peak memory."""
    took = run([sys.executable, str(HERE / "inside.py"), *map(str, arguments)])
    return json.loads(took.output), took.peak_mib


def million_alive() -> list[Figure]:
    found, peak = _inside("alive", 1_000_000)
    return [
        Figure("sessions alive at once", found["alive"], "sessions"),
        Figure("peak memory with them", peak, "MiB", "wanted: under 954 MiB (1 GB)"),
    ]


def short_and_long(events: int) -> list[Figure]:
    """A run ten times as long. A working day's live sessions grow with the hour; those of ``imap-login``, which arrive evenly, do not."""
    figures = []
    for scenario, limit, count in ((SCENARIO, "events", events), (EVEN, "sessions", events // EVENTS_A_SESSION)):
        short, long = (_generate("", "/dev/null", f"--{limit}", amount, scenario=scenario).peak_mib for amount in (count, count * 10))
        figures.append(Figure(f"{scenario}, {count:,} {limit}, peak memory", short, "MiB"))
        figures.append(Figure(f"{scenario}, {count * 10:,} {limit}, peak memory", long, "MiB", f"{long / short:.2f} x"))
    return figures


def few_and_many_users(events: int) -> list[Figure]:
    figures = []
    for count in (1_000, 100_000_000):
        rows = [_generate(f"{count:,} users", "/dev/null", "--events", events, "--users", count) for _ in range(REPEATS)]
        figures.append(Figure(f"{count:,} users, best of {REPEATS}", max(row.events_per_s for row in rows), "events/s"))
        figures.append(Figure(f"{count:,} users, peak memory", max(row.peak_mib for row in rows), "MiB"))
    speed, memory = figures[2].value / figures[0].value, figures[3].value / figures[1].value
    figures.append(Figure("many against few users, speed", speed, "x", "wanted: within 10 %"))
    figures.append(Figure("many against few users, memory", memory, "x", "wanted: the same"))
    return figures


def help_time(times: int) -> list[Figure]:
    seconds = [run([*DOVESTORM, "--help"]).seconds for _ in range(times)]
    return [Figure(f"--help, median of {times}", statistics.median(seconds), "s", "wanted: under 0.3 s")]


def _first_event_s(scenario: str, environment: dict[str, str]) -> float:
    begun = time.perf_counter()
    command = [*DOVESTORM, "generate", scenario, "--to", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        line = child.stdout.readline()
        seconds = time.perf_counter() - begun
        if not line.endswith(b"\n"):
            raise NotMeasuredError(child.stderr.read().decode(errors="replace").strip())
        child.terminate()
    return seconds


def first_event(times: int, bytecode: Path) -> list[Figure]:
    """Every shipped scenario's; ``bytecode`` is where Python keeps what it compiles, as it does for an installed package."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)
    figures = []
    for scenario in json.loads(run([*DOVESTORM, "scenarios", "--json"]).output):
        # The first run of each compiles what no other has used before, and is not counted.
        _, *seconds = (_first_event_s(scenario["name"], environment) for _ in range(times + 1))
        figures.append(Figure(f"first event of {scenario['name']}, median of {times}", statistics.median(seconds), "s", "wanted: under 1 s"))
    return figures


def stations(events: int) -> list[Figure]:
    found, _ = _inside("stations", events)
    made = found["events"]
    return [
        Figure("engine, time an event", found["engine_s"] / made * NS, "ns"),
        Figure("kernel with format, time an event", found["kernel_s"] / made * NS, "ns"),
        Figure("kernel with format, output", found["bytes"] / found["kernel_s"] / 1e6, "MB/s"),
        Figure("bytes an event", found["bytes"] / made, "bytes"),
    ]


def load(events: int, folder: Path) -> list[Figure]:
    """What Locust's workers bring over TCP to a consumer that discards, against a loop that does nothing but send the same bytes."""
    prebuilt = ["--prebuild", "4GB"]
    found = []
    for what, reads in (("a consumer that reads", True), ("bytes dropped unread", False)):
        # The machine's speed wanders: each run is held against the one right before it.
        pairs = [(_bare_sendall(events, reads=reads), _load(events, folder, *prebuilt, reads=reads)) for _ in range(PAIRS)]
        bare, one = map(statistics.median, zip(*pairs, strict=True))
        found += [
            Figure(f"{what}: bare sendall of the same bytes", bare, "events/s"),
            Figure(f"{what}: one Locust worker, prebuilt", one, "events/s", "wanted: 1,000,000 or more"),
            Figure(f"{what}: against bare sendall, median of {PAIRS} pairs", statistics.median(b / a for a, b in pairs), "x", "wanted: 0.85 or more"),
        ]
    live, one, two = (max(_load(events, folder, *options) for _ in range(REPEATS)) for options in ([], prebuilt, [*prebuilt, "--workers", "2"]))
    return [
        *found,
        Figure("bytes dropped unread: one Locust worker, live", live, "events/s", "wanted: 500,000 or more"),
        Figure("bytes dropped unread: two Locust workers, prebuilt", two, "events/s"),
        Figure("two against one", two / one, "x", f"wanted: 1.7, with cores of their own; here {len(os.sched_getaffinity(0))} for all"),
    ]


def _bare_sendall(events: int, *, reads: bool = False) -> float:
    with Discard(reads=reads) as consumer:
        found, _ = _inside("sendall", events, consumer.port)
        consumer.received()
    return events / found["seconds"]


def _load(events: int, folder: Path, *options: str, reads: bool = False) -> float:
    path = folder / "load.json"
    with Discard(reads=reads) as consumer:
        fixed = ["--seed", "7", "--events", str(events), "--no-ceiling", "--json", str(path)]
        run([*DOVESTORM, "load", SCENARIO, "--to", f"tcp://127.0.0.1:{consumer.port}", *fixed, *options])
    report = json.loads(path.read_text(encoding="utf-8"))
    if report["events"] != events:
        message = f"{report['events']} of {events} events were delivered"
        raise NotMeasuredError(message)
    return float(report["achieved_per_s"])
