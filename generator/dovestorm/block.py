"""The block of rendered records: what a format makes and a sink takes, so that neither needs to know the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Block"]


@dataclass(frozen=True, slots=True)
class Block:
    """Rendered records, one after another.

    Attributes:
        data: uint8 view of the bytes of all records.
        ends: int64[n], where each record ends in ``data``; the terminator is inside.
        terminator: Size in bytes of what ends each record (1 for the newline of JSON and tab-text, 0 for msgpack); sinks that send
            one record per datagram or request leave it away.
        due: int64[n], export time of each record in scenario microseconds, or None when it is not known.
        content_type: For HTTP.
    """

    data: memoryview
    ends: NDArray[np.int64]
    terminator: int
    due: NDArray[np.int64] | None = None
    content_type: str = "application/octet-stream"

    def __len__(self) -> int:
        return len(self.ends)

    def part(self, first: int, last: int) -> Block:
        """Records ``first`` up to but not including ``last``."""
        begin = int(self.ends[first - 1]) if first else 0
        end = int(self.ends[last - 1]) if last else 0
        due = None if self.due is None else self.due[first:last]
        return Block(self.data[begin:end], self.ends[first:last] - begin, self.terminator, due, self.content_type)
