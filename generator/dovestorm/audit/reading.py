"""What a consumer wrote, from files or standard input, brought to an auditor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np

from dovestorm.audit.spool import LARGEST_KEPT
from dovestorm.errors import InputError
from dovestorm.validate.json_lines import UnreadableError
from dovestorm.validate.lines import LINE_LIMIT
from dovestorm.validate.sources import chunks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from dovestorm.audit.auditor import Auditor

__all__ = ["read_into"]

_PIECE = 1 << 20


def read_into(auditor: Auditor, path: str | Path) -> None:
    """Bring all records of a file, or of standard input for ``-``.

    Raises:
        InputError: The file cannot be read, or its compression is broken.
    """
    pieces = _pieces(chunks(path))
    try:
        if auditor.format == "msgpack" and not auditor.field:
            _packed(auditor, pieces)
        else:
            _lines(auditor, pieces)
    except UnreadableError as error:
        raise InputError(f"{path}: {error}; an audit needs all of it") from None


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Larger ones."""
    # Joined at once: a small part may lie in the room of a large one, and a thousand of them would hold a lot of it.
    held = bytearray()
    for part in parts:
        held += part
        if len(held) >= _PIECE:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)


def _lines(auditor: Auditor, pieces: Iterator[bytes]) -> None:
    tail, skipping = b"", False
    for piece in pieces:
        data = tail + piece if tail else piece
        end = data.rfind(b"\n") + 1
        if skipping and end:
            # The rest of a line that was too long; its beginning has been taken.
            data, skipping = data[data.find(b"\n") + 1 :], False
            end = data.rfind(b"\n") + 1
        if end:
            auditor.lines(data[:end])
        tail = b"" if skipping else data[end:]
        if len(tail) > LINE_LIMIT:
            auditor.record(tail[:LARGEST_KEPT])
            tail, skipping = b"", True
    if tail:
        auditor.record(tail)


def _packed(auditor: Auditor, pieces: Iterator[bytes]) -> None:
    """Records are only measured here. Behind bytes that are none, nothing is sure: what follows is one broken record."""
    import msgpack

    unpacker = cast(Any, msgpack).Unpacker(max_buffer_size=LINE_LIMIT + 2 * _PIECE, strict_map_key=False, raw=True)
    tail, begin = b"", 0
    for piece in pieces:
        data = tail + piece
        ends: list[int] = []
        broken = False
        try:
            unpacker.feed(piece)
            while True:
                unpacker.skip()
                ends.append(unpacker.tell() - begin)
        except msgpack.OutOfData:
            pass
        except (msgpack.UnpackException, ValueError, RecursionError):
            broken = True
        places = np.array(ends, np.int64)
        auditor.take(data, np.concatenate((np.zeros(1, np.int64), places[:-1])) if len(places) else places, places)
        used = ends[-1] if ends else 0
        tail, begin = data[used:], begin + used
        if broken or len(tail) > LINE_LIMIT:
            auditor.record(tail[:LARGEST_KEPT])
            return
    if tail:
        auditor.record(tail[:LARGEST_KEPT])
