"""What ``load`` and ``find-limit`` have in common: the options, and Locust's command line that they become."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import click

from dovestorm import registry
from dovestorm.cli.units import DURATION, FACTOR, Name
from dovestorm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["locust_command", "shared_options"]

_FILES = {"stream": "replay_stream.py", "sessions": "replay_sessions.py", "post": "replay_post.py"}
_UNITS = {"stream": "batch", "sessions": "session", "post": "event"}

_SHARED = (
    click.argument("scenario", required=False),
    click.option("--to", "target", metavar="URL", required=True, help="Where to deliver, such as tcp://127.0.0.1:5170."),
    click.option("--recording", type=click.Path(dir_okay=False), help="Replay this file of JSON or tab-text lines instead of a scenario."),
    click.option("--duration", type=DURATION, help="Cut the stream after so much scenario time."),
    click.option("--seed", type=int, default=0, show_default=True, help="Same scenario, edition and seed: same bytes."),
    click.option("--dovecot", metavar="VERSION", help="The edition to emit, instead of the scenario's own."),
    click.option("--format", "format_name", type=Name(list(registry.FORMATS)), help="How events look. Default: json, or what the target needs."),
    click.option("--scale", type=FACTOR, metavar="FACTOR", help="Multiply the arrival rate."),
    click.option("--workers", type=click.IntRange(1, 256), default=1, show_default=True, help="Locust worker processes; each takes a shard."),
    click.option("--users", type=click.IntRange(min=1), help="Connections, over all workers. Default: one for each worker."),
    click.option("--batch", type=click.IntRange(min=1), help="Events in one delivery at most."),
    click.option("--prebuild", metavar="SIZE", help="Make so many bytes of events before sending begins, such as 512MB."),
    click.option(
        "--threshold", "thresholds", metavar="CONDITION", multiple=True, help="What must hold, such as 'p99_lateness < 200ms'; may be repeated."
    ),
    click.option("--thresholds", "thresholds_file", metavar="FILE", help="A YAML file with a list of such conditions."),
)


def shared_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the SCENARIO and the options that both commands have."""
    for option in reversed(_SHARED):
        command = option(command)
    return command


def locust_command(
    *, scenario: str | None, target: str, workers: int, users: int | None, thresholds: Sequence[str], kind: str = "stream", **wanted: Any
) -> list[str]:
    """Check what is wanted, and give Locust's command line without ``--headless``.

    Raises:
        UsageError: Locust is missing, or something is wrong with the options.
    """
    if find_spec("locust") is None:
        raise UsageError("load tests need Locust: pip install 'dovestorm[load]'")
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
    return [*command, *(_processes(workers) if workers > 1 else ())]


def _processes(workers: int) -> list[str]:
    """A master and its workers on the loopback, at a port of their own: two runs on a machine do not get each other's workers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
    places = {"--master-host": "127.0.0.1", "--master-port": port, "--master-bind-host": "127.0.0.1", "--master-bind-port": port}
    return ["--processes", str(workers), *(piece for option in places.items() for piece in option)]


def _options(scenario: str | None, wanted: dict[str, Any]) -> dict[str, str]:
    """Our options as the locustfiles have them, without those that say nothing."""
    seconds = {name: None if wanted.get(name) is None else f"{wanted[name]}us" for name in ("send_for", "duration")}
    found = {
        "scenario": scenario,
        "recording": wanted.get("recording"),
        "rate": None if wanted.get("rate") is None else f"{wanted['rate']:f}/s",
        "speed": wanted.get("speed"),
        "shape": wanted.get("shape"),
        **seconds,
        "events": wanted.get("events"),
        "sessions": wanted.get("sessions"),
        "seed": wanted.get("seed"),
        "dovecot": wanted.get("dovecot"),
        "event_format": wanted.get("format_name"),
        "scale": wanted.get("scale"),
        "batch": wanted.get("batch"),
        "prebuild": wanted.get("prebuild"),
        "thresholds": wanted.get("thresholds_file"),
        "junit": wanted.get("junit"),
        "openmetrics": wanted.get("openmetrics"),
        "load_json": wanted.get("json_file"),
        "ceiling": "1s" if wanted.get("ceiling") else None,
    }
    return {name: str(value) for name, value in found.items() if value is not None}
