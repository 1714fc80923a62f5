"""Which of several altered records belongs to which of several missing events: the pairs with the most fields the same."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np
import orjson

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CANDIDATES", "NO_TRAITS", "TRAITS", "pair", "traits"]

TRAITS = 32
CANDIDATES = 256
"""Missing events that a record is compared with, at most."""
NO_TRAITS = np.full(TRAITS, -1, np.int32)
"""Of what is like nothing."""

_BLOCK = 32


def traits(spelled: bytes) -> NDArray[np.int32]:
    """An event's fields in few numbers, each of which depends on some of the names only: the more agree, the more fields are the same.

    Args:
        spelled: The event's spelling.
    """
    event = orjson.loads(spelled)
    fields = event.pop("fields", None)
    found = [0] * TRAITS
    for name, value in (*event.items(), *(fields.items() if isinstance(fields, dict) else [("fields", fields)])):
        begin = crc32(name.encode())
        found[begin % TRAITS] += crc32(orjson.dumps(value), begin) >> 8
    return np.array([number & 0x7FFFFFFF for number in found], np.int32)


def pair(expected: NDArray[np.int32], received: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pair as many as there are on the shorter side, the most alike first; among equals, the first with the first.

    Args:
        expected: int32[n, TRAITS], in the order of the stream.
        received: int32[m, TRAITS], in the order of arrival; some at a time are compared with the first ``CANDIDATES`` that are left.

    Returns:
        The numbers of the expected ones and of the received ones, pair by pair.
    """
    pairs: list[tuple[int, int]] = []
    left = np.arange(len(expected))
    for begin in range(0, len(received), _BLOCK):
        candidates, rest = left[:CANDIDATES], left[CANDIDATES:]
        if not len(candidates):
            break
        likeness = (received[begin : begin + _BLOCK, None] == expected[candidates]).sum(axis=2, dtype=np.int64)
        for _ in range(min(likeness.shape)):
            one, other = divmod(int(np.argmax(likeness)), len(candidates))
            likeness[one], likeness[:, other] = -1, -1
            pairs.append((int(candidates[other]), begin + one))
        left = np.concatenate((np.setdiff1d(candidates, [place for place, _ in pairs[-_BLOCK:]]), rest))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return found[:, 0], found[:, 1]
