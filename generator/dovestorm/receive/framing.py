"""Cutting what a connection brings into records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, cast

from dovestorm.receive.newlines import count_newlines

if TYPE_CHECKING:
    from dovestorm.receive.intake import Intake

__all__ = ["FORMATS", "LARGEST_RECORD", "Framer", "guess_format", "make_framer", "single_record"]

FORMATS = ("auto", "json", "tab-text", "msgpack")
LARGEST_RECORD = 16 << 20
"""Bytes; a larger record is counted and passed over."""

_PIECE = 1 << 20
_MOST_ITEMS = 100_000
"""A MessagePack list or map that says it has more is not believed: the decoder reserves memory for what is announced."""


class Framer(Protocol):
    """Takes a connection's bytes as they come."""

    def feed(self, buffer: bytearray, size: int) -> None:
        """Take the first ``size`` bytes of the buffer, which may be used again afterwards."""

    def finish(self) -> None:
        """The connection is over: what is left is a record that was cut off."""


def guess_format(beginning: bytes | bytearray) -> str:
    """The format that a stream with this first byte must have."""
    first = beginning[0]
    if first == ord("{"):
        return "json"
    return "msgpack" if 0x80 <= first <= 0x8F or first in {0xDE, 0xDF} else "tab-text"


def make_framer(layout: str, intake: Intake) -> Framer:
    """A framer for a format; ``auto`` decides by the first byte."""
    if layout == "auto":
        return _Guessing(intake)
    return _Packed(intake) if layout == "msgpack" else _Lines(intake)


def single_record(data: bytes, layout: str, intake: Intake) -> None:
    """Take a datagram or a request body: one record, or several."""
    if not data:
        return
    known = guess_format(data) if layout == "auto" else layout
    if known != "msgpack" and b"\n" not in data and len(data) <= LARGEST_RECORD:
        intake.record(data)
        return
    framer = make_framer(known, intake)
    for begin in range(0, len(data), _PIECE):
        piece = bytearray(data[begin : begin + _PIECE])
        framer.feed(piece, len(piece))
    if known != "msgpack" and not data.endswith(b"\n"):
        framer.feed(bytearray(b"\n"), 1)
    framer.finish()


class _Guessing:
    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._framer: Framer | None = None

    def feed(self, buffer: bytearray, size: int) -> None:
        if self._framer is None and size:
            self._framer = make_framer(guess_format(buffer[:1]), self._intake)
        if self._framer is not None:
            self._framer.feed(buffer, size)

    def finish(self) -> None:
        if self._framer is not None:
            self._framer.finish()


class _Lines:
    """Lines. Where nobody looks at records, newlines are counted in place and nothing is copied."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._tail = bytearray()
        self._tail_size = 0
        """Bytes since the last newline; more than ``_tail`` holds when the line is too long or nobody looks."""

    def feed(self, buffer: bytearray, size: int) -> None:
        last = buffer.rfind(b"\n", 0, size)
        if last < 0:
            self._hold(buffer, 0, size)
            return
        begin = 0
        first = buffer.find(b"\n", 0, size)
        if self._tail_size + first > LARGEST_RECORD:
            self._intake.too_large()
            begin = first + 1
            self._tail_size = 0
            self._tail.clear()
        if begin <= last:
            if self._intake.looks:
                with memoryview(buffer) as view:
                    self._intake.lines(b"".join((self._tail, view[begin : last + 1])))
            else:
                self._intake.count(count_newlines(buffer, begin, last + 1), self._tail_size + last + 1 - begin)
        self._tail_size = 0
        self._tail.clear()
        self._hold(buffer, last + 1, size)

    def _hold(self, buffer: bytearray, begin: int, end: int) -> None:
        self._tail_size += end - begin
        if self._intake.looks:
            if self._tail_size <= LARGEST_RECORD:
                self._tail += buffer[begin:end]
            else:
                self._tail.clear()

    def finish(self) -> None:
        if self._tail_size > LARGEST_RECORD:
            self._intake.too_large()
        elif self._tail_size:
            self._intake.broken(f"the connection ended inside a record, after {self._tail_size} bytes of it")
        self._tail_size = 0


class _Packed:
    """MessagePack maps one after another. Behind bytes that are none, nothing is sure: the rest of the connection is passed over."""

    def __init__(self, intake: Intake) -> None:
        import msgpack

        self._intake = intake
        self._full = msgpack.BufferFull
        self._errors = (msgpack.UnpackException, ValueError, RecursionError, MemoryError, TypeError, OverflowError)
        self._unpacker = cast(Any, msgpack).Unpacker(
            raw=False,
            max_buffer_size=LARGEST_RECORD + 2 * _PIECE,
            max_str_len=LARGEST_RECORD,
            max_bin_len=LARGEST_RECORD,
            max_ext_len=LARGEST_RECORD,
            max_array_len=_MOST_ITEMS,
            max_map_len=_MOST_ITEMS,
            strict_map_key=False,
            unicode_errors="surrogateescape",
        )
        self._tail = bytearray()
        """The bytes since the last whole record."""
        self._begin = 0
        """Where they begin in the stream."""
        self._lost = False

    def feed(self, buffer: bytearray, size: int) -> None:
        if self._lost:
            return
        records: list[Any] = []
        ends: list[int] = []
        reason, too_large = "", False
        self._tail += buffer[:size]
        try:
            self._unpacker.feed(buffer[:size])
            for record in self._unpacker:
                if not isinstance(record, dict):
                    reason = f"no map but {type(record).__name__}: no MessagePack events from here on"
                    break
                records.append(record)
                ends.append(self._unpacker.tell() - self._begin)
        except self._full:
            too_large = True
        except self._errors as error:
            reason = f"no MessagePack from here on: {error or type(error).__name__}"
        if records:
            self._intake.packed(bytes(self._tail[: ends[-1]]), records, ends)
            del self._tail[: ends[-1]]
            self._begin += ends[-1]
        if too_large or len(self._tail) > LARGEST_RECORD:
            self._intake.too_large()
        elif reason:
            self._intake.broken(reason)
        else:
            return
        self._lost = True
        self._tail.clear()

    def finish(self) -> None:
        if self._tail:
            self._intake.broken(f"the connection ended inside a record, after {len(self._tail)} bytes of it")
