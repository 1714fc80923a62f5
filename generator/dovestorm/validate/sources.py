"""Reading a file or standard input in pieces, unpacked if it is compressed."""

from __future__ import annotations

import gzip
import sys
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, cast

import zstandard

from dovestorm.errors import InputError
from dovestorm.validate.json_lines import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["chunks", "detect"]

_CHUNK = 256 * 1024
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_TAB_TEXT = (b"event:", b"hostname:", b"start_time:")


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


class _Rejoined:
    """The first bytes, put back before the rest; a read gives what is there, so a live stream is not held up."""

    def __init__(self, head: bytes, rest: IO[bytes]) -> None:
        self._head = head
        self._rest = rest

    def read(self, size: int = -1, /) -> bytes:
        if self._head:
            size = len(self._head) if size < 0 else size
            taken, self._head = self._head[:size], self._head[size:]
            return taken
        read1 = getattr(self._rest, "read1", None)
        return cast(bytes, read1(size) if read1 is not None and size >= 0 else self._rest.read(size))


def chunks(path: str | Path) -> Iterator[bytes]:
    """The bytes of a file, or of standard input for ``-``; gzip and zstd are recognised by their first bytes and unpacked piece by piece.

    Raises:
        InputError: There is no such file, or it cannot be opened.
        UnreadableError: Compressed data that end too early or are damaged; what came before was given.
    """
    if str(path) == "-":
        yield from _unpacked(sys.stdin.buffer)
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 - opening and reading fail differently
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error}), must be a readable file or -") from None
    with file:
        yield from _unpacked(file)


def _unpacked(file: IO[bytes]) -> Iterator[bytes]:
    head = b""
    try:
        while len(head) < len(_ZSTD) and (more := _Rejoined(b"", file).read(_CHUNK)):
            head += more
    except OSError as error:
        raise InputError(f"{getattr(file, 'name', 'input')}: cannot be read ({error.strerror or error})") from None
    source = _Rejoined(head, file)
    reader: _Readable = source
    if head.startswith(_GZIP):
        reader = cast(_Readable, gzip.GzipFile(fileobj=cast(IO[bytes], source), mode="rb"))
    elif head.startswith(_ZSTD):
        reader = zstandard.ZstdDecompressor().stream_reader(cast(IO[bytes], source), read_across_frames=True)
    while True:
        try:
            chunk = reader.read(_CHUNK)
        except (EOFError, zlib.error, zstandard.ZstdError, gzip.BadGzipFile) as error:
            raise UnreadableError(f"the compressed data are damaged or cut off: {error}") from None
        except OSError as error:
            raise InputError(f"{getattr(file, 'name', 'input')}: cannot be read ({error.strerror or error})") from None
        if not chunk:
            return
        yield chunk


def detect(head: bytes) -> str:
    """The format of a stream by its first bytes: ``json``, ``tab-text`` or ``msgpack``; what looks like none is read as JSON lines."""
    first = head.lstrip()
    if first.startswith(_TAB_TEXT):
        return "tab-text"
    if head and (0x80 <= head[0] <= 0x8F or head[0] in {0xDE, 0xDF}):
        return "msgpack"
    return "json"
