"""The instructions that sessions run on, and what each of them means.

A program is a list of *blocks*; a block is straight-line code on 64-bit signed registers that ends in ``BRANCH`` or ``STOP``. Arithmetic wraps
around, as in C and NumPy. ``MEANINGS`` gives each instruction's meaning for whole columns, in NumPy; the compiled interpreter does the same one
session at a time, and tests hold the two against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.hashing import mix_array
from dovestorm.kernel.pieces import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = [
    "INSTRUCTION_WIDTH",
    "LAG_STEPS",
    "LAG_STEP_BITS",
    "MEANINGS",
    "MILLION",
    "QUANTILES",
    "SAYS_ITSELF",
    "TURN_PERIOD_BITS",
    "TURN_STEP_BITS",
    "Bytecode",
    "Code",
    "Timing",
    "in_order",
]

MILLION = 1_000_000
INSTRUCTION_WIDTH = 8
"""int32 words of an instruction."""

QUANTILES = 1025
"""Entries of a quantile table: 0, 1/1024 ... 1."""

LAG_STEP_BITS, LAG_STEPS = 10, 1024
TURN_STEP_BITS, TURN_PERIOD_BITS = 6, 21

SAYS_ITSELF = -1
"""In the place of a process: the records of the kind hold the moment of their export."""

_LOW_32 = 0xFFFFFFFF


class Code(IntEnum):
    """What an instruction does. The operands are registers; ``table`` is a run of constants."""

    MOVE = 0
    """a"""
    ADD = 1
    """a + b"""
    SUBTRACT = 2
    """a - b"""
    MULTIPLY = 3
    """a * b"""
    DIVIDE = 4
    """a // b, rounded down; b is positive."""
    REMAINDER = 5
    """a mod b, of a taken as unsigned; b is positive."""
    MAXIMUM = 6
    """The larger of a and b."""
    MINIMUM = 7
    """The smaller of a and b."""
    SHIFT_LEFT = 8
    """a << b"""
    SHIFT_RIGHT = 9
    """a >> b, keeping the sign."""
    AND = 10
    """The bits that a and b share."""
    PRESENT = 11
    """a, or 0 where a is absent."""
    SCALE = 12
    """a * b // MILLION, without overflow in between."""
    HASH = 13
    """SplitMix64's output function of a + b."""
    HALF = 14
    """32 bits of a, from bit b on, as a number of 0 or more."""
    SPREAD = 15
    """An even draw in [0, c): the 32 bits of a from bit b on."""
    QUANTILE = 16
    """A draw from the table of 1025 quantiles with the 32 bits of a from bit b on, interpolated linearly."""
    ALTERNATIVE = 17
    """How many upper bounds the 32 bits of a from bit b on reach; the table holds one row of bounds for each phase, c tells the phase."""
    SEARCH = 18
    """How many entries of the ascending table are a or less."""
    LOOKUP = 19
    """Entry a of the table."""
    MATCH = 20
    """The place in the table at which a stands, or the table's length."""
    POSITIVE = 21
    """0 where a is more than 0, else 1."""
    SELECT = 22
    """One of the listed registers: the a-th."""
    EMIT = 23
    """Lay down a record of kind ``target``, its row from the listed registers."""
    BRANCH = 24
    """The session goes to the a-th of the listed blocks."""
    STOP = 25
    """The session is over."""


def _half(bits: Any, shift: Any) -> Any:
    return (bits >> shift) & _LOW_32


def _remainder(a: NDArray[np.int64], b: np.int64) -> NDArray[np.int64]:
    return (a.view(np.uint64) % np.uint64(b)).view(np.int64)


def _scale(a: Any, b: Any) -> Any:
    whole = a // MILLION
    return whole * b + (a - whole * MILLION) * b // MILLION


def _hash(a: NDArray[np.int64], b: Any) -> NDArray[np.int64]:
    mixed: NDArray[np.int64] = mix_array((a + b).view(np.uint64)).view(np.int64)
    return mixed


def _spread(bits: Any, shift: Any, size: Any) -> Any:
    half = _half(bits, shift)
    # Two steps of 16 bits keep the product inside int64 for sizes up to 2**32.
    return ((half >> 16) * size + ((half & 0xFFFF) * size >> 16)) >> 16


