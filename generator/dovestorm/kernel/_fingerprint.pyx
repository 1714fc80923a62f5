# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True
"""Fingerprints of records, and a window of the expected ones, compiled: see ``fingerprints.py`` for what they mean; the two give the same."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy

__all__ = ["Window", "fingerprint", "line_ends"]

cdef uint64_t FIRST = 0x87C37B91114253D5
cdef uint64_t SECOND = 0x4CF5AD432745937F
cdef int64_t AHEAD = 8


cdef inline uint64_t _turned(uint64_t value, int bits) noexcept nogil:
    return (value << bits) | (value >> (64 - bits))


cdef inline uint64_t _mixed(uint64_t value) noexcept nogil:
    value ^= value >> 33
    value *= <uint64_t> 0xFF51AFD7ED558CCD
    value ^= value >> 33
    value *= <uint64_t> 0xC4CEB9FE1A85EC53
    return value ^ (value >> 33)


cdef inline uint64_t _word(const uint8_t *at) noexcept nogil:
    cdef uint64_t word
    memcpy(&word, at, 8)
    return word


cdef struct Hash:
    const uint8_t *at
    int64_t size
    int64_t left
    uint64_t one
    uint64_t two


cdef inline void _block(Hash *hash) noexcept nogil:
    hash.one ^= _turned(_word(hash.at) * FIRST, 31) * SECOND
    hash.one = (_turned(hash.one, 27) + hash.two) * 5 + 0x52DCE729
    hash.two ^= _turned(_word(hash.at + 8) * SECOND, 33) * FIRST
    hash.two = (_turned(hash.two, 31) + hash.one) * 5 + 0x38495AB5
    hash.at += 16
    hash.left -= 16


cdef inline void _end(Hash *hash, uint64_t *low, uint64_t *high) noexcept nogil:
    cdef uint64_t tail[2]
    cdef uint64_t one, two
    while hash.left >= 16:
        _block(hash)
    one, two = hash.one, hash.two
    if hash.left:
        tail[0] = tail[1] = 0
        memcpy(tail, hash.at, hash.left)
        two ^= _turned(tail[1] * SECOND, 33) * FIRST
        one ^= _turned(tail[0] * FIRST, 31) * SECOND
    one ^= <uint64_t> hash.size
    two ^= <uint64_t> hash.size
    one += two
    two += one
    one = _mixed(one)
    two = _mixed(two)
    one += two
    low[0] = one
    high[0] = two + one


cdef void _both(Hash *even, Hash *odd) noexcept nogil:
    """All blocks that both have, in variables that can stay in registers."""
    cdef uint64_t one = even.one, two = even.two, three = odd.one, four = odd.two
    cdef const uint8_t *at = even.at
    cdef const uint8_t *other = odd.at
    cdef int64_t blocks = min(even.left, odd.left) // 16, block
    for block in range(blocks):
        one ^= _turned(_word(at) * FIRST, 31) * SECOND
        three ^= _turned(_word(other) * FIRST, 31) * SECOND
        one = (_turned(one, 27) + two) * 5 + 0x52DCE729
        three = (_turned(three, 27) + four) * 5 + 0x52DCE729
        two ^= _turned(_word(at + 8) * SECOND, 33) * FIRST
        four ^= _turned(_word(other + 8) * SECOND, 33) * FIRST
        two = (_turned(two, 31) + one) * 5 + 0x38495AB5
        four = (_turned(four, 31) + three) * 5 + 0x38495AB5
        at += 16
        other += 16
    even.one, even.two, odd.one, odd.two = one, two, three, four
    even.at, odd.at = at, other
    even.left -= 16 * blocks
    odd.left -= 16 * blocks


cdef inline bint _begin(Hash *hash, const uint8_t *base, int64_t size, int64_t begin, int64_t end, int seek, bint trim) noexcept nogil:
    cdef const void *found
    if not 0 <= begin <= end <= size:
        return False
    if trim:
        while end > begin and base[end - 1] == 13:
            end -= 1
    if seek >= 0 and end > begin and base[begin] != seek:
        found = memchr(base + begin, seek, end - begin)
        if found != NULL:
            begin = <const uint8_t *> found - base
    hash.at, hash.size, hash.left, hash.one, hash.two = base + begin, end - begin, end - begin, 0, 0
    return True


def fingerprint(const uint8_t[::1] data, const int64_t[::1] begins, const int64_t[::1] ends, *, int seek=-1, bint trim=False):
    """The fingerprints of stretches of ``data``; see ``fingerprints.fingerprint``."""
    cdef int64_t count = len(ends), number
    if len(begins) != count:
        raise ValueError(f"{len(begins)} beginnings for {count} ends")
    low_array, high_array = np.empty(count, np.uint64), np.empty(count, np.uint64)
    cdef uint64_t[::1] low = low_array, high = high_array
    cdef int64_t size = len(data)
    cdef const uint8_t *base = &data[0] if size else NULL
    cdef Hash even, odd
    cdef int64_t wrong = -1
    with nogil:
        # Two at a time: each step of a hash waits for the one before, so the processor has room for another.
        for number in range(0, count, 2):
            if not _begin(&even, base, size, begins[number], ends[number], seek, trim):
                wrong = number
                break
            if number + 1 == count:
                _end(&even, &low[number], &high[number])
                break
            if not _begin(&odd, base, size, begins[number + 1], ends[number + 1], seek, trim):
                wrong = number + 1
                break
            _both(&even, &odd)
            _end(&even, &low[number], &high[number])
            _end(&odd, &low[number + 1], &high[number + 1])
    if wrong >= 0:
        raise ValueError(f"record {wrong}: from {begins[wrong]} to {ends[wrong]}, which is not inside {size} bytes")
    return low_array, high_array


def line_ends(const uint8_t[::1] data):
    """int64[]: where the newlines stand."""
    cdef int64_t size = len(data), count = 0, at = 0
    cdef const uint8_t *base = &data[0] if size else NULL
    cdef const uint8_t *found
    result = np.empty(size // 64 + 16, np.int64)
    cdef int64_t[::1] places = result
    while at < size:
        found = <const uint8_t *> memchr(base + at, 10, size - at)
        if found == NULL:
            break
        if count == len(places):
            result = np.concatenate((result, np.empty_like(result)))
            places = result
        places[count] = found - base
        count += 1
        at = places[count - 1] + 1
    return result[:count]


cdef class Window:
    """The latest expected fingerprints by their places; see ``fingerprints.Window``."""

    # By place, modulo the room; ``following`` is the next place of the same fingerprint in the same half, less the half's first, plus one.
    cdef uint64_t[::1] low, high
    cdef uint8_t[::1] taken
    cdef uint32_t[::1] following
    # For each half an open hash table, as places less the half's first, plus one, so that an empty slot is 0 and a fresh table costs nothing.
    cdef uint32_t[::1] even_front, even_last, odd_front, odd_last
    cdef int64_t even_half, odd_half, half, made, indexed, cursor
    cdef uint64_t mask

    def __init__(self, int64_t room):
        if not 1 <= room <= 1 << 30:
            raise ValueError(f"room for {room} fingerprints, must be from 1 to {1 << 30}")
        self.half = 1
        while self.half < room:
            self.half *= 2
        cdef int64_t slots = 2 * self.half
        self.mask = slots - 1
        self.low, self.high = np.zeros(slots, np.uint64), np.zeros(slots, np.uint64)
        self.taken, self.following = np.zeros(slots, np.uint8), np.zeros(slots, np.uint32)
        self.even_front, self.even_last = np.zeros(slots, np.uint32), np.zeros(slots, np.uint32)
        self.odd_front, self.odd_last = np.zeros(slots, np.uint32), np.zeros(slots, np.uint32)
        self.even_half, self.odd_half = 0, 1
        self.made = self.indexed = self.cursor = 0

    cdef int64_t _floor(self) noexcept nogil:
        cdef int64_t half = (self.made - 1) // self.half if self.made else 0
        return (half - 1) * self.half if half else 0

    cdef inline bint _is(self, int64_t place, uint64_t low, uint64_t high) noexcept nogil:
        cdef uint64_t at = place & self.mask
        return self.low[at] == low and self.high[at] == high

    cdef uint64_t _slot(self, const uint32_t *last, int64_t begin, uint64_t low, uint64_t high) noexcept nogil:
        cdef uint64_t slot = low & self.mask
        while last[slot] and not self._is(begin + last[slot] - 1, low, high):
            slot = (slot + 1) & self.mask
        return slot

    def add(self, const uint64_t[::1] low, const uint64_t[::1] high):
        """Add the fingerprints of the next places."""
        cdef int64_t number, count = len(low)
        cdef uint64_t at
        if len(high) != count:
            raise ValueError(f"{count} first words and {len(high)} second ones")
        # With the interpreter's lock, like all that follows: another thread may be matching.
        for number in range(count):
            at = (self.made + number) & self.mask
            self.low[at], self.high[at], self.taken[at] = low[number], high[number], 0
        self.made += count

    cdef void _index(self):
        """Put into the hash tables what is not in them."""
        cdef int64_t place, half, begin
        cdef uint64_t slot, at
        cdef uint32_t *front
        cdef uint32_t *last
        place = max(self.indexed, self._floor())
        while place < self.made:
            half = place // self.half
            begin = half * self.half
            if half & 1 and self.odd_half != half:
                self.odd_half = half
                self.odd_front[:] = 0
                self.odd_last[:] = 0
            elif not half & 1 and self.even_half != half:
                self.even_half = half
                self.even_front[:] = 0
                self.even_last[:] = 0
            front, last = (&self.odd_front[0], &self.odd_last[0]) if half & 1 else (&self.even_front[0], &self.even_last[0])
            while place < self.made and place < begin + self.half:
                at = place & self.mask
                slot = self._slot(last, begin, self.low[at], self.high[at])
                self.following[at] = 0
                if last[slot]:
                    self.following[(begin + last[slot] - 1) & self.mask] = <uint32_t> (place - begin + 1)
                if not front[slot]:
                    front[slot] = <uint32_t> (place - begin + 1)
                last[slot] = <uint32_t> (place - begin + 1)
                place += 1
        self.indexed = self.made

    cdef int64_t _look_up(self, int64_t half, uint64_t low, uint64_t high):
        """The place of the first in a half that is not taken; -2 less the latest place where all are; -1 where there is none."""
        cdef uint32_t *front
        cdef uint32_t *last
        cdef int64_t begin = half * self.half
        cdef uint64_t slot
        if half < 0 or half != (self.odd_half if half & 1 else self.even_half):
            return -1
        front, last = (&self.odd_front[0], &self.odd_last[0]) if half & 1 else (&self.even_front[0], &self.even_last[0])
        slot = self._slot(last, begin, low, high)
        if not last[slot]:
            return -1
        while front[slot] and self.taken[(begin + front[slot] - 1) & self.mask]:
            front[slot] = self.following[(begin + front[slot] - 1) & self.mask]
        return begin + front[slot] - 1 if front[slot] else -2 - (begin + last[slot] - 1)

    def match(self, const uint64_t[::1] low, const uint64_t[::1] high):
        """int64[]: what each fingerprint is; see ``fingerprints.Window.match``."""
        cdef int64_t count = len(low), number, place, half, younger
        if len(high) != count:
            raise ValueError(f"{count} first words and {len(high)} second ones")
        result = np.empty(count, np.int64)
        cdef int64_t[::1] places = result
        cdef int64_t floor = self._floor()
        for number in range(count):
            place = max(self.cursor, floor)
            while place < self.made and place < self.cursor + AHEAD and (self.taken[place & self.mask] or not self._is(place, low[number], high[number])):
                place += 1
            if place >= self.made or place >= self.cursor + AHEAD:
                if self.indexed < self.made:
                    self._index()
                half = (self.made - 1) // self.half if self.made else 0
                place = self._look_up(half - 1, low[number], high[number])
                if place < 0:
                    younger = self._look_up(half, low[number], high[number])
                    place = younger if younger != -1 else place
            if place >= 0:
                self.taken[place & self.mask] = 1
                self.cursor = place + 1
            places[number] = place
        return result
