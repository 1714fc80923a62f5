"""The session machine: all live sessions as one table of integer columns, advanced a window of scenario time at a go.

In a window, the sessions whose clock lies in it are grouped by the block that they stand at, and every block runs once for its whole group,
again and again until no session is left in the window. What comes out does not depend on the windows: a session's draws are its own, and records
are put in order by the moment at which the stats process receives them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.batch import Batch
from dovestorm.engine.arrivals import DAY_US, arrival_chunks
from dovestorm.engine.blocks import CLOCK, SESSION, STATE, Branch, Goto, Stop, Test
from dovestorm.engine.export_clock import ExportClock
from dovestorm.hashing import session_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.batch import Layout
    from dovestorm.engine.blocks import Terminator
    from dovestorm.engine.program import Program, Step

__all__ = ["Arena", "Group", "Machine", "Records", "adapted", "ordered_batch"]

_NEVER = np.iinfo(np.int64).max
_GROUP_MOST = 1 << 14
"""Larger groups are split: a group's arrays should stay in the processor's cache."""
_TIE_BITS = 22
_FEW = 3


class Arena:
    """Where a window's records are laid down: their rows, and for each its kind, row offset, session and sending time."""

    def __init__(self, events: int = 1 << 12, integers: int = 1 << 15) -> None:
        self.values: NDArray[np.int64] = np.empty(integers, dtype=np.int64)
        self.kind: NDArray[np.int32] = np.empty(events, dtype=np.int32)
        self.offset: NDArray[np.int64] = np.empty(events, dtype=np.int64)
        self.session: NDArray[np.int64] = np.empty(events, dtype=np.int64)
        self.sent: NDArray[np.int64] = np.empty(events, dtype=np.int64)
        self.events = 0
        self.integers = 0

    def clear(self) -> None:
        """Forget all records."""
        self.events = self.integers = 0

    def claim(self, kind: int, width: int, sessions: NDArray[np.int64], sent: NDArray[np.int64]) -> NDArray[np.int64]:
        """Room for one record of each session: int64[n, width], to be filled before the next claim."""
        count = len(sessions)
        first, begin = self.events, self.integers
        last, end = first + count, begin + count * width
        if last > len(self.kind) or end > len(self.values):
            self._grow(last, end)
        self.kind[first:last] = kind
        self.offset[first:last] = np.arange(begin, end, width)
        self.session[first:last] = sessions
        self.sent[first:last] = sent
        self.events, self.integers = last, end
        return self.values[begin:end].reshape(count, width)

    def append(
        self,
        kind: NDArray[np.int32],
        begins: NDArray[np.int64],
        session: NDArray[np.int64],
        sent: NDArray[np.int64],
        values: NDArray[np.int64],
    ) -> None:
        """Lay down finished records; ``begins`` says where each one's row begins in ``values``."""
        first, begin = self.events, self.integers
        last, end = first + len(kind), begin + len(values)
        if last > len(self.kind) or end > len(self.values):
            self._grow(last, end)
        self.kind[first:last] = kind
        self.offset[first:last] = begins + begin
        self.session[first:last] = session
        self.sent[first:last] = sent
        self.values[begin:end] = values
        self.events, self.integers = last, end

    def _grow(self, events: int, integers: int) -> None:
        if events > len(self.kind):
            for name in ("kind", "offset", "session", "sent"):
                setattr(self, name, _larger(getattr(self, name), events))
        if integers > len(self.values):
            self.values = _larger(self.values, integers)


