"""Cutting what a connection brings into records."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dovestorm.receive.intake import Intake

__all__ = ["FORMATS", "LARGEST_RECORD", "Framer", "guess_format", "make_framer", "single_record"]

FORMATS = ("auto", "json", "tab-text", "msgpack")
LARGEST_RECORD = 16 << 20
"""Bytes; a larger record is counted and passed over."""


class Framer(Protocol):
    """Takes a connection's bytes as they come."""

    def feed(self, buffer: bytearray, size: int) -> None:
        """Take the first ``size`` bytes of the buffer, which may be used again afterwards."""

    def finish(self) -> None:
        """The connection is over: what is left is a record that was cut off."""


def guess_format(beginning: bytes) -> str:
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
        count = buffer.count(b"\n", 0, last + 1)
        begin = 0
        first = buffer.find(b"\n", 0, size)
        if self._tail_size + first > LARGEST_RECORD:
            self._intake.too_large()
            begin, count = first + 1, count - 1
            self._tail_size = 0
            self._tail.clear()
        if self._intake.looks:
            if begin <= last:
                self._intake.lines(bytes(self._tail) + bytes(buffer[begin : last + 1]))
        elif count:
            self._intake.count(count, self._tail_size + last + 1 - begin)
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
    """MessagePack maps one after another."""

    def __init__(self, intake: Intake) -> None:
        import msgpack

        self._intake = intake
        self._error = msgpack.UnpackException
        self._unpacker = msgpack.Unpacker(raw=False, max_buffer_size=LARGEST_RECORD + (4 << 20), strict_map_key=False, unicode_errors="replace")
        self._tail = bytearray()
        self._done = 0
        self._lost = False

    def feed(self, buffer: bytearray, size: int) -> None:
        if self._lost or not size:
            return
        piece = bytes(buffer[:size])
        self._tail += piece
        records = []
        try:
            self._unpacker.feed(piece)
            records.extend(self._unpacker)
        except (self._error, ValueError, RecursionError) as error:
            self._lost = True
            reason = f"no MessagePack from here on: {error or type(error).__name__}"
        used = self._unpacker.tell() - self._done
        if records:
            self._intake.packed(bytes(self._tail[:used]), records)
            del self._tail[:used]
            self._done += used
        if self._lost:
            self._intake.broken(reason)

    def finish(self) -> None:
        if self._tail and not self._lost:
            self._intake.broken(f"the connection ended inside a record, after {len(self._tail)} bytes of it")


def single_record(data: bytes, layout: str, intake: Intake) -> None:
    """Take a datagram or a request body: one record, or several lines."""
    if not data:
        return
    if (guess_format(data) if layout == "auto" else layout) == "msgpack":
        framer = _Packed(intake)
        framer.feed(bytearray(data), len(data))
        framer.finish()
    elif data.endswith(b"\n"):
        intake.lines(data)
    elif b"\n" in data:
        intake.lines(data + b"\n")
    else:
        intake.record(data, line=True)
