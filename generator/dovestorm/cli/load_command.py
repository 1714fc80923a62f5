"""``dovestorm load``: a load test with Locust, without having to know Locust."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from dovestorm.cli.locust_options import locust_command, shared_options
from dovestorm.cli.units import DURATION, FACTOR, RATE, Name

__all__ = ["command"]


@click.command("load")
@shared_options
@click.option(
    "--as",
    "kind",
    type=Name(["stream", "sessions", "post"]),
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
@click.option("--junit", metavar="FILE", help="Write the verdict as JUnit XML.")
@click.option(
    "--openmetrics",
    metavar="PORT|HOST:PORT|FILE",
    help="Offer the figures while it runs: at a port of the loopback, at HOST:PORT (path /metrics), or in a file.",
)
@click.option("--json", "json_file", metavar="FILE", help="Write the report as JSON.")
@click.option("--ceiling/--no-ceiling", default=True, show_default=True, help="Measure first what the generator could do at most, for a second.")
@click.option("--web", is_flag=True, help="Open Locust's web page, on the loopback, instead of starting at once; Ctrl-C ends it.")
@click.argument("locust_options", nargs=-1, type=click.UNPROCESSED)
def command(*, web: bool, locust_options: tuple[str, ...], **wanted: Any) -> None:
    """Send a SCENARIO's events to a consumer with Locust, and judge what came of it.

    What follows -- is given to Locust as it is. The exit code is 0 when all was delivered and every threshold holds, 1 when something was not
    delivered, 2 for misuse, 3 when a threshold is broken.
    """
    command = locust_command(**wanted)
    # The page lets who reaches it send whatever it likes to wherever it likes: for others it is opened with -- --web-host.
    command += ["--web-host", "127.0.0.1"] if web else ["--headless", "--only-summary", "--loglevel", "WARNING"]
    os.execv(sys.executable, [*command, *locust_options])  # noqa: S606 - Locust takes over: its signals, its exit code
