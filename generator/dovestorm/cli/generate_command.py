"""``dovestorm generate``: a scenario's events, as fast as the machine or at a set pace, to one or more sinks."""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from dovestorm import registry
from dovestorm.cli.stream_options import open_wanted, stream_options
from dovestorm.cli.units import DURATION, FACTOR, RATE, Name

if TYPE_CHECKING:
    from dovestorm.delivery import Report
    from dovestorm.labels.file import LabelFile
    from dovestorm.stream import Stream

__all__ = ["command"]


@click.command("generate")
@click.argument("scenario")
@click.option("--to", "targets", metavar="URL", multiple=True, help="Where to deliver; may be given more than once. Default: standard output.")
@click.option("--format", "format_name", type=Name(list(registry.FORMATS)), help="How events look. Default: json, or what the target needs.")
@click.option("--time-format", type=Name(["rfc3339", "unix"]), default="rfc3339", show_default=True, help="How times look.")
@click.option("--dovecot", metavar="VERSION", help="The edition to emit, instead of the scenario's own.")
@stream_options()
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that share the work.")
@click.option("--window", type=DURATION, hidden=True, help="Length of the machine's window; the bytes do not depend on it.")
@click.option("--speed", type=FACTOR, metavar="FACTOR", help="Pace by scenario time: 1 is real time, 60 an hour a minute.")
@click.option("--rate", type=RATE, help="Pace by events, such as 5000/s.")
@click.option("--labels", metavar="FILE", help="Also write which sessions belong to what the scenario planted: JSON lines, or CSV for .csv.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON (on standard error when events go to standard output).")
@click.option("--quiet", "-q", is_flag=True, help="No progress bar and no summary; errors are still told.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    scenario: str,
    targets: tuple[str, ...],
    format_name: str | None,
    time_format: str,
    workers: int,
    speed: float | None,
    rate: float | None,
    labels: str | None,
    as_json: bool,
    quiet: bool,
    **wanted: Any,
) -> None:
    """Generate a SCENARIO (a shipped one's name, or a file) and deliver its events.

    Delivery is as fast as the targets take it, unless --speed or --rate sets a pace; the schedule does not wait for a slow target, and
    lateness is counted from the planned moment. The summary says what was asked for, made, written and acknowledged; the exit code is 0 only
    when nothing is short, 1 when something is, 2 for misuse, 130 when interrupted.
    """
    _start_quickly()
    from dovestorm import delivery, sinks
    from dovestorm.cli.progress import progress_listener

    if speed is not None and rate is not None:
        raise click.UsageError("--speed and --rate exclude each other: give one")
    format_name = registry.choose_format([sinks.scheme(url) for url in targets], format_name, default="json")
    stream = open_wanted(scenario, wanted)
    outlets = [sinks.open_url(url) for url in targets or ("-",)]
    ground_truth = None if labels is None else _label_file(labels, targets, stream)
    pacer = None if speed is None and rate is None else delivery.Pacer(speed=speed, rate=rate)
    timed = speed is not None
    blocks = stream.blocks(format_name, time_format=time_format, workers=workers, keep=delivery.VALID_BLOCKS, timed=timed)
    with progress_listener(asked=stream.limits.events, quiet=quiet or as_json) as listener:
        report = delivery.deliver(blocks, outlets, asked=stream.limits.events, pacer=pacer, on_progress=listener)
    to_stdout = any(url in {"-", "/dev/stdout"} for url in targets or ("-",))
    if as_json:
        text = json.dumps({"scenario": stream.scenario.name, "dovecot": stream.scenario.dovecot, "seed": stream.seed, **report.to_dict()})
        click.echo(text, file=sys.stderr if to_stdout else sys.stdout)
    elif not quiet or report.exit_code:
        click.echo(report.to_text(), err=True)
    if ground_truth is not None:
        _write_labels(ground_truth, stream, report, quiet=quiet)
    ctx.exit(report.exit_code)


def _start_quickly() -> None:
    """Spare the way to the first event two things that cost it time and bring it nothing."""
    # NumPy's linear algebra, which no stream uses, would start a thread for every core and let each spin for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Catalog, scenario and program are a hundred thousand objects that stay: the collector would look through them again and again.
    gc.set_threshold(100_000, 10, 10)


def _label_file(path: str, targets: tuple[str, ...], stream: Stream) -> LabelFile:
    """The file of labels, with its first line: a path that cannot be is told before anything is made."""
    from dovestorm.labels.file import LabelFile

    taken = {"-" if url == "/dev/stdout" else url.removeprefix("file:") for url in targets or ("-",)}
    if path.replace("/dev/stdout", "-") in taken:
        raise click.UsageError(f"--labels: {path} is where the events go, name another file")
    file = LabelFile(path)
    file.open(stream)
    return file


def _write_labels(file: LabelFile, stream: Stream, report: Report, *, quiet: bool) -> None:
    """Write the labels of what was made."""
    try:
        count = file.fill(stream, events=None if report.complete else report.made, complete=report.complete)
    finally:
        file.abort()
    if not quiet:
        planted = stream.scenario.labels
        click.echo(f"labels: {count:,}" if planted else f"labels: none, the scenario '{stream.scenario.name}' plants nothing", err=True)
