"""Ctrl-C and SIGTERM: a flag for the loop that sends, and a thread that frees it when a sink keeps it from looking."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

    from dovestorm.sinks.base import Sink

__all__ = ["Interruption", "interruption"]

_PATIENCE_S = 0.4
"""After a signal, sinks have this long to end properly; then they are aborted."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Whether the run was asked to stop."""

    __slots__ = ("_wake", "requested")

    def __init__(self, wake: socket.socket | None = None) -> None:
        self.requested = False
        self._wake = wake

    def __call__(self) -> bool:
        """Whether a signal came."""
        return self.requested

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Take the first signal as a request; the second one ends the program's patience.

        Nothing here takes a lock: the signal may come while the main thread holds it.
        """
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        if self._wake is not None:
            self._wake.send(b"!")


@contextlib.contextmanager
def interruption(sinks: Sequence[Sink]) -> Iterator[Interruption]:
    """Handle signals while the block runs, where that is possible: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield Interruption()
        return
    wake, woken = socket.socketpair()
    over = threading.Event()
    guard = threading.Thread(target=_guard, args=(woken, over, sinks), name="dovestorm-interruption", daemon=True)
    guard.start()
    asked = Interruption(wake)
    before = {number: signal.signal(number, asked.handle) for number in _SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        over.set()
        wake.close()
        guard.join()
        woken.close()


def _guard(woken: socket.socket, over: threading.Event, sinks: Sequence[Sink]) -> None:
    if woken.recv(1) and not over.wait(_PATIENCE_S):
        for sink in sinks:
            sink.abort()
