"""Which received rows belong to which expected ones: by key, and among equal keys the first to the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Keys = NDArray[np.uint64]
    _Places = NDArray[np.int64]

__all__ = ["Joined", "join"]


@dataclass(frozen=True, slots=True)
class Joined:
    """What became of two lists of keys.

    Attributes:
        expected, received: Places of those that belong together, pair by pair.
        surplus: Places of received keys that exist, but of which more were received than expected.
        original: For each surplus one, the place of an expected key that is the same.
        unknown: Places of received keys that were not expected at all.
    """

    expected: _Places
    received: _Places
    surplus: _Places
    original: _Places
    unknown: _Places


def join(expected: tuple[_Keys, _Keys], received: tuple[_Keys, _Keys]) -> Joined:
    """Join by keys of two words; the second word is only looked at where the first says that keys are the same.

    Args:
        expected: The first and the second words of the expected keys, in the order of the stream.
        received: The same of the received ones, in the order of arrival.
    """
    joined = _join(expected[0], received[0])
    agree = (expected[1][joined.expected] == received[1][joined.received]).all() and (
        expected[1][joined.original] == received[1][joined.surplus]
    ).all()
    if agree:
        return joined
    # Keys that differ in the second word only: rare enough to number all keys by both words.
    words = np.concatenate([np.stack(keys, axis=1) for keys in (expected, received)])
    numbers = np.unique(words, axis=0, return_inverse=True)[1].reshape(-1).astype(np.uint64)
    return _join(numbers[: len(expected[0])], numbers[len(expected[0]) :])


def _join(expected: _Keys, received: _Keys) -> Joined:
    expected_order, expected_first, counts = _groups(expected)
    received_order, received_first, sizes = _groups(received)
    known, wanted = expected[expected_order[expected_first]], received[received_order[received_first]]
    if not len(known):
        nothing = np.empty(0, np.int64)
        return Joined(nothing, nothing, nothing, nothing, received_order)
    place = np.searchsorted(known, wanted)
    place[place == len(known)] = 0
    present = known[place] == wanted
    group = np.repeat(np.arange(len(wanted)), sizes)
    rank = np.arange(len(received)) - received_first[group]
    there = np.where(present, counts[place], 0)[group]
    matched, more = rank < there, present[group] & (rank >= there)
    begin = expected_first[place]
    return Joined(
        expected=expected_order[begin[group[matched]] + rank[matched]],
        received=received_order[matched],
        surplus=received_order[more],
        original=expected_order[begin[group[more]] + there[more] - 1],
        unknown=received_order[~present[group]],
    )


def _groups(keys: _Keys) -> tuple[_Places, _Places, _Places]:
    """The order of the keys, where in it each different one begins, and how often it occurs."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    first = np.flatnonzero(np.concatenate((np.ones(min(1, len(keys)), bool), ordered[1:] != ordered[:-1])))
    return order, first, np.diff(np.append(first, len(keys)))
