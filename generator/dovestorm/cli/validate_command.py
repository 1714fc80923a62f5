"""``dovestorm validate``: whether a stream keeps to the catalog and to the order of events."""

from __future__ import annotations

import click

from dovestorm.cli.layout_option import layout_option

__all__ = ["command"]


@click.command("validate")
@click.argument("source", metavar="FILE|-")
@click.option("--dovecot", metavar="VERSION", default="2.3.6", show_default=True, help="Edition of the catalog to check against.")
@layout_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--max-examples", type=click.IntRange(min=0), default=5, show_default=True, help="Examples to show of each finding.")
@click.option("--sections", metavar="A,B", help="Check only the events of these sections of the catalog.")
@click.option("--ignore-unknown-events", is_flag=True, help="Pass over events that the edition does not have.")
@click.option("--unordered", is_flag=True, help="Records may be out of order, as from several senders; rules over several records are off.")
@click.option("--complete", is_flag=True, help="Nothing is cut off at either end: all that starts must finish.")
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    source: str,
    dovecot: str,
    layout: str,
    as_json: bool,
    max_examples: int,
    sections: str | None,
    ignore_unknown_events: bool,
    unordered: bool,
    complete: bool,
) -> None:
    """Check a stream of JSON lines, tab-text or msgpack, plain or compressed with gzip or zstd.

    Exit code 0: valid (an empty stream is, and says 0 events). 1: not valid. 2: it could not be checked.
    """
    from dovestorm.validate import validate_file

    report = validate_file(
        source,
        dovecot,
        max_examples=max_examples,
        sections=None if sections is None else [name.strip() for name in sections.split(",") if name.strip()],
        format=layout,
        unordered=unordered,
        complete=complete,
        ignore_unknown_events=ignore_unknown_events,
    )
    if as_json:
        import json

        click.echo(json.dumps(report.to_dict()))
    else:
        click.echo(report.to_text())
    context.exit(0 if report.valid else 1)
