"""Cutting a byte stream into lines without ever holding one that is too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LINE_LIMIT", "LineSplitter"]

LINE_LIMIT = 16 * 1024 * 1024
"""Longest line that is read, in bytes."""


class LineSplitter:
    """Gives the lines of the chunks that it is pushed, without their newline; None stands for a line beyond the limit."""

    __slots__ = ("_limit", "_parts", "_size", "_skipping")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._parts: list[bytes] = []
        self._size = 0
        self._skipping = False

    def push(self, chunk: bytes) -> Iterator[bytes | None]:
        """Take a chunk and give the lines that it completes."""
        first, *rest = chunk.split(b"\n")
        self._keep(first)
        if not rest:
            return
        yield self._take()
        last = rest.pop()
        for line in rest:
            yield line if len(line) <= self._limit else None
        self._keep(last)

    def finish(self) -> Iterator[bytes | None]:
        """Give what stands after the last newline, if anything does."""
        if self._parts or self._skipping:
            yield self._take()

    def _keep(self, part: bytes) -> None:
        if not part or self._skipping:
            return
        self._size += len(part)
        if self._size > self._limit:
            self._skipping = True
            self._parts.clear()
        else:
            self._parts.append(part)

    def _take(self) -> bytes | None:
        line = None if self._skipping else b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        self._skipping = False
        return line
