"""Finding the labelled sessions of a stream: it is simulated a second time, with records of the labels among the events, and nothing is rendered.

The stream itself is made without them, so asking for labels changes neither its bytes nor its speed; and as it is a function of scenario, edition and
seed, the labels are those of what was delivered, however many workers and windows made it.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.batch import FIRST_FIELD
from dovestorm.engine.emission import LABEL_EVENT
from dovestorm.labels.label import Label
from dovestorm.labels.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.batch import Batch
    from dovestorm.engine.emission import Mark
    from dovestorm.stream import Stream

__all__ = ["Collection"]


class Collection:
    """The labels of a stream; iterating simulates it.

    Args:
        stream: Which stream.
        events: Look at its first so many events only; by default at as many as its limits allow.

    Attributes:
        events: Events of the stream that were looked at so far.
        sessions: Labelled sessions given so far.
    """

    def __init__(self, stream: Stream, *, events: int | None = None) -> None:
        self.events = 0
        self.sessions = 0
        self._stream = stream
        self._wanted = stream.limits.events if events is None else events
        self._kinds = {planted.name: planted.kind for planted in stream.scenario.labels}
        self._spans = Spans()
        self._windows = stream.scenario.faults
        self._found: dict[int, dict[str, tuple[int, dict[str, Any]]]] = {}
        self._waiting: list[int] = []

    def __iter__(self) -> Iterator[Label]:
        """Yield the labels by session number, and a session's own in the order in which it got them."""
        if not self._kinds or self._wanted == 0:
            return
        program = self._stream.labelled_program
        is_label = np.array([kind.event == LABEL_EVENT for kind in program.layout.kinds])
        machine = self._stream.machine(program=program)
        for whole in machine.batches(length=self._stream.window, reuse=True, wanted=self._wanted):
            batch = self._cut(whole, is_label)
            told = is_label[batch.kind]
            self._note(batch, np.flatnonzero(told), program.marks)
            self._spans.add(batch.session[~told], batch.end[~told])
            self.events += int(np.count_nonzero(~told))
            if self._wanted is not None and self.events >= self._wanted:
                break
            alive = machine.under_way()
            yield from self._settled(int(alive.min()) if len(alive) else None)
            if self._spans.crowded:
                self._spans.keep(np.concatenate([alive, np.array(self._waiting, dtype=np.int64)]))
        yield from self._settled(None)

    def _cut(self, batch: Batch, is_label: NDArray[np.bool_]) -> Batch:
        """The batch up to the last event that is wanted."""
        if self._wanted is None:
            return batch
        counted = np.cumsum(~is_label[batch.kind])
        return batch.head(int(np.searchsorted(counted, self._wanted - self.events)) + 1)

    def _note(self, batch: Batch, places: NDArray[np.intp], marks: tuple[Mark, ...]) -> None:
        """Remember who is labelled by the records at these places, and with what for the first time."""
        if not len(places):
            return
        numbers, offsets, kinds = (column[places].tolist() for column in (batch.session, batch.offset, batch.kind))
        for number, at, kind_index in zip(numbers, offsets, kinds, strict=True):
            kind = batch.layout.kinds[kind_index]
            row = batch.values[at : at + kind.width].tolist()
            moment, mark = row[0], marks[row[FIRST_FIELD]]
            labels = self._found.get(number, {})
            if mark.label in labels or not self._holds(mark, moment):
                continue
            labels[mark.label] = (moment, batch.field_values(kind, row))
            if number not in self._found:
                self._found[number] = labels
                heapq.heappush(self._waiting, number)

    def _holds(self, mark: Mark, moment: int) -> bool:
        return not mark.windows or any(window.name in mark.windows and window.begin <= moment < window.end for window in self._windows)

    def _settled(self, below: int | None) -> Iterator[Label]:
        """The labels of the sessions that are over, in order: those with numbers below that of the oldest one under way."""
        while self._waiting and (below is None or self._waiting[0] < below):
            number = heapq.heappop(self._waiting)
            labels, span = self._found.pop(number), self._spans.of(number)
            if span is None:
                continue
            self.sessions += 1
            for name, (moment, known) in labels.items():
                phase = next((window for window in self._windows if window.begin <= moment < window.end), None)
                yield Label(
                    session=known.get("session"),
                    number=number,
                    user=known.get("user"),
                    remote_ip=known.get("client_ip"),
                    remote_port=known.get("client_port"),
                    first_us=span[0],
                    last_us=span[1],
                    label=name,
                    kind=self._kinds[name],
                    labelled_us=moment,
                    phase=phase.name if phase else None,
                    phase_us=moment - phase.begin if phase else None,
                )
