"""``dovestorm receive``: the reference consumer on the command line."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dovestorm.cli.stream_options import audit_options, stream_options
from dovestorm.cli.units import DURATION, FACTOR, Name
from dovestorm.errors import DeliveryError, UsageError
from dovestorm.receive.framing import FORMATS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from dovestorm.audit import Auditor
    from dovestorm.receive import Receiver

__all__ = ["command"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@click.command("receive")
@click.argument("url")
@click.option("--format", "layout", type=Name(FORMATS), default="auto", show_default=True, help="How events look; auto goes by the first byte.")
@click.option("--write", metavar="FILE", type=click.Path(dir_okay=False), help="Write what arrives, byte for byte; .gz and .zst are compressed.")
@click.option("--validate", is_flag=True, help="Check every event and the order of events.")
@click.option("--dovecot", metavar="VERSION", default="2.3.6", show_default=True, help="The edition to check against.")
@click.option("--audit", "audits", is_flag=True, help="Hold every event against the stream of --scenario; it is made anew while events come.")
@click.option("--scenario", help="With --audit, what is being sent: a shipped scenario's name, or a file.")
@stream_options("stream-")
@click.option("--time-format", type=Name(["rfc3339", "unix"]), default="rfc3339", show_default=True, help="How times look when sent.")
@audit_options
@click.option("--speed", type=FACTOR, metavar="FACTOR", help="With --audit: the sender's --speed; how late events come is measured against it.")
@click.option(
    "--latency", type=Name(["first", "wall"]), default="first", show_default=True, help="Count from the first arrival, or by the wall clock."
)
@click.option("--events", type=click.IntRange(min=0), help="Stop once so many events have come; fewer are an error.")
@click.option("--for", "seconds", type=DURATION, help="Stop after so long, such as 10s.")
@click.option("--idle", type=DURATION, help="Stop when something has come, no connection is open, and nothing new has come for so long.")
@click.option("--once", is_flag=True, help="Stop when all connections have ended, after the first has come.")
@click.option("--public", is_flag=True, help="Allow an address that others can reach.")
@click.option("--ready-file", metavar="FILE", type=click.Path(dir_okay=False), help="Write the URL there once we listen.")
@click.option("--progress/--no-progress", default=None, help="Live figures on standard error; by default only on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="No live figures, and no summary in text unless something is wrong.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    url: str,
    layout: str,
    write: str | None,
    validate: bool,
    dovecot: str,
    events: int | None,
    seconds: int | None,
    idle: int | None,
    once: bool,
    public: bool,
    ready_file: str | None,
    progress: bool | None,
    as_json: bool,
    quiet: bool,
    audits: bool,
    **wanted: Any,
) -> None:
    """Receive events at URL and count them: tcp://, tls://, udp://, unix:, unixgram:, http:// or https://.

    It ends after --events, --for, --idle or --once, or when interrupted, and prints a summary. Exit code: 0 all well; 1 events were cut
    off, too large, invalid, or fewer than --events, or --audit found the stream not to be the same; 2 misuse; 130 interrupted.

    With --audit, give --scenario, --seed and whatever else the sender was given; its --events and --for are --stream-events and --stream-for here.
    """
    from dovestorm.receive import Receiver

    if once and url.partition(":")[0] in {"udp", "unixgram"}:
        raise click.UsageError("--once waits for the end of a connection, and datagrams have none: give --idle, --events or --for")
    validator = None
    if validate:
        from dovestorm import catalog
        from dovestorm.validate import Validator

        validator = Validator(catalog.load(dovecot), format=layout)
    with _auditor(ctx, layout, events, wanted) if audits else nullcontext() as auditor, _stopping() as stopping:
        receiver = Receiver(url, format=layout, validator=validator, write=write, wanted=events, public=public, auditor=auditor).start()
        try:
            if ready_file:
                _say_ready(Path(ready_file), receiver.url)
            if not quiet:
                click.echo(f"listening on {receiver.url}", err=True)
            with _figures(receiver) if not quiet and (sys.stderr.isatty() if progress is None else progress) else nullcontext():
                receiver.wait_until_done(seconds=_seconds(seconds), idle=_seconds(idle), once=once, stopped=stopping)
        finally:
            problem = _stop(receiver)
        summary = receiver.summary
        fewer = "" if events is None or summary.events >= events else f"only {summary.events:,} of {events:,} events came"
        report = None if auditor is None else auditor.finish()
        is_right = summary.sound and not problem and not fewer and (report is None or report.clean)
        code = 130 if stopping() else 0 if is_right else 1
        if as_json:
            click.echo(json.dumps({**summary.to_dict(), **({} if report is None else {"audit": report.to_dict()})}))
        elif not quiet or code:
            click.echo(summary.to_text() if report is None else f"{summary.to_text()}\n{report.to_text()}", err=quiet)
        for told in filter(None, (problem, fewer)):
            click.echo(f"dovestorm: {told}", err=True)
        ctx.exit(code)


def _auditor(ctx: click.Context, layout: str, events: int | None, wanted: dict[str, Any]) -> Auditor:
    """What ``--audit`` asks for."""
    from dovestorm.audit import Arrivals, Auditor
    from dovestorm.cli.stream_options import auditor_wanted, open_wanted

    if wanted["scenario"] is None:
        raise click.UsageError("--audit needs --scenario (and --seed, and what else the sender was given)")
    is_given = ctx.get_parameter_source("dovecot") is not click.core.ParameterSource.DEFAULT
    wanted["dovecot"] = ctx.params["dovecot"] if is_given else None
    if wanted["stream_events"] is None and wanted["sessions"] is None:
        wanted["stream_events"] = events
    speed, wall = wanted["speed"], wanted["latency"] == "wall"
    arrivals = Arrivals(speed=speed or 1.0, wall=wall) if speed is not None or wall else None
    layout = "json" if layout == "auto" else layout
    stream = open_wanted(wanted["scenario"], wanted)
    return Auditor(stream, format=layout, time_format=wanted["time_format"], arrivals=arrivals, ahead=True, **auditor_wanted(wanted))


def _stop(receiver: Receiver) -> str:
    """Stop; gives what went wrong with the file that is written, or an empty text."""
    try:
        receiver.stop()
    except DeliveryError as error:
        return str(error)
    except KeyboardInterrupt:
        # A file that blocks, such as a named pipe that nobody reads, would hold up every orderly way out.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        scheme, _, path = receiver.url.partition(":")
        if scheme in {"unix", "unixgram"}:
            with suppress(OSError):
                Path(path).unlink()
        click.echo("interrupted", err=True)
        os._exit(130)
    return ""


def _say_ready(path: Path, url: str) -> None:
    """Write the URL so that whoever waits for the file finds it whole."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():
            path.write_text(url + "\n")
            return
        draft.write_text(url + "\n")
        draft.replace(path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink()
        raise UsageError(f"{path}: the URL cannot be written there: {error.strerror or error}") from None


@contextmanager
def _stopping() -> Iterator[Callable[[], bool]]:
    """Take the first SIGINT or SIGTERM as a wish to stop, and say whether it came; the next one interrupts whatever is going on."""
    wished = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal wished
        if wished:
            raise KeyboardInterrupt
        wished = True

    before = {number: signal.signal(number, handle) for number in _SIGNALS}
    try:
        yield lambda: wished
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


@contextmanager
def _figures(receiver: Receiver) -> Iterator[None]:
    """Tell every second how it goes."""
    ended = threading.Event()
    reporter = threading.Thread(target=_report, args=(receiver, ended), daemon=True)
    reporter.start()
    try:
        yield
    finally:
        ended.set()
        reporter.join()


def _report(receiver: Receiver, ended: threading.Event) -> None:
    events, size = 0, 0
    while not ended.wait(1.0):
        intake = receiver.intake
        new, new_bytes = intake.events - events, intake.bytes - size
        events, size = intake.events, intake.bytes
        click.echo(
            f"{events:,} events, {new:,}/s, {new_bytes / 1e6:,.1f} MB/s, {intake.open_connections} connections, {intake.truncated} truncated",
            err=True,
        )
