"""The benchmark: everything side by side in one run, a table, and bench-DATE.json. How to read it: docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import own
import peers
from processes import NotMeasuredError
from report import Figure, Missing, Row, as_dict, figures, table

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
GROUPS = ("speed", "scaling", "memory", "start", "stations", "load")

Measured = Row | Figure | Missing


def attempt(name: str, measure: Callable[[], Row], times: int = 1) -> Row | Missing:
    """The best of some runs, or why there is none."""
    print(f"  {name} ...", file=sys.stderr)
    try:
        return min((measure() for _ in range(times)), key=lambda row: row.seconds)
    except NotMeasuredError as error:
        return Missing(name, str(error))


def speed(folder: Path, *, quick: bool) -> list[Row | Missing]:
    """Ours and the peers. They are far apart in speed, so each gets a count that keeps it busy for seconds."""
    scale, times = (20, 1) if quick else (1, 3)
    events = 5_000_000 // scale
    file = str(folder / "out.json")
    rows = [
        attempt("dovestorm, one core, /dev/null", lambda: own.generate("/dev/null", events, workers=1, cores=1), times),
        attempt("dovestorm, 1 worker, /dev/null", lambda: own.generate("/dev/null", events, workers=1), times),
        attempt("dovestorm, 2 workers, /dev/null", lambda: own.generate("/dev/null", events, workers=2), times),
        attempt("dovestorm, 1 worker, file", lambda: own.generate(file, events, workers=1), times),
        attempt("dovestorm, 2 workers, file", lambda: own.generate(file, events, workers=2), times),
        attempt("dovestorm, 1 worker, TCP", lambda: own.generate_tcp(events, workers=1), times),
        attempt("dovestorm, 2 workers, TCP", lambda: own.generate_tcp(events, workers=2), times),
        attempt("loggen", lambda: peers.loggen(events), times),
        attempt("dict + orjson loop, /dev/null", lambda: peers.loop("precomputed", 1_000_000 // scale, "/dev/null"), times),
        attempt("dict + orjson loop, file", lambda: peers.loop("precomputed", 1_000_000 // scale, file), times),
        attempt("the same with Faker in it, /dev/null", lambda: peers.loop("faker", 100_000 // scale, "/dev/null"), times),
        attempt("logsynth", lambda: peers.logsynth(100_000 // scale, folder), times),
    ]
    print("\nSpeed; 'ours is' holds the first row against each\n")
    print(table(rows, rows[0] if isinstance(rows[0], Row) else None))
    return rows


def single(title: str, measures: list[tuple[str, Callable[[], list[Figure]]]]) -> list[Figure | Missing]:
    found: list[Figure | Missing] = []
    for name, measure in measures:
        print(f"  {name} ...", file=sys.stderr)
        try:
            found += measure()
        except NotMeasuredError as error:
            found.append(Missing(name, str(error)))
    print(f"\n{title}\n")
    print(figures(found))
    return found


def memory(*, quick: bool) -> list[Figure | Missing]:
    events = 500_000 if quick else 5_000_000
    return single(
        "Memory and users",
        [
            ("a million sessions alive", own.million_alive),
            ("short and long run", lambda: own.short_and_long(events // 5)),
            ("few and many users", lambda: own.few_and_many_users(events)),
        ],
    )


def scaling(*, quick: bool) -> list[Figure | Missing]:
    """Starting (Python, NumPy, compiling the scenario) takes half a second whatever the workers: long runs show what workers bring."""
    return single("Workers", [("one worker, two, and two processes", lambda: own.scaling(500_000 if quick else 50_000_000, 1 if quick else 3))])


def start(folder: Path, *, quick: bool) -> list[Figure | Missing]:
    times, few = (3, 1) if quick else (9, 5)
    return single("Start", [("--help", lambda: own.help_time(times)), ("first event", lambda: own.first_event(few, folder / "bytecode"))])


def stations(*, quick: bool) -> list[Figure | Missing]:
    return single("Stations, in process", [("engine and kernel", lambda: own.stations(200_000 if quick else 2_000_000))])


def load(folder: Path, *, quick: bool) -> list[Figure | Missing]:
    return single("Load tests with Locust, over TCP", [("load", lambda: own.load(400_000 if quick else 4_000_000, folder))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small runs: shows that all works")
    parser.add_argument("--only", choices=GROUPS, action="append", help="measure only this group (may be repeated)")
    options = parser.parse_args()
    chosen = options.only or GROUPS
    quick = options.quick
    results: dict[str, list[dict[str, object]]] = {}
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        folder = Path(name)
        groups: dict[str, Callable[[], list[Measured]]] = {
            "speed": lambda: [*speed(folder, quick=quick)],
            "scaling": lambda: [*scaling(quick=quick)],
            "memory": lambda: [*memory(quick=quick)],
            "start": lambda: [*start(folder, quick=quick)],
            "stations": lambda: [*stations(quick=quick)],
            "load": lambda: [*load(folder, quick=quick)],
        }
        for group in chosen:
            results[group] = [as_dict(one) for one in groups[group]()]
    machine = {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cores": len(os.sched_getaffinity(0)),
        "processor": own.processor(),
    }
    today = dt.datetime.now(tz=dt.UTC)  # noqa: TID251 - the date of the measurement itself
    path = ROOT / f"bench-{today:%Y-%m-%d}.json"
    path.write_text(
        json.dumps({"when": today.isoformat(), "quick": quick, "machine": machine, "results": results}, indent=2) + "\n", encoding="utf-8"
    )
    print(f"\n{machine['cores']} cores, {machine['processor']}, Python {machine['python']}; figures in {path.name}")


if __name__ == "__main__":
    main()
