"""The compiled kernel and its plain Python twin do the same, on templates and rows that nobody would write."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovestorm import batch
from dovestorm.errors import FormatError
from dovestorm.kernel import RecordTooLargeError, Template, pieces, reference
from dovestorm.kernel.pieces import Op

_render = pytest.importorskip("dovestorm.kernel._render", reason="the kernel was not compiled")

LITERALS = b'{"event":"imap","fields":{,}}\tfield:\n' + bytes(range(256))
POOL = b'"u001""a much longer text that takes several steps to copy, and then some more, and more"' + bytes(400)
INT64 = st.one_of(
    st.integers(-3, 12),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([-(2**63), 2**63 - 1, 2**32 - 1, 2**32, pieces.LAST_MICROSECOND, pieces.LAST_MICROSECOND + 1, 1_795_406_870_811_472]),
)
SMALL = st.integers(0, 6)


@st.composite
def _piece(draw: st.DrawFn) -> list[int]:
    op = draw(st.sampled_from(Op))
    begin = draw(st.integers(0, len(LITERALS)))
    length = draw(st.integers(0, len(LITERALS) - begin)) if draw(st.booleans()) else 0
    if op in {Op.INTEGER, Op.PACKED, Op.PART, Op.ADDRESS}:
        mask = draw(st.one_of(st.just(-1), st.integers(0, 63).map(lambda bits: 2**bits - 1)))
        return [op, begin, length, draw(SMALL), draw(st.integers(0, 63)), mask, draw(INT64)]
    if op is Op.SEPARATOR:
        return [op, begin, length, draw(st.sampled_from(b"{,\n")), ord(","), 0, 0]
    if op is Op.MAP:
        return [op, begin, length, draw(st.one_of(SMALL, st.integers(0, 2**31 - 1))), 0, 0, 0]
    return [op, begin, length, draw(SMALL), draw(st.integers(0, 2)), 0, 0]


@st.composite
def _ranges(draw: st.DrawFn, count: int) -> list[tuple[int, int]]:
    spans = draw(st.lists(st.tuples(st.integers(0, count), st.integers(0, count)), min_size=1, max_size=3))
    return [(min(span), max(span)) for span in spans]


@st.composite
def _entry(draw: st.DrawFn) -> tuple[int, int, int, int]:
    begin, inner, inner_end, end = sorted(draw(st.lists(st.integers(0, len(POOL)), min_size=4, max_size=4)))
    return (begin, end, -1, -1) if draw(st.booleans()) else (begin, end, inner, inner_end)


@st.composite
def _templates(draw: st.DrawFn) -> Template:
    table = draw(st.lists(_piece(), min_size=1, max_size=12))
    kinds, shapes = draw(_ranges(len(table))), draw(_ranges(len(table)))
    entries = draw(st.lists(_entry(), max_size=4))
    for begin, end in kinds + shapes:  # a jump may lead up to the end of the range, not over it
        for number in range(begin, end):
            if table[number][0] == Op.SKIP:
                table[number][4] = min(table[number][4], end - number - 1)
    return Template(literals=LITERALS, pieces=table, kinds=kinds, shapes=shapes, pool=POOL, entries=entries)


def _outcome(walker, kind, offset, values, capacity, slots):
    out, ends = np.full(capacity, 0xEE, np.uint8), np.full(slots, -1, np.int64)
    try:
        count, size = walker.render_into(np.array(kind, np.int32), np.array(offset, np.int64), values, first=0, out=out, ends=ends)
    except FormatError as error:
        return type(error), str(error)
    return count, out[:size].tobytes(), ends.tolist()


@settings(max_examples=250)
@given(
    template=_templates(),
    values=st.lists(INT64, max_size=24),
    records=st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 30)), max_size=4),
    capacity=st.one_of(st.just(60_000), st.integers(0, 600)),
    slots=st.integers(0, 5),
)
def test_both_kernels_give_the_same_bytes_or_the_same_error(template, values, records, capacity, slots) -> None:
    """Whatever the template and the rows: same records, same bytes, same ends, same error text."""
    kind, offset = [kind for kind, _ in records], [offset for _, offset in records]
    values = np.array(values, np.int64)
    outcomes = [_outcome(Walker(template), kind, offset, values, capacity, slots) for Walker in (_render.Walker, reference.Walker)]
    assert outcomes[0] == outcomes[1]


@settings(max_examples=100)
@given(value=st.one_of(INT64, st.integers(0, 63).flatmap(lambda bits: st.integers(2**bits - 2, 2**bits))).filter(lambda v: v < 2**63))
def test_every_integer_is_written_as_python_writes_it(value) -> None:
    template = Template(literals=b"", pieces=[[Op.INTEGER, 0, 0, 0, 0, -1, 0]], kinds=[(0, 1)], shapes=[], pool=b"", entries=[])
    for walker in (_render.Walker(template), reference.Walker(template)):
        assert _outcome(walker, [0], [0], np.array([value]), 20, 1) == (1, b"%d" % value, [len(b"%d" % value)])


BOTH = pytest.mark.parametrize("walker_of", [_render.Walker, reference.Walker])
TIGHT = {
    "literal": ([[Op.LITERAL, 0, 40, 0, 0, 0, 0]], [], 40),
    "integer": ([[Op.INTEGER, 0, 0, 0, 0, -1, 0]], [-(2**63)], 20),
    "packed": ([[Op.PACKED, 0, 0, 0, 0, -1, 0]], [2**40], 9),
    "rfc3339": ([[Op.RFC3339, 0, 0, 0, 0, 0, 0]], [0], 27),
    "unix": ([[Op.UNIX, 0, 0, 0, 0, 0, 0]], [1_795_406_870_811_472], 17),
    "float": ([[Op.FLOAT, 0, 0, 0, 0, 0, 0]], [1], 9),
    "pool": ([[Op.TEXT, 0, 0, 0, 0, 0, 0]], [0], 300),
    "quoted": ([[Op.TEXT, 0, 0, 0, 1, 0, 0]], [-1], 9),
    "prefixed": ([[Op.TEXT, 0, 0, 0, 2, 0, 0]], [-1], 8),
    "address": ([[Op.ADDRESS, 0, 0, 0, 0, -1, 0]], [0xFFFFFFFF], 15),
    "session": ([[Op.SESSION, 0, 0, 0, 0, 0, 0]], [-1, 0xFFFFFFFF], 16),
    "separator": ([[Op.SEPARATOR, 0, 0, 0, 44, 0, 0]], [], 1),
    "map": ([[Op.MAP, 0, 0, 2**16, 0, 0, 0]], [], 5),
    "long string": ([[Op.OPEN, 0, 2, 0, 0, 0, 0], [Op.TEXT, 0, 0, 0, 0, 0, 0], [Op.CLOSE, 0, 40, 0, 0, 0, 0]], [0], 2 + 3 + 300 + 40),
}


@BOTH
@pytest.mark.parametrize("case", TIGHT)
def test_a_buffer_of_just_the_right_size_is_enough_and_one_byte_less_is_not(walker_of, case) -> None:
    """Nothing is written behind the end: the bytes after the buffer stay what they were."""
    table, values, need = TIGHT[case]
    table = [*table, [Op.LITERAL, 2, 7, 0, 0, 0, 0]]
    parts = {"kinds": [(0, len(table) - 1)], "shapes": [(len(table) - 1, len(table))], "entries": [(0, 300, 0, 300)]}
    walker = walker_of(Template(literals=LITERALS, pieces=table, pool=POOL, **parts))
    for capacity in range(need + 1):
        memory, ends = np.full(need + 200, 0xEE, np.uint8), np.zeros(1, np.int64)
        buffers = {"out": memory[:capacity], "ends": ends}
        row = np.array([0], np.int32), np.array([0]), np.array(values, np.int64)
        if capacity < need:
            with pytest.raises(RecordTooLargeError):
                walker.render_into(*row, first=0, **buffers)
        else:
            assert walker.render_into(*row, first=0, **buffers) == (1, need)
        assert (memory[capacity:] == 0xEE).all()


def test_the_first_and_last_day_of_every_month_until_the_year_9999_has_its_date() -> None:
    """NumPy's calendar is the judge."""
    months = np.arange("1970-01", "10000-01", dtype="datetime64[M]").astype("datetime64[D]")
    days = np.concatenate([months, months[1:] - 1])
    microseconds = days.astype("datetime64[us]").astype(np.int64) + 86_399_999_999
    template = Template(literals=b"", pieces=[[Op.RFC3339, 0, 0, 0, 0, 0, 0]], kinds=[(0, 1)], shapes=[], pool=b"", entries=[])
    out, ends = np.zeros(27 * len(days), np.uint8), np.zeros(len(days), np.int64)
    arguments = np.zeros(len(days), np.int32), np.arange(len(days)), microseconds
    assert _render.Walker(template).render_into(*arguments, first=0, out=out, ends=ends) == (len(days), 27 * len(days))
    assert out.tobytes() == b"".join(day.encode() + b"T23:59:59.999999Z" for day in np.datetime_as_string(days))


