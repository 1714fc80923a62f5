"""Up to where a shard is acknowledged without a gap, when several connections finish its batches in any order."""

from __future__ import annotations

from collections import deque

__all__ = ["Ledger"]


class Ledger:
    """Positions are counts of events from the shard's beginning.

    Args:
        position: What was settled before.
    """

    __slots__ = ("_open", "position", "reach")

    def __init__(self, position: int = 0) -> None:
        self.position = position
        """Every event before this one is settled: delivered, or given up and counted as undelivered."""
        self.reach = position
        """No event from this one on was given to a connection."""
        self._open: deque[list[int]] = deque()

    def begin(self, last: int) -> list[int]:
        """Note that events up to ``last`` (not included) are under way; gives what ``end`` wants. Batches begin in the order of the stream."""
        entry = [last, 0]
        self._open.append(entry)
        self.reach = last
        return entry

    def end(self, entry: list[int]) -> None:
        """Note that a batch is settled."""
        entry[1] = 1
        while self._open and self._open[0][1]:
            self.position = self._open.popleft()[0]

    @property
    def is_settled(self) -> bool:
        """Whether nothing is under way."""
        return not self._open
