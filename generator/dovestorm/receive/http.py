"""The HTTP side of a consumer: events come in the bodies of POST and PUT requests."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.receive.intake import Intake

__all__ = ["LARGEST_BODY", "serve_requests"]

LARGEST_BODY = 64 << 20
"""Bytes; a larger body is refused with 413."""

_LINE = 8192
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,15}")
_LENGTH = re.compile(r"[0-9]+")
_DIGITS = 15
_PIECE = 1 << 20
_LINGER_S = 0.5
_LINGER_TOTAL_S = 5.0


def serve_requests(connection: socket.socket, take: Callable[[bytes], None], intake: Intake, is_closing: Callable[[], bool]) -> None:
    """Answer a connection's requests until it ends.

    Args:
        connection: Ready to read; the caller closes it.
        take: Gets each body.
        intake: Is told what was cut off or too large.
        is_closing: Says when no further request is wanted.
    """
    handler = _Handler.__new__(_Handler)
    handler.take, handler.intake, handler.is_closing = take, intake, is_closing
    # The base class does all its work in its initialisation; the server it asks for is never used.
    handler.__init__(connection, ("", 0), None)  # type: ignore[misc]


class _CutOffError(Exception):
    """The connection ended inside a body; carries how much of it came."""


class _RefusedError(Exception):
    """A request that is not taken; carries the status and the reason."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = 0
    default_request_version = "HTTP/1.1"  # with the usual 0.9, the answer to an unreadable request would have no status
    disable_nagle_algorithm = True
    take: Callable[[bytes], None]
    intake: Intake
    is_closing: Callable[[], bool]
    refused = False

    def do_POST(self) -> None:
        """Take the body, then answer."""
        try:
            self._take_body()
        except _RefusedError as error:
            code, reason = error.args
            if code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
                self.intake.too_large()
            self.send_error(code, reason)
        except _CutOffError as error:
            self.close_connection = True
            if not self.is_closing():
                self.intake.broken(f"the connection ended inside a body, after {error.args[0]} bytes of it")

    do_PUT = do_POST  # noqa: N815 - the name that the base class looks for

    def _take_body(self) -> None:
        chunked = self.headers.get("Transfer-Encoding", "").strip().lower() == "chunked"
        self.take(self._chunks() if chunked else self._whole())
        if self.intake.failure is not None:
            raise _RefusedError(HTTPStatus.INSUFFICIENT_STORAGE, "what was received can no longer be written")
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", "0")
        if self.is_closing():
            self.send_header("Connection", "close")
        self.end_headers()

    def _whole(self) -> bytes:
        length = self.headers.get("Content-Length", "").strip()
        if not _LENGTH.fullmatch(length):
            raise _RefusedError(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed")
        body = bytearray()
        self._read(body, int(length[-_DIGITS:]) if len(length.lstrip("0")) <= _DIGITS else LARGEST_BODY + 1)
        return bytes(body)

    def _chunks(self) -> bytes:
        body = bytearray()
        while size := self._chunk_size(body):
            self._read(body, size)
            if self._line(body).strip():
                raise _RefusedError(HTTPStatus.BAD_REQUEST, "a chunk is longer than its size")
        while self._line(body).strip():
            pass  # Trailers mean nothing to us.
        return bytes(body)

    def _chunk_size(self, body: bytearray) -> int:
        text = self._line(body).split(b";")[0].strip()
        if not _CHUNK_SIZE.fullmatch(text):
            raise _RefusedError(HTTPStatus.BAD_REQUEST, "a chunk's size is wrong")
        return int(text, 16)

    def _read(self, body: bytearray, size: int) -> None:
        """Add ``size`` bytes to the body."""
        if len(body) + size > LARGEST_BODY:
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a body has at most {LARGEST_BODY} bytes")
        end = len(body) + size
        while len(body) < end:
            try:
                piece = self.rfile.read1(min(end - len(body), _PIECE))
            except OSError:
                piece = b""
            if not piece:
                raise _CutOffError(len(body))
            body += piece

    def _line(self, body: bytearray) -> bytes:
        """A line of the chunks' framing."""
        try:
            line = self.rfile.readline(_LINE)
        except OSError:
            line = b""
        if not line.endswith(b"\n") and len(line) < _LINE:
            raise _CutOffError(len(body))
        return line

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer, and let the connection end with it: where the next request begins is not sure."""
        self.close_connection = self.refused = True
        with contextlib.suppress(OSError):
            super().send_error(code, message, explain)

    def finish(self) -> None:
        """Before the end, read on for a moment after a refusal: a reset would take the answer away from a client that still sends."""
        if self.refused:
            with contextlib.suppress(OSError, ValueError):
                self._linger()
        super().finish()

    def _linger(self) -> None:
        # An SSLSocket's own shutdown() would make the reads go on in plain text.
        socket.socket.shutdown(self.connection, socket.SHUT_WR)
        self.connection.settimeout(_LINGER_S)
        end = time.monotonic() + _LINGER_TOTAL_S
        while time.monotonic() < end and not self.is_closing() and self.rfile.read1(_PIECE):
            pass

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are counted, not logged."""