@BOTH
def test_what_one_record_or_map_counted_is_not_the_next_ones(walker_of) -> None:
    """Each record separates, and counts its shapes, from its own beginning; each map counts anew."""
    table = [
        *([Op.SEPARATOR, 0, 0, 44, 44, 0, 0], [Op.COUNT, 0, 0, 0, 0, 0, 0], [Op.MAP, 0, 0, 0, 0, 0, 0], [Op.MAP, 0, 0, 0, 0, 0, 0]),
        *([Op.TEXT, 0, 0, 0, 0, 0, 0], [Op.LITERAL, LITERALS.index(b","), 1, 0, 0, 0, 0]),
    ]
    template = Template(literals=LITERALS, pieces=table, kinds=[(0, 6)], shapes=[(5, 6)], pool=b"", entries=[])
    count = pieces.MAX_CALLS + 1
    outcome = _outcome(walker_of(template), [0] * count, [0] * count, np.array([-1]), 5 * count, count)
    assert outcome[:2] == (count, b",\x81\x80,," * count)


@BOTH
def test_shapes_may_call_shapes_as_deep_as_the_limit_says(walker_of) -> None:
    table = [[Op.TEXT, 0, 0, 0, 1, 0, 0], [Op.PART, 0, 0, 0, 0, -1, 0]]
    template = Template(literals=b"", pieces=table, kinds=[(0, 1)], shapes=[(1, 2)], pool=b"u", entries=[(0, 1, 0, 1)])
    walker = walker_of(template)
    assert _outcome(walker, [0], [0], np.array([-1] * pieces.MAX_DEPTH + [0]), 9, 1) == (1, b'"u"', [3])
    assert _outcome(walker, [0], [0], np.array([-1] * (pieces.MAX_DEPTH + 1) + [0]), 9, 1)[0] is FormatError


