"""Reading the answers of an HTTP/1 server; only what a sender must know of them."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MalformedReplyError", "Reply", "ReplyReader"]

_STATUS = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([^\r\n]*))?\r?\n")
_LENGTH = re.compile(rb"(?im)^content-length:[ \t]*([0-9]{1,15})[ \t]*\r?$")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding:[^\r\n]*\bchunked[ \t]*\r?$")
_CLOSE = re.compile(rb"(?im)^connection:[^\r\n]*\bclose\b")
_KEEP = re.compile(rb"(?im)^connection:[^\r\n]*\bkeep-alive\b")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEAD = 65_536
_WITHOUT_BODY = frozenset({204, 304})


class MalformedReplyError(OSError):
    """What came back is not HTTP/1."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: its status, the server's word for it, and whether the connection may be used again."""

    status: int
    reason: str
    reusable: bool


class ReplyReader:
    """Reads one answer after another from a connection.

    Args:
        receive: Gives the next bytes, empty at the end of the stream.
    """

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._ahead = b""

    def read(self) -> Reply:
        """Read one answer and throw its body away; raises ``OSError`` when the stream ends early or makes no sense."""
        while True:
            head = self._head()
            match = _STATUS.match(head)
            if match is None:
                raise MalformedReplyError(f"it answered {head[:40]!r}, which is not HTTP/1; is this a web server?")
            status = int(match[2])
            if status >= 200:
                break
        ended = self._skip_body(status, head)
        persistent = bool(_KEEP.search(head)) if match[1] == b"0" else not _CLOSE.search(head)
        return Reply(status, (match[3] or b"").decode("latin-1").strip(), persistent and not ended)

    def _head(self) -> bytes:
        start = 0
        while True:
            found = _HEAD_END.search(self._ahead, max(0, start - 3))
            if found:
                head, self._ahead = self._ahead[: found.end()], self._ahead[found.end() :]
                return head
            start = len(self._ahead)
            if start > _LONGEST_HEAD:
                raise MalformedReplyError(f"the head of its answer is longer than {_LONGEST_HEAD:,} bytes; is this a web server?")
            self._more()

    def _skip_body(self, status: int, head: bytes) -> bool:
        """Pass over the body; True when only the end of the stream ends it."""
        if status in _WITHOUT_BODY:
            return False
        if _CHUNKED.search(head):
            self._skip_chunks()
            return False
        length = _LENGTH.search(head)
        if length:
            self._skip(int(length[1]))
            return False
        self._ahead = b""
        while self._receive():
            pass
        return True

    def _skip_chunks(self) -> None:
        while True:
            line = self._line().partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,12}", line):
                raise MalformedReplyError(f"a chunk of its answer begins with {line[:20]!r}, it must be a length")
            size = int(line, 16)
            if not size:
                break
            self._skip(size)
            self._line()
        while self._line().strip():
            pass

    def _line(self) -> bytes:
        while b"\n" not in self._ahead:
            if len(self._ahead) > _LONGEST_HEAD:
                raise MalformedReplyError("a line of its answer has no end; is this a web server?")
            self._more()
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line

    def _skip(self, count: int) -> None:
        while count > len(self._ahead):
            count -= len(self._ahead)
            self._ahead = b""
            self._more()
        self._ahead = self._ahead[count:]

    def _more(self) -> None:
        got = self._receive()
        if not got:
            raise ConnectionResetError(errno.ECONNRESET, "the answer ended early")
        self._ahead += got
