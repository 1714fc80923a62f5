"""``dovestorm receive``: the reference consumer on the command line."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dovestorm.cli.units import DURATION
from dovestorm.receive.framing import FORMATS

if TYPE_CHECKING:
    from dovestorm.receive import Receiver, Summary

__all__ = ["command"]


@click.command("receive")
@click.argument("url")
@click.option("--format", "layout", type=click.Choice(FORMATS), default="auto", show_default=True, help="How events look; auto goes by the first byte.")
@click.option("--write", metavar="FILE", type=click.Path(dir_okay=False), help="Write what arrives, byte for byte; .gz and .zst are compressed.")
@click.option("--validate", is_flag=True, help="Check every event and the order of events.")
@click.option("--dovecot", metavar="VERSION", default="2.3.6", show_default=True, help="The edition to check against.")
@click.option("--events", type=click.IntRange(min=0), help="Stop after so many events.")
@click.option("--for", "seconds", type=DURATION, help="Stop after so long, such as 10s.")
@click.option("--idle", type=DURATION, help="Stop when no connection is open and nothing has come for so long.")
@click.option("--once", is_flag=True, help="Stop when the first connection ends.")
@click.option("--public", is_flag=True, help="Allow an address that others can reach.")
@click.option("--ready-file", metavar="FILE", type=click.Path(dir_okay=False), help="Write the URL there once we listen.")
@click.option("--progress/--no-progress", default=None, help="Live figures on standard error; by default only on a terminal.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
@click.pass_context
def command(
    ctx: click.Context,
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
) -> None:
    """Receive events at URL and count them: tcp://, tls://, udp://, unix:, unixgram:, http:// or https://.

    It ends after --events, --for, --idle or --once, or when interrupted, and prints a summary. Exit code: 0 all well; 1 events were cut
    off, too large, invalid, or fewer than --events; 2 misuse; 130 interrupted.
    """
    from dovestorm.receive import Receiver

    validator = None
    if validate:
        from dovestorm import catalog
        from dovestorm.validate import Validator

        validator = Validator(catalog.load(dovecot))
    receiver = Receiver(url, format=layout, validator=validator, write=write, wanted=events, public=public).start()
    if not quiet:
        click.echo(f"listening on {receiver.url}", err=True)
    if ready_file:
        Path(ready_file).write_text(receiver.url + "\n")
    show = not quiet and (sys.stderr.isatty() if progress is None else progress)
    interrupted = _wait(receiver, seconds=seconds, idle=idle, once=once, show=show)
    summary = receiver.stop()
    if not quiet:
        click.echo(json.dumps(summary.to_dict()) if as_json else summary.to_text())
    ctx.exit(130 if interrupted else _exit_code(summary, events))


def _exit_code(summary: Summary, wanted: int | None) -> int:
    return 0 if summary.sound and (wanted is None or summary.events >= wanted) else 1


def _wait(receiver: Receiver, *, seconds: int | None, idle: int | None, once: bool, show: bool) -> bool:
    """Wait for the end; gives whether a signal brought it."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    ended = threading.Event()
    reporter = threading.Thread(target=_report, args=(receiver, ended), daemon=True)
    if show:
        reporter.start()
    try:
        receiver.wait_until_done(seconds=_seconds(seconds), idle=_seconds(idle), once=once)
    except KeyboardInterrupt:
        return True
    finally:
        signal.signal(signal.SIGTERM, previous)
        ended.set()
        if show:
            reporter.join()
    return False


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


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
