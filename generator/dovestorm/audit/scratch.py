"""Rows that do not fit in memory: tables in order, and bins by a key, in temporary files once there are many of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dovestorm.errors import DovestormError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from numpy.typing import NDArray

    Rows = NDArray[np.void]
    """A structured array."""

__all__ = ["BINS", "MOST_ROWS", "Bins", "Scratch", "Table", "bin_of_key", "both"]

BINS = 512
MOST_ROWS = 1 << 18
"""Rows that one table or set of bins keeps in memory."""
_CHUNK_ROWS = 1 << 17
_BLOCK_ROWS = 1 << 13


class Scratch:
    """A folder for temporary files that goes away in the end.

    Args:
        parent: Where it is made; by default where the system has its temporary files.
        most_rows: Rows that each table and set of bins may keep in memory.

    Raises:
        UsageError: No folder can be made there.
    """

    def __init__(self, parent: str | Path | None = None, *, most_rows: int = MOST_ROWS) -> None:
        try:
            self._folder = tempfile.TemporaryDirectory(prefix="dovestorm-audit-", dir=parent, ignore_cleanup_errors=True)
        except OSError as error:
            raise UsageError(f"{parent or tempfile.gettempdir()}: no temporary files can be made there: {error.strerror or error}") from None
        self.most_rows = most_rows
        self._count = 0
        self.written = 0
        """Bytes written so far, over all files."""

    def path(self) -> Path:
        """A new file's path."""
        self._count += 1
        return Path(self._folder.name) / str(self._count)

    def append(self, path: Path, data: Any) -> None:
        """Write bytes, or an array's, at a file's end.

        Raises:
            DovestormError: The disk is full, or the file too large.
        """
        try:
            with path.open("ab") as file:
                self.written += file.write(data)
        except OSError as error:
            raise DovestormError(
                f"{path.parent}: the audit's temporary files cannot be written: {error.strerror or error}; name a roomier place"
            ) from None

    def close(self) -> None:
        """Remove the folder."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class _Held:
    """Rows in memory, in a few large arrays: many small ones take much more room than their rows, and hold up that of others between them."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype = dtype
        self._blocks: list[Rows] = []
        self._filled = 0
        self.count = 0

    def add(self, rows: Rows) -> None:
        done = 0
        while done < len(rows):
            if not self._blocks or self._filled == len(self._blocks[-1]):
                self._blocks.append(np.empty(max(_BLOCK_ROWS, len(rows) - done), self._dtype))
                self._filled = 0
            size = min(len(self._blocks[-1]) - self._filled, len(rows) - done)
            self._blocks[-1][self._filled : self._filled + size] = rows[done : done + size]
            self._filled += size
            done += size
        self.count += len(rows)

    def blocks(self) -> list[Rows]:
        return [*self._blocks[:-1], self._blocks[-1][: self._filled]] if self._blocks else []

    def clear(self) -> None:
        self._blocks = []
        self._filled = self.count = 0


class Table:
    """Rows in the order in which they were added.

    Args:
        scratch: Where they go when they are many.
        dtype: The rows' type.
    """

    def __init__(self, scratch: Scratch, dtype: Any) -> None:
        self._scratch = scratch
        self._dtype = np.dtype(dtype)
        self._held = _Held(self._dtype)
        self._path: Path | None = None
        self.count = 0

    def add(self, rows: Rows) -> None:
        """Add rows."""
        self._held.add(rows)
        self.count += len(rows)
        if self._held.count > self._scratch.most_rows:
            self._path = self._path or self._scratch.path()
            for block in self._held.blocks():
                self._scratch.append(self._path, block.data)
            self._held.clear()

    def chunks(self) -> Iterator[Rows]:
        """The rows, some at a time."""
        if self._path is not None:
            yield from _read(self._path, self._dtype)
        yield from self._held.blocks()


class Bins:
    """Rows sorted into bins by a number; within a bin they keep the order in which they were added.

    Args:
        scratch: Where they go when they are many.
        dtype: The rows' type.
        bin_of: The bins of some rows, from 0 up.
    """

    def __init__(self, scratch: Scratch, dtype: Any, bin_of: Callable[[Rows], NDArray[np.int64]]) -> None:
        self._scratch = scratch
        self.dtype = np.dtype(dtype)
        self._bin_of = bin_of
        self._held = _Held(self.dtype)
        self._paths: dict[int, Path] = {}
        self.spilled = False
        self.count = 0

    def add(self, rows: Rows) -> None:
        """Add rows."""
        self._held.add(rows)
        self.count += len(rows)
        if self._held.count > self._scratch.most_rows:
            self.spill()

    def spill(self) -> None:
        """Put all that is held into the bins' files."""
        self.spilled = True
        if not self._held.count:
            return
        rows = self.whole()
        self._held.clear()
        bins = self._bin_of(rows)
        order = np.argsort(bins, kind="stable")
        rows, bins = rows[order], bins[order]
        cuts = np.flatnonzero(bins[1:] != bins[:-1]) + 1
        for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(rows)], strict=True):
            number = int(bins[begin])
            if number not in self._paths:
                self._paths[number] = self._scratch.path()
            self._scratch.append(self._paths[number], rows[begin:end].data)

    def whole(self) -> Rows:
        """All rows of bins that were never spilled."""
        return np.concatenate(self._held.blocks()) if self._held.count else np.empty(0, self.dtype)

    def numbers(self) -> list[int]:
        """The bins that have a file, in order."""
        return sorted(self._paths)

    def rows(self, number: int) -> Rows:
        """A bin's rows, after ``spill``; its file is gone then."""
        path = self._paths.pop(number, None)
        if path is None:
            return np.empty(0, self.dtype)
        rows: Rows = np.fromfile(path, self.dtype)
        path.unlink()
        return rows

    def in_order(self) -> Iterator[Rows]:
        """The rows of one bin after the other, in the bins' order."""
        if not self.spilled:
            rows = self.whole()
            yield rows[np.argsort(self._bin_of(rows), kind="stable")]
            return
        self.spill()
        for number in self.numbers():
            yield self.rows(number)


def both(first: Bins, second: Bins) -> Iterator[tuple[Rows, Rows]]:
    """What belongs together of two sets of bins: all at once where neither needed files, else one bin after the other."""
    if not (first.spilled or second.spilled):
        yield first.whole(), second.whole()
        return
    first.spill()
    second.spill()
    for number in sorted({*first.numbers(), *second.numbers()}):
        yield first.rows(number), second.rows(number)


def bin_of_key(rows: Rows) -> NDArray[np.int64]:
    """Bins by the upper bits of the column ``key``."""
    return (rows["key"] >> np.uint64(64 - BINS.bit_length() + 1)).astype(np.int64)


def _read(path: Path, dtype: np.dtype[Any]) -> Iterator[Rows]:
    with path.open("rb") as file:
        while data := file.read(_CHUNK_ROWS * dtype.itemsize):
            yield np.frombuffer(data, dtype)
