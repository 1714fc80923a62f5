"""Running sessions by the compiled interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dovestorm.kernel import interpreter

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dovestorm.engine.arena import Arena
    from dovestorm.engine.export_clock import ExportClock
    from dovestorm.engine.program import Program

__all__ = ["CompiledRunner"]


class CompiledRunner:
    """Takes one session after another through its blocks, until its clock has left the window."""

    def __init__(self, program: Program, clock: ExportClock) -> None:
        interpret = interpreter()
        assert interpret is not None
        self._interpreter = interpret(program.bytecode, clock.timing)
        self._over: NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def run(
        self, table: NDArray[np.int64], clock: NDArray[np.int64], place: NDArray[np.int32], *, used: int, end: int, arena: Arena
    ) -> NDArray[np.int64]:
        """See ``machine.Runner``."""
        if len(self._over) < used:
            self._over = np.empty(len(table), dtype=np.int64)
        first = ended = 0
        while first < used:
            first, arena.events, arena.integers, more, full, events, integers = self._interpreter.run(
                table,
                clock,
                place,
                self._over[ended:],
                arena.kind,
                arena.offset,
                arena.session,
                arena.moment,
                arena.values,
                first=first,
                used=used,
                end=end,
                events=arena.events,
                integers=arena.integers,
            )
            ended += more
            if full:
                arena.grow(arena.events + events, arena.integers + integers)
        return self._over[:ended].copy()
