"""A session as numbers: what it did, in what order, how long everything took; never who or when."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from dovestorm.compare.vocabulary import IDENTITIES, label, number, word

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovestorm.compare.records import Record

__all__ = ["SessionShape", "features"]

_EVENTS = 5_000
_VALUES = 500
_KEYS = 4_000


class _Moment(NamedTuple):
    label: str
    start_us: int
    end_us: int


class SessionShape:
    """Gathers a session's features event by event; only the first 5,000 events and 500 values of a kind are held, counts go on."""

    __slots__ = ("_amounts", "_counts", "_different", "_events", "_moments")

    def __init__(self) -> None:
        self._events = 0
        self._moments: list[_Moment] = []
        self._counts: Counter[str] = Counter()
        self._amounts: defaultdict[str, list[float]] = defaultdict(list)
        self._different: defaultdict[str, set[int]] = defaultdict(set)

    def add(self, record: Record) -> None:
        """Take the session's next event."""
        event, counts = record.event, self._counts
        self._events += 1
        what = label(record)
        if len(self._moments) < _EVENTS:
            self._moments.append(_Moment(what, record.start_us, record.end_us))
        if len(counts) > _KEYS:
            return
        at = f"{event}@{record.service}"
        counts[f"count {at}"] += 1
        if what != event:
            counts[f"count {what}"] += 1
        self._amount(f"{what} lasts", record.end_us - record.start_us)
        for name, value in record.fields.items():
            counts[f"has {at}.{name}"] += 1
            amount = number(name, value)
            if amount is not None:
                self._amount(f"{at}.{name}", amount)
                if what != event:
                    self._amount(f"{what}.{name}", amount)
            if (text := word(name, value)) is not None:
                counts[f"is {at}.{name} {text}"] += 1
                if what != event:
                    counts[f"is {what}.{name} {text}"] += 1
            if name in IDENTITIES and isinstance(value, str) and len(self._different[name]) < _VALUES:
                self._different[name].add(hash(value))

    def features(self) -> dict[str, float]:
        """Every feature by name.

        ``count``, ``has``, ``is`` and ``then`` count events, fields that are there, values and transitions; what is missing counts 0. The
        others are amounts, as signed logarithms: a ``total``, ``least``, ``middle`` and ``most`` of each; what is missing is unknown.
        """
        found: dict[str, float] = dict(self._counts)
        found["count events"] = self._events
        for name, values in self._different.items():
            found[f"count different {name}"] = len(values)
        for name, amounts in itertools.chain(self._amounts.items(), self._times(found).items()):
            ordered = sorted(amounts)
            found[f"amount {name} middle"] = _signed_log(ordered[len(ordered) // 2])
            if len(ordered) > 1:
                found[f"amount {name} least"] = _signed_log(ordered[0])
                found[f"amount {name} most"] = _signed_log(ordered[-1])
                found[f"amount {name} total"] = _signed_log(sum(ordered))
        return found

    def _times(self, found: dict[str, float]) -> dict[str, list[float]]:
        """Length, gaps and beginnings, in microseconds; transitions are counted into ``found`` on the way."""
        moments = sorted(self._moments, key=lambda moment: moment.end_us)
        if not moments:
            return {}
        begin = min(moment.start_us for moment in moments)
        times: defaultdict[str, list[float]] = defaultdict(list)
        times["length"].append(moments[-1].end_us - begin)
        for moment in moments:
            times[f"{moment.label} begins after"].append(moment.start_us - begin)
        found[f"then START > {moments[0].label}"] = 1
        found[f"then {moments[-1].label} > END"] = 1
        for first, second in itertools.pairwise(moments):
            step = f"{first.label} > {second.label}"
            found[f"then {step}"] = found.get(f"then {step}", 0) + 1
            gap = second.end_us - first.end_us
            times["gap"].append(gap)
            times[f"gap {step}"].append(gap)
            times[f"idle {step}"].append(second.start_us - first.end_us)
        return times

    def _amount(self, name: str, amount: float) -> None:
        amounts = self._amounts[name]
        if len(amounts) < _VALUES:
            amounts.append(amount)


def features(records: Iterable[Record]) -> dict[str, float]:
    """The features of one session, by name; see ``SessionShape.features``."""
    shape = SessionShape()
    for record in records:
        shape.add(record)
    return shape.features()


def _signed_log(amount: float) -> float:
    return math.copysign(math.log1p(abs(amount)), amount)
