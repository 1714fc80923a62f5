"""``dovestorm demo``: a working day into the reference consumer over loopback TCP, checked on arrival."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

import click

from dovestorm.cli.units import DURATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.block import Block
    from dovestorm.delivery import Report
    from dovestorm.stream import Stream

__all__ = ["command"]

_FAREWELL_S = 60.0


@click.command("demo")
@click.option("--scenario", default="working-day", show_default=True, help="What to generate.")
@click.option("--dovecot", metavar="VERSION", help="The edition to emit, instead of the scenario's own.")
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed: same bytes.")
@click.option("--for", "seconds", type=DURATION, default="10s", show_default=True, help="How long to send.")
@click.pass_context
def command(ctx: click.Context, *, scenario: str, dovecot: str | None, seed: int, seconds: int) -> None:
    """Generate a working day into the reference consumer over a TCP socket on this machine, and check all that arrives.

    The consumer validates every event as it comes, so it sets the pace: the sender waits for it (back-pressure). The exit code is 0 only
    when every event arrived and is valid.
    """
    from dovestorm import delivery, sinks
    from dovestorm.cli.progress import progress_listener
    from dovestorm.stream import open_stream

    stream = open_stream(scenario, dovecot=dovecot, seed=seed)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    consumer = context.Process(target=_consume, args=(stream.scenario.dovecot, theirs), daemon=True)
    consumer.start()
    theirs.close()
    try:
        url = ours.recv()
        click.echo(f"{stream.scenario.name}, edition {stream.scenario.dovecot}, seed {seed} -> reference consumer at {url}", err=True)
        sessions: set[int] = set()
        with progress_listener(asked=None, quiet=False, seconds=seconds / 1e6) as listener:
            blocks = _for_a_while(stream, seconds / 1e6, sessions)
            report = delivery.deliver(blocks, [sinks.open_url(url)], on_progress=listener)
        summary: dict[str, Any] = ours.recv() if ours.poll(_FAREWELL_S) else {}
    except EOFError:
        raise click.ClickException("the consumer ended before its time") from None
    finally:
        consumer.join(timeout=1)
        if consumer.is_alive():
            consumer.kill()
    click.echo(_text(report, summary, len(sessions)))
    if not summary:
        ctx.exit(1)
    ctx.exit(report.exit_code or (1 if summary["invalid"] or summary["truncated"] or summary["events"] != report.made else 0))


def _consume(dovecot: str, pipe: Any) -> None:
    """The consumer's process: tell the URL, take one connection, tell what came."""
    import signal

    from dovestorm import catalog
    from dovestorm.receive import Receiver
    from dovestorm.validate import Validator

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    receiver = Receiver("tcp://127.0.0.1:0", validator=Validator(catalog.load(dovecot))).start()
    pipe.send(receiver.url)
    receiver.wait_until_done(once=True)
    pipe.send(receiver.stop().to_dict())


def _for_a_while(stream: Stream, seconds: float, sessions: set[int]) -> Iterator[Block]:
    """The stream's blocks, ended in good order when the time is up; notes the sessions."""
    from dovestorm import delivery, formats
    from dovestorm.clock import SystemClock
    from dovestorm.rendering import Ring, render_batch

    clock = SystemClock()
    end = clock.monotonic() + seconds
    renderer = formats.renderer("json", stream.layout)
    ring = Ring(delivery.VALID_BLOCKS + 1, size=1 << 17)
    for batch in stream.batches(reuse=True):
        first = 0
        for block in render_batch(renderer, batch, ring):
            sessions.update(batch.session[first : first + len(block)].tolist())
            first += len(block)
            yield block
            if clock.monotonic() >= end:
                return


def _text(report: Report, summary: dict[str, Any], sessions: int) -> str:
    received = summary.get("events", 0)
    rows = [
        ("sessions", f"{sessions:,}"),
        ("events", f"{report.made:,} sent, {received:,} received"),
        ("events/s", f"{report.events_per_s:,.0f} (as fast as the consumer checks them)"),
        ("bytes", f"{report.made_bytes:,}"),
        ("invalid", f"{summary['invalid']:,}" if summary else "unknown: the consumer said nothing"),
        ("lost", f"{report.made - received:,}"),
    ]
    return "\n".join(f"{name:>9}  {value}" for name, value in rows)
