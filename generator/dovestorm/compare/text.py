"""A comparison as text: what differs, the largest differences first, and the closing figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.validate.report import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from dovestorm.compare.comparison import Comparison, Counted, Measured, StreamSummary

__all__ = ["to_text"]

_SURE = 4.0
_SURE_DISTANCE = 2.0
_NAME = 60


def to_text(comparison: Comparison, *, top: int = 10) -> str:
    """The report for a person.

    Only differences that chance hardly explains are listed (shares 4 standard errors apart, distances 2), or what one stream has and the other
    has not; ``to_json`` has everything.

    Args:
        comparison: What to show.
        top: Lines of each section, at most.
    """
    lines = [_stream("A", comparison.a), _stream("B", comparison.b)]
    if not (comparison.a.events and comparison.b.events):
        lines.append("one of the streams is empty: there is nothing to compare")
    unit = comparison.unit
    counted: list[tuple[str, Sequence[Counted], Callable[[tuple[str, ...]], str]]] = [
        ("events", comparison.events, _joined(" ")),
        ("fields, out of their events", comparison.fields, _joined(".")),
        ("types", comparison.types, lambda key: f"{key[0]}.{key[1]} is {key[2]}"),
        ("order of fields", comparison.order, lambda key: f"{key[0]}: {key[1]} before {key[2]}"),
        ("categories", comparison.categories, _joined(" in ")),
        ("values", comparison.values, lambda key: f"{key[0]}.{key[1]} = {key[2]}"),
        (f"what follows what in {unit}", comparison.transitions, _joined(" > ")),
        (f"what command follows what in {unit}", comparison.commands, _commands),
    ]
    measured: list[tuple[str, Sequence[Measured], Callable[[tuple[str, ...]], str]]] = [
        ("numbers", comparison.numbers, _joined(".")),
        ("how long events last, microseconds", comparison.lasting, _joined(" ")),
        (f"gaps in {unit}, microseconds", comparison.gaps, _joined(" > ")),
    ]
    for title, rows, name in counted:
        lines += _shares(title, _shared(title, rows, comparison), name, top)
    for title, measures, name in measured:
        lines += _distributions(title, measures, name, top, every=False)
    lines += _distributions(f"{unit}: length in microseconds, and events in each", comparison.shape, _joined(" "), top, every=True)
    return "\n".join([*lines, "", *_closing(comparison)])


def _stream(side: str, stream: StreamSummary) -> str:
    grouped = f"{stream.sessions:,} sessions of {stream.events_in_sessions:,} events, {stream.operations:,} operations outside of them"
    lines = [f"{side}  {printable(stream.name)}: {stream.events:,} events in {stream.span_us / 1e6:,.1f} s; {grouped}"]
    if stream.unreadable:
        lines.append(f"   {stream.unreadable:,} could not be read and are left out, such as {'; '.join(map(printable, stream.examples))}")
    if stream.uncounted:
        lines.append(f"   {stream.uncounted:,} events are of too many kinds: their fields are not compared")
    return "\n".join(lines)


def _joined(between: str) -> Callable[[tuple[str, ...]], str]:
    return between.join


def _commands(key: tuple[str, ...]) -> str:
    return " > ".join(part.partition(" ")[2] if part.startswith(("imap_", "smtp_")) else part for part in key)


def _shared(title: str, rows: Sequence[Counted], comparison: Comparison) -> Iterable[Counted]:
    """A stranger is named once: the fields of an event that the other stream does not have say nothing more."""
    if title == "events":
        return rows
    missing = {row.key[0] for row in comparison.events if not (row.a and row.b)}
    if title.startswith("what"):
        return (row for row in rows if not missing & set(row.key))
    return (row for row in rows if row.key[0] not in missing and row.of_a and row.of_b)


def _shares(title: str, rows: Iterable[Counted], name: Callable[[tuple[str, ...]], str], top: int) -> list[str]:
    rows = list(rows)
    only_a = sorted((row for row in rows if row.a and not row.b), key=lambda row: (-row.a, row.key))
    only_b = sorted((row for row in rows if row.b and not row.a), key=lambda row: (-row.b, row.key))
    both = sorted((row for row in rows if row.a and row.b and row.score >= _SURE), key=lambda row: (-row.score, row.key))
    lines = ["", f"{title}: {len(rows):,} compared, {len(only_a):,} in A only, {len(only_b):,} in B only, {len(both):,} more or less often"]
    if top and (only_a or only_b or both):
        lines.append(f"          {'A':>7}  {'B':>7}")
    for what, found in (("only A", only_a), ("only B", only_b), ("", both)):
        lines += [
            f"  {what or 'both':6}  {_percent(row.share_a)}  {_percent(row.share_b)}  {_shown(name(row.key))}{_number(row)}" for row in found[:top]
        ]
        if len(found) > top:
            lines.append(f"  {what or 'both':6}  ... and {len(found) - top:,} more")
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:6.2f}%"


def _number(row: Counted) -> str:
    return f" ({row.a:,} and {row.b:,})"


def _distributions(title: str, rows: Sequence[Measured], name: Callable[[tuple[str, ...]], str], top: int, *, every: bool) -> list[str]:
    both = [row for row in rows if row.ks is not None]
    sure = sorted((row for row in both if every or row.score >= _SURE_DISTANCE), key=lambda row: (-(row.ks or 0), row.key))
    lines = ["", f"{title}: {len(both):,} compared" + ("" if every else f", {len(sure):,} differ")]
    if sure:
        lines.append("     KS  " + "".join(f"{head:>12}" for head in ("p5", "median", "p95", "p99", "number")))
    for row in sure[:top]:
        lines.append(f"  {row.ks:5.3f}  {_shown(name(row.key))}")
        for side, part in (("A", row.a), ("B", row.b)):
            values = [part.at(level) for level in (0.05, 0.5, 0.95, 0.99)]
            lines.append(f"      {side}  " + "".join(f"{value:>12,.0f}" for value in values) + f"{part.count:>12,}")
    if len(sure) > top:
        lines.append(f"  ... and {len(sure) - top:,} more")
    return lines


def _shown(name: str) -> str:
    return printable(name, 2 * _NAME)


def _closing(comparison: Comparison) -> list[str]:
    figure = comparison.separability
    if figure is None:
        return [f"{comparison.unit} told apart: no figure, {comparison.reason}"]
    lines = [f"what tells {comparison.unit} apart (each alone; 0.5 tells nothing):"]
    lines += [f"  {area:5.3f}  {printable(name, 2 * _NAME)}" for name, area in figure.telling]
    a, b = figure.sessions
    basis = f"area under the ROC curve, {a:,} of A and {b:,} of B; 0.5 is indistinguishable, 1 is certain"
    return [*lines, "", f"{comparison.unit} told apart: {figure.auc:.3f} +- {figure.error:.3f} ({basis})"]
