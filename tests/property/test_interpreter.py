"""The compiled interpreter does what each instruction means in NumPy, on programs and numbers that nobody would write."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dovestorm.engine.blocks import Builder, Const, Instruction, Reg, Stop
from dovestorm.engine.bytecode import bytecode
from dovestorm.kernel import instructions
from dovestorm.kernel.instructions import MEANINGS, Code

_interpreter = pytest.importorskip("dovestorm.kernel._interpreter", reason="the kernel was not compiled")

NUMBERS = st.one_of(st.integers(-5, 40), st.integers(-(2**63), 2**63 - 1), st.sampled_from([-(2**63), 2**63 - 1, 2**32 - 1, 2**32]))
ROWS = st.lists(st.lists(NUMBERS, min_size=3, max_size=3), min_size=1, max_size=6)
TIMING = instructions.Timing(
    np.zeros(1, np.int64),
    np.arange(1024, dtype=np.int64).reshape(1, 1024) % 7,
    np.arange(1024, dtype=np.int64).reshape(1, 1024) % 5,
    np.arange(1 << 15, dtype=np.int64) * 64 + 64,
)
SHIFTED = {Code.HALF, Code.SHIFT_LEFT, Code.SHIFT_RIGHT, Code.QUANTILE, Code.ALTERNATIVE, Code.SPREAD}
SIZES = {Code.DIVIDE, Code.REMAINDER}
ARITY = {
    Code.MOVE: 1,
    Code.PRESENT: 1,
    Code.POSITIVE: 1,
    Code.SEARCH: 1,
    Code.LOOKUP: 1,
    Code.MATCH: 1,
    Code.SPREAD: 3,
    Code.ALTERNATIVE: 3,
    Code.SELECT: 4,
}


class OneBlock:
    """A program of one block that computes registers from cells 3 to 5 and emits them."""

    layout = SimpleNamespace(kinds=(None,))

    def __init__(self, made: list[Instruction], registers: int) -> None:
        builder = Builder()
        for cell in range(6):
            builder.read(cell)
        builder.operations.extend(made)
        builder.emit(0, [Const(0), Reg(0), *(Reg(number) for number in range(registers))])
        self.blocks = (dataclasses.replace(builder.finish(Stop()), registers=registers),)
        self.cells = 6


def compiled(made: list[Instruction], registers: int, rows: list[list[int]]) -> np.ndarray:
    """Run it for sessions with these cells; int64[sessions, registers]."""
    program = OneBlock(made, registers)
    count = len(rows)
    table = np.zeros((count, 6), np.int64)
    table[:, 2], table[:, 3:] = np.arange(count), rows
    clock, place, over = np.zeros(count, np.int64), np.zeros(count, np.int32), np.zeros(count, np.int64)
    kind = np.zeros(count, np.int32)
    offset, session, moment, values = (np.zeros(size, np.int64) for size in (count, count, count, count * (registers + 2)))
    done = _interpreter.Interpreter(bytecode(program), TIMING).run(
        table, clock, place, over, kind, offset, session, moment, values, first=0, used=count, end=10, events=0, integers=0
    )
    assert done == (count, count, count * (registers + 2), count, False, 0, 0)
    assert over.tolist() == list(range(count)) == session.tolist()
    assert clock.tolist() == [2**63 - 1] * count
    return values.reshape(count, -1)[:, 2:]


@st.composite
def programs(draw: st.DrawFn) -> tuple[list[Instruction], int]:
    """Instructions whose operands are cells, earlier results and constants; what must lie in a table does."""
    made: list[Instruction] = []
    registers = 6
    for _ in range(draw(st.integers(1, 6))):
        code = draw(st.sampled_from(sorted(MEANINGS)))
        operands = [Reg(draw(st.integers(3, registers - 1))) if draw(st.booleans()) else Const(draw(NUMBERS)) for _ in range(ARITY.get(code, 2))]
        operands[0] = Reg(draw(st.integers(3, registers - 1)))
        if code in SHIFTED:
            operands[1] = Const(draw(st.integers(0, 63)))
        if code in SIZES:
            operands[1] = Const(draw(st.integers(1, 2**40)))
        if code is Code.SPREAD:
            operands[2] = Const(draw(st.integers(0, 2**32 - 1)))
        table = None
        if code in {Code.SELECT, Code.LOOKUP}:  # the place must be one of the three that there are
            made.append(Instruction(Code.REMAINDER, registers, (operands[0], Const(3))))
            operands[0], registers = Reg(registers), registers + 1
        if code is Code.ALTERNATIVE:
            made.append(Instruction(Code.REMAINDER, registers, (Reg(3), Const(2))))
            operands[2], registers = Reg(registers), registers + 1
            table = tuple(tuple(sorted(draw(st.lists(st.integers(0, 2**32), min_size=12, max_size=12)))) for _ in range(2))
        elif code in {Code.SEARCH, Code.LOOKUP, Code.MATCH}:
            table = tuple(sorted(draw(st.lists(NUMBERS, min_size=3, max_size=3))))
        elif code is Code.QUANTILE:
            table = tuple(np.resize(np.array(draw(st.lists(NUMBERS, min_size=1, max_size=9)), np.int64), 1025).tolist())
        made.append(Instruction(code, registers, tuple(operands), table))
        registers += 1
    return made, registers


@settings(max_examples=300, deadline=None)
@given(program=programs(), rows=ROWS)
def test_the_interpreter_does_what_instructions_mean(program, rows) -> None:
    made, registers = program
    frame = [np.zeros(len(rows), np.int64), np.zeros(len(rows), np.int64), np.arange(len(rows)), *np.array(rows, np.int64).T.copy()]
    for one in made:
        given_ = [np.int64(o.value) if isinstance(o, Const) else frame[o.index] for o in one.operands]
        table = {} if one.table is None else {"table": np.array(one.table, np.int64)}
        with np.errstate(over="ignore"):
            frame.append(np.asarray(MEANINGS[one.code](*given_, **table)))
    result = compiled(made, registers, rows)
    for number in range(3, registers):
        assert result[:, number].tolist() == frame[number].tolist(), made


@settings(deadline=None)
@given(
    records=st.lists(st.tuples(st.integers(0, 40) | st.integers(0, 2**36) | st.integers(0, 2**62), st.integers(0, 5)), max_size=300),
    end=st.integers(0, 60) | st.just(2**40) | st.just(2**63 - 1),
)
def test_both_put_records_in_the_same_order(records, end) -> None:
    moment, session = (np.array([record[part] for record in records], np.int64) for part in (0, 1))
    orders = []
    for kernel in (_interpreter, instructions):
        order, room = np.full(len(records), -1, np.int64), np.zeros(2 * len(records), np.uint64)
        count = kernel.in_order(moment, session, order, room, end=end)
        orders.append(order[:count].tolist())
    assert orders[0] == orders[1]
    assert orders[0] == sorted((n for n in range(len(records)) if records[n][0] < end), key=lambda n: (*records[n], n))


def test_an_arena_without_room_stops_before_the_session_and_goes_on() -> None:
    program = OneBlock([], 6)
    interpreter = _interpreter.Interpreter(bytecode(program), TIMING)
    table, clock, place, over = np.zeros((5, 6), np.int64), np.zeros(5, np.int64), np.zeros(5, np.int32), np.zeros(5, np.int64)
    columns = [np.zeros(3, np.int32), *(np.zeros(3, np.int64) for _ in range(3)), np.zeros(99, np.int64)]
    assert interpreter.run(table, clock, place, over, *columns, first=0, used=5, end=10, events=0, integers=0) == (3, 3, 24, 3, True, 1, 8)
    assert interpreter.run(table, clock, place, over[3:], *columns, first=3, used=5, end=10, events=0, integers=0) == (5, 2, 16, 2, False, 0, 0)


def test_a_table_that_does_not_fit_is_refused() -> None:
    interpreter = _interpreter.Interpreter(bytecode(OneBlock([], 6)), TIMING)
    one, four = np.zeros(1, np.int64), np.zeros(1, np.int32)
    for table, used in ((np.zeros((1, 5), np.int64), 1), (np.zeros((1, 6), np.int64), 2)):
        with pytest.raises(ValueError, match="slots 0 to"):
            interpreter.run(table, one, four, one, four, one, one, one, one, first=0, used=used, end=10, events=0, integers=0)
    with pytest.raises(ValueError, match="arena"):
        interpreter.run(np.zeros((1, 6), np.int64), one, four, one, four, one, one, one, one, first=0, used=1, end=10, events=2, integers=0)


def test_a_block_that_is_not_there_is_an_error_not_a_crash() -> None:
    interpreter = _interpreter.Interpreter(bytecode(OneBlock([], 6)), TIMING)
    one = np.zeros(1, np.int64)
    for block in (-1, 1, 2**31 - 1):
        with pytest.raises(RuntimeError, match="there is none"):
            interpreter.run(
                np.zeros((1, 6), np.int64),
                one,
                np.array([block], np.int32),
                one,
                np.zeros(1, np.int32),
                one,
                one,
                one,
                np.zeros(9, np.int64),
                first=0,
                used=1,
                end=10,
                events=0,
                integers=0,
            )


def test_a_place_outside_its_table_is_an_error_not_a_crash() -> None:
    look_up = [Instruction(Code.LOOKUP, 6, (Reg(3),), (1, 2, 3))]
    for place in (-1, 3, 2**63 - 1):
        with pytest.raises(RuntimeError, match="left its table"):
            compiled(look_up, 7, [[place, 0, 0]])


WRONG = {
    "an instruction": {"code": [[99, 0, 0, 0, 0, 0, 0, 0]]},
    "a register": {"code": [[Code.ADD, 6, 0, 0, 0, 0, 0, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]], "scratch": 0},
    "a register ": {"code": [[Code.ADD, 3, 999, 0, 0, 0, 0, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]]},
    "a record kind": {"code": [[Code.EMIT, 1, 0, 0, 0, 0, 2, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]]},
    "a table": {"code": [[Code.LOOKUP, 3, 0, 0, 0, 0, 9, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]]},
    "the length of a table": {"code": [[Code.QUANTILE, 3, 0, 0, 0, 0, 0, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]]},
    "a list": {"code": [[Code.BRANCH, 0, 0, 0, 0, 0, 1, 0]], "lists": [1]},
    "a list ": {"code": [[Code.SELECT, 3, 0, 0, 0, 0, 1, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]], "lists": [-1]},
    "a block": {"blocks": [[9, 0, 0]]},
    "a block ": {"code": [[Code.ADD, 3, 0, 0, 0, 0, 0, 0]]},
    "what a block lays down": {"code": [[Code.EMIT, 0, 0, 0, 0, 0, 2, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]], "blocks": [[0, 0, 9]]},
    "what a block lays down ": {"code": [[Code.EMIT, 0, 0, 0, 0, 0, 2, 0], [Code.STOP, 0, 0, 0, 0, 0, 0, 0]], "blocks": [[0, 1, 1]]},
}


@pytest.mark.parametrize("what", WRONG)
def test_bytecode_that_would_reach_outside_is_refused(what) -> None:
    right = bytecode(OneBlock([Instruction(Code.LOOKUP, 6, (Reg(3),), (1, 2))], 7))
    changes = {name: np.array(value, getattr(right, name).dtype) if isinstance(value, list) else value for name, value in WRONG[what].items()}
    with pytest.raises(ValueError, match=f"bytecode: {what.strip()}"):
        _interpreter.Interpreter(dataclasses.replace(right, **changes), TIMING)
