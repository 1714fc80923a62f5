"""The part of the stream that is expected about now: made somewhat ahead of what arrives, and remembered for somewhat longer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.kernel import fingerprinting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from dovestorm.audit.expectation import Prints, Stretch
    from dovestorm.batch import Batch

__all__ = ["LEAD", "Upcoming"]

_ROOM = 1 << 20
"""Events that are remembered for sure."""
LEAD = 1 << 18
"""Events that are made ahead of the last record that was recognised."""
_NEAR = 16
"""More events than the window looks ahead from the one that it found last."""
_LOST = 1 << 16
"""So many records in a row that are not recognised mean that the place in the stream is lost, and that it must be looked for further on."""


class Upcoming:
    """Gives what is recognised its place in the stream. Records may be brought from any thread, by one at a time.

    Args:
        stretches: The stream.
        prints: Gives the fingerprints of some events.
        timed: Whether ``due`` will be asked for.

    Attributes:
        made: Events of the stream that were made so far.
    """

    def __init__(self, stretches: Iterator[Stretch], prints: Callable[[Batch], Prints], *, timed: bool) -> None:
        self._stretches, self._prints = stretches, prints
        self._window: Any = fingerprinting().Window(_ROOM)
        self._due: Any = np.zeros(2 * _ROOM if timed else 0, np.int64)
        self.made = 0
        self._front = self._strikes = 0
        self._exhausted = self._closed = False
        self._making = threading.Lock()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def match(self, low: NDArray[np.uint64], high: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The places of the events that these are, each given once; below 0 where there is none, see ``Window.match``."""
        # What comes in order is made before it is looked for: looking in vain costs more, since it is done everywhere.
        near = self._front + len(low) + _NEAR
        while self.made < near and self.make(below=near):
            pass
        found: NDArray[np.int64] = self._window.match(low, high)
        latest = self._seen(found)
        if latest < 0 or found.min() < 0:
            unknown = np.flatnonzero(found == -1)
            while len(unknown) and self.made < self._front + LEAD and self.make(below=self._front + LEAD):
                found[unknown] = self._window.match(low[unknown], high[unknown])
                latest = max(latest, self._seen(found[unknown]))
                unknown = unknown[found[unknown] == -1]
        self._strikes = 0 if latest >= 0 else self._strikes + len(low)
        if self._strikes > _LOST:
            self._front, self._strikes = self.made, 0
        if self._thread is not None:
            self._wanted.set()
        return found

    def due(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """When each of some places that were just given is due, in microseconds since the epoch."""
        due: NDArray[np.int64] = self._due[places % len(self._due)]
        return due

    def make(self, below: int | None = None) -> bool:
        """Make the next stretch, unless ``below`` events or more are made already; False when there is no more."""
        with self._making:
            if self._exhausted or (below is not None and self.made >= below):
                return not self._exhausted
            stretch = next(self._stretches, None)
            if stretch is None:
                self._exhausted = True
                return False
            if len(self._due):
                self._due[np.arange(self.made, self.made + len(stretch.batch)) % len(self._due)] = stretch.batch.end
            self._window.add(*self._prints(stretch.batch))
            self.made += len(stretch.batch)
            return True

    def prepare(self) -> None:
        """Make as much as is made ahead."""
        while self.made < LEAD and self.make(below=LEAD):
            pass

    def run_ahead(self) -> None:
        """Make the stream in a thread of its own from now on."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="dovestorm-audit", daemon=True)
            self._thread.start()

    def make_all(self) -> None:
        """Make what is left of the stream; nothing is matched any more, and the room is given back."""
        self.close()
        while self.make():
            pass
        self._window = self._due = None

    def close(self) -> None:
        """End the thread.

        Raises:
            Exception: Whatever it failed with.
        """
        self._closed = True
        self._wanted.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        self._thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _seen(self, found: NDArray[np.int64]) -> int:
        latest = int(np.maximum(found, -2 - found).max())
        self._front = max(self._front, latest + 1)
        return latest

    def _run(self) -> None:
        try:
            while not self._closed and not self._exhausted:
                if self.made >= self._front + LEAD or not self.make():
                    self._wanted.wait()
                    self._wanted.clear()
        except Exception as error:  # noqa: BLE001 - told by close(), in the thread that asks
            self._failure = error
