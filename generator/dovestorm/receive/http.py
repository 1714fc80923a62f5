"""The HTTP side of a consumer: events come in the bodies of POST and PUT requests."""

from __future__ import annotations

import contextlib
import re
import socket
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
_LENGTH = re.compile(r"[0-9]{1,15}")
_LINGER_S = 0.5
_LINGER_BYTES = 2 * LARGEST_BODY


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
    # The base class does all its work in its initialisation.
    handler.__init__(connection, ("", 0), None)  # type: ignore[misc, arg-type]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = 0
    take: Callable[[bytes], None]
    intake: Intake
    is_closing: Callable[[], bool]
    refused = False

    def setup(self) -> None:
        if self.request.family != socket.AF_UNIX:
            self.disable_nagle_algorithm = True
        super().setup()

    def do_POST(self) -> None:
        """Take the body, then answer."""
        body = self._body()
        if body is None:
            return
        self.take(body)
        if self.is_closing():
            self.close_connection = True
        if self.intake.failure is not None:
            self._refuse(507, "what was received can no longer be written")
            return
        self.send_response(200)
        self.send_header("Content-Length", "0")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    do_PUT = do_POST  # noqa: N815 - the name that the base class looks for

    def _body(self) -> bytes | None:
        if self.headers.get("Transfer-Encoding", "").strip().lower() == "chunked":
            return self._chunks()
        length = self.headers.get("Content-Length", "").strip()
        if not _LENGTH.fullmatch(length):
            return self._refuse(413, "the body is too large") if length.isdecimal() else self._refuse(411, "a Content-Length is needed")
        if int(length) > LARGEST_BODY:
            return self._refuse(413, f"a body has at most {LARGEST_BODY} bytes")
        body = bytearray()
        if self._read(body, int(length)):
            return bytes(body)
        return self._cut(f"{len(body)} of {length}")

    def _chunks(self) -> bytes | None:
        body = bytearray()
        while True:
            line = self._line()
            if line is None:
                return self._cut(len(body))
            size_text = line.split(b";")[0].strip()
            if not _CHUNK_SIZE.fullmatch(size_text):
                return self._refuse(400, "a chunk's size is wrong")
            size = int(size_text, 16)
            if len(body) + size > LARGEST_BODY:
                return self._refuse(413, f"a body has at most {LARGEST_BODY} bytes")
            if not size:
                break
            if not self._read(body, size):
                return self._cut(len(body))
            line = self._line()
            if line is None:
                return self._cut(len(body))
            if line.strip():
                return self._refuse(400, "a chunk is longer than its size")
        while (line := self._line()) is None or line.strip():
            if line is None:
                return self._cut(len(body))
        return bytes(body)

    def _read(self, body: bytearray, size: int) -> bool:
        """Add ``size`` bytes to ``body``; False when the connection ended before."""
        left = size
        while left:
            try:
                piece = self.rfile.read1(min(left, 1 << 20))  # type: ignore[attr-defined]
            except OSError:
                return False
            if not piece:
                return False
            body += piece
            left -= len(piece)
        return True

    def _line(self) -> bytes | None:
        """A line of the chunked framing; None when the connection ended before."""
        try:
            line = self.rfile.readline(_LINE)
        except OSError:
            return None
        return line if line.endswith(b"\n") or len(line) == _LINE else None

    def _cut(self, size: object) -> None:
        self.close_connection = True
        if not self.is_closing():
            self.intake.broken(f"the connection ended inside a body, after {size} bytes of it")

    def _refuse(self, code: int, reason: str) -> None:
        if code == 413:
            self.intake.too_large()
        self.send_error(code, reason)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer, and let the connection end with it: what is still to come cannot be told apart."""
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
        socket.socket.shutdown(self.connection, socket.SHUT_WR)
        self.connection.settimeout(_LINGER_S)
        left = _LINGER_BYTES
        while left > 0 and not self.is_closing() and (piece := self.rfile.read1(1 << 16)):  # type: ignore[attr-defined]
            left -= len(piece)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Requests are counted, not logged."""
