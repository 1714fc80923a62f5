"""``dovestorm scenarios``: which scenarios ship, and what one says."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.command("scenarios")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Give the answer as JSON.")
def command(*, name: str | None, as_json: bool) -> None:
    """List the shipped scenarios, or print one as it is written."""
    from dovestorm import scenario
    from dovestorm.scenario.loader import find

    if name is not None:
        source = find(name)
        click.echo(json.dumps({"name": name, "file": source.file, "text": source.text}) if as_json else source.text, nl=as_json)
        return
    found = scenario.shipped()
    if as_json:
        click.echo(json.dumps([{"name": name, "summary": summary} for name, summary in found], indent=2))
        return
    width = max((len(name) for name, _ in found), default=0)
    for one, summary in found:
        click.echo(f"{one:<{width}}  {summary}".rstrip())
