"""A recorded file as a stream of blocks, cut into shards by stretches of lines that do not depend on who reads it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.block import Block
from dovestorm.errors import InputError
from dovestorm.rendering import BLOCK_RECORDS
from dovestorm.validate.sources import chunks, detect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["recorded_blocks", "recorded_shares"]

_STRETCH_BYTES = 1 << 20
"""About so many bytes of lines belong to one shard before the next one's turn."""
_MOST_LINE_BYTES = 1 << 22

_TIME = re.compile(rb"""\bend_time"?:"?([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}(?:\.[0-9]{1,9})?)Z""")
_TYPES = {"json": "application/json", "tab-text": "text/plain"}


def recorded_blocks(path: str, *, shard: tuple[int, int] = (1, 1), timed: bool = False, events: int | None = None) -> Iterator[Block]:
    """Yield a file's lines as blocks.

    Args:
        path: JSON or tab-text lines, one event each; gzip and zstd are unpacked.
        shard: (i, n): every n-th stretch of lines, from the i-th on; together exactly the file.
        timed: Whether blocks say when each event is due: its end time.
        events: Stop after so many lines of this shard.

    Raises:
        InputError: The file cannot be read, is not made of lines, or lacks the times that are wanted.
    """
    number, of = shard
    content_type = ""
    for index, stretch in enumerate(_stretches(path)):
        if not index:
            layout = detect(stretch[:256])
            if layout not in _TYPES:
                raise InputError(f"{path}: holds {layout}, a recording to be replayed must be JSON or tab-text lines")
            content_type = _TYPES[layout]
        if index % of != number - 1:
            continue
        for block in _blocks(path, stretch, content_type, timed=timed):
            if events is not None and len(block) >= events:
                yield block.part(0, events)
                return
            events = None if events is None else events - len(block)
            yield block


def recorded_shares(path: str, *, events: int, shards: int) -> list[int]:
    """For each shard, how many of the file's first lines are its own.

    Raises:
        InputError: The file cannot be read.
    """
    counts = [0] * shards
    for index, stretch in enumerate(_stretches(path)):
        count = min(stretch.count(b"\n"), events)
        counts[index % shards] += count
        events -= count
        if not events:
            break
    return counts


def _stretches(path: str) -> Iterator[bytes]:
    """Whole lines, a little more than ``_STRETCH_BYTES`` at a time; a last line without its end gets one."""
    held: list[bytes] = []
    size = 0
    for chunk in chunks(path):
        held.append(chunk)
        size += len(chunk)
        # The chunks' sizes may differ from reader to reader; the place of the cut may not.
        while size >= _STRETCH_BYTES:
            data = b"".join(held)
            cut = data.find(b"\n", _STRETCH_BYTES - 1) + 1
            if not cut:
                if size > _STRETCH_BYTES + _MOST_LINE_BYTES:
                    raise InputError(f"{path}: a line of more than {_MOST_LINE_BYTES:,} bytes, a recording must be one event a line")
                held = [data]
                break
            yield data[:cut]
            held, size = [data[cut:]], size - cut
    data = b"".join(held)
    if data:
        yield data if data.endswith(b"\n") else data + b"\n"


def _blocks(path: str, stretch: bytes, content_type: str, *, timed: bool) -> Iterator[Block]:
    ends = np.flatnonzero(np.frombuffer(stretch, dtype=np.uint8) == ord("\n")).astype(np.int64) + 1
    due = _times(path, stretch, len(ends)) if timed else None
    whole = Block(memoryview(stretch), ends, 1, due, content_type)
    for first in range(0, len(whole), BLOCK_RECORDS):
        yield whole.part(first, min(first + BLOCK_RECORDS, len(whole)))


def _times(path: str, stretch: bytes, count: int) -> NDArray[np.int64]:
    times = _TIME.findall(stretch)
    if len(times) != count:
        raise InputError(f"{path}: {count:,} lines with {len(times):,} end times such as 2026-03-02T09:00:00.000001Z; pace this recording by --rate")
    due = np.array([time.decode("ascii")[:26] for time in times], dtype="datetime64[us]").astype(np.int64)
    return np.maximum.accumulate(due)
