"""Counter-based randomness: the only source of chance in this package.

Draw number *k* of a session is a hash of (seed, session, k), so no draw depends on any other session, on the order of work, or on the machine:
all arithmetic is on 64-bit integers. The mixing function is the output function of SplitMix64 (Steele, Lea, Flood: "Fast splittable
pseudorandom number generators", 2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GAMMA", "derive", "mix", "mix_array", "session_keys"]

GAMMA = 0x9E3779B97F4A7C15
"""The increment between two draws of one session."""

_MASK = 0xFFFFFFFFFFFFFFFF
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB


def mix(value: int) -> int:
    """Mix one 64-bit integer."""
    value &= _MASK
    value = ((value ^ (value >> 30)) * _FIRST) & _MASK
    value = ((value ^ (value >> 27)) * _SECOND) & _MASK
    return value ^ (value >> 31)


def derive(seed: int, *words: int | str) -> int:
    """Give a 64-bit key that depends on the seed and every word, in order."""
    key = mix(seed + GAMMA)
    for word in words:
        numbers = [word] if isinstance(word, int) else list(word.encode())
        for number in numbers:
            key = mix(key * 3 + number + GAMMA)
        key = mix(key + len(numbers))
    return key


def mix_array(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix every element of a uint64 array; gives a new array."""
    mixed = values ^ (values >> np.uint64(30))
    mixed *= np.uint64(_FIRST)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(_SECOND)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def session_keys(seed: int, sessions: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The random key of each session: uint64, one per session number."""
    stream = np.uint64(derive(seed, "session"))
    return mix_array(sessions.astype(np.uint64) * np.uint64(GAMMA) + stream)
