"""``dovestorm audit``: what a consumer wrote, held against the stream that it was sent."""

from __future__ import annotations

import json
from typing import Any

import click

from dovestorm import registry
from dovestorm.cli.stream_options import audit_options, auditor_wanted, open_wanted, stream_options
from dovestorm.cli.units import Name

__all__ = ["command"]


@click.command("audit")
@click.argument("received", metavar="RECEIVED...", nargs=-1, required=True)
@click.option("--scenario", required=True, help="What was sent: a shipped scenario's name, or a file.")
@click.option("--format", "format_name", type=Name(registry.READABLE), default="json", show_default=True, help="How events looked when sent.")
@click.option("--time-format", type=Name(["rfc3339", "unix"]), default="rfc3339", show_default=True, help="How times looked when sent.")
@click.option("--dovecot", metavar="VERSION", help="The edition that was sent, instead of the scenario's own.")
@stream_options()
@audit_options
@click.option(
    "--compare",
    type=Name(["auto", "bytes", "values"]),
    default="auto",
    show_default=True,
    help="What most records are recognised by; the counts are the same.",
)
@click.option("--in-order", is_flag=True, help="Events out of order are a failure too.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    received: tuple[str, ...],
    scenario: str,
    format_name: str,
    time_format: str,
    compare: str,
    in_order: bool,
    as_json: bool,
    **wanted: Any,
) -> None:
    """Hold what a consumer wrote (files, or - for standard input) against the stream that it was sent.

    The stream is made anew from scenario and seed, so give the options that it was generated with. Records are JSON lines, tab-text or msgpack,
    plain or compressed with gzip or zstd; what a collector adds beside the event's own entries does not matter. Exit code: 0 every event arrived
    once and unaltered, and nothing else did; 1 something is missing, doubled, altered or foreign; 2 misuse.
    """
    from dovestorm.audit import audit

    stream = open_wanted(scenario, wanted)
    report = audit(stream, received, format=format_name, time_format=time_format, compare=compare, **auditor_wanted(wanted))
    if as_json:
        head = {"scenario": stream.scenario.name, "dovecot": stream.scenario.dovecot, "seed": stream.seed}
        click.echo(json.dumps({**head, **report.to_dict()}))
    else:
        click.echo(report.to_text())
    ctx.exit(0 if report.clean and not (in_order and report.out_of_order) else 1)