def _quantile(bits: Any, shift: Any, *, table: NDArray[np.int64]) -> Any:
    half = _half(bits, shift)
    segment = half >> 22
    low = table[segment]
    return low + ((table[segment + 1] - low) * ((half >> 6) & 0xFFFF) >> 16)


def _alternative(bits: Any, shift: Any, phase: Any, *, table: NDArray[np.int64]) -> Any:
    half = _half(bits, shift)
    if len(table) == 1:
        return table[0].searchsorted(half, side="right")
    chosen: NDArray[np.int64] = np.zeros(len(half), dtype=np.int64)
    for number, row in enumerate(table):
        here = phase == number
        chosen[here] = row.searchsorted(half[here], side="right")
    return chosen


def _match(a: NDArray[np.int64], *, table: NDArray[np.int64]) -> NDArray[np.int64]:
    place = np.full(len(a), len(table), dtype=np.int64)
    for number in range(len(table) - 1, -1, -1):
        place[a == table[number]] = number
    return place


def _select(which: NDArray[np.int64], *options: Any) -> NDArray[np.int64]:
    chosen = np.empty(len(which), dtype=np.int64)
    for number, option in enumerate(options):
        np.copyto(chosen, option, where=which == number)
    return chosen


MEANINGS: dict[Code, Callable[..., Any]] = {
    Code.MOVE: np.copy,
    Code.ADD: np.add,
    Code.SUBTRACT: np.subtract,
    Code.MULTIPLY: np.multiply,
    Code.DIVIDE: np.floor_divide,
    Code.REMAINDER: _remainder,
    Code.MAXIMUM: np.maximum,
    Code.MINIMUM: np.minimum,
    Code.SHIFT_LEFT: np.left_shift,
    Code.SHIFT_RIGHT: np.right_shift,
    Code.AND: np.bitwise_and,
    Code.PRESENT: lambda a: np.where(a == ABSENT, 0, a),
    Code.SCALE: _scale,
    Code.HASH: _hash,
    Code.HALF: _half,
    Code.SPREAD: _spread,
    Code.QUANTILE: _quantile,
    Code.ALTERNATIVE: _alternative,
    Code.SEARCH: lambda a, *, table: table.searchsorted(a, side="right"),
    Code.LOOKUP: lambda a, *, table: table[a],
    Code.MATCH: _match,
    Code.POSITIVE: lambda a: np.where(a > 0, 0, 1),
    Code.SELECT: _select,
}
"""Each computing instruction's meaning: operands are int64 columns or numbers of one group of sessions, so is the result."""


@dataclass(frozen=True, slots=True)
class Timing:
    """When the stats process gets and exports what a process sends; ``engine.export_clock`` makes it and says what it means.

    Attributes:
        process: int64, the emitting process of each record kind, or ``SAYS_ITSELF``.
        lag: int64[processes, LAG_STEPS], microseconds at each step of ``1 << LAG_STEP_BITS`` microseconds.
        slope: int64[processes, LAG_STEPS], what the lag grows by until the next step.
        turn: int64[1 << (TURN_PERIOD_BITS - TURN_STEP_BITS)], the end of the turn for each step of a period.
    """

    process: NDArray[np.int64]
    lag: NDArray[np.int64]
    slope: NDArray[np.int64]
    turn: NDArray[np.int64]

    def check(self, kinds: int) -> None:
        """Raise ``ValueError`` unless every kind has a process and every process its tables."""
        shape = (len(self.lag), LAG_STEPS)
        _sure(len(self.process) == kinds and _inside(self.process - SAYS_ITSELF, len(self.lag) + 1), "a record kind's process")
        _sure(self.lag.shape == shape == self.slope.shape and self.turn.shape == (1 << (TURN_PERIOD_BITS - TURN_STEP_BITS),), "the timing")


