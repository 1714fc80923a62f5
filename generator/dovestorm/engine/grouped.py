"""Running sessions without a compiler: all that stand at the same block together, one NumPy call for each instruction and group.

What comes out is the same as from the compiled interpreter: a session's draws are its own.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.engine.blocks import CLOCK, SESSION, Branch, Const, Emit, Instruction, Operand, Read, Write
from dovestorm.engine.program import targets_of
from dovestorm.kernel.instructions import MEANINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from dovestorm.engine.arena import Arena
    from dovestorm.engine.blocks import Block, Operation, Terminator
    from dovestorm.engine.export_clock import ExportClock
    from dovestorm.engine.program import Program

__all__ = ["GroupedRunner"]

_GROUP_MOST = 1 << 14
"""Larger groups are split: a group's columns should stay in the processor's cache."""
_SHORT = 16
"""A block of no more operations is repeated after each block that leads to it, rather than waited for."""
_FEW = 3

_Frame = list[Any]


@dataclass(frozen=True, slots=True)
class _Step:
    """Blocks run one after another, and where the sessions go after the last of them.

    Each segment is a block's actions and the size of its frame. Sessions that leave one that ``parks`` may have run past the window.
    """

    segments: tuple[tuple[tuple[Callable[[_Frame, _Group], None], ...], int], ...]
    terminator: Terminator
    parks: bool


class _Group:
    """Sessions that run a block together; actions reach the session table and the arena through it."""

    __slots__ = ("arena", "clock", "rows", "sessions")

    def __init__(self, rows: list[NDArray[np.int64]], arena: Arena, sessions: NDArray[np.int64], clock: ExportClock) -> None:
        self.clock = clock
        self.rows = rows
        self.arena = arena
        self.sessions = sessions


class GroupedRunner:
    """Takes all sessions that stand at the same block through it together."""

    def __init__(self, program: Program, clock: ExportClock) -> None:
        self._clock = clock
        blocks = program.blocks
        self._steps = [_may_park(number, step) for number, step in enumerate(_chained(blocks))]
        self._pending: list[list[NDArray[np.int64]]] = [[] for _ in blocks]
        self._waiting = [0] * len(blocks)
        self._rows: list[NDArray[np.int64]] = []
        self._place: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._over: list[NDArray[np.int64]] = []

    def run(
        self, table: NDArray[np.int64], clock: NDArray[np.int64], place: NDArray[np.int32], *, used: int, end: int, arena: Arena
    ) -> NDArray[np.int64]:
        """See ``machine.Runner``."""
        due = np.flatnonzero(clock[:used] < end)
        self._rows, self._place, self._over = list(table.T), place, []
        self._gather(due)
        # The fullest block first: while it runs, sessions gather at the others, and larger groups cost less for each session.
        waiting = self._waiting
        while (most := max(waiting)) > 0:
            label = waiting.index(most)
            groups, self._pending[label], waiting[label] = self._pending[label], [], 0
            self._run(label, groups[0] if len(groups) == 1 else np.concatenate(groups), end, arena)
        clock[due] = table[due, CLOCK]
        over = np.concatenate([np.empty(0, dtype=np.int64), *self._over])
        clock[over] = np.iinfo(np.int64).max
        return over

    def _gather(self, due: NDArray[np.int64]) -> None:
        """Sort the sessions into the waiting lists of their blocks."""
        if not len(due):
            return
        places = self._place[due]
        order = np.argsort(places, kind="stable")
        due, places = due[order], places[order]
        cuts = np.flatnonzero(np.diff(places)) + 1
        for part, label in zip(np.split(due, cuts), places[np.concatenate([[0], cuts])].tolist(), strict=True):
            self._wait(label, part)

    def _run(self, label: int, sessions: NDArray[np.int64], end: int, arena: Arena) -> None:
        step = self._steps[label]
        for first in range(0, len(sessions), _GROUP_MOST):
            group = _Group(self._rows, arena, sessions[first : first + _GROUP_MOST], self._clock)
            frame: _Frame = []
            for actions, registers in step.segments:
                frame = [None] * registers
                for action in actions:
                    action(frame, group)
            self._leave(step, group.sessions, frame, end)

    def _leave(self, step: _Step, sessions: NDArray[np.int64], frame: _Frame, end: int) -> None:
        if not isinstance(step.terminator, Branch):
            self._over.append(sessions)
            return
        targets = step.terminator.targets
        choice: NDArray[np.int64] | None = None if isinstance(step.terminator.choice, Const) else frame[step.terminator.choice.index]
        if step.parks:
            inside = self._rows[CLOCK].take(sessions) < end
            if not inside.all():
                late = ~inside
                self._place[sessions[late]] = targets[0] if choice is None else np.array(targets, dtype=np.int32)[choice[late]]
                sessions = sessions[inside]
                choice = None if choice is None else choice[inside]
        if choice is None:
            self._wait(targets[0], sessions)
        elif len(targets) <= _FEW:
            for number, target in enumerate(targets):
                self._wait(target, sessions[choice == number])
        else:
            # One stable sort of small numbers costs less than a comparison for each target.
            sessions = sessions[choice.astype(np.uint16).argsort(kind="stable")]
            begin = 0
            for target, size in zip(targets, np.bincount(choice, minlength=len(targets)).tolist(), strict=True):
                self._wait(target, sessions[begin : begin + size])
                begin += size

    def _wait(self, label: int, sessions: NDArray[np.int64]) -> None:
        if len(sessions):
            self._pending[label].append(sessions)
            self._waiting[label] += len(sessions)


def _may_park(number: int, step: _Step) -> _Step:
    """Sessions may have run past the window after a long wait, and on the way back to an earlier block."""
    return _Step(step.segments, step.terminator, step.parks or min(targets_of(step.terminator), default=number + 1) <= number)


def _chained(blocks: Sequence[Block]) -> Iterator[_Step]:
    """Let a block run on into the one that it leads to, where nothing else leads there or where that one is short.

    Sessions then wait at fewer places, in larger groups. The way back to an earlier block is never taken like this, so that every loop still
    has a place where sessions wait for their window.
    """
    segments = [(tuple(map(_action, block.operations)), block.registers) for block in blocks]
    arrivals = Counter(target for block in blocks for target in targets_of(block.terminator))
    for number, block in enumerate(blocks):
        taken, last, at = [segments[number]], block, number
        while len(targets := targets_of(last.terminator)) == 1 and not last.parks and targets[0] > at:
            at = targets[0]
            if arrivals[at] > 1 and len(blocks[at].operations) > _SHORT:
                break
            taken.append(segments[at])
            last = blocks[at]
        yield _Step(tuple(taken), last.terminator, last.parks)


def _action(operation: Operation) -> Callable[[_Frame, _Group], None]:
    match operation:
        case Instruction():
            return _computation(operation)
        case Read(register, cell):
            return _read(register, cell)
        case Write(cell, operand):
            return _write(cell, operand)
        case Emit(kind, row):
            return _emission(kind, row)


def _value(operand: Operand, frame: _Frame) -> Any:
    return np.int64(operand.value) if isinstance(operand, Const) else frame[operand.index]


def _computation(instruction: Instruction) -> Callable[[_Frame, _Group], None]:
    meaning, target, operands = MEANINGS[instruction.code], instruction.register, instruction.operands
    given = {} if instruction.table is None else {"table": np.array(instruction.table, dtype=np.int64)}

    def compute(frame: _Frame, _group: _Group) -> None:
        frame[target] = meaning(*(_value(operand, frame) for operand in operands), **given)

    return compute


def _read(register: int, cell: int) -> Callable[[_Frame, _Group], None]:
    def read(frame: _Frame, group: _Group) -> None:
        frame[register] = group.rows[cell].take(group.sessions)

    return read


def _write(cell: int, operand: Operand) -> Callable[[_Frame, _Group], None]:
    def write(frame: _Frame, group: _Group) -> None:
        group.rows[cell][group.sessions] = _value(operand, frame)

    return write


def _emission(kind: int, row: Sequence[Operand]) -> Callable[[_Frame, _Group], None]:
    def emit(frame: _Frame, group: _Group) -> None:
        moments = group.clock.handed_on(_value(row[1], frame), kind)
        rows = group.arena.claim(kind, len(row), group.rows[SESSION].take(group.sessions), moments)
        for column, operand in enumerate(row):
            rows[:, column] = _value(operand, frame)
        rows[:, 1] = group.clock.exported(moments, kind)

    return emit
