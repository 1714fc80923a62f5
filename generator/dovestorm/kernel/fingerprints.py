"""Fingerprints of records, and a window of the expected ones; in NumPy and Python, as the compiled twin does them.

Source: MurmurHash3, the 128-bit variant for 64-bit machines with seed 0 (Austin Appleby, public domain). It tells records apart that differ by
accident; someone who wants two records to look the same can make such a pair, so it proves nothing against an adversary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Window", "fingerprint", "line_ends"]

_FIRST, _SECOND = np.uint64(0x87C37B91114253D5), np.uint64(0x4CF5AD432745937F)
_NEWLINE, _RETURN = 10, 13
_AHEAD = 8
_MOST_ROOM = 1 << 30


def fingerprint(
    data: bytes | bytearray | memoryview, begins: NDArray[np.int64], ends: NDArray[np.int64], *, seek: int = -1, trim: bool = False
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The 128-bit fingerprints of stretches of ``data``, as two arrays of 64 bits.

    Args:
        data: Bytes.
        begins: int64[n], where each stretch begins.
        ends: int64[n], where it ends.
        seek: The stretch is taken from the first byte of this value on, where there is one; -1 takes all of it.
        trim: Whether carriage returns at the end are left away.

    Raises:
        ValueError: A stretch that does not lie inside the data.
    """
    octets = np.frombuffer(data, np.uint8)
    if len(begins) != len(ends):
        raise ValueError(f"{len(begins)} beginnings for {len(ends)} ends")
    outside = (begins < 0) | (begins > ends) | (ends > len(octets))
    if outside.any():
        wrong = int(np.argmax(outside))
        raise ValueError(f"record {wrong}: from {begins[wrong]} to {ends[wrong]}, which is not inside {len(octets)} bytes")
    begins, ends = begins.copy(), ends.copy()
    for number in range(len(ends)):
        begins[number], ends[number] = _narrowed(octets, int(begins[number]), int(ends[number]), seek, trim=trim)
    return _hashed(octets, begins, ends - begins)


def _narrowed(octets: NDArray[np.uint8], begin: int, end: int, seek: int, *, trim: bool) -> tuple[int, int]:
    while trim and end > begin and octets[end - 1] == _RETURN:
        end -= 1
    if seek >= 0:
        found = np.flatnonzero(octets[begin:end] == seek)
        begin += int(found[0]) if len(found) else 0
    return begin, end


def _hashed(octets: NDArray[np.uint8], begins: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    one, two = np.zeros(len(sizes), np.uint64), np.zeros(len(sizes), np.uint64)
    for block in range(int(sizes.max(initial=0)) // 16 + 1):
        left = np.clip(sizes - 16 * block, 0, 16)
        low, high = (_words(octets, begins + 16 * block + 8 * half, np.clip(left - 8 * half, 0, 8)) for half in (0, 1))
        low, high = _turned(low * _FIRST, 31) * _SECOND, _turned(high * _SECOND, 33) * _FIRST
        whole, part = left == 16, (left > 0) & (left < 16)
        next_one = (_turned(one ^ low, 27) + two) * np.uint64(5) + np.uint64(0x52DCE729)
        next_two = (_turned(two ^ high, 31) + next_one) * np.uint64(5) + np.uint64(0x38495AB5)
        one, two = np.where(whole, next_one, np.where(part, one ^ low, one)), np.where(whole, next_two, np.where(part, two ^ high, two))
    size = sizes.astype(np.uint64)
    one, two = one ^ size, two ^ size
    one = one + two
    two = two + one
    one, two = _mixed(one), _mixed(two)
    one = one + two
    return one, two + one


def _words(octets: NDArray[np.uint8], at: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Up to 8 bytes from each place, little-endian; what lacks is 0."""
    words = np.zeros(len(at), np.uint64)
    for byte in range(8):
        has = sizes > byte
        words[has] |= octets[at[has] + byte].astype(np.uint64) << np.uint64(8 * byte)
    return words


def _turned(value: NDArray[np.uint64], bits: int) -> NDArray[np.uint64]:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


def _mixed(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    value = (value ^ (value >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> np.uint64(33))


def line_ends(data: bytes | bytearray | memoryview) -> NDArray[np.int64]:
    """int64[]: where the newlines stand."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == _NEWLINE)


class Window:
    """The fingerprints that are expected, by their places in the stream: at least the ``room`` latest, at most some four times as many.

    Each place is given away once. A fingerprint gets the place that follows the one given away last, or one of the few behind it; failing that,
    the first of its places that is left.

    Raises:
        ValueError: No room, or too much (a billion).
    """

    def __init__(self, room: int) -> None:
        if not 1 <= room <= _MOST_ROOM:
            raise ValueError(f"room for {room} fingerprints, must be from 1 to {_MOST_ROOM}")
        self._half = 1 << (room - 1).bit_length()
        self._prints: dict[int, tuple[int, int]] = {}
        self._places: dict[tuple[int, int], list[int]] = {}
        self._left: dict[tuple[int, int], list[int]] = {}
        self._made = self._floor = self._cursor = 0

    def add(self, low: NDArray[np.uint64], high: NDArray[np.uint64]) -> None:
        """Add the fingerprints of the next places.

        Raises:
            ValueError: Not as many second words as first ones.
        """
        for key in _keys(low, high):
            self._prints[self._made] = key
            self._places.setdefault(key, []).append(self._made)
            self._left.setdefault(key, []).append(self._made)
            self._made += 1
        floor = max((self._made - 1) // self._half - 1, 0) * self._half
        for place in range(self._floor, floor):
            key = self._prints.pop(place)
            self._places[key].remove(place)
            if place in self._left[key]:
                self._left[key].remove(place)
            if not self._places[key]:
                del self._places[key], self._left[key]
        self._floor = floor

    def match(self, low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.int64]:
        """int64[]: the place that each fingerprint gets.

        -1 stands for one that is not known (any more), and -2 less a place for one of which all places that are known were given away, the
        latest of them being that.

        Raises:
            ValueError: Not as many second words as first ones.
        """
        return np.array([self._match(key) for key in _keys(low, high)], np.int64)

    def _match(self, key: tuple[int, int]) -> int:
        left = self._left.get(key, [])
        near = [place for place in left if self._cursor <= place < self._cursor + _AHEAD]
        if not left:
            return -2 - self._places[key][-1] if key in self._places else -1
        place = near[0] if near else left[0]
        left.remove(place)
        self._cursor = place + 1
        return place


def _keys(low: NDArray[np.uint64], high: NDArray[np.uint64]) -> list[tuple[int, int]]:
    if len(low) != len(high):
        raise ValueError(f"{len(low)} first words and {len(high)} second ones")
    return list(zip(low.tolist(), high.tolist(), strict=True))
