# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True
"""Fingerprints of records, and a memory of the latest ones, compiled: see ``fingerprints.py`` for what they mean; the two give the same."""

import numpy as np

from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memchr, memcpy

__all__ = ["Recent", "fingerprint", "line_ends"]

cdef uint64_t FIRST = 0x87C37B91114253D5
cdef uint64_t SECOND = 0x4CF5AD432745937F


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


cdef void _hash(const uint8_t *at, int64_t size, uint64_t *low, uint64_t *high) noexcept nogil:
    cdef uint64_t one = 0, two = 0
    cdef uint64_t tail[2]
    cdef int64_t left = size
    while left >= 16:
        one ^= _turned(_word(at) * FIRST, 31) * SECOND
        one = (_turned(one, 27) + two) * 5 + 0x52DCE729
        two ^= _turned(_word(at + 8) * SECOND, 33) * FIRST
        two = (_turned(two, 31) + one) * 5 + 0x38495AB5
        at += 16
        left -= 16
    if left:
        tail[0] = tail[1] = 0
        memcpy(tail, at, left)
        two ^= _turned(tail[1] * SECOND, 33) * FIRST
        one ^= _turned(tail[0] * FIRST, 31) * SECOND
    one ^= <uint64_t> size
    two ^= <uint64_t> size
    one += two
    two += one
    one = _mixed(one)
    two = _mixed(two)
    one += two
    low[0] = one
    high[0] = two + one


def fingerprint(const uint8_t[::1] data, const int64_t[::1] begins, const int64_t[::1] ends, *, int seek=-1, bint trim=False):
    """The fingerprints of stretches of ``data``; see ``fingerprints.fingerprint``."""
    cdef int64_t count = len(ends), number, begin, end
    if len(begins) != count:
        raise ValueError(f"{len(begins)} beginnings for {count} ends")
    low_array, high_array = np.empty(count, np.uint64), np.empty(count, np.uint64)
    cdef uint64_t[::1] low = low_array, high = high_array
    cdef int64_t size = len(data)
    cdef const uint8_t *base = &data[0] if size else NULL
    cdef const void *found
    cdef int64_t wrong = -1
    with nogil:
        for number in range(count):
            begin, end = begins[number], ends[number]
            if not 0 <= begin <= end <= size:
                wrong = number
                break
            if trim:
                while end > begin and base[end - 1] == 13:
                    end -= 1
            if seek >= 0 and end > begin and base[begin] != seek:
                found = memchr(base + begin, seek, end - begin)
                if found != NULL:
                    begin = <const uint8_t *> found - base
            _hash(base + begin, end - begin, &low[number], &high[number])
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


cdef class Recent:
    """The latest keys and their numbers; see ``fingerprints.Recent``."""

    cdef uint64_t[::1] young_keys, old_keys
    # One more than the number, so that an empty slot is 0 and a fresh table costs nothing.
    cdef int64_t[::1] young_numbers, old_numbers
    cdef int64_t room, held
    cdef uint64_t mask

    def __init__(self, int64_t room):
        if room < 1:
            raise ValueError(f"room for {room} keys, must be 1 or more")
        cdef int64_t slots = 2
        while slots < 2 * room:
            slots *= 2
        self.room, self.held, self.mask = room, 0, slots - 1
        self.young_keys, self.old_keys = np.zeros(slots, np.uint64), np.zeros(slots, np.uint64)
        self.young_numbers, self.old_numbers = np.zeros(slots, np.int64), np.zeros(slots, np.int64)

    cdef int64_t _slot(self, const uint64_t[::1] keys, const int64_t[::1] numbers, uint64_t key) noexcept nogil:
        cdef uint64_t slot = key & self.mask
        while numbers[slot] and keys[slot] != key:
            slot = (slot + 1) & self.mask
        return slot

    def add(self, const uint64_t[::1] keys, int64_t first):
        """Note keys, numbered from ``first`` on."""
        cdef int64_t number, slot
        if first < 0:
            raise ValueError(f"keys numbered from {first}, must be 0 or more")
        for number in range(len(keys)):
            slot = self._slot(self.young_keys, self.young_numbers, keys[number])
            if not self.young_numbers[slot]:
                if self.held == self.room:
                    self._turn()
                    slot = keys[number] & self.mask
                self.held += 1
                self.young_keys[slot] = keys[number]
            self.young_numbers[slot] = first + number + 1

    cdef void _turn(self):
        self.young_keys, self.old_keys = self.old_keys, self.young_keys
        self.young_numbers, self.old_numbers = self.old_numbers, self.young_numbers
        self.young_numbers[:] = 0
        self.held = 0

    def find(self, const uint64_t[::1] keys):
        """int64[]: the latest number of each key; -1 for those that are not known (any more)."""
        cdef int64_t count = len(keys), number, slot
        result = np.empty(count, np.int64)
        cdef int64_t[::1] numbers = result
        # With the interpreter's lock: another thread may be adding.
        for number in range(count):
            slot = self._slot(self.young_keys, self.young_numbers, keys[number])
            numbers[number] = self.young_numbers[slot] - 1
            if numbers[number] < 0:
                slot = self._slot(self.old_keys, self.old_numbers, keys[number])
                numbers[number] = self.old_numbers[slot] - 1
        return result