def _larger(array: NDArray[Any], needed: int) -> NDArray[Any]:
    grown = np.empty(max(needed, 2 * len(array)), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


class Group:
    """Sessions that run a block together; operations reach the session table and the arena through it."""

    __slots__ = ("arena", "count", "numbers", "rows", "sessions")

    def __init__(self, rows: list[NDArray[np.int64]], arena: Arena, sessions: NDArray[np.int64]) -> None:
        self.rows = rows
        self.arena = arena
        self.sessions = sessions
        self.count = len(sessions)
        self.numbers: NDArray[np.int64] | None = None

    def claim(self, kind: int, width: int, sent: NDArray[np.int64]) -> NDArray[np.int64]:
        """Room for one record of each session of the group."""
        if self.numbers is None:
            self.numbers = self.rows[SESSION].take(self.sessions)
        return self.arena.claim(kind, width, self.numbers, sent)


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
        target: int = 1 << 18,
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
        self.export_clock = ExportClock(seed, program.processes or ("none",))
        self._newcomers = _Newcomers(program, seed=seed, shard=shard, sessions=sessions, until=until, rate=rate)
        self._capacity = 0
        self._table: NDArray[np.int64] = np.empty((program.cells, 0), dtype=np.int64)
        self._rows: list[NDArray[np.int64]] = list(self._table)
        self._place: NDArray[np.int32] = np.empty(0, dtype=np.int32)
        self._free: list[NDArray[np.int64]] = []
        self._used = 0
        self._pending: list[list[NDArray[np.int64]]] = [[] for _ in program.steps]
        self._waiting = [0] * len(program.steps)
        self._parks = [_may_park(number, step) for number, step in enumerate(program.steps)]
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
            moments.append(int(self._table[CLOCK, : self._used].min()))
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
        self._gather(end)
        # The fullest block first: while it runs, sessions gather at the others, and larger groups cost less for each session.
        waiting = self._waiting
        while (most := max(waiting)) > 0:
            label = waiting.index(most)
            groups, self._pending[label], waiting[label] = self._pending[label], [], 0
            self._run(label, groups[0] if len(groups) == 1 else np.concatenate(groups), end, arena)
        self._window_end = end

    def settle(self, end: int, arena: Arena) -> Batch:
        """Put the records in export order; those exported at ``end`` or later are kept for the next window."""
        return ordered_batch(self.program.layout, self.export_clock, self.records(end, arena))

    def records(self, end: int, arena: Arena) -> Records:
        """The arena's records that reach the stats process before ``end``; the others are carried over to the next window."""
        count = arena.events
        moments = self.export_clock.handed_on(arena.sent[:count], self.program.process_of_kind[arena.kind[:count]])
        late = moments >= end
        self._carry.clear()
        if not late.any():
            return Records(arena.kind[:count], arena.offset[:count], arena.session[:count], moments, arena.values)
        _copy_records(arena, np.flatnonzero(late), self._carry, self._widths)
        self._carry_moment = int(moments[late].min())
        early = np.flatnonzero(~late)
        return Records(arena.kind[early], arena.offset[early], arena.session[early], moments[early], arena.values)

    # ------------------------------------------------------------ sessions

    def _admit(self, end: int) -> None:
        for numbers, moments in self._newcomers.before(end):
            slots = self._allocate(len(numbers))
            self._table[CLOCK][slots] = moments
            self._table[STATE][slots] = session_keys(self._seed, numbers).view(np.int64)
            self._table[SESSION][slots] = numbers
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
        table = np.empty((self.program.cells, capacity), dtype=np.int64)
        table[:, : self._used] = self._table[:, : self._used]
        place = np.empty(capacity, dtype=np.int32)
        place[: self._used] = self._place[: self._used]
        self._table, self._place, self._capacity = table, place, capacity
        self._rows = list(table)

    def _gather(self, end: int) -> None:
        """Sort the sessions whose clock lies before ``end`` into the waiting lists of their blocks."""
        due = np.flatnonzero(self._table[CLOCK, : self._used] < end)
        if not len(due):
            return
        places = self._place[due]
        order = np.argsort(places, kind="stable")
        due, places = due[order], places[order]
        cuts = np.flatnonzero(np.diff(places)) + 1
        for part, label in zip(np.split(due, cuts), places[np.concatenate([[0], cuts])].tolist(), strict=True):
            self._wait(label, part)

    # ------------------------------------------------------------ running

    def _run(self, label: int, sessions: NDArray[np.int64], end: int, arena: Arena) -> None:
        step = self.program.steps[label]
        for first in range(0, len(sessions), _GROUP_MOST):
            group = Group(self._rows, arena, sessions[first : first + _GROUP_MOST])
            frame: list[Any] = []
            for operations, registers in step.segments:
                frame = [None] * registers
                for operation in operations:
                    operation(frame, group)
            self._leave(label, step.terminator, group.sessions, frame, end)

    def _leave(self, label: int, terminator: Terminator, sessions: NDArray[np.int64], frame: list[Any], end: int) -> None:
        targets: tuple[int, ...]
        choice: NDArray[np.int64] | None
        match terminator:
            case Stop():
                self._table[CLOCK][sessions] = _NEVER
                self._free.append(sessions)
                self.alive -= len(sessions)
                return
            case Goto(target=target):
                targets, choice = (target,), None
            case Branch():
                targets, choice = terminator.targets, _alternatives(terminator, frame)
            case Test():
                targets, choice = (*terminator.targets, terminator.otherwise), _matches(terminator, frame, len(sessions))
        if self._parks[label]:
            inside = self._rows[CLOCK].take(sessions) < end
            if not inside.all():
                late = ~inside
                self._place[sessions[late]] = targets[0] if choice is None else np.array(targets, dtype=np.int32)[choice[late]]
                sessions = sessions[inside]
                choice = None if choice is None else choice[inside]
        if choice is None:
            self._wait(targets[0], sessions)
            return
        if len(targets) <= _FEW:
            for number, target in enumerate(targets):
                self._wait(target, sessions[choice == number])
            return
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

    def _unload(self, source: Arena, target: Arena) -> None:
        if source.events:
            _copy_records(source, np.arange(source.events), target, self._widths)
            source.clear()


def operand_value(operand: Any, frame: list[Any]) -> Any:
    """An operand's array, or its number if it is a constant."""
    return frame[operand.index] if hasattr(operand, "index") else operand.value


def _alternatives(branch: Branch, frame: list[Any]) -> NDArray[np.int64]:
    draw: NDArray[np.uint64] = frame[branch.draw.index]
    if len(branch.bounds) == 1:
        return branch.bounds[0].searchsorted(draw, side="right")
    phase = operand_value(branch.phase, frame)
    choice = np.zeros(len(draw), dtype=np.int64)
    for number, bounds in enumerate(branch.bounds):
        mask = phase == number
        choice[mask] = bounds.searchsorted(draw[mask], side="right")
    return choice


def _matches(test: Test, frame: list[Any], count: int) -> NDArray[np.int64]:
    """The number of the case that each session's value equals; the number of cases where there is none."""
    value = operand_value(test.value, frame)
    if np.ndim(value) == 0:
        value = np.full(count, value, dtype=np.int64)
    if test.positive:
        return np.where(value > 0, 0, 1)
    choice = np.full(count, len(test.cases), dtype=np.int64)
    for number, case in enumerate(test.cases):
        choice[value == case] = number
    return choice


def _may_park(number: int, step: Step) -> bool:
    """Whether sessions that leave the block may have run past the window: after a long wait, and on the way back to an earlier block."""
    match step.terminator:
        case Goto(target=target):
            return step.parks or target <= number
        case Branch(targets=targets):
            return step.parks or min(targets) <= number
        case Test(targets=targets, otherwise=otherwise):
            return step.parks or min(*targets, otherwise) <= number
        case Stop():
            return False


def adapted(length: int, events: int, target: int) -> int:
    """The next window's length, so that it holds about ``target`` events; it changes by at most a factor of four."""
    factor = min(max(target / max(events, 1), 0.25), 4.0)
    return min(max(int(length * factor), 1000), DAY_US)


def _copy_records(source: Arena, picked: NDArray[np.int64], target: Arena, widths: NDArray[np.int64]) -> None:
    """Copy the picked records, in their order, to the end of another arena; ``widths`` is the row width of each kind."""
    kinds = source.kind[picked]
    width = widths[kinds]
    ends = np.cumsum(width)
    begins = ends - width
    # Where each integer of the copied rows stands in the source: the row's beginning, plus its place in the row.
    places = np.arange(int(ends[-1])) + np.repeat(source.offset[picked] - begins, width)
    target.append(kinds, begins, source.session[picked], source.sent[picked], source.values[places])


@dataclass(frozen=True, slots=True)
class Records:
    """Records in no order yet: for each its kind, row offset in ``values``, session, and when the stats process receives it."""

    kind: NDArray[np.int32]
    offset: NDArray[np.int64]
    session: NDArray[np.int64]
    handed_on: NDArray[np.int64]
    values: NDArray[np.int64]


def ordered_batch(layout: Layout, export: ExportClock, records: Records) -> Batch:
    """Put records in export order and stamp them with their end times.

    Ties are broken by session, and within a session by the order in which its program emitted (the records' own order).
    """
    sessions, handed_on = records.session, records.handed_on
    if not len(sessions):
        return Batch(layout, records.kind, records.offset, sessions, records.values)
    keys = handed_on - handed_on.min()
    keys <<= _TIE_BITS
    keys |= sessions & ((1 << _TIE_BITS) - 1)
    order = np.argsort(keys)
    in_order = keys[order]
    equal = in_order[1:] == in_order[:-1]
    if equal.any():
        tied = np.zeros(len(keys), dtype=bool)
        tied[1:] |= equal
        tied[:-1] |= equal
        members = order[tied]
        order[tied] = members[np.lexsort((members, sessions[members], keys[members]))]
    offset = records.offset[order]
    records.values[offset + 1] = export.exported(handed_on[order])
    return Batch(layout, records.kind[order], offset, sessions[order], records.values)


class _Newcomers:
    """The sessions of a shard in order of arrival."""

    def __init__(self, program: Program, *, seed: int, shard: tuple[int, int], sessions: int | None, until: int | None, rate: float) -> None:
        scenario = program.scenario
        self._chunks = arrival_chunks(scenario.arrivals, begin=scenario.start, seed=seed, scale=rate)
        self._shard, self._sessions, self._until = shard, sessions, until
        self._waiting: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._over = False

    def _fill(self) -> None:
        while self._waiting is None and not self._over:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._over = True
                return
            numbers, moments = chunk
            keep = np.ones(len(numbers), dtype=bool)
            if self._sessions is not None:
                keep &= numbers < self._sessions
                self._over = bool(numbers[-1] + 1 >= self._sessions)
            if self._until is not None:
                keep &= moments < self._until
                self._over |= bool(moments[-1] >= self._until)
            keep &= numbers % self._shard[1] == self._shard[0] - 1
            if keep.any():
                self._waiting = numbers[keep], moments[keep]

    def next_moment(self) -> int | None:
        """The next arrival, or None when there are no more."""
        self._fill()
        return None if self._waiting is None else int(self._waiting[1][0])

    def before(self, end: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Numbers and moments of the sessions that arrive before ``end``; each is given once."""
        while True:
            self._fill()
            if self._waiting is None:
                return
            numbers, moments = self._waiting
            ready = int(np.searchsorted(moments, end, side="left"))
            if ready:
                yield numbers[:ready], moments[:ready]
            if ready < len(moments):
                self._waiting = numbers[ready:], moments[ready:]
                return
            self._waiting = None
