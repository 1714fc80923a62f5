# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True
"""Runs sessions, one after another, each until its clock leaves the window: see ``instructions.py`` for what each instruction means.

A session's cells lie side by side, so a session costs a few cache lines, however many others there are. Registers, tables and lists were checked
when the interpreter was made; what depends on values (a place in a table, a choice, a shift) is checked here, and so is the arena's room.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

import numpy as np

from dovestorm.kernel import instructions as _instructions

__all__ = ["Interpreter", "in_order"]

cdef enum:
    WIDTH = 8
    LAG_STEP_BITS = 10
    LAG_STEPS = 1024
    TURN_STEP_BITS = 6
    TURN_PERIOD_BITS = 21
    SAYS_ITSELF = -1
    INDEX_BITS = 26
    DIGIT_BITS = 11

cdef enum Code:
    MOVE, ADD, SUBTRACT, MULTIPLY, DIVIDE, REMAINDER, MAXIMUM, MINIMUM, SHIFT_LEFT, SHIFT_RIGHT, AND, PRESENT, SCALE, HASH, HALF, SPREAD, QUANTILE, \
        ALTERNATIVE, SEARCH, LOOKUP, MATCH, POSITIVE, SELECT, EMIT, BRANCH, STOP

cdef enum Outcome:
    DONE, NO_ROOM, PAUSED, WRONG

cdef int64_t PATIENCE = 1 << 22

if (
    _instructions.INSTRUCTION_WIDTH != WIDTH
    or len(_instructions.Code) != STOP + 1
    or _instructions.SAYS_ITSELF != SAYS_ITSELF
    or (_instructions.LAG_STEP_BITS, _instructions.LAG_STEPS) != (LAG_STEP_BITS, LAG_STEPS)
    or (_instructions.TURN_STEP_BITS, _instructions.TURN_PERIOD_BITS) != (TURN_STEP_BITS, TURN_PERIOD_BITS)
):
    raise ImportError("the compiled kernel is older than its sources: build it again")

cdef struct Arena:
    int32_t *kind
    int64_t *offset
    int64_t *session
    int64_t *moment
    int64_t *values
    int64_t events
    int64_t events_room
    int64_t integers
    int64_t integers_room

cdef struct Program:
    const int32_t *code
    const int32_t *lists
    const int64_t *tables
    const int32_t *blocks
    const int64_t *process
    const int64_t *lag
    const int64_t *slope
    const int64_t *turn
    int64_t patience


cdef inline int64_t mixed(uint64_t value) noexcept nogil:
    value = (value ^ (value >> 30)) * <uint64_t> 0xBF58476D1CE4E5B9ULL
    value = (value ^ (value >> 27)) * <uint64_t> 0x94D049BB133111EBULL
    return <int64_t> (value ^ (value >> 31))


cdef inline int64_t floored(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t quotient = a // b
    return quotient - (a % b < 0)


cdef inline int64_t scaled(int64_t a, int64_t b) noexcept nogil:
    cdef int64_t whole = floored(a, 1000000)
    return <int64_t> (<uint64_t> whole * <uint64_t> b + <uint64_t> floored(<int64_t> (<uint64_t> (a - whole * 1000000) * <uint64_t> b), 1000000))


cdef inline int64_t reached(const int64_t *bounds, int64_t count, int64_t value) noexcept nogil:
    """How many of the ascending bounds are ``value`` or less."""
    cdef int64_t low = 0
    cdef int64_t half
    while count > 8:
        half = count >> 1
        if bounds[low + half - 1] <= value:
            low += half
            count -= half
        else:
            count = half
    half = 0
    while half < count and bounds[low + half] <= value:
        half += 1
    return low + half


cdef inline int64_t drawn(const int64_t *table, uint64_t half) noexcept nogil:
    cdef uint64_t low = <uint64_t> table[half >> 22]
    cdef uint64_t slope = <uint64_t> table[(half >> 22) + 1] - low
    return <int64_t> (low + <uint64_t> (<int64_t> (slope * ((half >> 6) & 0xFFFF)) >> 16))


cdef inline int64_t handed_on(Program *program, int32_t kind, int64_t sent) noexcept nogil:
    """When a record reaches the stats process."""
    cdef int64_t knot = LAG_STEPS * program.process[kind] + ((sent >> LAG_STEP_BITS) & (LAG_STEPS - 1))
    return sent + program.lag[knot] + (program.slope[knot] * (sent & ((1 << LAG_STEP_BITS) - 1)) >> LAG_STEP_BITS)


cdef inline int64_t exported(Program *program, int64_t moment) noexcept nogil:
    """The stats process's clock when it exports what reached it then."""
    return (moment & ~<int64_t> ((1 << TURN_PERIOD_BITS) - 1)) + program.turn[(moment >> TURN_STEP_BITS) & ((1 << (TURN_PERIOD_BITS - TURN_STEP_BITS)) - 1)]


