"""The session machine: all live sessions as one table of integers, advanced a window of scenario time at a go.

A runner takes every session whose clock lies in the window through its blocks until the clock has left it: the compiled interpreter one session
after another, or, without a compiler, NumPy one block after another. What comes out depends neither on the runner nor on the windows: a session's
draws are its own, and records are put in order by the moment at which the stats process receives them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from dovestorm.engine.arena import Arena, copy_records
from dovestorm.engine.arrivals import DAY_US
from dovestorm.engine.blocks import CLOCK, SESSION, STATE
from dovestorm.engine.export_clock import ExportClock
from dovestorm.engine.newcomers import Newcomers
from dovestorm.engine.ordering import Records, ordered_batch
from dovestorm.hashing import session_keys
from dovestorm.kernel import interpreter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.batch import Batch
    from dovestorm.engine.program import Program

__all__ = ["Machine", "Runner", "adapted"]

_NEVER = np.iinfo(np.int64).max


class Runner(Protocol):
    """Advances sessions."""

    def run(
        self, table: NDArray[np.int64], clock: NDArray[np.int64], place: NDArray[np.int32], *, used: int, end: int, arena: Arena
    ) -> NDArray[np.int64]:
        """Run the sessions in the first ``used`` slots whose clock is before ``end`` until it is not; gives the slots of those that are over.

        Args:
            table: int64[slots, cells].
            clock: int64[slots], microseconds; a copy of the sessions' clock cells, but the greatest int64 where a slot has no session.
            place: int32[slots], the block at which each session stands.
            used: How many slots were ever given away.
            end: Microseconds since the epoch.
            arena: Gets the records.
        """
        ...


def _runner(program: Program, clock: ExportClock) -> Runner:
    if interpreter() is None:
        from dovestorm.engine.grouped import GroupedRunner

        return GroupedRunner(program, clock)
    from dovestorm.engine.compiled import CompiledRunner

    return CompiledRunner(program, clock)


class Machine:
    """Runs a program.

    Args:
        program: What to run.
        seed: The stream is a function of program and seed.
        shard: (i, n), 1-based: take every n-th session, from the i-th on.
        sessions: How many sessions to start over all shards; None for as many as arrive before ``until``.
        until: Microseconds since the epoch at which the stream is cut; None to let every session end.
        rate: Multiplies the arrival rate.
        target: About how many events a window should hold.
    """

    def __init__(
        self,
        program: Program,
        *,
        seed: int,
        shard: tuple[int, int] = (1, 1),
        sessions: int | None = None,
        until: int | None = None,
        rate: float = 1.0,
        target: int = 1 << 16,
    ) -> None:
        self.program = program
        self.started = 0
        """Sessions begun so far."""
        self.alive = 0
        """Sessions begun and not over."""
        self._seed = seed
        self._rate = rate
        self._widths = np.array([kind.width for kind in program.layout.kinds], dtype=np.int64)
        self._until = until
        self._target = target
        self._newcomers = Newcomers(program, seed=seed, shard=shard, sessions=sessions, until=until, rate=rate)
        self._capacity = 0
        self._table: NDArray[np.int64] = np.empty((0, program.cells), dtype=np.int64)
        self._clock: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._place: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._free: list[NDArray[np.int64]] = []
        self._used = 0
        self._runner = _runner(program, ExportClock(seed, program.processes or ("none",), program.process_of_kind))
        self._carry = Arena(256, 4096)
        self._carry_moment = 0
        self._window_end = program.scenario.start

    # ------------------------------------------------------------ windows

    def batches(self, *, length: int | None = None, reuse: bool = False, wanted: int | None = None) -> Iterator[Batch]:
        """Yield the stream, a window at a time.

        Args:
            length: Fixed window length in microseconds; by default windows adapt to hold about ``target`` events.
            reuse: Whether a batch is only good until the next one is asked for (its arrays are then used again).
            wanted: How many events will be taken, when that is known: the last window is made no longer than needed.
        """
        arena = Arena()
        step = length or self.first_length(wanted)
        while (moment := self.next_moment()) is not None:
            end = max(self._window_end, moment) + step
            batch = self.window(end, arena)
            if not reuse:
                arena = Arena()
            wanted = None if wanted is None else wanted - len(batch)
            if length is None:
                step = adapted(step, len(batch), self._target if wanted is None else min(self._target, max(wanted, 1) * 9 // 8 + 64))
            if len(batch):
                yield batch

    def first_length(self, wanted: int | None = None) -> int:
        """Length of the first window in microseconds: some thousand arrivals, fewer if fewer events are wanted, but at most a minute."""
        rate = max(self.program.scenario.arrivals.rate * self._rate, 1e-6)
        arrivals = 4096 if wanted is None else min(max(wanted // 8, 16), 4096)
        return int(min(max(arrivals * 1e6 / rate, 1e5), 6e7))

    def next_moment(self) -> int | None:
        """The earliest moment at which something is still to happen; None when the stream is over."""
        moments = [self._newcomers.next_moment()]
        if self.alive:
            moments.append(int(self._clock[: self._used].min()))
        if self._carry.events:
            moments.append(self._carry_moment)
        earliest = min((moment for moment in moments if moment is not None), default=None)
        return None if earliest is None or (self._until is not None and earliest >= self._until) else earliest

    def window(self, end: int, arena: Arena) -> Batch:
        """Advance all sessions to ``end`` (microseconds since the epoch) and give the records that are exported before it."""
        end = self.clipped(end)
        self.simulate(end, arena)
        return self.settle(end, arena)

    def clipped(self, end: int) -> int:
        """A window's end, but not behind the stream's."""
        return end if self._until is None else min(end, self._until)

    def simulate(self, end: int, arena: Arena) -> None:
        """Run every session until its clock reaches ``end``; records go to ``arena``, after those left from the window before."""
        arena.clear()
        self._unload(self._carry, arena)
        self._admit(end)
        over = self._runner.run(self._table, self._clock, self._place, used=self._used, end=end, arena=arena)
        if len(over):
            self._free.append(over)
            self.alive -= len(over)
        self._window_end = end

    def settle(self, end: int, arena: Arena) -> Batch:
        """Put the records in export order; those exported at ``end`` or later are kept for the next window."""
        return ordered_batch(self.program.layout, self.records(end, arena), end)

    def records(self, end: int, arena: Arena) -> Records:
        """The arena's records; those that reach the stats process at ``end`` or later are also kept for the next window."""
        count = arena.events
        moment = arena.moment[:count]
        late = np.flatnonzero(moment >= end)
        self._carry.clear()
        if len(late):
            copy_records(arena, late, self._carry, self._widths)
            self._carry_moment = int(moment[late].min())
        return Records(arena.kind[:count], arena.offset[:count], arena.session[:count], moment, arena.values)

    # ------------------------------------------------------------ sessions

    def unfinished(self) -> NDArray[np.int64]:
        """Numbers of the sessions that may still add to the stream: they go on, or have records that are exported later; some may be named twice."""
        going = np.ones(self._used, dtype=bool)
        for slots in self._free:
            going[slots] = False
        return np.concatenate((self._table[: self._used, SESSION][going], self._carry.session[: self._carry.events]))

    def _admit(self, end: int) -> None:
        for numbers, moments in self._newcomers.before(end):
            slots = self._allocate(len(numbers))
            self._clock[slots] = moments
            self._table[slots, CLOCK] = moments
            self._table[slots, STATE] = session_keys(self._seed, numbers).view(np.int64)
            self._table[slots, SESSION] = numbers
            self._place[slots] = 0
            self.started += len(numbers)
            self.alive += len(numbers)

    def _allocate(self, count: int) -> NDArray[np.int64]:
        taken: list[NDArray[np.int64]] = []
        while count and self._free:
            slots = self._free.pop()
            if len(slots) > count:
                self._free.append(slots[count:])
                slots = slots[:count]
            taken.append(slots)
            count -= len(slots)
        if count:
            if self._used + count > self._capacity:
                self._enlarge(self._used + count)
            taken.append(np.arange(self._used, self._used + count))
            self._used += count
        return taken[0] if len(taken) == 1 else np.concatenate(taken)

    def _enlarge(self, needed: int) -> None:
        capacity = max(needed, self._capacity + (self._capacity >> 1), 1024)
        table = np.empty((capacity, self.program.cells), dtype=np.int64)
        clock, place = np.empty(capacity, dtype=np.int64), np.empty(capacity, dtype=np.int32)
        for larger, present in ((table, self._table), (clock, self._clock), (place, self._place)):
            larger[: self._used] = present[: self._used]
        self._table, self._clock, self._place, self._capacity = table, clock, place, capacity

    def under_way(self) -> NDArray[np.int64]:
        """The numbers of the sessions of which more records may come, in no order; those that have not begun are not among them."""
        alive = self._table[: self._used, SESSION][self._clock[: self._used] != _NEVER]
        return np.concatenate([alive, self._carry.session[: self._carry.events]])

    def _unload(self, source: Arena, target: Arena) -> None:
        if source.events:
            copy_records(source, np.arange(source.events), target, self._widths)
            source.clear()


def adapted(length: int, events: int, target: int) -> int:
    """The next window's length, so that it holds about ``target`` events; it changes by at most a factor of four."""
    factor = min(max(target / max(events, 1), 0.25), 4.0)
    return min(max(int(length * factor), 1000), DAY_US)
