"""One stream made by several processes, to the same bytes as by one.

Every worker simulates its own share of the sessions, window by window, into memory that all of them see; whoever's turn it is puts the
records of all in order and renders them. So no record is copied between processes as an object, nothing is sorted twice, and the work is split
evenly. Worker *i* of *n* takes the sessions *i*, *i + n* ..., and the windows likewise. The process that asked only hands on finished blocks.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovestorm.errors import UsageError
from dovestorm.parallel.board import Board
from dovestorm.parallel.reader import Reader
from dovestorm.parallel.worker import work

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.block import Block
    from dovestorm.stream import Stream

__all__ = ["parallel_blocks"]


def parallel_blocks(stream: Stream, format_name: str, *, time_format: str, workers: int, keep: int, timed: bool) -> Iterator[Block]:
    """Yield the stream's blocks, made by ``workers`` processes.

    Args:
        stream: What to make.
        format_name: One of ``formats.names()``.
        time_format: ``rfc3339`` or ``unix``.
        workers: Two or more.
        keep: A block stays good until so many more have been taken.
        timed: Whether blocks say when each record is due.

    Raises:
        UsageError: The platform has no ``fork``.
        DovestormError: A worker failed; the text says why.
    """
    from dovestorm import formats

    if "fork" not in multiprocessing.get_all_start_methods():
        raise UsageError(f"workers: {workers}, but this platform cannot fork: use 1")
    # Compiled before the fork, for the renderer and the reader: faults are raised here, and the workers share the result.
    renderer = formats.renderer(format_name, stream.layout, time_format=time_format)
    context = multiprocessing.get_context("fork")
    board = Board(context.Lock(), workers=workers, keep=keep, timed=timed)
    with tempfile.TemporaryDirectory(prefix="dovestorm-") as folder:
        pipes = [context.Pipe(duplex=False) for _ in range(workers)]
        processes = [
            context.Process(
                target=work, args=(number, stream, renderer, board), kwargs={"folder": Path(folder), "pipe": pipes[number][1]}, daemon=True
            )
            for number in range(workers)
        ]
        reader = Reader(board, stream, renderer, processes, [ours for ours, _ in pipes])
        try:
            for process in processes:
                process.start()
            yield from reader.blocks()
        finally:
            _dismiss(board, processes)
            for ours, theirs in pipes:
                ours.close()
                theirs.close()
            board.close()


def _dismiss(board: Board, processes: list[Any]) -> None:
    """End the workers at once: they hold nothing that is worth waiting for."""
    board.stop[0] = 1
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.kill()
    for process in started:
        process.join()
        process.close()
