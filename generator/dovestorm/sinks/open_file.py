"""A file that is being written: counts bytes, waits as long as it may, and can be stopped from another thread."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from dovestorm.clock import wait_until
from dovestorm.sinks.base import PipeClosed, Stopped
from dovestorm.sinks.failure import failure
from dovestorm.sinks.outlet import Outlet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.clock import Clock

__all__ = ["Attach", "OpenFile"]

Attach = Callable[[Callable[[], bool]], Outlet]

_NAP_S = 0.1


class OpenFile:
    """What a plain and a compressed file have in common.

    Args:
        url: For messages.
        attach: Opens the file; given a function that passes a moment and says whether to go on.
        clock: For waiting until a named pipe has a reader.

    Attributes:
        written: Bytes that the system took.
    """

    def __init__(self, url: str, attach: Attach, *, clock: Clock) -> None:
        self.written = 0
        self._url = url
        self._attach = attach
        self._clock = clock
        self._outlet: Outlet | None = None
        self._busy = self._stopped = False

    def open(self) -> None:
        """Create or empty the file; raises ``DeliveryError`` when that cannot be."""
        try:
            self._outlet = self._attach(self._nap)
        except OSError as error:
            self.check()
            raise failure(self._url, "cannot open", error) from error

    def put(self, data: memoryview, *, patient: bool = True) -> None:
        """Write all, with ``written`` exact whatever happens; an impatient caller gives up where a patient one waits.

        Raises:
            PipeClosed: The reader has left.
            Stopped: ``stop`` was called, or the file is closed.
            DeliveryError: Anything else.
        """
        taken = 0
        try:
            while taken < len(data):
                if patient:
                    self.check()
                outlet = self._outlet
                now = outlet.take(data[taken:]) if outlet else 0
                if not now and not (patient and outlet):
                    raise Stopped(f"{self._url}: stopped before all was written")
                taken += now
                self.written += now
        except BrokenPipeError as error:
            raise PipeClosed(f"{self._url}: the reader closed the pipe") from error
        except OSError as error:
            raise failure(self._url, "cannot write", error) from error

    def cut_back(self, keep: int, tail: bytes = b"") -> None:
        """Let a regular file end after ``keep`` bytes and ``tail``, and count them as written; what cannot be cut stays as it is."""
        if self._outlet is not None and self._outlet.trim(self.written, keep):
            self.written = keep
            if tail:
                with contextlib.suppress(OSError):
                    self.written += self._outlet.take(memoryview(tail))

    def close(self) -> None:
        """Give the file back; raises ``DeliveryError`` when the system then says that something went wrong."""
        outlet, self._outlet = self._outlet, None
        if outlet is not None:
            try:
                outlet.close()
            except OSError as error:
                raise failure(self._url, "cannot close", error) from error

    @contextlib.contextmanager
    def at_work(self, end: Callable[[], None]) -> Iterator[None]:
        """Around every call that may block: when ``stop`` comes meanwhile, ``end`` is called afterwards."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            if self._stopped:
                end()

    def stop(self, end: Callable[[], None]) -> None:
        """Stop whatever is under way; with nothing under way, call ``end`` now."""
        self._stopped = True
        if not self._busy:
            end()

    def check(self) -> None:
        """Raise ``Stopped`` after ``stop``."""
        if self._stopped:
            raise Stopped(f"{self._url}: stopped before all was written")

    @property
    def is_open(self) -> bool:
        """Whether there is something to close."""
        return self._outlet is not None

    def _nap(self) -> bool:
        return wait_until(self._clock, self._clock.monotonic() + _NAP_S, lambda: self._stopped)
