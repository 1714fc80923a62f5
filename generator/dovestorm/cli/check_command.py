"""``dovestorm check``: whether a scenario or fragment holds together."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.command("check")
@click.argument("scenarios", metavar="[FILE|NAME]...", nargs=-1)
@click.option("--dovecot", metavar="VERSION", help="Check for this edition of the catalog instead of the scenario's own.")
@click.option("--schema", "show_schema", is_flag=True, help="Print the JSON Schema of the language, for editors, and do nothing else.")
@click.pass_context
def command(context: click.Context, /, *, scenarios: tuple[str, ...], dovecot: str | None, show_schema: bool) -> None:
    """Check scenario files, fragments, or shipped scenarios by name.

    Every fault is listed with file, line and column on standard error; the exit code is 2 if there is one.
    """
    from dovestorm import scenario
    from dovestorm.errors import ScenarioError, UsageError

    if show_schema:
        if scenarios:
            raise UsageError("--schema stands alone, without scenarios to check")
        click.echo(json.dumps(scenario.schema(), indent=2))
        return
    if not scenarios:
        raise UsageError("nothing to check, name a file or a shipped scenario")
    wrong = 0
    for named in scenarios:
        try:
            kind = scenario.check(named, dovecot=dovecot)
        except ScenarioError as error:
            wrong += len(error.faults)
            click.echo(str(error), err=True)
        else:
            click.echo(f"{named}: {kind} ok")
    if wrong:
        click.echo(f"{wrong} fault{'s' if wrong > 1 else ''}", err=True)
        context.exit(ScenarioError.exit_code)
