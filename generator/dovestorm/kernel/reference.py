"""The kernel in plain Python: the same bytes and the same errors as the compiled one, slowly.

It serves where no C compiler was at hand, and tests hold the two against each other.
"""

from __future__ import annotations

import base64
import struct
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.errors import FormatError
from dovestorm.kernel.pieces import ABSENT, LAST_MICROSECOND, MAX_CALLS, MAX_DEPTH, Op, Reason, Template, Wrap, failure

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Walker"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MASK64 = 2**64 - 1


class _Stop(Exception):  # noqa: N818 - it is no error: it carries one out of the recursion
    def __init__(self, reason: Reason, detail: int = 0) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail


class Walker:
    """Walks records and the pieces of their template, and writes bytes."""

    def __init__(self, template: Template) -> None:
        if not isinstance(template, Template):
            raise TypeError(f"a Template is needed, not {type(template).__name__}")
        self._tables = _Tables(template)

    def render_into(
        self,
        kind: NDArray[np.int32],
        offset: NDArray[np.int64],
        values: NDArray[np.int64],
        *,
        first: int,
        out: NDArray[np.uint8],
        ends: NDArray[np.int64],
    ) -> tuple[int, int]:
        """Render the records from ``first`` on, as many as fit.

        Bytes of ``out`` behind the last record may be overwritten too.

        Args:
            kind: int32[n], each record's range in the template's ``kinds``.
            offset: int64[n], where its row begins in ``values``.
            values: int64[m].
            first: The record to begin with.
            out: uint8[], gets the bytes.
            ends: int64[], gets where each record ends in ``out``.

        Returns:
            How many records were rendered, and their bytes.

        Raises:
            FormatError: A record cannot be rendered. ``RecordTooLargeError`` when the first one does not fit.
        """
        if len(kind) != len(offset) or not 0 <= first <= len(kind):
            raise FormatError(f"batch: record {first} of {len(kind)} kinds and {len(offset)} offsets cannot be the first")
        capacity = len(out)
        size = 0
        for number in range(first, min(len(kind), first + len(ends))):
            walk = _Walk(self._tables, values, capacity - size)
            try:
                walk.record(int(kind[number]), int(offset[number]))
            except _Stop as stop:
                if stop.reason == Reason.FULL and number > first:
                    return number - first, size
                detail = capacity if stop.reason == Reason.FULL else stop.detail
                raise failure(stop.reason, number, detail) from None
            out[size : size + len(walk.written)] = np.frombuffer(walk.written, np.uint8)
            size += len(walk.written)
            ends[number - first] = size
        if first < len(kind) and not len(ends):
            raise failure(Reason.FULL, first, 0)
        return min(len(kind) - first, len(ends)), size


class _Tables:
    """A template as lists, which plain Python reads faster than arrays."""

    def __init__(self, template: Template) -> None:
        self.literals = template.literals.tobytes()
        self.pool = template.pool.tobytes()
        self.pieces: list[list[int]] = template.pieces.tolist()
        self.kinds: list[list[int]] = template.kinds.tolist()
        self.shapes: list[list[int]] = template.shapes.tolist()
        self.entries: list[list[int]] = template.entries.tolist()


