"""The servers behind a consumer: connections (TCP, TLS, Unix, HTTP) and datagrams (UDP, Unix). Each runs in threads of its own."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from dovestorm.receive.framing import make_framer, single_record
from dovestorm.receive.listening import bind, forget, identity, tls_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from dovestorm.receive.intake import Intake
    from dovestorm.receive.place import Place

__all__ = ["Server", "make_server"]

_BUFFER = 1 << 20
_CHECKED_BUFFER = 1 << 16
"""Checking takes longer than counting; who waits for the intake, such as Ctrl-C, shall not wait for long."""
_HANDSHAKE_S = 10.0
_CLOSING_S = 0.2
"""When a server is closed, what has arrived by then is still read for so long."""
_BREATH_S = 0.05


class Server(Protocol):
    """Something that is bound from when it is made, and receives from ``start`` to ``close``."""

    port: int

    def start(self, intake: Intake) -> None:
        """Begin to receive."""

    def close(self) -> None:
        """Stop listening, read what has arrived, and end every connection; waits for the threads."""


def make_server(place: Place, layout: str) -> Server:
    """Listen at a place.

    Raises:
        UsageError: The place is taken or not ours, or the certificate cannot be read.
    """
    return _Datagrams(place, layout) if place.scheme in {"udp", "unixgram"} else _Connections(place, layout)


class _Bell:
    """Wakes a thread that waits for a socket."""

    def __init__(self, listener: socket.socket) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._poll = select.poll()
        self._poll.register(listener, select.POLLIN)
        self._poll.register(self._theirs, select.POLLIN)
        self._rung = False

    def wait(self) -> bool:
        """Wait for the listener or the bell; False once the bell was rung."""
        if not self._rung:
            self._poll.poll()
        return not self._rung

    def ring(self) -> None:
        self._rung = True
        self._ours.send(b"!")

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class _Connections:
    """One thread accepts, one more serves each connection."""

    def __init__(self, place: Place, layout: str) -> None:
        self._place, self._layout = place, layout
        self._context = tls_context(place)
        self._listener = bind(place)
        self._mark = identity(place)
        self._listener.setblocking(False)
        self.port = 0 if place.path else self._listener.getsockname()[1]
        self._bell = _Bell(self._listener)
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._closing = self._hasty = False
        self._thread: threading.Thread | None = None

    def start(self, intake: Intake) -> None:
        serve = self._serve_requests if self._place.scheme in {"http", "https"} else self._serve_stream
        self._thread = threading.Thread(target=self._accept_all, args=(intake, serve), name="dovestorm-accept", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing = True
        forget(self._place, self._mark)
        self._bell.ring()
        if self._thread is not None:
            self._thread.join()
        self._listener.close()
        self._bell.close()
        end = time.monotonic() + _CLOSING_S
        self._end_all(socket.SHUT_RD)
        self._join(end)
        self._hasty = True
        self._end_all(socket.SHUT_RDWR)
        self._join(None)

    def _accept_all(self, intake: Intake, serve: Callable[[socket.socket, Intake], None]) -> None:
        while self._bell.wait():
            self._accept(intake, serve)
        while self._accept(intake, serve):
            pass  # Who was let in by the system before we closed is heard.

    def _accept(self, intake: Intake, serve: Callable[[socket.socket, Intake], None]) -> bool:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        except OSError:
            # One that went again, or no descriptor is left: others still come.
            time.sleep(_BREATH_S)
            return not self._closing
        thread = threading.Thread(target=self._serve, args=(connection, intake, serve), name="dovestorm-connection", daemon=True)
        with self._lock:
            self._open[thread] = connection
        intake.connected(1)
        try:
            thread.start()
        except RuntimeError:
            # The system gives no more threads: whoever called sees the connection end, and others still come.
            self._drop(thread, connection, intake)
            time.sleep(_BREATH_S)
        return True

    def _drop(self, thread: threading.Thread, connection: socket.socket, intake: Intake) -> None:
        with self._lock:
            # Not before: nobody may shut down a descriptor that has gone to someone else.
            connection.close()
            self._open.pop(thread, None)
        intake.connected(-1)

    def _serve(self, connection: socket.socket, intake: Intake, serve: Callable[[socket.socket, Intake], None]) -> None:
        try:
            connection.settimeout(_HANDSHAKE_S)
            if self._context is not None:
                connection = self._secured(connection, self._context)
            serve(connection, intake)
        except (OSError, ValueError):
            pass  # A connection that breaks is over like any other; what it cut off has been counted.
        finally:
            self._drop(threading.current_thread(), connection, intake)

    def _secured(self, connection: socket.socket, context: ssl.SSLContext) -> socket.socket:
        with self._lock:
            secured = context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
            self._open[threading.current_thread()] = secured
        try:
            secured.do_handshake()
        except OSError:
            secured.close()
            raise
        return secured

    def _serve_stream(self, connection: socket.socket, intake: Intake) -> None:
        framer = make_framer(self._layout, intake)
        buffer = bytearray(_CHECKED_BUFFER if intake.checks else _BUFFER)
        connection.settimeout(None)
        try:
            while size := connection.recv_into(buffer):
                framer.feed(buffer, size)
                if self._hasty:
                    break
        except OSError:
            pass  # Lost; what is cut off is counted below.
        if not self._closing:
            framer.finish()

    def _serve_requests(self, connection: socket.socket, intake: Intake) -> None:
        from dovestorm.receive.http import serve_requests

        serve_requests(connection, partial(single_record, layout=self._layout, intake=intake), intake, lambda: self._closing)

    def _end_all(self, how: int) -> None:
        with self._lock:
            for connection in self._open.values():
                with contextlib.suppress(OSError):
                    # An SSLSocket's own shutdown() would make a read that is under way go on in plain text.
                    socket.socket.shutdown(connection, how)

    def _join(self, end: float | None) -> None:
        with self._lock:
            threads = list(self._open)
        for thread in threads:
            thread.join(None if end is None else max(0.0, end - time.monotonic()))


class _Datagrams:
    def __init__(self, place: Place, layout: str) -> None:
        self._place, self._layout = place, layout
        self._socket = bind(place)
        self._mark = identity(place)
        self._socket.setblocking(False)
        self.port = 0 if place.path else self._socket.getsockname()[1]
        self._bell = _Bell(self._socket)
        self._thread: threading.Thread | None = None

    def start(self, intake: Intake) -> None:
        self._thread = threading.Thread(target=self._read_all, args=(intake,), name="dovestorm-datagrams", daemon=True)
        self._thread.start()

    def close(self) -> None:
        forget(self._place, self._mark)
        self._bell.ring()
        if self._thread is not None:
            self._thread.join()
        self._socket.close()
        self._bell.close()

    def _read_all(self, intake: Intake) -> None:
        buffer = bytearray(_BUFFER)
        while self._bell.wait():
            self._read(buffer, intake)
        end = time.monotonic() + _CLOSING_S
        while self._read(buffer, intake) and time.monotonic() < end:
            pass

    def _read(self, buffer: bytearray, intake: Intake) -> bool:
        try:
            size = self._socket.recv_into(buffer, 0, socket.MSG_TRUNC)  # the size that was sent, even where the buffer is smaller
        except OSError:
            return False
        if size > len(buffer):
            intake.too_large()
            return True
        single_record(bytes(buffer[:size]), self._layout, intake)
        return True