cdef int run(Program *program, int64_t *r, int64_t *label, int64_t end, Arena *arena) noexcept nogil:
    """Run one session until its clock reaches ``end`` (DONE) or it is over (DONE, with a label of -1)."""
    cdef const int32_t *at
    cdef const int32_t *block
    cdef const int32_t *listed
    cdef int64_t *row
    cdef int64_t a, place, bits
    cdef uint64_t spread
    while True:
        block = program.blocks + 3 * label[0]
        if arena.events + block[1] > arena.events_room or arena.integers + block[2] > arena.integers_room:
            return NO_ROOM
        program.patience -= 1
        if program.patience < 0:
            return PAUSED
        at = program.code + WIDTH * block[0]
        while True:
            if at[0] == HASH:
                r[at[1]] = mixed(<uint64_t> r[at[2]] + <uint64_t> r[at[3]])
            elif at[0] == ADD:
                r[at[1]] = <int64_t> (<uint64_t> r[at[2]] + <uint64_t> r[at[3]])
            elif at[0] == EMIT:
                listed = program.lists + at[5]
                row = arena.values + arena.integers
                for place in range(at[6]):
                    row[place] = r[listed[place]]
                arena.kind[arena.events] = at[1]
                arena.offset[arena.events] = arena.integers
                arena.session[arena.events] = r[2]
                if program.process[at[1]] == SAYS_ITSELF:
                    arena.moment[arena.events] = row[1]
                else:
                    arena.moment[arena.events] = handed_on(program, at[1], row[1])
                    row[1] = exported(program, arena.moment[arena.events])
                arena.events += 1
                arena.integers += at[6]
            elif at[0] == QUANTILE:
                bits = (r[at[2]] >> (r[at[3]] & 63)) & 0xFFFFFFFFLL
                r[at[1]] = drawn(program.tables + at[5], <uint64_t> bits)
            elif at[0] == MOVE:
                r[at[1]] = r[at[2]]
            elif at[0] == SUBTRACT:
                r[at[1]] = <int64_t> (<uint64_t> r[at[2]] - <uint64_t> r[at[3]])
            elif at[0] == ALTERNATIVE:
                bits = (r[at[2]] >> (r[at[3]] & 63)) & 0xFFFFFFFFLL
                a = r[at[4]]
                if a < 0 or a >= at[7]:
                    return WRONG
                r[at[1]] = reached(program.tables + at[5] + a * at[6], at[6], bits)
            elif at[0] == LOOKUP:
                a = r[at[2]]
                if a < 0 or a >= at[6]:
                    return WRONG
                r[at[1]] = program.tables[at[5] + a]
            elif at[0] == SELECT:
                a = r[at[2]]
                if a < 0 or a >= at[6]:
                    return WRONG
                r[at[1]] = r[program.lists[at[5] + a]]
            elif at[0] == BRANCH:
                a = r[at[2]]
                if a < 0 or a >= at[6]:
                    return WRONG
                label[0] = program.lists[at[5] + a]
                break
            elif at[0] == POSITIVE:
                r[at[1]] = 0 if r[at[2]] > 0 else 1
            elif at[0] == MAXIMUM:
                r[at[1]] = r[at[2]] if r[at[2]] > r[at[3]] else r[at[3]]
            elif at[0] == MINIMUM:
                r[at[1]] = r[at[2]] if r[at[2]] < r[at[3]] else r[at[3]]
            elif at[0] == SCALE:
                r[at[1]] = scaled(r[at[2]], r[at[3]])
            elif at[0] == PRESENT:
                r[at[1]] = 0 if r[at[2]] == INT64_MIN else r[at[2]]
            elif at[0] == MATCH:
                a = r[at[2]]
                place = 0
                while place < at[6] and program.tables[at[5] + place] != a:
                    place += 1
                r[at[1]] = place
            elif at[0] == SEARCH:
                r[at[1]] = reached(program.tables + at[5], at[6], r[at[2]])
            elif at[0] == SHIFT_RIGHT:
                r[at[1]] = r[at[2]] >> (r[at[3]] & 63)
            elif at[0] == SHIFT_LEFT:
                r[at[1]] = <int64_t> (<uint64_t> r[at[2]] << (r[at[3]] & 63))
            elif at[0] == AND:
                r[at[1]] = r[at[2]] & r[at[3]]
            elif at[0] == HALF:
                r[at[1]] = (r[at[2]] >> (r[at[3]] & 63)) & 0xFFFFFFFFLL
            elif at[0] == SPREAD:
                spread = <uint64_t> ((r[at[2]] >> (r[at[3]] & 63)) & 0xFFFFFFFFLL)
                r[at[1]] = <int64_t> (((spread >> 16) * <uint64_t> r[at[4]] + ((spread & 0xFFFF) * <uint64_t> r[at[4]] >> 16)) >> 16)
            elif at[0] == MULTIPLY:
                r[at[1]] = <int64_t> (<uint64_t> r[at[2]] * <uint64_t> r[at[3]])
            elif at[0] == DIVIDE:
                if r[at[3]] <= 0:
                    return WRONG
                r[at[1]] = floored(r[at[2]], r[at[3]])
            elif at[0] == REMAINDER:
                if r[at[3]] <= 0:
                    return WRONG
                r[at[1]] = <int64_t> (<uint64_t> r[at[2]] % <uint64_t> r[at[3]])
            else:
                label[0] = -1
                return DONE
            at += WIDTH
        if r[0] >= end:
            return DONE


