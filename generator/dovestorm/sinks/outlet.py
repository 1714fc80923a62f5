"""Open files of every kind, behind one face: takes bytes without blocking for long, and can be cut back when it is a regular file."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import stat
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dovestorm.sinks.retry import TICK_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

__all__ = ["Outlet", "memory_outlet", "path_outlet", "standard_outlet"]

_SAFE_BYTES = 4096
"""A pipe, terminal or socket that polls as writable takes at least this much without blocking. Source: PIPE_BUF of Linux, pipe(7)."""

_NEW_FILE_MODE = 0o666


class Outlet:
    """Takes bytes for an open file.

    Args:
        take: Writes some bytes and gives how many; 0 when nothing could be written for a while.
        close: Gives the file back.
        trim_fd: The descriptor of a regular file, or None for what cannot be cut back.
    """

    def __init__(self, take: Callable[[memoryview], int], close: Callable[[], None], *, trim_fd: int | None = None) -> None:
        self.take = take
        self._close = close
        self._trim_fd = trim_fd
        self._origin = 0 if trim_fd is None else _end_of(trim_fd)

    def trim(self, written: int, keep: int) -> bool:
        """Cut the last ``written`` bytes back to ``keep``; False where others write too, or where it cannot be done."""
        if self._trim_fd is None:
            return False
        try:
            if os.fstat(self._trim_fd).st_size != self._origin + written:
                return False
            os.ftruncate(self._trim_fd, self._origin + keep)
            os.lseek(self._trim_fd, self._origin + keep, os.SEEK_SET)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Give the file back; a second call does nothing."""
        close, self._close = self._close, lambda: None
        self._trim_fd = None
        close()


def path_outlet(path: str, wait: Callable[[], bool]) -> Outlet:
    """Create or empty a file, or open a device or a named pipe; ``wait`` passes a moment until a named pipe has a reader, or says False."""
    while True:
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, _NEW_FILE_MODE)
        except OSError as error:
            waits_for_reader = error.errno == errno.ENXIO and stat.S_ISFIFO(Path(path).stat().st_mode)
            if not (waits_for_reader and wait()):
                raise
        else:
            return _outlet(fd, partial(os.close, fd), nonblocking=True)


def standard_outlet(fd: int) -> Outlet:
    """An inherited descriptor, which stays open. A pipe is opened anew, so that others who hold it keep their blocking writes."""
    if stat.S_ISFIFO(os.fstat(fd).st_mode):
        with contextlib.suppress(OSError):
            own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            return _outlet(own, lambda: os.close(own), nonblocking=True)
    return _outlet(fd, lambda: None, nonblocking=False)


def memory_outlet(stream: BinaryIO) -> Outlet:
    """A standard output that someone replaced by an object."""

    def take(data: memoryview) -> int:
        stream.write(data)
        return len(data)

    return Outlet(take, stream.flush)


def _outlet(fd: int, close: Callable[[], None], *, nonblocking: bool) -> Outlet:
    mode = os.fstat(fd).st_mode
    if stat.S_ISREG(mode):
        return Outlet(lambda data: os.write(fd, data), close, trim_fd=fd)
    if stat.S_ISCHR(mode) and not os.isatty(fd):
        return Outlet(lambda data: os.write(fd, data), close)
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    most = None if nonblocking else _SAFE_BYTES

    def take(data: memoryview) -> int:
        if not poll.poll(TICK_S * 1000):
            return 0
        try:
            return os.write(fd, data[:most])
        except BlockingIOError:
            return 0

    return Outlet(take, close)


def _end_of(fd: int) -> int:
    """Where the next write to a regular file goes; one that is opened for appending writes at its end."""
    import fcntl

    if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
        return os.fstat(fd).st_size
    return os.lseek(fd, 0, os.SEEK_CUR)
