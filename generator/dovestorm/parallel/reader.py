"""The asking side: plans the windows and hands on the finished blocks in order."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.block import Block
from dovestorm.engine.machine import adapted
from dovestorm.errors import DovestormError
from dovestorm.parallel.board import OVER, PLANS, SLOTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.formats.rendering import Renderer
    from dovestorm.parallel.board import Board
    from dovestorm.stream import Stream

__all__ = ["Reader"]

_TARGET = 1 << 16
"""About how many events a worker should make of a window: fewer, and the workers wait for each other more often than they need."""


class Reader:
    """Reads the board's blocks.

    Args:
        board: What is shared with the workers.
        stream: What is made.
        renderer: For what ends a record and the content type.
        processes: The workers, looked at now and then.
        pipes: Where each says what went wrong.
    """

    def __init__(self, board: Board, stream: Stream, renderer: Renderer, processes: list[Any], pipes: list[Any]) -> None:
        self._board, self._stream, self._renderer = board, stream, renderer
        self._processes, self._pipes = processes, pipes
        board.look = self._look
        machine = stream.machine()
        self._first = machine.next_moment()
        self._end = stream.scenario.start
        self._length = stream.window or machine.first_length(stream.limits.events)
        self._measured = 0
        self._settled = stream.window is not None
        self._lengths = [self._length] * PLANS
        self._taken = [0] * board.workers
        self._held: deque[int] = deque()

    def blocks(self) -> Iterator[Block]:
        """Yield every block of the stream, up to its limit of events."""
        board, left = self._board, self._stream.limits.events
        if self._first is None or left == 0:
            return
        window = 0
        with board:
            self._plan_ahead(window, left)
        while board.ends[window % PLANS] != OVER:
            for block in self._window(window):
                part = block if left is None or len(block) <= left else block.part(0, left)
                yield part
                if left is not None:
                    left -= len(part)
                    if not left:
                        return
            window += 1
            with board:
                self._plan_ahead(window, left)

    def _plan_ahead(self, window: int, left: int | None) -> None:
        """Announce windows ahead of the one that is read next, but not many more events than are wanted.

        While the length is still being learnt, the next window waits for what the last one taught.
        """
        target = _TARGET * self._board.workers
        self._adapt()
        while True:
            under_way = int(self._board.planned[0]) - window
            rest = target if left is None else left - under_way * target
            if under_way and (under_way >= (SLOTS if self._settled else 1) or rest <= 0):
                return
            self._plan(share=min(1.0, max(1.1 * rest / target, 0.01)) if self._settled else 1.0)

    def _plan(self, *, share: float) -> None:
        """Announce the end of one more window, or that there are no more; ``share`` of the usual length is enough."""
        board = self._board
        number = int(board.planned[0])
        upcoming = self._upcoming()
        if upcoming == OVER:
            board.ends[number % PLANS] = OVER
        else:
            length = self._length if self._stream.window else max(int(self._length * share), 1)
            self._end = max(self._end, upcoming) + length
            self._lengths[number % PLANS] = length
            board.ends[number % PLANS] = self._end
        board.planned[0] = number + 1
        board.tell()

    def _upcoming(self) -> int:
        """The earliest moment at which any worker has something left to do, as of the last window that all of them simulated."""
        done = int(self._board.simulated.min())
        return int(self._board.reports[(done - 1) % PLANS].min()) if done else self._first or 0

    def _adapt(self) -> None:
        """Learn from the windows rendered since the last plan."""
        board = self._board
        while self._stream.window is None and board.rendered[self._measured % board.workers] > self._measured // board.workers:
            before = self._length
            self._length = adapted(self._lengths[self._measured % PLANS], int(board.counts[self._measured % PLANS]), _TARGET * board.workers)
            self._measured += 1
            self._settled = self._length < 2 * before

    def _window(self, window: int) -> Iterator[Block]:
        board = self._board
        worker, turn = window % board.workers, window // board.workers
        while True:
            with board:
                board.wait(board.workers, lambda: bool(board.produced[worker] > self._taken[worker] or board.rendered[worker] > turn))
                done = bool(board.rendered[worker] > turn)
                # Once the window is done, the worker may have gone on to blocks of its next one: those are not for now.
                ready = int(board.last_block[window % PLANS] if done else board.produced[worker])
            while self._taken[worker] < ready:
                yield self._take(worker)
            if done:
                return

    def _take(self, worker: int) -> Block:
        board = self._board
        at = self._taken[worker] % board.blocks
        self._taken[worker] += 1
        self._held.append(worker)
        if len(self._held) > board.keep + 1:
            with board:
                board.released[self._held.popleft()] += 1
                board.tell()
        count, used = board.block_sizes[worker, at].tolist()
        data = memoryview(board.block_bytes[worker, at].view(np.uint8))[:used]
        due = board.block_due[worker, at, :count] if board.timed else None
        return Block(data, board.block_ends[worker, at, :count], self._renderer.terminator, due, self._renderer.content_type)

    def _look(self) -> None:
        """Raise what a worker says went wrong, or that one has gone without a word."""
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            if pipe.poll():
                raise DovestormError(pipe.recv())
            if process.exitcode:
                raise DovestormError(f"a worker process is gone (exit code {process.exitcode}): killed from outside, or out of memory?")
