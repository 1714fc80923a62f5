"""The options that describe a stream, and those that say how to audit one: several commands take them."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import click

from dovestorm.cli.units import DURATION, FACTOR, TIMESTAMP, Name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovestorm.stream import Stream

    Command = Callable[..., Any]

__all__ = ["audit_options", "auditor_wanted", "open_wanted", "stream_options"]

_PRECISIONS = ("us", "ms", "s")


def stream_options(prefix: str = "") -> Callable[[Command], Command]:
    """The options that, with a scenario and an edition, fix a stream; ``open_wanted`` reads them.

    Args:
        prefix: Put before ``events`` and ``for``, where a command has options of these names already.
    """
    return _all(
        click.option("--sections", metavar="LIST", help="Only events of these catalog sections, such as imap,http; else of all."),
        click.option("--seed", type=int, default=0, show_default=True, help="Same scenario, edition and seed: same bytes."),
        click.option("--sessions", type=click.IntRange(min=0), help="Start so many sessions and let each end."),
        click.option(f"--{prefix}events", "stream_events", type=click.IntRange(min=0), help="Stop after so many events."),
        click.option(f"--{prefix}for", "duration", type=DURATION, help="Stop after so much scenario time, such as 10min."),
        click.option("--shard", metavar="I/N", default="1/1", help="Every N-th session, from the I-th on; the N shards are exactly the whole."),
        click.option("--start", type=TIMESTAMP, help="When the scenario begins, such as 2026-03-02T09:00:00Z, instead of its own start."),
        click.option("--users", type=click.IntRange(min=1), help="How many users there are, instead of the scenario's own number."),
        click.option("--scale", type=FACTOR, default=1.0, metavar="FACTOR", help="Multiply the arrival rate."),
    )


def audit_options(command: Command) -> Command:
    """The options that say how an audit compares; ``auditor_wanted`` reads them."""
    options = _all(
        click.option("--ignore", metavar="FIELD", multiple=True, help="A field, or hostname, that may differ; may be given more than once."),
        click.option("--precision", type=Name(_PRECISIONS), default="us", show_default=True, help="Compare times in whole units of this."),
        click.option("--rounded", is_flag=True, help="The collector rounded times to --precision, and did not cut them off."),
        click.option("--field", "wrapped", metavar="NAME", default="", help="The collector's JSON holds the event in this field, as text or map."),
        click.option("--untyped", is_flag=True, help="Integers may arrive as texts."),
        click.option(
            "--scratch", metavar="FOLDER", type=click.Path(file_okay=False), help="Where temporary files go, instead of the system's place."
        ),
        click.option("--max-examples", type=click.IntRange(min=0), default=5, show_default=True, help="Examples to show of each finding."),
    )
    return options(command)


def open_wanted(scenario: str, wanted: Mapping[str, Any]) -> Stream:
    """The stream that the options of ``stream_options`` and ``dovecot`` (and ``window``, where there is one) describe.

    Raises:
        ScenarioError: With every fault of the scenario.
        UsageError: What cannot be.
    """
    from dovestorm.stream import Limits, open_stream, parse_sections, parse_shard

    overrides: dict[str, Any] = {}
    if wanted["start"] is not None:
        overrides["start"] = wanted["start"]
    if wanted["users"] is not None:
        overrides["population.users"] = wanted["users"]
    return open_stream(
        scenario,
        dovecot=wanted["dovecot"],
        seed=wanted["seed"],
        shard=parse_shard(wanted["shard"]),
        limits=Limits(sessions=wanted["sessions"], events=wanted["stream_events"], duration=wanted["duration"]),
        rate=wanted["scale"],
        window=wanted.get("window"),
        overrides=overrides,
        sections=None if wanted["sections"] is None else parse_sections(wanted["sections"]),
    )


def auditor_wanted(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The options of ``audit_options`` as ``Auditor`` takes them."""
    from dovestorm.audit import PRECISIONS

    return {
        "ignore": tuple(wanted["ignore"]),
        "precision": PRECISIONS[wanted["precision"]],
        "rounded": wanted["rounded"],
        "field": wanted["wrapped"],
        "untyped": wanted["untyped"],
        "scratch": wanted["scratch"],
        "examples": wanted["max_examples"],
    }


def _all(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    return lambda command: reduce(lambda done, option: option(done), reversed(options), command)
