"""A stream turned into whole sessions, one after another: for users that each live one session at a time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dovestorm import formats
from dovestorm.block import Block
from dovestorm.rendering import BLOCK_BYTES, BLOCK_RECORDS, Ring, render_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.batch import Batch
    from dovestorm.formats.rendering import Renderer
    from dovestorm.stream import Stream

__all__ = ["FIRST", "session_blocks"]

FIRST = -1
"""What ``Block.due`` holds for the first event of a session; for the others it is microseconds since that one."""


@dataclass(slots=True)
class _Session:
    records: list[bytes] = field(default_factory=list)
    moments: list[int] = field(default_factory=list)


def session_blocks(stream: Stream, format_name: str) -> Iterator[Block]:
    """Yield a stream's events session by session, each complete, in the order in which they began among those that ended together.

    A session that the stream's end cuts comes last, as far as it got. One of more than ``BLOCK_RECORDS`` events is given in pieces.
    """
    renderer = formats.renderer(format_name, stream.layout)
    ring = Ring(2)
    open_sessions: defaultdict[int, _Session] = defaultdict(_Session)
    machine = stream.machine()
    for batch in machine.batches():
        _gather(batch, renderer, ring, open_sessions)
        ended = open_sessions.keys() - set(machine.unfinished().tolist())
        yield from _blocks([open_sessions.pop(number) for number in sorted(ended)], renderer)
    yield from _blocks([open_sessions[number] for number in sorted(open_sessions)], renderer)


def _gather(batch: Batch, renderer: Renderer, ring: Ring, open_sessions: defaultdict[int, _Session]) -> None:
    owners = batch.session.tolist()
    at = 0
    for block in render_batch(renderer, batch, ring):
        assert block.due is not None
        begin = 0
        for end, moment, owner in zip(block.ends.tolist(), block.due.tolist(), owners[at : at + len(block)], strict=True):
            session = open_sessions[owner]
            session.records.append(bytes(block.data[begin:end]))
            session.moments.append(moment)
            begin = end
        at += len(block)


def _blocks(sessions: list[_Session], renderer: Renderer) -> Iterator[Block]:
    """As many whole sessions in a block as fit."""
    records: list[bytes] = []
    offsets: list[int] = []
    size = 0
    for session in sessions:
        for first in range(0, len(session.records), BLOCK_RECORDS):
            piece, moments = session.records[first : first + BLOCK_RECORDS], session.moments[first : first + BLOCK_RECORDS]
            length = sum(map(len, piece))
            if records and (len(records) + len(piece) > BLOCK_RECORDS or size + length > BLOCK_BYTES):
                yield _block(records, offsets, renderer)
                records, offsets, size = [], [], 0
            records += piece
            offsets += [FIRST, *(moment - moments[0] for moment in moments[1:])]
            size += length
    if records:
        yield _block(records, offsets, renderer)


def _block(records: list[bytes], offsets: list[int], renderer: Renderer) -> Block:
    ends = np.cumsum(np.fromiter(map(len, records), dtype=np.int64, count=len(records)))
    due = np.array(offsets, dtype=np.int64)
    return Block(memoryview(b"".join(records)), ends, renderer.terminator, due, renderer.content_type)
