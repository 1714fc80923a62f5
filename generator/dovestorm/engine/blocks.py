"""Straight-line pieces of a program: what a group of sessions does together before it parts.

A block is a list of operations on *registers* (one array of the group's length each, or a plain integer for a constant) that reads session
*cells* at most once each and writes back only what later blocks read. Registers live as long as the block runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.hashing import GAMMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dovestorm.engine.machine import Group

__all__ = ["CLOCK", "SESSION", "STATE", "Block", "Branch", "Builder", "Const", "Goto", "Operand", "Operation", "Read", "Reg", "Stop", "Test", "Write"]

CLOCK, STATE, SESSION = 0, 1, 2
"""The first cells of every session: its clock (microseconds since the epoch), its random state, its number."""

Frame = list[Any]
Operation = Callable[[Frame, "Group"], None]


@dataclass(frozen=True, slots=True)
class Const:
    """An operand that is the same for all sessions."""

    value: int


@dataclass(frozen=True, slots=True)
class Reg:
    """An operand held in a register."""

    index: int


Operand = Const | Reg


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
class Goto:
    """All go to one block."""

    target: int


@dataclass(frozen=True, slots=True)
class Branch:
    """Each goes where its draw falls.

    ``draw`` holds 32 random bits; ``bounds[phase]`` the upper bounds of all alternatives but the last (see ``cumulative_thresholds``).
    """

    draw: Reg
    bounds: tuple[NDArray[np.uint64], ...]
    phase: Operand
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Test:
    """Each goes to the target of the case that its value equals, else to ``otherwise``; with ``positive``, to the first target if value > 0."""

    value: Operand
    cases: tuple[int, ...]
    targets: tuple[int, ...]
    otherwise: int
    positive: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """The sessions are over."""


Terminator = Goto | Branch | Test | Stop


@dataclass(slots=True)
class Block:
    """A finished block: its operations, what it reads before writing, what it writes, and where its sessions go.

    ``parks`` when much time may have passed in it, so that some sessions must wait for a later window.
    """

    operations: list[Operation | Read | Write]
    reads: frozenset[int]
    writes: frozenset[int]
    terminator: Terminator
    registers: int
    parks: bool = False


@dataclass(slots=True)
class Builder:
    """Collects one block."""

    operations: list[Operation | Read | Write] = field(default_factory=list)
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

    def apply(self, function: Callable[..., Any], *operands: Operand) -> Operand:
        """``function`` of the operands, as a new register; folded when all are constants."""
        if all(isinstance(operand, Const) for operand in operands):
            return Const(int(function(*(operand.value for operand in operands if isinstance(operand, Const)))))
        target = self.register()
        self.operations.append(_application(function, target.index, operands))
        return target

    def bits(self) -> tuple[Reg, int]:
        """32 fresh random bits: a register of uint64 and the shift (0 or 32) at which they lie in it; one hash serves two draws."""
        if self._half is not None:
            register, self._half = self._half, None
            return register, 0
        state = self.read(STATE)
        assert isinstance(state, Reg)
        self._draws += 1
        register = self.register()
        self.operations.append(_hash(state.index, register.index, self._draws))
        self._half = register
        return register, 32

    def finish(self, terminator: Terminator, *, parks: bool = False) -> Block:
        """Close the block."""
        if self._draws:
            state = self.read(STATE)
            assert isinstance(state, Reg)
            advanced = self.register()
            self.operations.append(_advance(state.index, advanced.index, self._draws))
            self.write(STATE, advanced)
        self.operations.extend(Write(cell, self._values[cell]) for cell in self._dirty)
        return Block(self.operations, frozenset(self._reads), frozenset(self._dirty), terminator, self._registers, parks)


def _application(function: Callable[..., Any], target: int, operands: tuple[Operand, ...]) -> Operation:
    if len(operands) == 1 and isinstance(operands[0], Reg):
        only = operands[0].index

        def unary(frame: Frame, _group: Group) -> None:
            frame[target] = function(frame[only])

        return unary
    if len(operands) == 2:
        first, second = operands
        if isinstance(first, Reg) and isinstance(second, Reg):
            left, right = first.index, second.index

            def binary(frame: Frame, _group: Group) -> None:
                frame[target] = function(frame[left], frame[right])

            return binary
        if isinstance(first, Reg) and isinstance(second, Const):
            left, constant = first.index, second.value

            def with_constant(frame: Frame, _group: Group) -> None:
                frame[target] = function(frame[left], constant)

            return with_constant

    def general(frame: Frame, _group: Group) -> None:
        frame[target] = function(*(frame[o.index] if isinstance(o, Reg) else o.value for o in operands))

    return general


def _hash(state: int, target: int, number: int) -> Operation:
    from dovestorm.kernel import mix64_into

    increment = number * GAMMA & 0xFFFFFFFFFFFFFFFF

    def operation(frame: Frame, group: Group) -> None:
        out: NDArray[np.uint64] = np.empty(group.count, dtype=np.uint64)
        mix64_into(frame[state].view(np.uint64), increment, out)
        frame[target] = out

    return operation


def _advance(state: int, target: int, draws: int) -> Operation:
    increment = np.uint64(draws * GAMMA & 0xFFFFFFFFFFFFFFFF)

    def operation(frame: Frame, _group: Group) -> None:
        frame[target] = (frame[state].view(np.uint64) + increment).view(np.int64)

    return operation
