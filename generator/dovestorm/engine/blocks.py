"""Straight-line pieces of a program: what sessions do before they may part.

A block is a list of instructions on *registers* (one number for each session, or a constant) that reads session *cells* at most once each and
writes back only what later blocks read. Registers live as long as the block.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.hashing import GAMMA
from dovestorm.kernel.instructions import MEANINGS, Code

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CLOCK",
    "SESSION",
    "STATE",
    "Block",
    "Branch",
    "Builder",
    "Const",
    "Emit",
    "Instruction",
    "Operand",
    "Read",
    "Reg",
    "Stop",
    "Table",
    "Terminator",
    "Write",
    "goto",
]

CLOCK, STATE, SESSION = 0, 1, 2
"""The first cells of every session: its clock (microseconds since the epoch), its random state, its number."""

_WORD = 1 << 64


@dataclass(frozen=True, slots=True)
class Const:
    """An operand that is the same for all sessions."""

    value: int


@dataclass(frozen=True, slots=True)
class Reg:
    """An operand held in a register."""

    index: int


Operand = Const | Reg
Table = tuple[int, ...] | tuple[tuple[int, ...], ...]
"""Constants of an instruction; for ``ALTERNATIVE`` a row for each phase."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """Compute a register from others."""

    code: Code
    register: int
    operands: tuple[Operand, ...]
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """Fetch a cell into a register."""

    register: int
    cell: int


@dataclass(frozen=True, slots=True)
class Write:
    """Put an operand into a cell."""

    cell: int
    operand: Operand


@dataclass(frozen=True, slots=True)
class Emit:
    """Lay down a record of a kind: its row, of which the second is the moment at which it is sent."""

    kind: int
    row: tuple[Operand, ...]


Operation = Instruction | Read | Write | Emit


@dataclass(frozen=True, slots=True)
class Branch:
    """Each session goes to the target whose place ``choice`` tells."""

    choice: Operand
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stop:
    """The sessions are over."""


Terminator = Branch | Stop


def goto(target: int) -> Branch:
    """All go to one block."""
    return Branch(Const(0), (target,))


@dataclass(slots=True)
class Block:
    """A finished block: its operations, what it reads before writing, what it writes, and where its sessions go.

    ``parks`` when much time may have passed in it, so that some sessions must wait for a later window.
    """

    operations: list[Operation]
    reads: frozenset[int]
    writes: frozenset[int]
    terminator: Terminator
    registers: int
    parks: bool = False


@dataclass(slots=True)
class Builder:
    """Collects one block."""

    operations: list[Operation] = field(default_factory=list)
    _values: dict[int, Operand] = field(default_factory=dict)
    _dirty: dict[int, None] = field(default_factory=dict)
    _reads: set[int] = field(default_factory=set)
    _registers: int = 0
    _draws: int = 0
    _half: Reg | None = None
    present: set[int] = field(default_factory=set)
    """Cells that surely hold a value since this block gave them one."""

    def register(self) -> Reg:
        """A fresh register."""
        self._registers += 1
        return Reg(self._registers - 1)

    def read(self, cell: int) -> Operand:
        """The cell's present value."""
        if cell not in self._values:
            register = self.register()
            self.operations.append(Read(register.index, cell))
            self._reads.add(cell)
            self._values[cell] = register
        return self._values[cell]

    def write(self, cell: int, operand: Operand) -> None:
        """Give the cell a value; it reaches the session table at the block's end."""
        self._values[cell] = operand
        self._dirty[cell] = None

    def apply(self, code: Code, *operands: Operand | int, table: Table | None = None) -> Operand:
        """The result of an instruction; folded when all operands are constants. Integers stand for constants."""
        given = tuple([Const(operand) if isinstance(operand, int) else operand for operand in operands])
        numbers = [operand.value for operand in given if isinstance(operand, Const)]
        if len(numbers) == len(given):
            return Const(_folded(code, numbers, table))
        target = self.register()
        self.operations.append(Instruction(code, target.index, given, table))
        return target

    def bits(self) -> tuple[Reg, int]:
        """32 fresh random bits: a register and the shift (0 or 32) at which they lie in it; one hash serves two draws."""
        if self._half is not None:
            register, self._half = self._half, None
            return register, 0
        self._draws += 1
        mixed = self.apply(Code.HASH, self.read(STATE), _signed(self._draws * GAMMA))
        assert isinstance(mixed, Reg)
        self._half = mixed
        return mixed, 32

    def draw(self, code: Code, *operands: Operand | int, table: Table | None = None) -> Operand:
        """The result of an instruction whose first two operands are fresh random bits and where they lie."""
        register, shift = self.bits()
        return self.apply(code, register, shift, *operands, table=table)

    def emit(self, kind: int, row: Sequence[Operand]) -> None:
        """Lay down a record."""
        self.operations.append(Emit(kind, tuple(row)))

    def finish(self, terminator: Terminator, *, parks: bool = False) -> Block:
        """Close the block."""
        if self._draws:
            self.write(STATE, self.apply(Code.ADD, self.read(STATE), _signed(self._draws * GAMMA)))
        if isinstance(terminator, Branch) and isinstance(terminator.choice, Const):
            terminator = goto(terminator.targets[terminator.choice.value])
        self.operations.extend(Write(cell, self._values[cell]) for cell in self._dirty)
        return Block(self.operations, frozenset(self._reads), frozenset(self._dirty), terminator, self._registers, parks)


def _signed(number: int) -> int:
    """The low 64 bits as a signed number."""
    number %= _WORD
    return number - _WORD if number >> 63 else number


def _folded(code: Code, numbers: list[int], table: Table | None) -> int:
    columns = [np.array([number], dtype=np.int64) for number in numbers]
    given = {} if table is None else {"table": np.array(table, dtype=np.int64)}
    return int(MEANINGS[code](*columns, **given)[0])