class _Walk:
    """One record on its way to bytes."""

    def __init__(self, tables: _Tables, values: NDArray[np.int64], room: int) -> None:
        self._tables = tables
        self._values = values
        self._room = room
        self._calls = 0
        self.written = bytearray()

    def record(self, kind: int, offset: int) -> None:
        if not 0 <= kind < len(self._tables.kinds):
            raise _Stop(Reason.KIND, kind)
        begin, end, need = self._tables.kinds[kind]
        if offset < 0 or offset + need > len(self._values):
            raise _Stop(Reason.ROW, offset)
        self._run(begin, end, offset, 0)

    def _write(self, data: bytes) -> None:
        if len(self.written) + len(data) > self._room:
            raise _Stop(Reason.FULL)
        self.written += data

    def _run(self, begin: int, end: int, origin: int, depth: int) -> None:
        mark = -1
        counted = 0
        number = begin
        while number < end:
            op, literal, length, a, b, c, d = self._tables.pieces[number]
            number += 1
            self._write(self._tables.literals[literal : literal + length])
            match op:
                case Op.LITERAL:
                    pass
                case Op.INTEGER:
                    self._write(b"%d" % self._number(origin + a, b, c, d))
                case Op.PACKED:
                    self._write(_packed_integer(self._number(origin + a, b, c, d)))
                case Op.RFC3339 | Op.UNIX | Op.FLOAT:
                    self._write(_time(Op(op), self._column(origin + a)))
                case Op.TEXT:
                    self._text(origin + a, Wrap(b), depth)
                case Op.PART:
                    self._part(origin + a, self._number(origin + a, b, c, d), depth)
                case Op.ADDRESS:
                    self._write(".".join(map(str, _octets(self._number(origin + a, b, c, d)))).encode())
                case Op.SESSION:
                    address = _octets(self._column(origin + a + 1))
                    head = (self._column(origin + a) & _MASK64).to_bytes(8, "little")
                    self._write(base64.b64encode(head + address))
                case Op.SKIP:
                    number += b if self._column(origin + a) == ABSENT else 0
                case Op.SEPARATOR:
                    if not self.written or self.written[-1] != a:
                        self._write(bytes([b]))
                case Op.OPEN:
                    mark = self._open()
                case Op.CLOSE:
                    if mark < 0:
                        raise _Stop(Reason.UNOPENED, number - 1)
                    self._close(mark)
                case Op.COUNT:
                    counted += self._column(origin + a) != ABSENT
                case Op.MAP:
                    self._write(_map_head(a + counted))
                    counted = 0

    def _column(self, at: int) -> int:
        return int(self._values[at])

    def _number(self, at: int, shift: int, mask: int, base: int) -> int:
        value = ((self._column(at) >> shift) & mask) + base
        if not -(2**63) <= value < 2**63:
            raise _Stop(Reason.OVERFLOW, base)
        return value

    def _text(self, at: int, wrap: Wrap, depth: int) -> None:
        value = self._column(at)
        if value >= 0:
            self._pooled(value, 0)
            return
        if wrap is Wrap.NONE:
            self._shape(~value, at + 1, depth)
        elif wrap is Wrap.QUOTES:
            self._write(b'"')
            self._shape(~value, at + 1, depth)
            self._write(b'"')
        else:
            mark = self._open()
            self._shape(~value, at + 1, depth)
            self._close(mark)

    def _part(self, at: int, value: int, depth: int) -> None:
        if value >= 0:
            self._pooled(value, 2)
        else:
            self._shape(~value, at + 1, depth)

    def _pooled(self, text: int, side: int) -> None:
        if text >= len(self._tables.entries):
            raise _Stop(Reason.TEXT, text)
        begin, end = self._tables.entries[text][side : side + 2]
        if begin < 0:
            raise _Stop(Reason.LIST, text)
        self._write(self._tables.pool[begin:end])

    def _shape(self, shape: int, origin: int, depth: int) -> None:
        if shape >= len(self._tables.shapes):
            raise _Stop(Reason.SHAPE, shape)
        if depth >= MAX_DEPTH:
            raise _Stop(Reason.DEPTH, shape)
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise _Stop(Reason.CALLS, shape)
        begin, end, need = self._tables.shapes[shape]
        if origin + need > len(self._values):
            raise _Stop(Reason.ROW, origin)
        self._run(begin, end, origin, depth + 1)

    def _open(self) -> int:
        self._write(b"\0")
        return len(self.written) - 1

    def _close(self, mark: int) -> None:
        length = len(self.written) - mark - 1
        head = _text_head(length)
        if len(self.written) + len(head) - 1 > self._room:
            raise _Stop(Reason.FULL)
        self.written[mark : mark + 1] = head


def _octets(address: int) -> bytes:
    if not 0 <= address < 2**32:
        raise _Stop(Reason.ADDRESS, address)
    return address.to_bytes(4, "big")


def _time(op: Op, microseconds: int) -> bytes:
    if not 0 <= microseconds <= LAST_MICROSECOND:
        raise _Stop(Reason.TIME, microseconds)
    if op is Op.RFC3339:
        return f"{_EPOCH + timedelta(microseconds=microseconds):%Y-%m-%dT%H:%M:%S.%fZ}".encode()
    if op is Op.UNIX:
        return b"%d.%06d" % divmod(microseconds, 1_000_000)
    return struct.pack(">Bd", 0xCB, microseconds / 1e6)


def _packed_integer(value: int) -> bytes:
    if -32 <= value < 128:
        return struct.pack(">b", value)
    if value >= 0:
        size = 1 if value < 2**8 else 2 if value < 2**16 else 4 if value < 2**32 else 8
        return {1: b"\xcc", 2: b"\xcd", 4: b"\xce", 8: b"\xcf"}[size] + value.to_bytes(size, "big")
    size = 1 if value >= -(2**7) else 2 if value >= -(2**15) else 4 if value >= -(2**31) else 8
    return {1: b"\xd0", 2: b"\xd1", 4: b"\xd2", 8: b"\xd3"}[size] + value.to_bytes(size, "big", signed=True)


def _text_head(length: int) -> bytes:
    if length < 32:
        return bytes([0xA0 | length])
    if length < 2**8:
        return struct.pack(">BB", 0xD9, length)
    if length < 2**16:
        return struct.pack(">BH", 0xDA, length)
    if length < 2**32:
        return struct.pack(">BI", 0xDB, length)
    raise _Stop(Reason.LENGTH, length)


def _map_head(size: int) -> bytes:
    if size < 16:
        return bytes([0x80 | size])
    return struct.pack(">BH", 0xDE, size) if size < 2**16 else struct.pack(">BI", 0xDF, size)
