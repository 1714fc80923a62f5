"""``dovestorm load``: a load test with Locust, without having to know Locust."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

import click

from dovestorm import registry
from dovestorm.cli.units import DURATION, FACTOR, RATE, Name
from dovestorm.errors import UsageError

__all__ = ["command"]

_FILES = {"stream": "replay_stream.py", "sessions": "replay_sessions.py", "post": "replay_post.py"}
_UNITS = {"stream": "batch", "sessions": "session", "post": "event"}


@click.command("load")
@click.argument("scenario", required=False)
@click.option("--to", "target", metavar="URL", required=True, help="Where to deliver, such as tcp://127.0.0.1:5170.")
@click.option("--recording", type=click.Path(dir_okay=False), help="Replay this file of JSON or tab-text lines instead of a scenario.")
@click.option(
    "--as",
    "kind",
    type=Name(list(_FILES)),
    default="stream",
    show_default=True,
    help="stream: batches; sessions: users that live sessions; post: one event a POST.",
)
@click.option("--rate", type=RATE, help="Open workload: events per second over all workers, such as 200000/s. Default: as fast as they are taken.")
@click.option("--speed", type=FACTOR, metavar="FACTOR", help="Open workload: pace by scenario time, 1 is real time.")
@click.option("--shape", metavar="SHAPE", help="Open workload whose rate changes: ramp:from=0/s,to=50000/s,over=1min or a YAML file.")
@click.option("--for", "send_for", type=DURATION, help="End after so much time of sending, such as 30s. Default: at the stream's end.")
@click.option("--events", type=click.IntRange(min=1), help="Stop after so many events of the whole stream.")
@click.option("--sessions", type=click.IntRange(min=1), help="Start so many sessions and let each end.")
@click.option("--duration", type=DURATION, help="Cut the stream after so much scenario time.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same scenario, edition and seed: same bytes.")
@click.option("--dovecot", metavar="VERSION", help="The edition to emit, instead of the scenario's own.")
@click.option("--format", "format_name", type=Name(list(registry.FORMATS)), default="json", show_default=True, help="How events look.")
@click.option("--scale", type=FACTOR, metavar="FACTOR", help="Multiply the arrival rate.")
@click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Locust worker processes; each takes a shard.")
@click.option("--users", type=click.IntRange(min=1), help="Connections, over all workers. Default: one for each worker.")
@click.option("--batch", type=click.IntRange(min=1), help="Events in one delivery at most.")
@click.option("--prebuild", metavar="SIZE", help="Make so many bytes of events before sending begins, such as 512MB.")
@click.option(
    "--threshold", "thresholds", metavar="CONDITION", multiple=True, help="What must hold, such as 'p99_lateness < 200ms'; may be repeated."
)
@click.option("--thresholds", "thresholds_file", metavar="FILE", help="A YAML file with a list of such conditions.")
@click.option("--junit", metavar="FILE", help="Write the verdict as JUnit XML.")
@click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON.")
@click.option("--ceiling/--no-ceiling", default=True, show_default=True, help="Measure first what the generator could do at most, for a second.")
@click.option("--web", is_flag=True, help="Open Locust's web page instead of starting at once.")
@click.argument("locust_options", nargs=-1, type=click.UNPROCESSED)
def command(
    *,
    scenario: str | None,
    target: str,
    kind: str,
    workers: int,
    users: int | None,
    thresholds: tuple[str, ...],
    web: bool,
    locust_options: tuple[str, ...],
    **wanted: Any,
) -> None:
    """Send a SCENARIO's events to a consumer with Locust, and judge what came of it.

    What follows -- is given to Locust as it is. The exit code is 0 when all was delivered and every threshold holds, 1 when something was not
    delivered, 2 for misuse, 3 when a threshold is broken.
    """
    if find_spec("locust") is None:
        raise UsageError("load needs Locust: pip install 'dovestorm[load]'")
    if (scenario is None) == (wanted["recording"] is None):
        raise click.UsageError("give either a SCENARIO or --recording FILE")
    from dovestorm.load.plan import read_plan
    from dovestorm.resources import locustfiles_dir

    options = _options(scenario, wanted)
    read_plan({**options, "threshold": list(thresholds)}, host=target, unit=_UNITS[kind])
    command = [sys.executable, "-P", "-m", "locust", "-f", str(locustfiles_dir() / _FILES[kind]), "--host", target]
    command += [piece for name, value in options.items() for piece in (f"--{name.replace('_', '-')}", value)]
    command += [piece for condition in thresholds for piece in ("--threshold", condition)]
    count = str(users or workers)
    command += ["--users", count, "--spawn-rate", count]
    if workers > 1:
        command += ["--processes", str(workers)]
    if not web:
        command += ["--headless", "--only-summary", "--loglevel", "WARNING"]
    os.execv(sys.executable, [*command, *locust_options])  # noqa: S606 - Locust takes over: its signals, its exit code


def _options(scenario: str | None, wanted: dict[str, Any]) -> dict[str, str]:
    """Our options as the locustfiles have them, without those that say nothing."""
    seconds = {name: None if wanted[name] is None else f"{wanted[name]}us" for name in ("send_for", "duration")}
    found = {
        "scenario": scenario,
        "recording": wanted["recording"],
        "rate": None if wanted["rate"] is None else f"{wanted['rate']:f}/s",
        "speed": wanted["speed"],
        "shape": wanted["shape"],
        **seconds,
        "events": wanted["events"],
        "sessions": wanted["sessions"],
        "seed": wanted["seed"],
        "dovecot": wanted["dovecot"],
        "event_format": wanted["format_name"],
        "scale": wanted["scale"],
        "batch": wanted["batch"],
        "prebuild": wanted["prebuild"],
        "thresholds": wanted["thresholds_file"],
        "junit": wanted["junit"],
        "load_json": wanted["json_file"],
        "ceiling": "1s" if wanted["ceiling"] else None,
    }
    return {name: str(value) for name, value in found.items() if value is not None}
