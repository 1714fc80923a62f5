"""One connected socket that comes back after a loss, and that another thread can stop."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING

from dovestorm.errors import DeliveryError
from dovestorm.sinks.base import Stopped
from dovestorm.sinks.failure import failure
from dovestorm.sinks.retry import TICK_S, Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from dovestorm.sinks.base import Tally
    from dovestorm.sinks.dial import Dial
    from dovestorm.sinks.target import Options

__all__ = ["Connection"]

_STEADY_S = 1.0

_FAREWELL_S = 2.0
"""How long ``finish`` waits for the other side to close."""

_TLS_RECORD_BYTES = 16_384
_CHUNK_BYTES = 65_536


class Connection:
    """Sends over a socket that ``dial`` makes, and makes another one after a loss, within the limits of ``options``.

    ``send`` and ``receive`` raise ``OSError`` on a loss; the caller then calls ``lost``, and ``ensure`` before it goes on.
    """

    def __init__(self, url: str, dial: Dial, tally: Tally, *, options: Options) -> None:
        self._url = url
        self._dial = dial
        self._tally = tally
        self._clock = options.clock
        self._backoff = Backoff(options)
        self._sock: socket.socket | None = None
        self._held: socket.socket | None = None
        self._most = _CHUNK_BYTES
        self._since = 0.0
        self._met = False
        self._busy = False
        self._stopped = False

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        """Around everything that may block: ``abort`` leaves the closing to it."""
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            if self._stopped:
                self.drop()

    def is_stopped(self) -> bool:
        """Whether ``abort`` was called."""
        return self._stopped

    def ensure(self) -> bool:
        """Connect unless connected; True when the connection is a new one.

        Raises:
            DeliveryError: All attempts failed.
            Stopped: ``abort`` was called.
        """
        if self._sock is not None:
            return False
        while True:
            self._check()
            try:
                sock = self._dial(self._hold)
            except ssl.SSLCertVerificationError as error:
                raise failure(self._url, "cannot connect", error) from error
            except OSError as error:
                self.lost(error, "cannot connect")
            else:
                self._adopt(sock)
                return True

    def send(self, data: memoryview) -> int:
        """Give the kernel what it takes now, waiting a little; 0 when it took nothing.

        Raises:
            OSError: The connection is lost.
            Stopped: ``abort`` was called.
        """
        self._check()
        try:
            return self._open_socket().send(data[: self._most] if self._most else data)
        except TimeoutError:
            return 0

    def receive(self) -> bytes | None:
        """What has arrived, waiting a little; empty at the end of the stream, None when nothing came.

        Raises:
            OSError: The connection is lost.
            Stopped: ``abort`` was called.
        """
        self._check()
        try:
            return self._open_socket().recv(_CHUNK_BYTES)
        except TimeoutError:
            return None

    def arrived(self) -> bytes:
        """Some of what the other side has said by now, without waiting.

        Raises:
            OSError: It has closed, or the connection is lost.
            Stopped: ``abort`` was called.
        """
        self._check()
        sock = self._open_socket()
        sock.settimeout(0)
        try:
            said = sock.recv(_CHUNK_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        finally:
            sock.settimeout(TICK_S)
        if not said:
            raise ConnectionResetError(errno.ECONNRESET, "closed by the other side")
        return said

    def check_peer(self) -> None:
        """Throw away what the other side said; raise ``OSError`` when it has closed, before anything more is lost to it."""
        sock = self._open_socket()
        # Not asked by poll(): under gevent that hands over to every other greenlet, in the middle of a delivery that is being timed.
        sock.settimeout(0)
        try:
            while sock.recv(_CHUNK_BYTES):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            sock.settimeout(TICK_S)
        raise ConnectionResetError(errno.ECONNRESET, "closed by the other side")

    def check_error(self) -> None:
        """Raise what the kernel noted about an earlier datagram: a refusal comes after its send."""
        number = self._open_socket().getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, os.strerror(number))

    def lost(self, error: OSError, doing: str = "connection lost") -> None:
        """Drop the socket after ``error`` and wait before the next attempt.

        Raises:
            DeliveryError: No attempt is left.
            Stopped: ``abort`` was called.
        """
        self.drop()
        self.failed(error, doing)

    def failed(self, error: OSError, doing: str) -> None:
        """Wait before the next attempt, the connection being sound.

        Raises:
            DeliveryError: No attempt is left.
            Stopped: ``abort`` was called.
        """
        self._check()
        if not self._backoff.again(self.is_stopped):
            raise failure(self._url, doing, error) from error
        self._check()

    def succeeded(self) -> None:
        """The other side showed that it works: failures are counted from zero again."""
        self._backoff.succeeded()

    def is_steady(self) -> bool:
        """Whether the connection has held long enough to be called a success; one that is lost earlier may only have been let in."""
        return self._sock is not None and self._clock.monotonic() - self._since >= _STEADY_S

    def carry(self, count: int, send_from: Callable[[int], tuple[int, OSError | DeliveryError | None]]) -> None:
        """Bring ``count`` records over, going on after a loss with the first that was not taken whole; those that are given up are counted.

        Args:
            count: How many there are.
            send_from: Connects unless connected, sends the records from a number on, and gives the first that was not taken, and what
                stopped it.

        Raises:
            DeliveryError: No attempt is left, or what ``send_from`` gave is none that another attempt would mend.
            Stopped: ``abort`` was called.
        """
        first = 0
        try:
            with self.at_work():
                while first < count:
                    first, problem = send_from(first)
                    if isinstance(problem, OSError):
                        if self.is_steady():
                            self.succeeded()
                        self.lost(problem)
                    elif problem is not None:
                        raise problem
        except DeliveryError:
            self._tally.undelivered += count - first
            raise

    def drop(self) -> None:
        """Close the socket at once, without a farewell."""
        for sock in (self._sock, self._held):
            if sock is not None:
                sock.close()
        self._sock = self._held = None

    def finish(self) -> None:
        """End the stream and wait a little until the other side has closed too, so that nothing under way is thrown away.

        Raises:
            DeliveryError: The other side answered with a reset: it had not read all.
        """
        if self._sock is None:
            return
        try:
            self._say_farewell(self._sock)
        except ConnectionResetError as error:
            if not self._stopped:
                raise failure(self._url, "closed before all was read, the last events may be lost", error) from error
        except OSError:
            return
        finally:
            self.drop()

    def abort(self) -> None:
        """Stop whatever is under way, from any thread; nothing works afterwards."""
        self._stopped = True
        for sock in (self._sock, self._held):
            if sock is not None:
                with contextlib.suppress(OSError):
                    # An SSLSocket's own shutdown() would make a send that is under way go on in plain text.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)
        if not self._busy:
            self.drop()

    def _check(self) -> None:
        if self._stopped:
            raise Stopped(f"{self._url}: stopped before all was delivered")

    def _hold(self, sock: socket.socket) -> None:
        self._held = sock
        self._check()

    def _open_socket(self) -> socket.socket:
        if self._sock is None:
            raise ConnectionResetError(errno.ECONNRESET, "not connected")
        return self._sock

    def _adopt(self, sock: socket.socket) -> None:
        sock.settimeout(TICK_S)
        self._sock, self._held = sock, None
        self._most = _TLS_RECORD_BYTES if isinstance(sock, ssl.SSLSocket) else 0
        self._since = self._clock.monotonic()
        if self._met:
            self._tally.reconnects += 1
        self._met = True

    def _say_farewell(self, sock: socket.socket) -> None:
        if isinstance(sock, ssl.SSLSocket):
            sock.settimeout(_FAREWELL_S)
            with contextlib.suppress(TimeoutError):
                sock.unwrap()
            return
        sock.shutdown(socket.SHUT_WR)
        sock.settimeout(TICK_S)
        end = self._clock.monotonic() + _FAREWELL_S
        naps = 0
        while naps * TICK_S < _FAREWELL_S and self._clock.monotonic() < end and not self._stopped:
            try:
                if not sock.recv(_CHUNK_BYTES):
                    return
            except TimeoutError:
                naps += 1