cdef class Interpreter:
    """Runs the sessions of a table.

    Args:
        bytecode: The program; see ``instructions.Bytecode``. It is checked.
        timing: When records are exported; checked too.
    """

    cdef const int32_t[:, ::1] code
    cdef const int32_t[::1] lists
    cdef const int64_t[::1] tables
    cdef const int32_t[:, ::1] blocks
    cdef const int64_t[::1] constants
    cdef const int64_t[::1] process
    cdef const int64_t[:, ::1] lag
    cdef const int64_t[:, ::1] slope
    cdef const int64_t[::1] turn
    cdef int64_t cells
    cdef int64_t scratch

    def __init__(self, bytecode, timing):
        if not isinstance(bytecode, _instructions.Bytecode) or not isinstance(timing, _instructions.Timing):
            raise TypeError(f"a Bytecode and a Timing are needed, not {type(bytecode).__name__} and {type(timing).__name__}")
        bytecode.check()
        timing.check(bytecode.kinds)
        self.process, self.lag, self.slope, self.turn = timing.process, timing.lag, timing.slope, timing.turn
        self.code, self.lists, self.tables, self.blocks = bytecode.code, bytecode.lists, bytecode.tables, bytecode.blocks
        self.constants, self.cells, self.scratch = bytecode.constants, bytecode.cells, bytecode.scratch

    def run(self, int64_t[:, ::1] table, int64_t[::1] clock, int32_t[::1] place, int64_t[::1] over, int32_t[::1] kind, int64_t[::1] offset,
            int64_t[::1] session, int64_t[::1] moment, int64_t[::1] values, *, int64_t first, int64_t used, int64_t end, int64_t events,
            int64_t integers):
        """Run the sessions in slots ``first`` to ``used`` whose clock is before ``end``.

        Args:
            table: int64[slots, cells].
            clock: int64[slots], each session's clock in microseconds; over or free ones have the greatest int64.
            place: int32[slots], the block at which each stands.
            over: int64[slots], gets the slots of sessions that ended.
            kind, offset, session, moment, values: The arena's columns.
            first: Where to begin.
            used: Where to stop.
            end: End of the window, microseconds.
            events: Records that the arena holds already.
            integers: Integers that it holds already.

        Returns:
            The slot to go on at (``used`` when all is done), the arena's records and integers, how many sessions ended, whether the arena lacks
            room (else, before ``used``, it only let signals in), and the records and integers that the session's next block needs.

        Raises:
            ValueError: The arrays do not fit together.
            RuntimeError: The program left its tables, which is a bug of its compiler.
        """
        cdef int64_t slot, label, ended = 0
        cdef int outcome = DONE
        cdef Arena arena
        cdef Program program
        cdef int64_t *r
        cdef int64_t *row
        cdef int64_t size = self.cells * 8
        if table.shape[1] != self.cells or not 0 <= first <= used <= min(table.shape[0], clock.shape[0], place.shape[0]) or used - first > over.shape[0]:
            raise ValueError(f"slots {first} to {used} of a table of {table.shape[0]} sessions with {table.shape[1]} cells, {self.cells} were right")
        arena.events, arena.events_room = events, min(kind.shape[0], offset.shape[0], session.shape[0], moment.shape[0])
        arena.integers, arena.integers_room = integers, values.shape[0]
        if not 0 <= events <= arena.events_room or not 0 <= integers <= arena.integers_room:
            raise ValueError(f"arena of {arena.events_room} records and {arena.integers_room} integers holds {events} and {integers}")
        if first == used or not arena.events_room or not arena.integers_room:
            return (first, events, integers, 0, first != used, 1, 1)
        arena.kind, arena.offset, arena.session, arena.moment, arena.values = &kind[0], &offset[0], &session[0], &moment[0], &values[0]
        program.code, program.blocks = &self.code[0, 0], &self.blocks[0, 0]
        program.lists = &self.lists[0] if self.lists.shape[0] else NULL
        program.tables = &self.tables[0] if self.tables.shape[0] else NULL
        program.process = &self.process[0] if self.process.shape[0] else NULL
        program.lag, program.slope, program.turn = &self.lag[0, 0], &self.slope[0, 0], &self.turn[0]
        program.patience = PATIENCE
        r = <int64_t *> malloc((self.cells + self.scratch + self.constants.shape[0]) * 8)
        if r == NULL:
            raise MemoryError
        for slot in range(self.scratch):
            r[self.cells + slot] = 0
        if self.constants.shape[0]:
            memcpy(r + self.cells + self.scratch, &self.constants[0], self.constants.shape[0] * 8)
        with nogil:
            slot = first
            while slot < used:
                if clock[slot] < end:
                    row = &table[slot, 0]
                    memcpy(r, row, size)
                    label = place[slot]
                    if label < 0 or label >= self.blocks.shape[0]:
                        outcome = WRONG
                        break
                    outcome = run(&program, r, &label, end, &arena)
                    if label < 0:
                        clock[slot] = INT64_MAX
                        over[ended] = slot
                        ended += 1
                    else:
                        memcpy(row, r, size)
                        clock[slot] = r[0]
                        place[slot] = <int32_t> label
                    if outcome != DONE:
                        break
                slot += 1
        free(r)
        if outcome == WRONG:
            raise RuntimeError(f"block {label}: there is none, or an instruction left its table")
        if outcome == NO_ROOM:
            return (slot, arena.events, arena.integers, ended, True, self.blocks[label, 1], self.blocks[label, 2])
        return (slot, arena.events, arena.integers, ended, False, 0, 0)


