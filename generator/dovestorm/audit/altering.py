"""Missing events and unknown records that are alike: events that were altered on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.audit.joining import join
from dovestorm.audit.pairing import CANDIDATES, NO_TRAITS, TRAITS, pair, traits
from dovestorm.audit.scratch import Bins, bin_of_key, both
from dovestorm.batch import Batch
from dovestorm.validate.json_lines import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from dovestorm.audit.auditor import Auditor
    from dovestorm.audit.scratch import Rows

__all__ = ["join_alike"]

_OURS = [("key", "<u8"), ("at", "<i8")]
_THEIRS = [*_OURS, ("offset", "<i8"), ("size", "<i8"), ("readable", "?")]
_MOST = 1 << 18
"""Events, and records, that share their key with others and are compared; from there on the first is paired with the first."""


def join_alike(auditor: Auditor, level: int, expected: Iterable[Rows], received: Iterable[Rows]) -> Iterator[tuple[NDArray[np.int64], Rows]]:
    """Pairs of places and of records (arrival number ``at``, and ``offset`` and ``size`` in the spool) that have the same key at a level.

    Args:
        auditor: Has the stream and the records.
        level: See ``likeness``.
        expected: Rows of events that are missing so far, with ``alike`` and ``at``.
        received: Rows of records that are unknown so far, with ``alike``, ``at``, ``offset``, ``size`` and ``readable``.
    """
    ours, theirs = Bins(auditor.scratch, _OURS, bin_of_key), Bins(auditor.scratch, _THEIRS, bin_of_key)
    for rows in expected:
        ours.add(_keyed(rows, level, ours.dtype))
    for rows in received:
        theirs.add(_keyed(rows, level, theirs.dtype))
    several: list[tuple[Rows, Rows]] = []
    room = _MOST
    for events, records in both(ours, theirs):
        shared = _shared(events, records)
        if shared is not None and max(map(len, shared)) <= room:
            several.append(shared)
            room -= max(map(len, shared))
            keys = shared[1]["key"]
            events, records = (rows[~np.isin(rows["key"], keys)] for rows in (events, records))  # noqa: PLW2901 - what is left of them
        joined = join((events["key"], events["key"]), (records["key"], records["key"]))
        yield events["at"][joined.expected], records[joined.received]
    if several:
        events, records = (np.concatenate(side) for side in zip(*several, strict=True))
        yield from _by_traits(auditor, events, records)


def _shared(events: Rows, records: Rows) -> tuple[Rows, Rows] | None:
    """Rows of both sides whose key is on both and more than once on one; of the events no more than are looked at."""
    if not records["readable"].any():
        return None
    keys, counts = np.unique(events["key"], return_counts=True)
    asked, sizes = np.unique(records["key"], return_counts=True)
    common, one, other = np.intersect1d(keys, asked, assume_unique=True, return_indices=True)
    wanted = (counts[one] > 1) | (sizes[other] > 1)
    common, sizes = common[wanted], sizes[other][wanted]
    if not len(common):
        return None
    events, records = (_in_groups(rows[np.isin(rows["key"], common)]) for rows in (events, records))
    group = np.searchsorted(common, events["key"])
    rank = np.arange(len(events)) - np.searchsorted(events["key"], common)[group]
    return events[rank < sizes[group] + CANDIDATES], records


def _by_traits(auditor: Auditor, events: Rows, records: Rows) -> Iterator[tuple[NDArray[np.int64], Rows]]:
    events, records = _in_groups(events), _in_groups(records)
    ours, theirs = _expected_traits(auditor, events["at"]), _received_traits(auditor, records)
    keys = np.unique(records["key"])
    cuts = [np.searchsorted(rows["key"], keys[1:]) for rows in (events, records)]
    begins = [np.concatenate(([0], cut)) for cut in cuts]
    ends = [np.append(cut, len(rows)) for cut, rows in zip(cuts, (events, records), strict=True)]
    found = [
        (one + pairs[0], other + pairs[1])
        for one, one_end, other, other_end in zip(begins[0], ends[0], begins[1], ends[1], strict=True)
        for pairs in [pair(ours[one:one_end], theirs[other:other_end])]
    ]
    yield events["at"][np.concatenate([places for places, _ in found])], records[np.concatenate([numbers for _, numbers in found])]


def _expected_traits(auditor: Auditor, places: NDArray[np.int64]) -> NDArray[np.int32]:
    found = np.empty((len(places), TRAITS), np.int32)
    order = np.argsort(places)
    ordered = places[order]
    done = 0
    for stretch in auditor.expectation.stretches():
        end = int(np.searchsorted(ordered, stretch.first + len(stretch.batch)))
        chosen = ordered[done:end] - stretch.first
        batch = stretch.batch
        part = Batch(batch.layout, batch.kind[chosen], batch.offset[chosen], batch.session[chosen], batch.values)
        for number, spelled in zip(order[done:end].tolist(), auditor.expectation.spellings(part), strict=True):
            found[number] = traits(spelled)
        done = end
        if done == len(places):
            break
    return found


def _received_traits(auditor: Auditor, records: Rows) -> NDArray[np.int32]:
    found = np.empty((len(records), TRAITS), np.int32)
    for number, (offset, size) in enumerate(zip(records["offset"].tolist(), records["size"].tolist(), strict=True)):
        try:
            found[number] = traits(auditor.spelling.spell(auditor.decoder.decode(auditor.spool.read(offset, size))))
        except UnreadableError:
            found[number] = NO_TRAITS
    return found


def _in_groups(rows: Rows) -> Rows:
    return rows[np.argsort(rows["key"], kind="stable")]


def _keyed(rows: Rows, level: int, dtype: np.dtype[Any]) -> Rows:
    """Those that have a key at this level."""
    rows = rows[rows["alike"][:, level] != 0]
    found = np.empty(len(rows), dtype)
    for name in dtype.names or ():
        found[name] = rows["alike"][:, level] if name == "key" else rows[name]
    return found