WRONG = {
    "unknown operation": {"pieces": [[16, 0, 0, 0, 0, 0, 0]]},
    "has its literal": {"pieces": [[Op.LITERAL, 3, 4, 0, 0, 0, 0]]},
    "column out of range": {"pieces": [[Op.TEXT, 0, 0, -1, 0, 0, 0]]},
    "shifts by 64": {"pieces": [[Op.INTEGER, 0, 0, 0, 64, -1, 0]]},
    "negative mask": {"pieces": [[Op.INTEGER, 0, 0, 0, 0, -2, 0]]},
    "unknown wrap": {"pieces": [[Op.TEXT, 0, 0, 0, 3, 0, 0]]},
    "not both bytes": {"pieces": [[Op.SEPARATOR, 0, 0, 256, 0, 0, 0]]},
    "begins a map": {"pieces": [[Op.MAP, 0, 0, -1, 0, 0, 0]]},
    "leads out of it": {"pieces": [[Op.SKIP, 0, 0, 0, 1, 0, 0]]},
    "must be 7 64-bit integers": {"pieces": [[Op.LITERAL, 0, 0]]},
    "pieces 0 to 2 of 1": {"kinds": [(0, 2)]},
    "shape 0 is pieces": {"shapes": [(-1, 0)]},
    "text 1 lies": {"entries": [(0, 3, 1, 2), (0, 4, 1, 2)]},
    "text 0 lies": {"entries": [(1, 3, 0, 2)]},
}


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_template_is_refused_when_it_is_made(message) -> None:
    parts = {"literals": b"abcdef", "pieces": [[0] * 7], "kinds": [(0, 1)], "shapes": [], "pool": b"abc", "entries": []} | WRONG[message]
    with pytest.raises(FormatError, match=message):
        Template(**parts)


@BOTH
def test_kernels_take_nothing_but_checked_templates(walker_of) -> None:
    with pytest.raises(TypeError, match="a Template is needed"):
        walker_of(object())


def test_kernel_and_batch_mean_the_same_by_absent() -> None:
    assert pieces.ABSENT == batch.ABSENT