cdef void sort(uint64_t *keys, uint64_t *other, int64_t count, int bits) noexcept nogil:
    """Sort by the bits of each key above ``INDEX_BITS``, of which ``bits`` matter; ``other`` is room for as many. A stable radix sort."""
    cdef int passes = (bits + DIGIT_BITS - 1) // DIGIT_BITS
    cdef int digit = (bits + passes - 1) // passes if passes else 0
    cdef int shift = INDEX_BITS
    cdef int64_t counts[1 << DIGIT_BITS]
    cdef int64_t number, place, size
    cdef uint64_t mask = (1 << digit) - 1
    cdef uint64_t *source = keys
    cdef uint64_t *target = other
    while shift < INDEX_BITS + bits:
        memset(counts, 0, sizeof(counts))
        for number in range(count):
            counts[(source[number] >> shift) & mask] += 1
        place = 0
        for number in range(<int64_t> mask + 1):
            size = counts[number]
            counts[number] = place
            place += size
        for number in range(count):
            place = (source[number] >> shift) & mask
            target[counts[place]] = source[number]
            counts[place] += 1
        source, target = target, source
        shift += digit
    if source != keys:
        memcpy(keys, source, count * 8)


cdef void settle_ties(uint64_t *keys, int64_t count, const int64_t *session) noexcept nogil:
    """Put keys of one moment in the order of their sessions; those of one session keep theirs."""
    cdef int64_t number, place
    cdef uint64_t key
    for number in range(1, count):
        key = keys[number]
        place = number
        while (
            place > 0
            and keys[place - 1] >> INDEX_BITS == key >> INDEX_BITS
            and session[keys[place - 1] & ((1 << INDEX_BITS) - 1)] > session[key & ((1 << INDEX_BITS) - 1)]
        ):
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key


