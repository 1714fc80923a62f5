"""``dovestorm find-limit``: the highest rate that a consumer sustains."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovestorm.cli.locust_options import locust_command, shared_options
from dovestorm.cli.units import DURATION, RATE
from dovestorm.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    from dovestorm.load.limit import Probe

__all__ = ["command"]

_THRESHOLDS = ("achieved >= 99%", "p99_lateness < 500ms", "lost == 0")
_MISUSE = 2
_WHOLE = 0.9


@click.command("find-limit")
@shared_options
@click.option("--from", "first", type=RATE, default="1000/s", show_default=True, help="Rate of the first step, in events per second.")
@click.option("--most", type=RATE, help="Try no higher rate than this.")
@click.option("--step", type=DURATION, default="10s", show_default=True, help="How long each rate is held; longer than buffers on the way can hide.")
@click.option("--confirm", type=DURATION, default="1min", show_default=True, help="How long the found rate is held in the end.")
@click.option("--precision", type=click.FloatRange(0.1, 100), default=5.0, show_default=True, metavar="PERCENT", help="When bisecting ends.")
@click.option("--json", "json_file", metavar="FILE", type=click.Path(dir_okay=False, allow_dash=True), help="Write the result as JSON; - for output.")
def command(
    *, first: float, most: float | None, step: int, confirm: int, precision: float, json_file: str | None, thresholds: tuple[str, ...], **wanted: Any
) -> None:
    """Find the highest rate of a SCENARIO's events that a consumer sustains.

    The rate is doubled until a threshold breaks ('achieved >= 99%', 'p99_lateness < 500ms' and 'lost == 0' unless you name others), then
    bisected, and what was found is held for a minute. Each step is a run of its own with the next seed, so that the consumer starts without
    a backlog and sees no session twice. The exit code is 0 when a rate was confirmed, 1 when none was, 2 for misuse.
    """
    from dovestorm.load.limit import find_limit

    if not (thresholds or wanted["thresholds_file"]):
        thresholds = _THRESHOLDS
    seed = wanted.pop("seed")
    made = 0

    def probe(rate: float, seconds: float) -> Probe:
        nonlocal made
        found = _probe(rate, seconds, seed=seed + made, thresholds=thresholds, ceiling=not made, **wanted)
        made += 1
        click.echo(found.to_text(), err=True)
        return found

    bounds = {} if most is None else {"most": most}
    limit = find_limit(probe, first=first, precision=precision / 100, probe_s=step / 1e6, confirm_s=confirm / 1e6, **bounds)
    if json_file is not None:
        with click.open_file(json_file, "w", encoding="utf-8") as file:
            file.write(json.dumps(limit.to_dict(), indent=2) + "\n")
    if json_file != "-":
        click.echo(limit.to_text())
    sys.exit(0 if limit.rate is not None else 1)


def _probe(rate: float, seconds: float, **wanted: Any) -> Probe:
    """A run of Locust, to its end."""
    from dovestorm.load.limit import Probe

    with tempfile.TemporaryDirectory(prefix="dovestorm-") as folder:
        path = Path(folder) / "report.json"
        command = locust_command(**wanted, rate=rate, send_for=round(seconds * 1e6), json_file=str(path))
        done = subprocess.run(
            [*command, "--headless", "--only-summary", "--loglevel", "WARNING"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        report = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if report is None or not report["events"]:
        said = "\n".join(done.stdout.splitlines()[-12:])
        error = UsageError if done.returncode == _MISUSE else DeliveryError
        raise error(f"at {rate:,.0f}/s nothing was delivered:\n{said}")
    if report["complete"] and report["seconds"] < _WHOLE * seconds:
        raise UsageError(
            f"at {rate:,.0f}/s the stream was over after {report['seconds']:.1f} s and {report['offered']:,} events: --scale makes it longer"
        )
    return Probe(rate=rate, seconds=seconds, held=done.returncode == 0, report=report)
