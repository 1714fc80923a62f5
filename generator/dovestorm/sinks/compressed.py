"""A compressed file that can be opened and read whatever happened to it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.errors import DeliveryError
from dovestorm.sinks.base import Stopped, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.block import Block
    from dovestorm.sinks.compression import Encoder
    from dovestorm.sinks.open_file import OpenFile

__all__ = ["CHECKPOINT_BYTES", "CompressedSink"]

CHECKPOINT_BYTES = 1 << 20
"""The stream can be ended properly at least this often (in bytes before compression)."""

_PORTION_BYTES = 1 << 18
"""What is compressed between two looks at whether to stop."""


class CompressedSink:
    """Writes one compressed stream.

    What the encoder holds back (``tally.held``) counts as written from the next checkpoint on. A file that could not take all of it is cut
    back to the last checkpoint and ended there.
    """

    def __init__(self, url: str, file: OpenFile, encoder: Callable[[], Encoder]) -> None:
        self.url = url
        self.tally = Tally()
        self._file = file
        self._encoder: Encoder | None = encoder()
        self._kept = 0  # bytes of the file up to the last checkpoint
        self._tail = encoder().finish()  # ends the stream properly there

    def open(self) -> None:
        """Create or empty the file; raises ``DeliveryError`` when that cannot be."""
        with self._file.at_work(self._end_now):
            self._file.open()

    def write(self, block: Block) -> None:
        """Compress and write a block; raises ``PipeClosed`` when the reader has left, ``DeliveryError`` for anything else."""
        done = 0
        with self._file.at_work(self._end_now):
            try:
                while done < len(block):
                    self._file.check()
                    first = done
                    begin = int(block.ends[first - 1]) if first else 0
                    done = max(int(np.searchsorted(block.ends, begin + _PORTION_BYTES, side="right")), first + 1)
                    self._encode(block.data[begin : int(block.ends[done - 1])], done - first)
            except DeliveryError:
                self.tally.undelivered += len(block) - done
                raise

    def close(self) -> None:
        """End the stream and close the file; raises ``DeliveryError`` when what was held back cannot be written."""
        with self._file.at_work(self._end_now):
            if self._file.is_open:
                self._finish(patient=True)
                self._file.close()

    def abort(self) -> None:
        """End the stream at once, from any thread, with the records that it has whole."""
        self._file.stop(self._end_now)

    def _encode(self, data: memoryview, count: int) -> None:
        self.tally.held += count
        self.tally.held_bytes += len(data)
        if self._encoder is None:
            self._give_up()
            raise Stopped(f"{self.url}: the stream has ended")
        output, tail = self._encoder.encode(data), None
        if self.tally.held_bytes >= CHECKPOINT_BYTES:
            rest, tail = self._encoder.checkpoint()
            output += rest
        self._put(output, patient=True)
        if tail is not None:
            self._keep(tail)

    def _finish(self, *, patient: bool) -> None:
        if self._encoder is not None:
            self._put(self._encoder.finish(), patient=patient)
            self._keep(b"")
            self._encoder = None

    def _put(self, output: bytes, *, patient: bool) -> None:
        try:
            self._file.put(memoryview(output), patient=patient)
        except DeliveryError:
            self._give_up()
            self._file.cut_back(self._kept, self._tail)
            raise

    def _keep(self, tail: bytes) -> None:
        self._kept, self._tail = self._file.written, tail
        self.tally.written += self.tally.held
        self.tally.written_bytes += self.tally.held_bytes
        self.tally.held = self.tally.held_bytes = 0

    def _give_up(self) -> None:
        self.tally.undelivered += self.tally.held
        self.tally.held = self.tally.held_bytes = 0
        self._encoder = None

    def _end_now(self) -> None:
        with contextlib.suppress(DeliveryError):
            if self._file.is_open:
                self._finish(patient=False)
        with contextlib.suppress(DeliveryError):
            self._file.close()
