"""The command line. Each command is a module of its own, imported only when it is called."""

from __future__ import annotations

import importlib
import os
import sys

import click

from dovestorm import __version__
from dovestorm.errors import DovestormError

__all__ = ["main"]

_COMMANDS = {
    "generate": "Generate a scenario's events and deliver them.",
    "receive": "The reference consumer: receive events, count and check them.",
    "validate": "Check a stream against the catalog and the order of events.",
    "audit": "Hold what a consumer wrote against the stream that it was sent: missing, doubled, altered.",
    "compare": "Hold two streams against each other: what differs, and whether sessions can be told apart.",
    "learn": "Fit a scenario to a recording of a real server, without its users and texts.",
    "load": "Load-test a consumer with Locust: paced or flat out, by many workers, with a verdict.",
    "find-limit": "Find the highest rate of events that a consumer sustains.",
    "catalog": "List what a Dovecot version can emit.",
    "scenarios": "List the shipped scenarios, or show one.",
    "check": "Check a scenario file.",
    "demo": "Generate a working day into the reference consumer and check what arrived.",
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are needed; their one-line helps stand above, so that --help stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"dovestorm.cli.{cmd_name.replace('-', '_')}_command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from dovestorm.errors import nearest

            raise click.UsageError(f"No such command '{args[0]}'{nearest(args[0], _COMMANDS)}", error.ctx) from None


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="dovestorm", message="%(prog)s %(version)s")
def cli() -> None:
    """Synthetic Dovecot events and load tests for whatever consumes them."""


def main() -> None:
    """Run the command line: errors of ours are one message on standard error and an exit code, never a traceback."""
    sys.exit(_run())


def _run() -> int:
    output = sys.stdout
    try:
        code = cli.main(prog_name="dovestorm", standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except DovestormError as error:
        click.echo(f"dovestorm: {error}", err=True)
        return error.exit_code
    except SystemExit:
        # When the reader of our output has gone, as with `| head`, click muffles the output and exits with 1; but nothing is wrong.
        if sys.stdout is output:
            raise
        _let_go_of_output()
        return 0
    except OSError as error:
        click.echo(f"dovestorm: {error.filename or 'standard output'}: {error.strerror or error}", err=True)
        _let_go_of_output()
        return 1
    return code if isinstance(code, int) else 0


def _let_go_of_output() -> None:
    """What is left in the buffer of standard output goes nowhere: another attempt to write it, at exit, would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
