"""The options: on Locust's command line, and in the start form of its web page. They are texts, read by ``plan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from locust import events

if TYPE_CHECKING:
    from locust.argument_parser import LocustArgumentParser

__all__ = ["OPTIONS", "add_arguments"]

OPTIONS = {
    "scenario": ("working-day", "scenario to replay: a shipped one's name, or a file"),
    "recording": ("", "replay this file of lines (JSON, tab-text) instead of a scenario"),
    "dovecot": ("", "edition to emit, instead of the scenario's own"),
    "seed": ("0", "same scenario, edition and seed: same bytes"),
    "event-format": ("", "how events look: json, tab-text, msgpack ...; empty for json, or what the target needs"),
    "scale": ("1", "multiply the scenario's arrival rate"),
    "rate": ("", "events per second over all workers, such as 5000/s; empty: as fast as taken"),
    "speed": ("", "pace by scenario time: 1 is real time, 60 an hour a minute"),
    "shape": ("", "a rate that changes, such as ramp:from=0/s,to=9000/s,over=1min"),
    "batch": ("0", "events in one delivery at most; 0 for all that are due together, or fit"),
    "duration": ("", "cut the stream after so much scenario time, such as 10min"),
    "events": ("0", "stop after so many events, counted over all workers; 0 for all"),
    "sessions": ("0", "start so many sessions and let each end; 0 for all"),
    "send-for": ("", "end after so much time of sending, such as 30s; start-up not counted"),
    "prebuild": ("", "make so many bytes of each shard before sending, such as 512MB"),
    "shards": ("0", "cut the stream into so many shards; 0 for one for each worker"),
    "generators": ("1", "processes that make the events of each shard"),
    "connection": ("user", "what sessions go over: user (each user keeps one) or session (a new one each)"),
    "ceiling": ("", "measure the generator's own limit first, for so long, such as 1s"),
}
"""Name to default and help."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def add_arguments(parser: LocustArgumentParser) -> None:
    """Add the options to Locust's own."""
    for name, (default, text) in OPTIONS.items():
        parser.add_argument(f"--{name}", default=default, help=text.replace("%", "%%"))
    threshold = "what must hold, such as 'p99_lateness < 200ms'; may be repeated; exit code 3 if broken"
    parser.add_argument("--threshold", action="append", metavar="CONDITION", help=threshold)
    parser.add_argument("--thresholds", default="", metavar="FILE", help="a YAML file with a list of such conditions")
    parser.add_argument("--junit", default="", metavar="FILE", include_in_web_ui=False, help="write the verdict as JUnit XML")
    metrics = "offer the figures as OpenMetrics: at a port of the loopback, at HOST:PORT (path /metrics), or in a file"
    parser.add_argument("--openmetrics", default="", metavar="PORT|HOST:PORT|FILE", include_in_web_ui=False, help=metrics)
    parser.add_argument("--load-json", default="", metavar="FILE", include_in_web_ui=False, help="write the delivery report as JSON")
