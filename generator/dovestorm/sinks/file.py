"""A path or ``file:PATH``: whole records, and an end on a whole record whatever happens."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.errors import DeliveryError, UsageError
from dovestorm.sinks.base import Tally
from dovestorm.sinks.compressed import CompressedSink
from dovestorm.sinks.compression import encoder_for
from dovestorm.sinks.open_file import OpenFile
from dovestorm.sinks.outlet import path_outlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.block import Block
    from dovestorm.sinks.base import Sink
    from dovestorm.sinks.outlet import Outlet
    from dovestorm.sinks.target import Options, Target

__all__ = ["FileSink", "make"]


class FileSink:
    """Writes blocks as they are. The part of a record that a full disk still took is cut off again."""

    def __init__(self, url: str, file: OpenFile) -> None:
        self.url = url
        self.tally = Tally()
        self._file = file

    def open(self) -> None:
        """Create or empty the file; raises ``DeliveryError`` when that cannot be."""
        with self._file.at_work(self._end_now):
            self._file.open()

    def write(self, block: Block) -> None:
        """Write a block whole; raises ``PipeClosed`` when the reader has left, ``DeliveryError`` for anything else."""
        before = self._file.written
        whole, size = len(block), int(block.ends[-1]) if len(block) else 0
        with self._file.at_work(self._end_now):
            try:
                self._file.put(block.data[:size])
            except DeliveryError:
                whole = int(np.searchsorted(block.ends, self._file.written - before, side="right"))
                size = int(block.ends[whole - 1]) if whole else 0
                self._file.cut_back(before + size)
                raise
            finally:
                self.tally.written += whole
                self.tally.written_bytes += size
                self.tally.undelivered += len(block) - whole

    def close(self) -> None:
        """Close the file; it is complete."""
        with self._file.at_work(self._end_now):
            self._file.close()

    def abort(self) -> None:
        """End at once, from any thread."""
        self._file.stop(self._end_now)

    def _end_now(self) -> None:
        with contextlib.suppress(DeliveryError):
            self._file.close()


def make(target: Target, *, options: Options) -> Sink:
    """A sink for a path or ``file:PATH``; the suffixes ``.gz`` and ``.zst`` compress."""
    path = target.rest
    if path.startswith("//"):
        host, slash, rest = path[2:].partition("/")
        if host not in {"", "localhost"} or not slash:
            raise UsageError(f"{target.shown}: a file has no host, write file:/PATH or file:PATH")
        path = slash + rest
    if not path:
        raise UsageError(f"{target.shown}: no path, write file:PATH")

    def attach(wait: Callable[[], bool]) -> Outlet:
        return path_outlet(path, wait)

    file = OpenFile(target.shown, attach, clock=options.clock)
    encoder = encoder_for(path)
    return CompressedSink(target.shown, file, encoder) if encoder else FileSink(target.shown, file)