def in_order(const int64_t[::1] moment, const int64_t[::1] session, int64_t[::1] order, uint64_t[::1] room, *, int64_t end):
    """Find the order in which records are exported: by moment, then by session, then as they stand.

    Args:
        moment: int64[n], 0 or more.
        session: int64[n].
        order: int64[n], gets the places of the records before ``end``, in order.
        room: uint64[2n], to work in.
        end: Records of this moment or later are left out.

    Returns:
        How many records there are before ``end``.

    Raises:
        ValueError: The arrays do not fit together.
    """
    cdef int64_t count = moment.shape[0]
    cdef int64_t number, found = 0
    cdef int64_t first = INT64_MAX
    cdef int64_t last = INT64_MIN
    cdef int bits = 0
    cdef bint fits
    cdef uint64_t *keys
    if session.shape[0] != count or order.shape[0] < count or room.shape[0] < 2 * count:
        raise ValueError(f"{count} moments, {session.shape[0]} sessions, room for {order.shape[0]} and {room.shape[0]}: n, n, n and 2n were right")
    if not count:
        return 0
    keys = &room[0]
    with nogil:
        for number in range(count):
            if moment[number] < end:
                first = min(first, moment[number])
                last = max(last, moment[number])
        while last > first and (last - first) >> bits:
            bits += 1
        fits = bits + INDEX_BITS < 64 and count <= 1 << INDEX_BITS
        if fits:
            for number in range(count):
                if moment[number] < end:
                    keys[found] = (<uint64_t> (moment[number] - first) << INDEX_BITS) | <uint64_t> number
                    found += 1
            sort(keys, keys + count, found, bits)
            settle_ties(keys, found, &session[0])
            for number in range(found):
                order[number] = <int64_t> (keys[number] & ((1 << INDEX_BITS) - 1))
    if not fits:
        # A window of days that somebody asked for: a moment and a place do not go into one key of 64 bits.
        return _instructions.in_order(np.asarray(moment), np.asarray(session), np.asarray(order), np.asarray(room), end=end)
    return found
