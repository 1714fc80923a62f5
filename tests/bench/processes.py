"""Running programs and weighing them: wall time, processor time, peak resident memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

RECEIVE_BYTES = 1 << 20
MIB = 1 << 20
KEEP_OF_ERRORS = 400


class NotMeasuredError(Exception):
    """Why a row has no figure."""


@dataclass(frozen=True)
class Run:
    """What a finished program took. Memory is that of the largest of its processes."""

    seconds: float
    cpu_seconds: float
    peak_mib: float
    output: str


def run(command: Sequence[str], *, cores: int | None = None, ok: Sequence[int] = (0,), limit_s: float = 900) -> Run:
    """Run a program to its end. With ``cores``, it and its children are bound to that many."""
    allowed = sorted(os.sched_getaffinity(0))

    def bind() -> None:
        if cores:
            os.sched_setaffinity(0, allowed[:cores])

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begun = time.perf_counter()
        try:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, preexec_fn=bind)  # noqa: PLW1509 - no threads share its state
        except OSError as error:
            message = f"{command[0]}: {error.strerror}"
            raise NotMeasuredError(message) from error
        killer = threading.Timer(limit_s, child.kill)
        killer.start()
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - begun
        killer.cancel()
        child.returncode = code = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        output = out.read().decode(errors="replace")
        errors = err.read().decode(errors="replace")
    if code not in ok:
        message = f"exit {code}: {' '.join(command[:4])} ...: {errors.strip()[-KEEP_OF_ERRORS:] or output.strip()[-KEEP_OF_ERRORS:]}"
        raise NotMeasuredError(message)
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / MIB, output + errors)


class Discard:
    """A TCP listener in a process of its own that counts bytes and throws them away.

    Args:
        reads: Whether it copies them into its memory first, as any consumer must; else Linux drops them unread.
    """

    def __init__(self, *, reads: bool = False) -> None:
        self._what = "read" if reads else "discard"

    def __enter__(self) -> Self:
        self._child = subprocess.Popen([sys.executable, __file__, self._what], stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self.port = int(self._child.stdout.readline())
        return self

    def received(self) -> int:
        """Bytes of the connection that ends next; waits for it."""
        assert self._child.stdout is not None
        return int(self._child.stdout.readline())

    def __exit__(self, *_: object) -> None:
        self._child.terminate()
        self._child.wait()
        assert self._child.stdout is not None
        self._child.stdout.close()


def discard(*, reads: bool) -> None:
    """The listener's own program: prints its port, then the bytes of each connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_swallow, args=(connection, reads), daemon=True).start()


def _swallow(connection: socket.socket, reads: bool) -> None:  # noqa: FBT001 - a thread's arguments have no names
    truncate = getattr(socket, "MSG_TRUNC", 0) if sys.platform == "linux" and not reads else 0
    buffer = bytearray(RECEIVE_BYTES)
    total = 0
    with connection:
        while count := connection.recv_into(buffer, RECEIVE_BYTES, truncate):
            total += count
    print(total, flush=True)


if __name__ == "__main__" and sys.argv[1:] in (["discard"], ["read"]):
    discard(reads=sys.argv[1] == "read")
