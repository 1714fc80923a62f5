"""The servers behind a consumer: streams (TCP, TLS, Unix), datagrams (UDP, Unix) and HTTP. Each runs in threads of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import stat
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol

from dovestorm.errors import UsageError
from dovestorm.receive.framing import make_framer, single_record

if TYPE_CHECKING:
    from dovestorm.receive.intake import Intake
    from dovestorm.receive.place import Place

__all__ = ["Server", "make_server"]

_BUFFER = 1 << 20
_LARGEST_BODY = 64 << 20
_HANDSHAKE_S = 10.0
_LOOK_S = 0.2


class Server(Protocol):
    """Something that listens from when it is made until it is closed."""

    port: int

    def close(self) -> None:
        """Stop listening and end every connection; waits for the threads."""


def make_server(place: Place, layout: str, intake: Intake) -> Server:
    """Listen at a place.

    Raises:
        UsageError: The place is taken or not ours, or the certificate cannot be read.
    """
    if place.scheme in {"http", "https"}:
        return _Http(place, layout, intake)
    if place.scheme in {"udp", "unixgram"}:
        return _Datagrams(place, layout, intake)
    return _Streams(place, layout, intake)


def _bind(place: Place) -> socket.socket:
    if place.scheme in {"unix", "unixgram"}:
        return _bind_unix(place)
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_DGRAM if place.scheme == "udp" else socket.SOCK_STREAM)
    try:
        if place.scheme != "udp":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            with contextlib.suppress(OSError):
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        listener.bind((place.host, place.port))
    except OSError as error:
        listener.close()
        raise UsageError(f"{place.url(place.port)}: cannot listen there: {error.strerror or error}; choose another port (0 takes a free one)") from None
    return listener


def _bind_unix(place: Place) -> socket.socket:
    kind = socket.SOCK_DGRAM if place.scheme == "unixgram" else socket.SOCK_STREAM
    _clear_stale(place.path, kind)
    listener = socket.socket(socket.AF_UNIX, kind)
    try:
        listener.bind(place.path)
    except OSError as error:
        listener.close()
        raise UsageError(f"{place.url(0)}: cannot listen there: {error.strerror or error}") from None
    return listener


def _clear_stale(path: str, kind: int) -> None:
    """Remove a socket that nobody listens at any more; refuse anything else that is in the way."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"unix:{path}: a file that is no socket is in the way; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        try:
            probe.connect(path)
        except OSError:
            os.unlink(path)  # noqa: PTH108 - a socket's path is a plain string
            return
    raise UsageError(f"unix:{path}: somebody listens there already")


def _context(place: Place) -> ssl.SSLContext | None:
    if not place.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(place.certificate, place.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{place.scheme}: certificate {place.certificate} and key {place.key} cannot be used: {error}") from None
    return context


class _Streams:
    """One thread accepts, one more reads each connection."""

    def __init__(self, place: Place, layout: str, intake: Intake) -> None:
        self._place, self._layout, self._intake = place, layout, intake
        self._context = _context(place)
        self._listener = _bind(place)
        self._listener.listen(256)
        self._listener.settimeout(_LOOK_S)
        self.port = 0 if place.path else self._listener.getsockname()[1]
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, socket.socket] = {}
        self._thread = threading.Thread(target=self._accept, name="dovestorm-accept", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,), name="dovestorm-connection", daemon=True)
            with self._lock:
                self._open[thread] = connection
            self._intake.connected(1)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        framer = make_framer(self._layout, self._intake)
        try:
            connection.settimeout(_HANDSHAKE_S)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                with self._lock:
                    self._open[threading.current_thread()] = connection
            connection.settimeout(None)
            buffer = bytearray(_BUFFER)
            while (size := connection.recv_into(buffer)) and not self._closing.is_set():
                framer.feed(buffer, size)
        except (OSError, ValueError):
            pass  # A connection that breaks is over like any other: what it cut off is counted below.
        finally:
            connection.close()
            framer.finish()
            with self._lock:
                self._open.pop(threading.current_thread(), None)
            self._intake.connected(-1)

    def close(self) -> None:
        self._closing.set()
        self._listener.close()
        self._thread.join()
        with self._lock:
            rest = dict(self._open)
        for thread, connection in rest.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join()
        if self._place.path:
            with contextlib.suppress(OSError):
                os.unlink(self._place.path)  # noqa: PTH108


class _Datagrams:
    def __init__(self, place: Place, layout: str, intake: Intake) -> None:
        self._place, self._layout, self._intake = place, layout, intake
        self._socket = _bind(place)
        self._socket.settimeout(_LOOK_S)
        self.port = 0 if place.path else self._socket.getsockname()[1]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read, name="dovestorm-datagrams", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        while not self._closing.is_set():
            try:
                single_record(self._socket.recv(_BUFFER), self._layout, self._intake)
            except TimeoutError:
                continue
            except OSError:
                return

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        self._socket.close()
        if self._place.path:
            with contextlib.suppress(OSError):
                os.unlink(self._place.path)  # noqa: PTH108


class _Http:
    def __init__(self, place: Place, layout: str, intake: Intake) -> None:
        context = _context(place)
        listener = _bind(place)
        self._server = _HttpServer((place.host, place.port), _Handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = listener if context is None else context.wrap_socket(listener, server_side=True, do_handshake_on_connect=False)
        self._server.take = lambda data: single_record(data, layout, intake)
        self._server.intake = intake
        self._server.server_activate()
        self.port = listener.getsockname()[1] if context is None else self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="dovestorm-http", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()


class _HttpServer(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = False
    take: Any
    intake: Intake

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._connections: set[Any] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        self.intake.connected(1)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)
        self.intake.connected(-1)

    def hang_up(self) -> None:
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks is nothing to print a traceback for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60
    server: _HttpServer

    def do_POST(self) -> None:
        """Take the body, then answer."""
        body = self._body()
        if body is None:
            return
        self.server.take(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST  # noqa: N815 - the name that the base class looks for

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._chunks()
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._refuse(411, "a Content-Length is needed")
        if int(length) > _LARGEST_BODY:
            return self._refuse(413, f"a body has at most {_LARGEST_BODY} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            self.server.intake.broken(f"the connection ended inside a body, after {len(body)} of {length} bytes")
            return None
        return body

    def _chunks(self) -> bytes | None:
        body = bytearray()
        while True:
            try:
                size = int(self.rfile.readline(64).split(b";")[0], 16)
            except ValueError:
                return self._refuse(400, "a chunk's size is wrong")
            if size < 0 or len(body) + size > _LARGEST_BODY:
                return self._refuse(413, f"a body has at most {_LARGEST_BODY} bytes")
            body += self.rfile.read(size)
            self.rfile.readline(3)
            if size == 0:
                return bytes(body)

    def _refuse(self, code: int, reason: str) -> None:
        self.close_connection = True
        self.send_error(code, reason)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are counted, not logged."""
