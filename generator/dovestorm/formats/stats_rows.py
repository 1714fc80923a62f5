"""Rows of a layout, widened by what only the stats protocol needs: moments in two numbers, and the number of the session's parent event.

The server's processes do not repeat what all events of a session share: a *parent* holds it, and events name the parent. Which fields a
parent held can be read from an event's field order, since a server writes ``duration`` after the fields of the outermost parent.
Source: Dovecot 2.3.19.1, its recorded connections beside the events that left its exporters.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.batch import ABSENT, Batch, Column, Constant, Encoding
from dovestorm.errors import FormatError
from dovestorm.kernel.pieces import LAST_MICROSECOND, Reason, failure
from dovestorm.stats_protocol import FIRST_SESSION

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dovestorm.batch import FieldSlot, Layout, RecordKind

__all__ = ["Field", "Plan", "StatsRows"]

_OF_A_SESSION = {
    *("mechanism", "transport", "service", "session", "protocol", "connection_id", "remote_pid", "remote_uid", "local_name"),
    *("original_user", "user", "translated_user", "login_user", "master_user"),
    *("local_ip", "local_port", "remote_ip", "remote_port", "real_local_ip", "real_local_port", "real_remote_ip", "real_remote_port"),
}
"""Fields that a request's or connection's own event holds for its children. Source: the parents of recorded connections."""

_SECOND = 1_000_000
_MOST_SESSIONS = 2**62 - 1
_MOMENTS = 4
"""Columns that every row gets: begin in seconds and microseconds, last sending in seconds and microseconds."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of one record kind.

    Attributes:
        slot: The field.
        moment: Columns of seconds and microseconds for a moment, else None.
        text_flag: Column that holds ``ABSENT`` where a text column holds a list; None where it never does.
        list_flag: Column that holds ``ABSENT`` where it holds none.
    """

    slot: FieldSlot
    moment: int | None = None
    text_flag: int | None = None
    list_flag: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How records of one kind are said.

    Attributes:
        begin: First of the four columns of moments.
        process: Number of the process's own event, which holds the categories; 0 without one.
        session: Column with the number of the session's parent event, or None.
        shared: The fields that the session's parent holds.
        own: The fields of the event itself.
    """

    begin: int
    process: int
    session: int | None
    shared: tuple[Field, ...]
    own: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class _Widening:
    """What ``widen`` does with rows of one kind."""

    width: int
    duration: FieldSlot | None
    group: int | None
    moments: tuple[int, ...]
    texts: tuple[int, ...]

    @property
    def added(self) -> int:
        return _MOMENTS + (self.group is not None) + 2 * len(self.moments) + 2 * len(self.texts)


class StatsRows:
    """The widened layout, the plan of each of its kinds, and the widening of batches.

    Attributes:
        layout: As given, with wider rows.
    """

    def __init__(self, layout: Layout) -> None:
        lists = [isinstance(text, tuple) for text in layout.texts]
        self._is_list = np.array(lists, np.bool_) if any(lists) else None
        self._processes: dict[tuple[str, ...], int] = {}
        self._groups: dict[tuple[object, ...], int] = {}
        made = [self._kind(kind) for kind in layout.kinds]
        self._widenings = [widening for widening, _ in made]
        kinds = tuple(replace(kind, width=kind.width + widening.added) for kind, (widening, _) in zip(layout.kinds, made, strict=True))
        self.layout = replace(layout, kinds=kinds)
        self._plans = {id(kind): plan for kind, (_, plan) in zip(kinds, made, strict=True)}
        self._last: tuple[Batch, Batch] | None = None

    def plan(self, kind: RecordKind) -> Plan:
        """The plan of a kind of ``layout``."""
        return self._plans[id(kind)]

    def widen(self, batch: Batch) -> Batch:
        """The same records with wider rows; asked again for the same batch, it gives the same.

        Raises:
            FormatError: A kind, a row or a moment is out of range.
        """
        if self._last is None or self._last[0] is not batch:
            self._last = batch, self._widened(batch)
        return self._last[1]

    def _kind(self, kind: RecordKind) -> tuple[_Widening, Plan]:
        _check_names(kind)
        names = [slot.name for slot in kind.fields]
        place = names.index("duration") if "duration" in names else len(names)
        fields = kind.fields[:place] + kind.fields[place + 1 :]
        has_parent = place < len(fields)
        count = (place or _session_prefix(fields)) if has_parent else 0
        process = group = None
        if has_parent and not place:
            process = self._processes.setdefault(kind.categories, len(self._processes) + 1)
        if count:
            group = self._groups.setdefault((kind.categories, process, *(slot.name for slot in fields[:count])), len(self._groups))
        widening = _Widening(
            width=kind.width,
            duration=kind.fields[place] if place < len(names) else None,
            group=group,
            moments=tuple(_columns(fields, Encoding.TIMESTAMP)),
            texts=tuple(_columns(fields, Encoding.TEXT)) if self._is_list is not None else (),
        )
        described = [_field(slot, widening) for slot in fields]
        session = None if group is None else kind.width + _MOMENTS
        return widening, Plan(kind.width, process or 0, session, tuple(described[:count]), tuple(described[count:]))

    def _widened(self, batch: Batch) -> Batch:
        if not len(batch):
            return batch
        order = np.argsort(batch.kind, kind="stable")
        sorted_kinds = batch.kind[order]
        starts = np.flatnonzero(np.diff(sorted_kinds, prepend=sorted_kinds[0] - 1))
        runs = list(zip(sorted_kinds[starts].tolist(), np.split(order, starts[1:]), strict=True))
        for kind, numbers in runs:
            if not 0 <= kind < len(self._widenings):
                raise failure(Reason.KIND, int(numbers[0]), kind)
        sizes = [len(numbers) * (self._widenings[kind].width + self._widenings[kind].added) for kind, numbers in runs]
        values = np.empty(sum(sizes), np.int64)
        offset = np.empty(len(batch), np.int64)
        base = 0
        for (kind, numbers), size in zip(runs, sizes, strict=True):
            rows = values[base : base + size].reshape(len(numbers), -1)
            self._fill(rows, batch, self._widenings[kind], numbers)
            offset[numbers] = np.arange(base, base + size, rows.shape[1])
            base += size
        return Batch(self.layout, batch.kind, offset, batch.session, values)

    def _fill(self, rows: NDArray[np.int64], batch: Batch, widening: _Widening, numbers: NDArray[np.int64]) -> None:
        width = widening.width
        places = batch.offset[numbers]
        outside = (places < 0) | (places + width > len(batch.values))
        if outside.any():
            worst = int(np.flatnonzero(outside)[0])
            raise failure(Reason.ROW, int(numbers[worst]), int(places[worst]))
        rows[:, :width] = batch.values[places[:, None] + np.arange(width)]
        at = _put_moment(rows, width, rows[:, 0], numbers)
        at = _put_moment(rows, at, _last_sent(rows, widening.duration), numbers)
        if widening.group is not None:
            number = batch.session[numbers] * len(self._groups) + widening.group
            rows[:, at] = FIRST_SESSION + (number & _MOST_SESSIONS)
            at += 1
        for column in widening.moments:
            at = _put_moment(rows, at, rows[:, column], numbers)
        for column in widening.texts:
            self._put_flags(rows, at, rows[:, column])
            at += 2

    def _put_flags(self, rows: NDArray[np.int64], at: int, text: NDArray[np.int64]) -> None:
        """Say where a text column holds a list; what is neither text nor list, the kernel reports."""
        assert self._is_list is not None
        listed = (text >= 0) & (text < len(self._is_list))
        listed[listed] = self._is_list[text[listed]]
        rows[:, at] = np.where(listed, ABSENT, 0)
        rows[:, at + 1] = np.where(listed, 0, ABSENT)


