"""From a program's blocks to what the compiled interpreter runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, cast

import numpy as np

from dovestorm.engine.blocks import Branch, Const, Emit, Instruction, Operand, Read, Reg, Write
from dovestorm.kernel.instructions import Bytecode, Code

if TYPE_CHECKING:
    from dovestorm.engine.blocks import Block, Table
    from dovestorm.engine.program import Program

__all__ = ["bytecode"]


def bytecode(program: Program) -> Bytecode:
    """The program as integers."""
    assembler = _Assembler(program.cells, max(block.registers for block in program.blocks))
    for block in program.blocks:
        assembler.block(block)
    return Bytecode(
        code=np.array(assembler.code, dtype=np.int32).reshape(-1, 8),
        lists=np.array(assembler.lists, dtype=np.int32),
        tables=np.array(assembler.tables, dtype=np.int64),
        blocks=np.array(assembler.blocks, dtype=np.int32).reshape(-1, 3),
        constants=np.array(list(assembler.constants), dtype=np.int64),
        cells=program.cells,
        scratch=assembler.scratch,
        kinds=len(program.layout.kinds),
    )


@dataclass(slots=True)
class _Assembler:
    cells: int
    scratch: int
    code: list[tuple[int, ...]] = field(default_factory=list)
    lists: list[int] = field(default_factory=list)
    tables: list[int] = field(default_factory=list)
    blocks: list[tuple[int, int, int]] = field(default_factory=list)
    constants: dict[int, int] = field(default_factory=dict)
    _placed: dict[Table, int] = field(default_factory=dict)
    _cell_of: dict[int, int] = field(default_factory=dict)
    """Registers of the block that are cells themselves."""

    def block(self, block: Block) -> None:
        """Append a block."""
        rows = [operation.row for operation in block.operations if isinstance(operation, Emit)]
        self.blocks.append((len(self.code), len(rows), sum(map(len, rows))))
        # A cell is read where it lies, unless the block also changes it: that happens at the end, where another cell may still need the old value.
        written = {operation.cell for operation in block.operations if isinstance(operation, Write)}
        late = [o.operand for o in block.operations if isinstance(o, Write)]
        if isinstance(block.terminator, Branch):
            late.append(block.terminator.choice)
        moved = {operand.index for operand in late if isinstance(operand, Reg)}
        self._cell_of = {
            operation.register: operation.cell
            for operation in block.operations
            if isinstance(operation, Read) and not (operation.cell in written and operation.register in moved)
        }
        for operation in block.operations:
            match operation:
                case Instruction():
                    self._instruction(operation)
                case Emit(kind, row):
                    self._append(Code.EMIT, kind, place=self._list([self._register(operand) for operand in row]), count=len(row))
                case Read(register, cell):
                    if register not in self._cell_of:
                        self._append(Code.MOVE, self.cells + register, cell)
                case Write(cell, operand):
                    source = self._register(operand)
                    if source != cell:
                        self._append(Code.MOVE, cell, source)
        if isinstance(block.terminator, Branch):
            choice, targets = block.terminator.choice, block.terminator.targets
            self._append(Code.BRANCH, 0, self._register(choice), place=self._list(list(targets)), count=len(targets))
        else:
            self._append(Code.STOP, 0)

    def _instruction(self, instruction: Instruction) -> None:
        target, code = self.cells + instruction.register, instruction.code
        operands = [self._register(operand) for operand in instruction.operands]
        if code is Code.SELECT:
            self._append(code, target, operands[0], place=self._list(operands[1:]), count=len(operands) - 1)
        elif instruction.table is None:
            self._append(code, target, *operands)
        else:
            place, table = self._table(instruction.table), instruction.table
            row = table[0] if code is Code.ALTERNATIVE and isinstance(table[0], tuple) else cast("tuple[int, ...]", table)
            self._append(code, target, *operands, place=place, count=len(row), rows=len(table))

    def _append(self, code: Code, target: int, *operands: int, place: int = 0, count: int = 0, rows: int = 0) -> None:
        self.code.append((code, target, *operands, *[0] * (3 - len(operands)), place, count, rows))

    def _register(self, operand: Operand) -> int:
        # Constants stand behind the scratch registers, in the order in which they were first needed.
        if isinstance(operand, Const):
            return self.cells + self.scratch + self.constants.setdefault(operand.value, len(self.constants))
        return self._cell_of.get(operand.index, self.cells + operand.index)

    def _list(self, entries: list[int]) -> int:
        self.lists.extend(entries)
        return len(self.lists) - len(entries)

    def _table(self, table: Table) -> int:
        if table not in self._placed:
            self._placed[table] = len(self.tables)
            flat = chain.from_iterable(table) if table and isinstance(table[0], tuple) else cast("tuple[int, ...]", table)
            self.tables.extend(flat)
        return self._placed[table]