@dataclass(frozen=True, slots=True)
class Bytecode:
    """A program for the compiled interpreter.

    Registers are one file: first a session's cells (kept), then scratch, then ``constants``.

    Attributes:
        code: int32[n, INSTRUCTION_WIDTH]: code, target, three operands (registers), then the place in ``lists`` or ``tables`` and how many
            stand there; for ``ALTERNATIVE`` that is the length of a row, and the last word says how many rows there are.
        lists: int32, registers or blocks.
        tables: int64, constants.
        blocks: int32[m, 3]: first instruction, and how many records and integers the block lays down at most.
        constants: int64, the constant registers.
        cells: How many registers are a session's cells.
        scratch: How many are scratch.
        kinds: How many record kinds there are.
    """

    code: NDArray[np.int32]
    lists: NDArray[np.int32]
    tables: NDArray[np.int64]
    blocks: NDArray[np.int32]
    constants: NDArray[np.int64]
    cells: int
    scratch: int
    kinds: int

    def check(self) -> None:
        """Hold every register, table, list and block against the program's sizes.

        Raises:
            ValueError: Something lies outside; the interpreter would read or write where it must not.
        """
        code, lists = self.code, self.lists
        op, place, count = code[:, 0], code[:, 5].astype(np.int64), code[:, 6].astype(np.int64)
        registers = self.cells + self.scratch + len(self.constants)
        listing = np.isin(op, [Code.SELECT, Code.EMIT, Code.BRANCH])
        tabled = np.isin(op, [Code.QUANTILE, Code.ALTERNATIVE, Code.SEARCH, Code.LOOKUP, Code.MATCH])
        length = count * np.where(op == Code.ALTERNATIVE, code[:, 7], 1)
        first, events, integers = self.blocks.T
        emits = op == Code.EMIT
        ended = np.flatnonzero(np.isin(op, [Code.BRANCH, Code.STOP]))
        _sure(self.cells > 2 and len(self.blocks) > 0 and code.shape[1:] == (INSTRUCTION_WIDTH,), "the shape of the program")
        _sure(bool(((op >= 0) & (op < len(Code))).all()), "an instruction")
        _sure(_inside(code[:, 2:5], registers) and _inside(code[~listing & (op != Code.STOP), 1], self.cells + self.scratch), "a register")
        _sure(_inside(code[emits, 1], self.kinds), "a record kind")
        _sure(_inside(code[op == Code.SELECT, 1], self.cells + self.scratch), "a register")
        _sure(bool(((place >= 0) & (count >= 0) & (length >= 0)).all()), "a table or a list")
        _sure(bool((place + count <= len(lists))[listing].all()) and bool((place + length <= len(self.tables))[tabled].all()), "a table or a list")
        _sure(bool((count[op == Code.QUANTILE] == QUANTILES).all() and (count[emits] >= 2).all()), "the length of a table or a row")
        _sure(_inside(self._listed(op == Code.BRANCH), len(self.blocks)) and _inside(self._listed(emits | (op == Code.SELECT)), registers), "a list")
        _sure(len(ended) > 0 and _inside(first, int(ended[-1]) + 1), "a block")
        last = ended[np.searchsorted(ended, first)]
        for what, laid in ((emits, events), (np.where(emits, count, 0), integers)):
            before = np.concatenate([[0], np.cumsum(what)])
            _sure(bool((before[last + 1] - before[first] <= laid).all()), "what a block lays down")

    def _listed(self, which: NDArray[np.bool_]) -> NDArray[np.int64]:
        """All entries of the lists of some instructions."""
        places, counts = self.code[which, 5].astype(np.int64), self.code[which, 6].astype(np.int64)
        begins = np.cumsum(counts) - counts
        listed: NDArray[np.int64] = self.lists[np.arange(int(counts.sum())) + np.repeat(places - begins, counts)].astype(np.int64)
        return listed


def in_order(moment: NDArray[np.int64], session: NDArray[np.int64], order: NDArray[np.int64], room: NDArray[np.uint64], *, end: int) -> int:  # noqa: ARG001 - as the compiled twin
    """Find the order in which records are exported: by moment, then by session, then as they stand.

    Args:
        moment: int64[n], 0 or more.
        session: int64[n].
        order: int64[n], gets the places of the records before ``end``, in order.
        room: uint64[2n], to work in; only the compiled twin does.
        end: Records of this moment or later are left out.

    Returns:
        How many records there are before ``end``.
    """
    early = np.flatnonzero(moment < end)
    order[: len(early)] = early[np.lexsort((session[early], moment[early]))]
    return len(early)


def _inside(numbers: NDArray[Any], size: int) -> bool:
    return bool(((numbers >= 0) & (numbers < size)).all())


def _sure(holds: bool, what: str) -> None:  # noqa: FBT001 - an assertion reads like this
    if not holds:
        raise ValueError(f"bytecode: {what} lies outside the program")