def _session_prefix(fields: tuple[FieldSlot, ...]) -> int:
    """How many fields, from the first on, a session's parent may hold; some must remain, or every event would be its own parent."""
    count = next((number for number, slot in enumerate(fields) if slot.name not in _OF_A_SESSION), 0)
    return count if count > 1 else 0


def _columns(fields: tuple[FieldSlot, ...], encoding: Encoding) -> list[int]:
    sources = [slot.source for slot in fields]
    return sorted({source.index for source in sources if isinstance(source, Column) and source.encoding is encoding})


def _field(slot: FieldSlot, widening: _Widening) -> Field:
    source = slot.source
    if not isinstance(source, Column):
        return Field(slot)
    moments = widening.width + _MOMENTS + (widening.group is not None)
    if source.encoding is Encoding.TIMESTAMP:
        return Field(slot, moment=moments + 2 * widening.moments.index(source.index))
    if source.index in widening.texts and source.encoding is Encoding.TEXT:
        at = moments + 2 * len(widening.moments) + 2 * widening.texts.index(source.index)
        return Field(slot, text_flag=at, list_flag=at + 1)
    return Field(slot)


def _last_sent(rows: NDArray[np.int64], duration: FieldSlot | None) -> NDArray[np.int64]:
    """When each event was sent: its begin and its duration, never before its begin, which would kill the stats process."""
    begin = rows[:, 0]
    latest = LAST_MICROSECOND - begin
    match None if duration is None else duration.source:
        case Column(index=column, encoding=Encoding.INTEGER):
            took = rows[:, column]
        case Constant(value=int(number)):
            took = np.full(len(rows), min(max(number, 0), LAST_MICROSECOND))
        case _:
            took = rows[:, 1] - begin
    return begin + np.clip(took, 0, np.maximum(latest, 0))


def _put_moment(rows: NDArray[np.int64], at: int, microseconds: NDArray[np.int64], numbers: NDArray[np.int64]) -> int:
    wrong = (microseconds != ABSENT) & ((microseconds < 0) | (microseconds > LAST_MICROSECOND))
    if wrong.any():
        worst = int(np.flatnonzero(wrong)[0])
        raise failure(Reason.TIME, int(numbers[worst]), int(microseconds[worst]))
    np.divmod(microseconds, _SECOND, out=(rows[:, at], rows[:, at + 1]))
    return at + 2


def _check_names(kind: RecordKind) -> None:
    """Refuse what would be an empty name on the other side; there, a NUL ends a text."""
    names = [("event", kind.event), *(("category", name) for name in kind.categories), *(("field", slot.name) for slot in kind.fields)]
    for what, name in names:
        if not name or "\0" in name:
            raise FormatError(
                f"{kind.event or 'an event'}: the {what} name {name!r} cannot be sent to a stats process, a name without NUL would be right"
            )
