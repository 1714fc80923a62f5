"""A layout compiled for one format, ready to turn batches into bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dovestorm.block import Block
from dovestorm.errors import FormatError
from dovestorm.formats.compiling import compile_layout
from dovestorm.kernel import RecordTooLargeError, Walker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.batch import Batch, Layout
    from dovestorm.formats.compiling import Dialect

__all__ = ["Renderer"]

_BLOCK_BYTES = 1 << 20
_GUESSED_RECORD_BYTES = 640
_MIN_BYTES = 4096


class Renderer:
    """Turns batches of one layout into the bytes of one format.

    Attributes:
        name: The format's name.
        content_type: For HTTP.
        terminator: Size in bytes of what ends each record: 1 (a newline) or 0.
        layout: What it renders.
    """

    def __init__(self, name: str, layout: Layout, dialect: Dialect) -> None:
        self.name = name
        self.content_type = dialect.content_type
        self.terminator = dialect.terminator
        self.layout = layout
        self._rows = dialect.rows
        self._walker = Walker(compile_layout(layout, dialect))

    def render_into(self, batch: Batch, first: int, out: NDArray[np.uint8], ends: NDArray[np.int64]) -> tuple[int, int]:
        """Render records from ``first`` on into a buffer of the caller's, as many as fit in ``out`` and ``ends``.

        A buffer of 1 to 4 MiB and an ``ends`` as long as the batch serve well. Bytes of ``out`` behind the last record
        may be overwritten too. The interpreter's lock is free while the compiled kernel works.

        Args:
            batch: Records of the renderer's layout.
            first: The record to begin with, 0 to ``len(batch)``.
            out: uint8[], gets the bytes.
            ends: int64[], gets where each record ends in ``out``, its terminator included.

        Returns:
            How many records were rendered (at least 1 unless there are none left), and their bytes.

        Raises:
            FormatError: A record cannot be rendered, with its number and the reason.
            RecordTooLargeError: Not even the first one fits; nothing was rendered, enlarge the buffer.
        """
        self._check(batch)
        if self._rows is not None:
            batch = self._rows.widen(batch)
        kind = np.ascontiguousarray(batch.kind, np.int32)
        offset = np.ascontiguousarray(batch.offset, np.int64)
        values = np.ascontiguousarray(batch.values, np.int64)
        return self._walker.render_into(kind, offset, values, first=first, out=out, ends=ends)

    def render(self, batch: Batch) -> Iterator[Block]:
        """Render a whole batch into new buffers, one block of about a mebibyte after the other.

        Raises:
            FormatError: A record cannot be rendered, with its number and the reason.
        """
        due = batch.end
        size = min(_BLOCK_BYTES, max(_MIN_BYTES, _GUESSED_RECORD_BYTES * len(batch)))
        first = 0
        while first < len(batch):
            out = np.empty(size, np.uint8)
            ends = np.empty(len(batch) - first, np.int64)
            try:
                count, used = self.render_into(batch, first, out, ends)
            except RecordTooLargeError:
                size *= 2
                continue
            yield Block(out.data[:used], ends[:count], self.terminator, due[first : first + count], self.content_type)
            first += count

    def _check(self, batch: Batch) -> None:
        if batch.layout is self.layout:
            return
        if batch.layout != self.layout:
            raise FormatError(f"batch: its layout is not the one that this {self.name} renderer was made for")
        self.layout = batch.layout
