"""``dovestorm compare``: two streams held against each other."""

from __future__ import annotations

import click

from dovestorm.cli.layout_option import layout_option

__all__ = ["command"]


@click.command("compare")
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@layout_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON, not only what differs.")
@click.option("--top", type=click.IntRange(min=0), default=10, show_default=True, help="Lines of each section.")
@click.option("--sample", type=click.IntRange(min=10), default=1000, show_default=True, help="Sessions of each that the classifier sees.")
@click.option("--seed", type=click.IntRange(-(2**31), 2**31 - 1), default=0, show_default=True, help="Of the sample and the classifier.")
@click.option("--classifier/--no-classifier", "classify", default=True, help="End with how well sessions are told apart, or without.")
def command(*, a: str, b: str, layout: str, as_json: bool, top: int, sample: int, seed: int, classify: bool) -> None:
    """Hold the streams A and B against each other: a recording and a generated one, last week and this week.

    Each is a file (one may be - for standard input) of JSON lines, tab-text or msgpack, plain or compressed with gzip or zstd, its events in the
    order of their end_time. The last line says how well a classifier tells sessions of A from sessions of B: 0.5 is indistinguishable, 1 is
    certain. It needs scikit-learn: pip install 'dovestorm[compare]'.

    Exit code 0: compared, whatever came out. 2: it could not be.
    """
    from dovestorm.compare import compare_files, to_text

    comparison = compare_files(a, b, format=layout, sample=sample, seed=seed, classify=classify)
    if as_json:
        import json

        click.echo(json.dumps(comparison.to_json()))
    else:
        click.echo(to_text(comparison, top=top))
