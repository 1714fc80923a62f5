"""Reading two streams and setting them side by side."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from dovestorm.compare.classifier import MissingExtraError, TooFewSessionsError, separability
from dovestorm.compare.comparison import Comparison, Counted, Measured, StreamSummary
from dovestorm.compare.flows import Flows, FlowTally
from dovestorm.compare.measures import Reservoir, kolmogorov_smirnov, summary
from dovestorm.compare.reading import Source
from dovestorm.compare.records import records
from dovestorm.compare.tally import Tally
from dovestorm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from dovestorm.compare.classifier import Separability
    from dovestorm.compare.records import Record

__all__ = ["SAMPLE", "compare", "compare_files"]

SAMPLE = 1_000
"""Sessions of each stream that the classifier looks at, at most, unless told otherwise."""

_Key = tuple[str, ...]


def compare_files(
    a: str | Path,
    b: str | Path,
    *,
    format: str = "auto",  # noqa: A002 - the word of the command line
    sample: int = SAMPLE,
    seed: int = 0,
    classify: bool = True,
) -> Comparison:
    """Compare two files, one of which may be ``-`` for standard input; see ``compare``.

    Raises:
        UsageError: An unknown format, or both are standard input.
        InputError: A file cannot be read, or holds no event but something else.
    """
    if str(a) == str(b) == "-":
        raise UsageError("-: standard input can be read once, so only one of A and B can be -")
    return compare(Source(a, format=format), Source(b, format=format), names=(str(a), str(b)), sample=sample, seed=seed, classify=classify)


def compare(
    a: Iterable[Mapping[str, Any] | Record],
    b: Iterable[Mapping[str, Any] | Record],
    *,
    names: tuple[str, str] = ("A", "B"),
    sample: int = SAMPLE,
    seed: int = 0,
    classify: bool = True,
) -> Comparison:
    """Hold two streams against each other; each is read once, in one pass, with bounded memory.

    Args:
        a: Events in order of end_time: decoded maps, or records.
        b: Likewise.
        names: What to call them.
        sample: Sessions of each that the classifier looks at, at most.
        seed: Of the sample and the classifier.
        classify: Whether to end with the classifier's figure.

    Raises:
        UnreadableError: A map is no event.
        UsageError: A sample of less than the classifier needs.
    """
    if sample < 1:
        raise UsageError(f"sample: {sample}, must be at least 1")
    first, second = _Stream(a, names[0], sample, seed), _Stream(b, names[1], sample, seed)
    one, two = first.tally, second.tally
    named = bool(first.flows.sessions.count or second.flows.sessions.count)
    flow_a, flow_b = (stream.flows.sessions if named else stream.flows.operations for stream in (first, second))
    figure, reason = _judge(first.flows, second.flows, seed, named=named) if classify else (None, "the classifier was not asked")
    fields_a, fields_b = one.fields(), two.fields()
    return Comparison(
        a=first.summary(),
        b=second.summary(),
        unit="sessions" if named else "operations",
        events=_counted(_keyed(one.events), _keyed(two.events), lambda _: (one.total, two.total)),
        fields=_counted(fields_a, fields_b, lambda key: (one.events[key[0]], two.events[key[0]])),
        types=_counted(one.types(), two.types(), lambda key: (fields_a[key[0], key[1]], fields_b[key[0], key[1]])),
        order=_order(one.order(), two.order()),
        categories=_counted(one.categories, two.categories, lambda key: (one.events[key[0]], two.events[key[0]])),
        values=_counted(_values(one), _values(two), lambda key: (fields_a[key[0], key[1]], fields_b[key[0], key[1]])),
        transitions=_steps(flow_a.transitions, flow_b.transitions),
        commands=_steps(flow_a.commands, flow_b.commands),
        numbers=_measured(one.amounts, two.amounts),
        lasting=_measured(_keyed(one.lasting), _keyed(two.lasting)),
        gaps=_measured(flow_a.gaps, flow_b.gaps),
        shape=_measured(_shape(flow_a), _shape(flow_b)),
        separability=figure,
        reason=reason,
    )


class _Stream:
    """One stream, read to its end."""

    def __init__(self, items: Iterable[Mapping[str, Any] | Record], name: str, sample: int, seed: int) -> None:
        self.name = name
        self.source = items if isinstance(items, Source) else None
        self.tally = Tally()
        self.flows = Flows(sample=sample, seed=seed)
        for record in records(items):
            self.flows.add(record, self.tally.add(record))
        self.flows.finish()

    def summary(self) -> StreamSummary:
        tally, flows = self.tally, self.flows
        return StreamSummary(
            name=self.name,
            events=tally.total,
            sessions=flows.sessions.count,
            events_in_sessions=flows.sessions.events,
            operations=flows.operations.count,
            span_us=0 if tally.first_us is None or tally.last_us is None else tally.last_us - tally.first_us,
            unreadable=self.source.unreadable if self.source else 0,
            examples=tuple(self.source.examples) if self.source else (),
            uncounted=tally.uncounted,
        )


def _judge(a: Flows, b: Flows, seed: int, *, named: bool) -> tuple[Separability | None, str]:
    try:
        return separability(a.features(named=named), b.features(named=named), seed=seed), ""
    except (MissingExtraError, TooFewSessionsError) as error:
        return None, str(error)


def _keyed(values: Mapping[str, Any]) -> dict[_Key, Any]:
    return {(name,): value for name, value in values.items()}


def _values(tally: Tally) -> dict[_Key, int]:
    return {(*place, value): count for place, values in tally.values.items() for value, count in values.items()}


def _shape(flow: FlowTally) -> dict[_Key, Reservoir]:
    return {("length",): flow.lengths, ("events",): flow.sizes}


def _counted(a: Mapping[Any, int], b: Mapping[Any, int], out_of: Callable[[Any], tuple[int, int]]) -> tuple[Counted, ...]:
    return tuple(Counted(key, a.get(key, 0), b.get(key, 0), *out_of(key)) for key in sorted({*a, *b}))


def _steps(a: Mapping[Any, int], b: Mapping[Any, int]) -> tuple[Counted, ...]:
    left: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for total, steps in zip(left, (a, b), strict=True):
        for (first, _), count in steps.items():
            total[first] += count
    return _counted(a, b, lambda key: (left[0][key[0]], left[1][key[0]]))


def _order(a: Mapping[Any, int], b: Mapping[Any, int]) -> tuple[Counted, ...]:
    """Pairs that stand in one order in A and, in some records at least, in the other order in B, or the other way round; each pair once."""
    found = []
    for event, first, second in sorted({*a, *b}):
        back = (event, second, first)
        ahead_a, ahead_b = a.get((event, first, second), 0), b.get((event, first, second), 0)
        of_a, of_b = ahead_a + a.get(back, 0), ahead_b + b.get(back, 0)
        row = Counted((event, first, second), ahead_a, ahead_b, of_a, of_b)
        if of_a and of_b and row.share_a > row.share_b:
            found.append(row)
    return tuple(found)


def _measured(a: Mapping[Any, Reservoir], b: Mapping[Any, Reservoir]) -> tuple[Measured, ...]:
    found = []
    for key in sorted({*a, *b}):
        one, two = a.get(key), b.get(key)
        both = one is not None and two is not None and one.count and two.count
        distance = kolmogorov_smirnov(one.values, two.values) if both and one is not None and two is not None else None
        found.append(Measured(key, summary(one), summary(two), distance))
    return tuple(found)
