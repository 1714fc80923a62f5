"""Sessions as they go by: what follows what, how long after, how long sessions are."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING

from dovestorm.compare.measures import Reservoir
from dovestorm.compare.sampling import SessionSample
from dovestorm.compare.sessions import Grouping
from dovestorm.compare.tally import OTHERS
from dovestorm.compare.vocabulary import label

if TYPE_CHECKING:
    from dovestorm.compare.features import SessionShape
    from dovestorm.compare.records import Record
    from dovestorm.compare.sessions import Place

__all__ = ["END", "START", "FlowTally", "Flows"]

START = "START"
END = "END"
"""Stand before the first and after the last event of a session."""

_LIVE = 200_000
_STEPS = 20_000
_GAPS = 2_000

Step = tuple[str, str]


class FlowTally:
    """Transitions and lengths of one kind of group: sessions, or operations that stand alone.

    Attributes:
        count: How many groups there were.
        events: How many events they had in all.
        transitions: From event to event.
        commands: From command to command, in groups that have any; ``imap_command_finished SELECT``.
        gaps: By transition, microseconds between the end_times.
        lengths: Microseconds from a group's first start_time to its last end_time.
        sizes: Events of a group.
    """

    def __init__(self) -> None:
        self.count = 0
        self.events = 0
        self.transitions: Counter[Step] = Counter()
        self.commands: Counter[Step] = Counter()
        self.gaps: dict[Step, Reservoir] = {}
        self.lengths = Reservoir("length")
        self.sizes = Reservoir("size")

    def step(self, first: str, second: str, gap: int | None) -> None:
        """Count a transition; ``gap`` is None at a beginning or an end."""
        step = _bounded(self.transitions, (first, second))
        if gap is None:
            return
        gaps = self.gaps.get(step)
        if gaps is None:
            if len(self.gaps) >= _GAPS:
                return
            gaps = self.gaps[step] = Reservoir(f"{first} > {second}")
        gaps.add(gap)

    def command(self, first: str, second: str) -> None:
        """Count what command follows what."""
        _bounded(self.commands, (first, second))


class _Live:
    """A session that goes on."""

    __slots__ = ("begin", "command", "count", "end", "event", "place", "shape", "waiting")

    def __init__(self, place: Place, record: Record, shape: SessionShape | None) -> None:
        self.place = place
        self.begin = record.start_us
        self.end = record.end_us
        self.event = START
        self.command = START
        self.count = 0
        self.shape = shape
        self.waiting: list[tuple[bool, str, str, int | None]] = []


class Flows:
    """Follows all sessions of a stream; up to 200,000 at a time, of more the longest silent ones are taken for ended.

    Attributes:
        sessions: Groups in which some event names its session.
        operations: The others.
        sample: Of the groups that may have a name.
    """

    def __init__(self, *, sample: int, seed: int = 0, live: int = _LIVE) -> None:
        self.sessions = FlowTally()
        self.operations = FlowTally()
        self._sample = SessionSample(sample, seed=seed)
        self._sample_alone = SessionSample(sample, seed=seed)
        self._grouping = Grouping()
        self._live: OrderedDict[Place, _Live] = OrderedDict()
        self._limit = live

    def add(self, record: Record, event: str) -> None:
        """Take the stream's next record; ``event`` is the name under which to count it."""
        place = self._grouping.place(record)
        live = self._live.get(place)
        if live is None:
            live = self._live[place] = _Live(place, record, self._sampler(place).join(place))
            if len(self._live) > self._limit:
                self._close(self._live.popitem(last=False)[1])
        else:
            self._live.move_to_end(place)
        end = record.end_us
        self._step(live, live.event, event, None if live.event is START else end - live.end)
        what = label(record)
        if what != record.event:
            self._step(live, live.command, what, None, command=True)
            live.command = what
        live.event, live.end = event, max(live.end, end)
        live.begin = min(live.begin, record.start_us)
        live.count += 1
        if live.shape is not None:
            if self._sampler(place).holds(place):
                live.shape.add(record)
            else:
                live.shape = None

    def finish(self) -> None:
        """End the stream: what goes on is over."""
        for live in self._live.values():
            self._close(live)
        self._live.clear()

    def features(self, *, named: bool) -> list[dict[str, float]]:
        """The features of the sampled sessions, or of the sampled operations."""
        found = self._sample.features(named=named)
        return found if named else [*found, *self._sample_alone.features(named=False)]

    def _sampler(self, place: Place) -> SessionSample:
        return self._sample_alone if place.alone else self._sample

    def _step(self, live: _Live, first: str, second: str, gap: int | None, *, command: bool = False) -> None:
        if live.place.named:
            if live.waiting:
                self._settle(live)
            _count(self.sessions, command, first, second, gap)
        elif live.place.alone or len(live.waiting) >= _STEPS:
            _count(self.operations, command, first, second, gap)
        else:
            live.waiting.append((command, first, second, gap))

    def _settle(self, live: _Live) -> None:
        tally = self.sessions if live.place.named else self.operations
        for step in live.waiting:
            _count(tally, *step)
        live.waiting = []

    def _close(self, live: _Live) -> None:
        self._step(live, live.event, END, None)
        if live.command is not START:
            self._step(live, live.command, END, None, command=True)
        self._settle(live)
        tally = self.sessions if live.place.named else self.operations
        tally.count += 1
        tally.events += live.count
        tally.lengths.add(live.end - live.begin)
        tally.sizes.add(live.count)


def _count(tally: FlowTally, command: bool, first: str, second: str, gap: int | None) -> None:  # noqa: FBT001
    if command:
        tally.command(first, second)
    else:
        tally.step(first, second, gap)


def _bounded(counts: Counter[Step], step: Step) -> Step:
    if step not in counts and len(counts) >= _STEPS:
        step = (OTHERS, OTHERS)
    counts[step] += 1
    return step
