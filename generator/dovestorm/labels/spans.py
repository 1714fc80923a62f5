"""From when to when each session is to be seen in the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Spans"]

_FEWEST = 1 << 14


class Spans:
    """Export times of the first and the last event of sessions, in microseconds since the epoch."""

    def __init__(self) -> None:
        self._numbers: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._first: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._last: NDArray[np.int64] = np.empty(0, dtype=np.int64)
        self._enough = _FEWEST

    @property
    def crowded(self) -> bool:
        """Whether it is time to forget those that are of no more use."""
        return len(self._numbers) > self._enough

    def add(self, sessions: NDArray[np.int64], moments: NDArray[np.int64]) -> None:
        """Note events in the order of the stream: int64[n] each."""
        if not len(sessions):
            return
        order = np.argsort(sessions, kind="stable")
        ordered = sessions[order]
        ends = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
        begins = np.append(0, ends[:-1] + 1)
        news, first, last = ordered[ends], moments[order[begins]], moments[order[ends]]
        place = np.searchsorted(self._numbers, news)
        known = place < len(self._numbers)
        known[known] = self._numbers[place[known]] == news[known]
        self._last[place[known]] = last[known]
        fresh = ~known
        self._numbers = np.insert(self._numbers, place[fresh], news[fresh])
        self._first = np.insert(self._first, place[fresh], first[fresh])
        self._last = np.insert(self._last, place[fresh], last[fresh])

    def keep(self, sessions: NDArray[np.int64]) -> None:
        """Forget all other sessions."""
        kept = np.isin(self._numbers, sessions)
        self._numbers, self._first, self._last = self._numbers[kept], self._first[kept], self._last[kept]
        self._enough = max(_FEWEST, 2 * len(self._numbers))

    def of(self, session: int) -> tuple[int, int] | None:
        """A session's first and last event, None when it has none so far."""
        place = int(np.searchsorted(self._numbers, session))
        if place == len(self._numbers) or self._numbers[place] != session:
            return None
        return int(self._first[place]), int(self._last[place])
