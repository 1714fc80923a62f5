"""``dovestorm learn``: a scenario from a recording."""

from __future__ import annotations

import re
from pathlib import Path

import click

from dovestorm.cli.layout_option import layout_option
from dovestorm.errors import InputError
from dovestorm.learn import CROSS, learn

__all__ = ["command"]


@click.command("learn")
@click.argument("recording", metavar="RECORDING")
@click.option("-o", "--output", default="-", show_default=True, metavar="FILE", help="The scenario file to write; - is standard output.")
@click.option("--name", help="The scenario's name.  [default: the file's, else 'learnt']")
@click.option("--dovecot", default="2.3.19", show_default=True, metavar="VERSION", help="The release that was recorded.")
@click.option("--keep", multiple=True, metavar="FIELD", help="Keep this field's recorded values; may be given several times.")
@layout_option
@click.option(
    "--seed", type=click.IntRange(-(2**31), 2**31 - 1), default=0, show_default=True, help="Of the sample that a large recording is learnt from."
)
@click.option(
    "--cross",
    type=click.FloatRange(0, 1),
    default=CROSS,
    show_default=True,
    help="How likely a session goes on like another recorded one, at each event at which both stand alike.",
)
@click.option("--quantiles", is_flag=True, help="Draw every number by itself, from tables of quantiles: a smaller file, further from the recording.")
def command(
    *,
    recording: str,
    output: str,
    name: str | None,
    dovecot: str,
    keep: tuple[str, ...],
    layout: str,
    seed: int,
    cross: float,
    quantiles: bool,
) -> None:
    """Fit a scenario to RECORDING: what its sessions do, in what order, how long it takes, how often they come.

    RECORDING is a file (or - for standard input) of JSON lines, tab-text or msgpack, plain or compressed with gzip or zstd, as a server's
    exporter wrote it.
    Each session that is generated from it follows a recorded one, and crosses over to another where both stand alike.
    No user, address, mailbox, argument or other text of a client gets into the scenario unless --keep names its field. The scenario is an
    ordinary one: read it, edit it, check it, generate from it.

    Exit code 0: written. 2: it could not be.
    """
    from dovestorm.compare.reading import Source

    source = Source(recording, format=layout)
    text = learn(source, name or _name(output), dovecot=dovecot, keep=keep, seed=seed, cross=cross, quantiles=quantiles)
    if source.unreadable:
        click.echo(f"{recording}: {source.unreadable:,} lines were no events and left out, the first: {source.examples[0]}", err=True)
    if output == "-":
        click.echo(text, nl=False)
    else:
        _write(Path(output), text)


def _name(output: str) -> str:
    """The scenario's name from its file's: small letters, digits and ``-``."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(output).stem.lower()).strip("-")
    return name if name[:1].isalpha() else f"learnt-{name}".strip("-")


def _write(path: Path, text: str) -> None:
    """Write the file whole, or leave what was there."""
    beside = path.with_name(f".{path.name}.new")
    try:
        try:
            beside.write_text(text, encoding="utf-8")
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
