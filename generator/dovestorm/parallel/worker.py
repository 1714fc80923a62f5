"""A worker: simulates its share of every window, and renders every n-th window for all."""

from __future__ import annotations

import signal
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.engine.ordering import Records, ordered_batch
from dovestorm.errors import DovestormError
from dovestorm.parallel.board import OVER, PLANS, SLOTS, CalledOffError, SharedArena

if TYPE_CHECKING:
    from pathlib import Path

    from dovestorm.batch import Batch
    from dovestorm.engine.machine import Machine
    from dovestorm.formats.rendering import Renderer
    from dovestorm.parallel.board import Board
    from dovestorm.stream import Stream

__all__ = ["work"]

_TOLD_AT_ONCE = 2
"""After so many blocks whoever waits is woken, and after the last of a window: waking costs as much as writing some hundred events."""


def work(number: int, stream: Stream, renderer: Renderer, board: Board, *, folder: Path, pipe: Any) -> None:
    """The whole life of worker ``number``; what goes wrong is sent through ``pipe``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        _Worker(number, stream, renderer, board, folder).run()
    except CalledOffError:
        pass
    except DovestormError as error:
        pipe.send(str(error))
    except Exception:  # noqa: BLE001 - whatever it is, the asking process must hear of it
        pipe.send(f"a worker failed, which is a bug of ours:\n{traceback.format_exc()}")


class _Worker:
    def __init__(self, number: int, stream: Stream, renderer: Renderer, board: Board, folder: Path) -> None:
        self._number, self._board, self._renderer, self._folder = number, board, renderer, folder
        first, of = stream.shard
        # Every of-th session from the first on, and of those every n-th.
        self._machine: Machine = stream.machine(shard=(first + of * number, of * board.workers))
        self._arenas = [SharedArena(board, board.share(slot, number)) for slot in range(SLOTS)]
        self._layout = stream.layout
        self._blocks = board.blocks
        """So many blocks the last window that we rendered took, and a few more."""

    def run(self) -> None:
        """Render when a window of ours is ready, else simulate ahead, else wait."""
        window, turn, over = 0, self._number, False
        while True:
            with self._board:
                self._board.wait(self._number, partial(self._has_work, window, turn, over=over))
                render = self._can_render(turn)
                end = int(self._board.ends[window % PLANS])
            if render:
                self._render(turn)
                turn += self._board.workers
            elif over:
                return
            elif end == OVER:
                over = True
            else:
                self._simulate(window, end)
                window += 1

    def _has_work(self, window: int, turn: int, *, over: bool) -> bool:
        return self._can_render(turn) or (turn >= window if over else self._can_simulate(window))

    def _can_render(self, window: int) -> bool:
        """Before its turn a window is rendered only if there is room for all of it: else we would soon wait, when we could simulate instead."""
        board, number, before = self._board, self._number, window - 1
        if not (board.simulated > window).all():
            return False
        if before < 0 or board.rendered[before % board.workers] > before // board.workers:
            return True
        return bool(board.blocks - (board.produced[number] - board.released[number]) > self._blocks)

    def _can_simulate(self, window: int) -> bool:
        board = self._board
        if board.planned[0] <= window:
            return False
        before = window - SLOTS
        return before < 0 or bool(board.rendered[before % board.workers] > before // board.workers)

    def _simulate(self, window: int, end: int) -> None:
        board, arena = self._board, self._arenas[window % SLOTS]
        end = self._machine.clipped(end)
        self._machine.simulate(end, arena)
        records = self._machine.records(end, arena)
        place = board.share(window, self._number)
        if arena.outgrown:
            np.savez(self._file(window, self._number), **{name: getattr(records, name) for name in Records.__slots__})
            board.share_sizes[place] = -1
        else:
            board.share_sizes[place] = len(records.kind)
        upcoming = self._machine.next_moment()
        with board:
            board.reports[window % PLANS, self._number] = OVER if upcoming is None else upcoming
            board.simulated[self._number] += 1
            board.tell()

    def _file(self, window: int, worker: int) -> Path:
        return self._folder / f"{window}-{worker}.npz"

    def _collect(self, window: int) -> Records:
        """All workers' records of a window."""
        board = self._board
        parts = [self._share(window, worker) for worker in range(board.workers)]
        if all(part.values is board.values for part in parts):
            values = board.values
        else:
            begins = np.cumsum([0, *(len(part.values) for part in parts)]).tolist()
            values = np.concatenate([part.values for part in parts])
            parts = [Records(p.kind, p.offset + begin, p.session, p.moment, values) for p, begin in zip(parts, begins, strict=False)]
        return Records(
            np.concatenate([part.kind for part in parts]),
            np.concatenate([part.offset for part in parts]),
            np.concatenate([part.session for part in parts]),
            np.concatenate([part.moment for part in parts]),
            values,
        )

    def _share(self, window: int, worker: int) -> Records:
        board, place = self._board, self._board.share(window, worker)
        count = int(board.share_sizes[place, 0])
        if count < 0:
            path = self._file(window, worker)
            with np.load(path) as saved:
                records = Records(**{name: saved[name] for name in Records.__slots__})
            path.unlink()
            return records
        offset, session, moment = (column[:count] for column in board.columns[place][1:])
        base = place * (len(board.values) // (SLOTS * board.workers))
        return Records(board.columns[place][0].view(np.int32)[:count], offset + base, session, moment, board.values)

    def _render(self, window: int) -> None:
        board = self._board
        batch = ordered_batch(self._layout, self._collect(window), self._machine.clipped(int(board.ends[window % PLANS])))
        due = batch.end if board.timed else None
        first, self._blocks = 0, 2
        while first < len(batch):
            first += self._block(batch, first, due)
            self._blocks += 1
        with board:
            board.counts[window % PLANS] = len(batch)
            board.last_block[window % PLANS] = board.produced[self._number]
            board.rendered[self._number] += 1
            board.tell()

    def _block(self, batch: Batch, first: int, due: Any) -> int:
        board, number = self._board, self._number
        with board:
            board.wait(number, lambda: bool(board.produced[number] - board.released[number] < board.blocks))
            at = int(board.produced[number]) % board.blocks
        ends = board.block_ends[number, at]
        room = board.block_bytes[number, at].view(np.uint8)
        count, used = self._renderer.render_into(batch, first, room, ends)
        if due is not None:
            board.block_due[number, at, :count] = due[first : first + count]
        with board:
            board.block_sizes[number, at] = count, used
            board.produced[number] += 1
            if not board.produced[number] % _TOLD_AT_ONCE:
                board.tell()
        return count
