# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False, binding=True
"""The kernel, compiled: see ``reference.py`` for what each step means; the two give the same bytes and the same errors.

Every write is checked against the end of the buffer first. What depends on the template alone was checked when it was made;
what depends on rows (columns, texts, shapes, numbers) is checked here.
"""

from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define DOVESTORM_PREFETCH(address) __builtin_prefetch(address)
    #else
    #define DOVESTORM_PREFETCH(address) ((void) 0)
    #endif
    """
    void prefetch "DOVESTORM_PREFETCH"(const void *address) noexcept nogil

from dovestorm.errors import FormatError
from dovestorm.kernel import pieces as _pieces

__all__ = ["Walker"]

cdef enum:
    WIDTH = 7

cdef enum Op:
    LITERAL, INTEGER, PACKED, RFC3339, UNIX, FLOAT, TEXT, PART, ADDRESS, SESSION, SKIP, SEPARATOR, OPEN, CLOSE, COUNT, MAP

cdef enum Wrap:
    WRAP_NONE, WRAP_QUOTES, WRAP_PREFIX

cdef enum Reason:
    NONE, FULL, BAD_KIND, BAD_ROW, BAD_TEXT, BAD_SHAPE, TOO_DEEP, TOO_MANY_CALLS, IS_LIST, BAD_TIME, BAD_ADDRESS, OVERFLOWN, UNOPENED, TOO_LONG

cdef enum:
    AHEAD = 6
    ROW_INTEGERS = 24

cdef int64_t ABSENT = INT64_MIN
cdef int64_t MAX_DEPTH = _pieces.MAX_DEPTH
cdef int64_t MAX_CALLS = _pieces.MAX_CALLS
cdef int64_t LAST_MICROSECOND = _pieces.LAST_MICROSECOND

if _pieces.WIDTH != WIDTH or len(_pieces.Op) != MAP + 1 or len(_pieces.Reason) != TOO_LONG + 1:
    raise ImportError("the compiled kernel is older than its sources: build it again")

cdef struct Walk:
    const int64_t *pieces
    const uint8_t *literals
    const uint8_t *pool
    const int64_t *entries
    int64_t entry_count
    const int64_t *shapes
    int64_t shape_count
    const int64_t *values
    int64_t value_count
    uint8_t *begin
    uint8_t *limit
    int64_t calls
    int64_t minute
    int64_t detail
    int reason
    uint8_t clock[32]

cdef uint8_t PAIRS[200]
cdef uint8_t OCTETS[256][4]
cdef uint8_t OCTET_SIZES[256]
cdef const uint8_t *BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def _fill_tables():
    for number in range(100):
        PAIRS[2 * number] = 48 + number // 10
        PAIRS[2 * number + 1] = 48 + number % 10
    for number in range(256):
        text = b"%d." % number
        OCTET_SIZES[number] = len(text)
        for place in range(4):
            OCTETS[number][place] = text[place] if place < len(text) else 0


_fill_tables()


cdef inline uint8_t *fail(Walk *walk, int reason, int64_t detail) noexcept nogil:
    walk.reason = reason
    walk.detail = detail
    return NULL


cdef inline uint8_t *put(Walk *walk, uint8_t *at, const uint8_t *source, int64_t size) noexcept nogil:
    """Copy; the source has 64 readable bytes behind it, so that it goes in steps of 32."""
    cdef int64_t room = walk.limit - at
    cdef uint8_t *end
    if size > room:
        return fail(walk, FULL, 0)
    if size > 256 or room < size + 32:
        memcpy(at, source, size)
        return at + size
    end = at + size
    while at < end:
        memcpy(at, source, 32)
        at += 32
        source += 32
    return end


cdef inline uint8_t *put_byte(Walk *walk, uint8_t *at, uint8_t byte) noexcept nogil:
    if at >= walk.limit:
        return fail(walk, FULL, 0)
    at[0] = byte
    return at + 1


cdef inline void pair(uint8_t *at, uint64_t number) noexcept nogil:
    memcpy(at, &PAIRS[2 * number], 2)


cdef inline int digits(uint64_t number) noexcept nogil:
    cdef int count = 1
    while True:
        if number < 10:
            return count
        if number < 100:
            return count + 1
        if number < 1000:
            return count + 2
        if number < 10000:
            return count + 3
        number //= 10000
        count += 4


cdef inline uint8_t *put_integer(Walk *walk, uint8_t *at, int64_t value) noexcept nogil:
    cdef uint64_t number = <uint64_t> value
    cdef uint64_t rest
    cdef uint8_t *end
    cdef int count
    if value < 0:
        number = 0 - number
        at = put_byte(walk, at, 45)
        if at == NULL:
            return NULL
    count = digits(number)
    if walk.limit - at < count:
        return fail(walk, FULL, 0)
    end = at + count
    at = end
    while number >= 100:
        rest = number % 100
        number //= 100
        at -= 2
        pair(at, rest)
    if number >= 10:
        pair(at - 2, number)
    else:
        (at - 1)[0] = <uint8_t> (48 + number)
    return end


cdef inline void big_endian(uint8_t *at, uint64_t number, int size) noexcept nogil:
    cdef int place
    for place in range(size):
        at[place] = <uint8_t> (number >> (8 * (size - 1 - place)))


cdef inline uint8_t *put_headed(Walk *walk, uint8_t *at, uint8_t head, uint64_t number, int size) noexcept nogil:
    if walk.limit - at < size + 1:
        return fail(walk, FULL, 0)
    at[0] = head
    big_endian(at + 1, number, size)
    return at + 1 + size


cdef uint8_t *put_packed(Walk *walk, uint8_t *at, int64_t value) noexcept nogil:
    cdef uint64_t number = <uint64_t> value
    if -32 <= value < 128:
        return put_byte(walk, at, <uint8_t> number)
    if value >= 0:
        if number < 0x100:
            return put_headed(walk, at, 0xCC, number, 1)
        if number < 0x10000:
            return put_headed(walk, at, 0xCD, number, 2)
        if number < 0x100000000LL:
            return put_headed(walk, at, 0xCE, number, 4)
        return put_headed(walk, at, 0xCF, number, 8)
    if value >= -0x80:
        return put_headed(walk, at, 0xD0, number, 1)
    if value >= -0x8000:
        return put_headed(walk, at, 0xD1, number, 2)
    if value >= -0x80000000LL:
        return put_headed(walk, at, 0xD2, number, 4)
    return put_headed(walk, at, 0xD3, number, 8)


cdef uint8_t *put_map(Walk *walk, uint8_t *at, int64_t size) noexcept nogil:
    if size < 16:
        return put_byte(walk, at, <uint8_t> (0x80 | size))
    if size < 0x10000:
        return put_headed(walk, at, 0xDE, size, 2)
    return put_headed(walk, at, 0xDF, size, 4)


cdef void set_clock(Walk *walk, int64_t minute) noexcept nogil:
    """Write ``YYYY-MM-DDTHH:MM:`` of a minute since the epoch to the walk's clock; days to date by eras of 400 years from March on."""
    cdef int64_t day = minute // 1440
    cdef int64_t of_day = minute % 1440
    cdef int64_t era, day_of_era, year_of_era, day_of_year, month, year
    cdef uint8_t *text = walk.clock
    walk.minute = minute
    day += 719468
    era = day // 146097
    day_of_era = day % 146097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month + 2) // 5 + 1
    month = month + 3 if month < 10 else month - 9
    year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    pair(text, year // 100)
    pair(text + 2, year % 100)
    text[4] = 45
    pair(text + 5, month)
    text[7] = 45
    pair(text + 8, day)
    text[10] = 84
    pair(text + 11, of_day // 60)
    text[13] = 58
    pair(text + 14, of_day % 60)
    text[16] = 58


cdef inline void six_digits(uint8_t *at, uint32_t number) noexcept nogil:
    pair(at, number // 10000)
    pair(at + 2, number // 100 % 100)
    pair(at + 4, number % 100)


cdef inline uint8_t *put_rfc3339(Walk *walk, uint8_t *at, int64_t value) noexcept nogil:
    cdef uint64_t second
    cdef uint64_t minute
    if value < 0 or value > LAST_MICROSECOND:
        return fail(walk, BAD_TIME, value)
    if walk.limit - at < 27:
        return fail(walk, FULL, 0)
    second = <uint64_t> value // 1000000
    minute = second // 60
    if <int64_t> minute != walk.minute:
        set_clock(walk, <int64_t> minute)
    memcpy(at, walk.clock, 17)
    pair(at + 17, second - 60 * minute)
    at[19] = 46
    six_digits(at + 20, <uint32_t> (<uint64_t> value - 1000000 * second))
    at[26] = 90
    return at + 27


cdef uint8_t *put_unix(Walk *walk, uint8_t *at, int64_t value) noexcept nogil:
    if value < 0 or value > LAST_MICROSECOND:
        return fail(walk, BAD_TIME, value)
    at = put_integer(walk, at, value // 1000000)
    if at == NULL:
        return NULL
    if walk.limit - at < 7:
        return fail(walk, FULL, 0)
    at[0] = 46
    six_digits(at + 1, <uint32_t> (value % 1000000))
    return at + 7


cdef uint8_t *put_float(Walk *walk, uint8_t *at, int64_t value) noexcept nogil:
    cdef double seconds
    cdef uint64_t image
    if value < 0 or value > LAST_MICROSECOND:
        return fail(walk, BAD_TIME, value)
    seconds = <double> value / 1e6
    memcpy(&image, &seconds, 8)
    return put_headed(walk, at, 0xCB, image, 8)


cdef inline uint8_t *put_address(Walk *walk, uint8_t *at, int64_t value) noexcept nogil:
    cdef uint8_t text[24]
    cdef int size = 0
    cdef int shift
    cdef uint8_t octet
    if value < 0 or value > 0xFFFFFFFFLL:
        return fail(walk, BAD_ADDRESS, value)
    for shift in range(24, -8, -8):
        octet = <uint8_t> (value >> shift)
        memcpy(text + size, OCTETS[octet], 4)
        size += OCTET_SIZES[octet]
    size -= 1
    if walk.limit - at >= 16:
        memcpy(at, text, 16)
    elif walk.limit - at >= size:
        memcpy(at, text, size)
    else:
        return fail(walk, FULL, 0)
    return at + size


cdef inline void four_characters(uint8_t *at, uint32_t bits) noexcept nogil:
    at[0] = BASE64[bits >> 18 & 63]
    at[1] = BASE64[bits >> 12 & 63]
    at[2] = BASE64[bits >> 6 & 63]
    at[3] = BASE64[bits & 63]


cdef inline uint8_t *put_session(Walk *walk, uint8_t *at, uint64_t head, int64_t address) noexcept nogil:
    if address < 0 or address > 0xFFFFFFFFLL:
        return fail(walk, BAD_ADDRESS, address)
    if walk.limit - at < 16:
        return fail(walk, FULL, 0)
    four_characters(at, <uint32_t> ((head & 0xFF) << 16 | (head & 0xFF00) | (head >> 16 & 0xFF)))
    four_characters(at + 4, <uint32_t> ((head >> 24 & 0xFF) << 16 | (head >> 24 & 0xFF00) | (head >> 40 & 0xFF)))
    four_characters(at + 8, <uint32_t> ((head >> 48 & 0xFF) << 16 | (head >> 48 & 0xFF00) | (address >> 24 & 0xFF)))
    four_characters(at + 12, <uint32_t> (address & 0xFFFFFF))
    return at + 16


cdef inline uint8_t *put_pooled(Walk *walk, uint8_t *at, int64_t text, int side) noexcept nogil:
    cdef const int64_t *entry
    if text >= walk.entry_count:
        return fail(walk, BAD_TEXT, text)
    entry = walk.entries + 4 * text + side
    if entry[0] < 0:
        return fail(walk, IS_LIST, text)
    return put(walk, at, walk.pool + entry[0], entry[1] - entry[0])


cdef uint8_t *put_shape(Walk *walk, uint8_t *at, int64_t shape, int64_t origin, int64_t depth) noexcept nogil:
    cdef const int64_t *span
    if shape >= walk.shape_count:
        return fail(walk, BAD_SHAPE, shape)
    if depth >= MAX_DEPTH:
        return fail(walk, TOO_DEEP, shape)
    walk.calls += 1
    if walk.calls > MAX_CALLS:
        return fail(walk, TOO_MANY_CALLS, shape)
    span = walk.shapes + 3 * shape
    if origin > walk.value_count - span[2]:
        return fail(walk, BAD_ROW, origin)
    return run(walk, at, span[0], span[1], origin, depth + 1)


cdef uint8_t *close_text(Walk *walk, uint8_t *at, uint8_t *mark) noexcept nogil:
    """Write the header of the msgpack string whose content begins behind ``mark``."""
    cdef int64_t length = at - mark - 1
    cdef int extra = 0 if length < 32 else 1 if length < 0x100 else 2 if length < 0x10000 else 4
    if length > 0xFFFFFFFFLL:
        return fail(walk, TOO_LONG, length)
    if walk.limit - at < extra:
        return fail(walk, FULL, 0)
    if not extra:
        mark[0] = <uint8_t> (0xA0 | length)
        return at
    memmove(mark + 1 + extra, mark + 1, length)
    mark[0] = 0xD9 if extra == 1 else 0xDA if extra == 2 else 0xDB
    big_endian(mark + 1, length, extra)
    return at + extra


cdef uint8_t *put_wrapped(Walk *walk, uint8_t *at, int64_t shape, int64_t origin, int64_t depth, int64_t wrap) noexcept nogil:
    cdef uint8_t *mark = at
    if wrap == WRAP_NONE:
        return put_shape(walk, at, shape, origin, depth)
    at = put_byte(walk, at, 34)
    if at == NULL:
        return NULL
    at = put_shape(walk, at, shape, origin, depth)
    if at == NULL:
        return NULL
    if wrap == WRAP_QUOTES:
        return put_byte(walk, at, 34)
    return close_text(walk, at, mark)


cdef uint8_t *run(Walk *walk, uint8_t *at, int64_t first, int64_t last, int64_t origin, int64_t depth) noexcept nogil:
    """Walk a range of pieces; gives where the output ends, or NULL with the reason in ``walk``."""
    cdef const int64_t *piece = walk.pieces + WIDTH * first
    cdef const int64_t *end = walk.pieces + WIDTH * last
    cdef const int64_t *row = walk.values + origin
    cdef const uint8_t *literals = walk.literals
    cdef uint8_t *mark = NULL
    cdef int64_t counted = 0
    cdef int64_t a, value, number
    cdef int op
    while piece != end:
        op = <int> piece[0]
        a = piece[3]
        if piece[2]:
            at = put(walk, at, literals + piece[1], piece[2])
            if at == NULL:
                return NULL
        if op == INTEGER or op == PACKED or op == PART or op == ADDRESS:
            value = (row[a] >> piece[4]) & piece[5]
            number = <int64_t> (<uint64_t> value + <uint64_t> piece[6])
            if ((value ^ number) & (piece[6] ^ number)) < 0:
                return fail(walk, OVERFLOWN, piece[6])
            if op == INTEGER:
                at = put_integer(walk, at, number)
            elif op == PART:
                if number >= 0:
                    at = put_pooled(walk, at, number, 2)
                else:
                    at = put_shape(walk, at, ~number, origin + a + 1, depth)
            elif op == ADDRESS:
                at = put_address(walk, at, number)
            else:
                at = put_packed(walk, at, number)
        elif op == TEXT:
            if row[a] >= 0:
                at = put_pooled(walk, at, row[a], 0)
            else:
                at = put_wrapped(walk, at, ~row[a], origin + a + 1, depth, piece[4])
        elif op == SKIP:
            if row[a] == ABSENT:
                piece += WIDTH * piece[4]
        elif op == RFC3339:
            at = put_rfc3339(walk, at, row[a])
        elif op == SESSION:
            at = put_session(walk, at, <uint64_t> row[a], row[a + 1])
        elif op == SEPARATOR:
            if at == walk.begin or (at - 1)[0] != a:
                at = put_byte(walk, at, <uint8_t> piece[4])
        elif op == COUNT:
            counted += row[a] != ABSENT
        elif op == MAP:
            at = put_map(walk, at, a + counted)
            counted = 0
        elif op == OPEN:
            mark = at
            at = put_byte(walk, at, 0)
        elif op == CLOSE:
            if mark == NULL:
                return fail(walk, UNOPENED, (piece - walk.pieces) // WIDTH)
            at = close_text(walk, at, mark)
        elif op == UNIX:
            at = put_unix(walk, at, row[a])
        elif op == FLOAT:
            at = put_float(walk, at, row[a])
        if at == NULL:
            return NULL
        piece += WIDTH
    return at


cdef int64_t render(
    Walk *walk, const int32_t *kind, const int64_t *offset, int64_t count, const int64_t *kinds, int64_t kind_count, uint8_t *out, int64_t *ends
) noexcept nogil:
    """Render up to ``count`` records; gives how many, with ``walk.reason`` set if the next one could not be."""
    cdef int64_t number, ahead, line
    cdef const int64_t *span
    cdef uint8_t *at = out
    for number in range(count):
        # Rows lie anywhere in the window: the one that is needed some records later is fetched from memory meanwhile.
        if number + AHEAD < count:
            ahead = offset[number + AHEAD]
            if 0 <= ahead < walk.value_count - ROW_INTEGERS:
                for line in range(0, ROW_INTEGERS, 8):
                    prefetch(walk.values + ahead + line)
        if kind[number] < 0 or kind[number] >= kind_count:
            fail(walk, BAD_KIND, kind[number])
            return number
        span = kinds + 3 * kind[number]
        if offset[number] < 0 or offset[number] > walk.value_count - span[2]:
            fail(walk, BAD_ROW, offset[number])
            return number
        walk.begin = at
        walk.calls = 0
        at = run(walk, at, span[0], span[1], offset[number], 0)
        if at == NULL:
            return number
        ends[number] = at - out
    return count


cdef inline const int64_t *address64(const int64_t[::1] view) noexcept nogil:
    return &view[0] if view.shape[0] else NULL


cdef class Walker:
    """Walks records and the pieces of their template, and writes bytes."""

    cdef const uint8_t[::1] literals
    cdef const uint8_t[::1] pool
    cdef const int64_t[::1] pieces
    cdef const int64_t[::1] kinds
    cdef const int64_t[::1] shapes
    cdef const int64_t[::1] entries

    def __init__(self, template):
        if not isinstance(template, _pieces.Template):
            raise TypeError(f"a Template is needed, not {type(template).__name__}")
        self.literals = template.literals
        self.pool = template.pool
        self.pieces = template.pieces.reshape(-1)
        self.kinds = template.kinds.reshape(-1)
        self.shapes = template.shapes.reshape(-1)
        self.entries = template.entries.reshape(-1)

    def render_into(
        self,
        const int32_t[::1] kind,
        const int64_t[::1] offset,
        const int64_t[::1] values,
        *,
        int64_t first,
        uint8_t[::1] out,
        int64_t[::1] ends,
    ):
        """See ``reference.Walker.render_into``; the interpreter's lock is free meanwhile."""
        cdef Walk walk
        cdef int64_t wanted, done
        cdef uint8_t none[1]
        cdef uint8_t *begin
        if kind.shape[0] != offset.shape[0] or first < 0 or first > kind.shape[0]:
            raise FormatError(f"batch: record {first} of {len(kind)} kinds and {len(offset)} offsets cannot be the first")
        wanted = min(kind.shape[0] - first, ends.shape[0])
        if not wanted:
            if first < kind.shape[0]:
                raise _pieces.failure(FULL, first, 0)
            return 0, 0
        begin = &out[0] if out.shape[0] else none
        walk.pieces = address64(self.pieces)
        walk.literals = &self.literals[0]
        walk.pool = &self.pool[0]
        walk.entries = address64(self.entries)
        walk.entry_count = self.entries.shape[0] // 4
        walk.shapes = address64(self.shapes)
        walk.shape_count = self.shapes.shape[0] // 3
        walk.values = address64(values)
        walk.value_count = values.shape[0]
        walk.limit = begin + out.shape[0]
        walk.minute = -1
        walk.reason = NONE
        walk.detail = 0
        with nogil:
            done = render(
                &walk, &kind[first], &offset[first], wanted, address64(self.kinds), self.kinds.shape[0] // 3, begin, &ends[0]
            )
        if walk.reason == FULL and not done:
            raise _pieces.failure(FULL, first, out.shape[0])
        if walk.reason != NONE and walk.reason != FULL:
            raise _pieces.failure(walk.reason, first + done, walk.detail)
        return done, (ends[done - 1] if done else 0)
