"""Taking blocks out of a generator ahead of their use, in a thread of its own, so that making does not delay sending."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from dovestorm.block import Block

__all__ = ["QUEUE_DEPTH", "VALID_BLOCKS", "read_ahead"]

QUEUE_DEPTH = 2

VALID_BLOCKS = QUEUE_DEPTH + 2
"""A block must stay valid while this many more blocks are taken after it: one waits to be queued, two are queued, one is in reserve."""

_TICK_S = 0.1
_JOIN_S = 0.2


def read_ahead(blocks: Iterator[Block], stopped: Callable[[], bool]) -> Generator[Block, None, None]:
    """Give the blocks of ``blocks`` in order; what it raises is raised here. Ends early when ``stopped`` says so.

    ``blocks`` runs in another thread and may reuse a block's buffer only after ``VALID_BLOCKS`` more blocks were taken. When the caller
    stops before the end, the thread ends with the block that it is making; if that takes long, nobody waits for it.
    """
    channel: queue.Queue[Block | BaseException | None] = queue.Queue(QUEUE_DEPTH)
    over = threading.Event()
    thread = threading.Thread(target=_pull, args=(blocks, channel, over), name="dovestorm-read-ahead", daemon=True)
    thread.start()
    try:
        while not stopped():
            try:
                item = channel.get(timeout=_TICK_S)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        over.set()
        thread.join(_JOIN_S)


def _pull(blocks: Iterator[Block], channel: queue.Queue[Block | BaseException | None], over: threading.Event) -> None:
    last: BaseException | None = None
    try:
        for block in blocks:
            if not _put(channel, block, over):
                break
    except BaseException as error:  # noqa: BLE001 - it is raised again where the blocks are used
        last = error
    finally:
        close = getattr(blocks, "close", None)
        if close is not None:
            close()
    _put(channel, last, over)


def _put(channel: queue.Queue[Block | BaseException | None], item: Block | BaseException | None, over: threading.Event) -> bool:
    while not over.is_set():
        try:
            channel.put(item, timeout=_TICK_S)
        except queue.Full:
            continue
        return True
    return False
