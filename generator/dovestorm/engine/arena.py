"""Where a window's records are laid down, in no order yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Arena", "copy_records"]


class Arena:
    """Where a window's records are laid down: their rows, and for each its kind, row offset, session and sending time."""

    def __init__(self, events: int = 1 << 12, integers: int = 1 << 15) -> None:
        self.values: NDArray[np.int64] = np.empty(integers, dtype=np.int64)
        self.kind: NDArray[np.int32] = np.empty(events, dtype=np.int32)
        self.offset: NDArray[np.int64] = np.empty(events, dtype=np.int64)
        self.session: NDArray[np.int64] = np.empty(events, dtype=np.int64)
        self.moment: NDArray[np.int64] = np.empty(events, dtype=np.int64)
        self.events = 0
        self.integers = 0

    def clear(self) -> None:
        """Forget all records."""
        self.events = self.integers = 0

    def claim(self, kind: int, width: int, sessions: NDArray[np.int64], moment: NDArray[np.int64]) -> NDArray[np.int64]:
        """Room for one record of each session: int64[n, width], to be filled before the next claim."""
        count = len(sessions)
        first, begin = self.events, self.integers
        last, end = first + count, begin + count * width
        if last > len(self.kind) or end > len(self.values):
            self.grow(last, end)
        self.kind[first:last] = kind
        self.offset[first:last] = np.arange(begin, end, width)
        self.session[first:last] = sessions
        self.moment[first:last] = moment
        self.events, self.integers = last, end
        return self.values[begin:end].reshape(count, width)

    def append(
        self,
        kind: NDArray[np.int32],
        begins: NDArray[np.int64],
        session: NDArray[np.int64],
        moment: NDArray[np.int64],
        values: NDArray[np.int64],
    ) -> None:
        """Lay down finished records; ``begins`` says where each one's row begins in ``values``."""
        first, begin = self.events, self.integers
        last, end = first + len(kind), begin + len(values)
        if last > len(self.kind) or end > len(self.values):
            self.grow(last, end)
        self.kind[first:last] = kind
        self.offset[first:last] = begins + begin
        self.session[first:last] = session
        self.moment[first:last] = moment
        self.values[begin:end] = values
        self.events, self.integers = last, end

    def grow(self, events: int, integers: int) -> None:
        """Make room for so many records and integers in all."""
        if events > len(self.kind):
            for name in ("kind", "offset", "session", "moment"):
                setattr(self, name, _larger(getattr(self, name), events))
        if integers > len(self.values):
            self.values = _larger(self.values, integers)


def _larger(array: NDArray[Any], needed: int) -> NDArray[Any]:
    grown = np.empty(max(needed, 2 * len(array)), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def copy_records(source: Arena, picked: NDArray[np.int64], target: Arena, widths: NDArray[np.int64]) -> None:
    """Copy the picked records, in their order, to the end of another arena; ``widths`` is the row width of each kind."""
    kinds = source.kind[picked]
    width = widths[kinds]
    ends = np.cumsum(width)
    begins = ends - width
    # Where each integer of the copied rows stands in the source: the row's beginning, plus its place in the row.
    places = np.arange(int(ends[-1])) + np.repeat(source.offset[picked] - begins, width)
    target.append(kinds, begins, source.session[picked], source.moment[picked], source.values[places])
