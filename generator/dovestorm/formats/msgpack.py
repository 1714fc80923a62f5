"""A stream of msgpack maps with the keys and the nesting of the JSON format; every header as short as can be.

Source: the msgpack specification. Times are the same RFC 3339 texts, or float64 seconds.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from dovestorm.errors import FormatError
from dovestorm.formats.compiling import optional_column, utf8
from dovestorm.kernel.pieces import Op, Wrap

if TYPE_CHECKING:
    from dovestorm.batch import Layout, RecordKind
    from dovestorm.formats.compiling import Draft

__all__ = ["dialect"]


def dialect(layout: Layout, *, unix: bool) -> _Msgpack:
    """How msgpack looks."""
    return _Msgpack(layout.hostname, time=Op.FLOAT if unix else Op.RFC3339)


class _Msgpack:
    content_type = "application/msgpack"
    terminator = 0
    wrap = Wrap.PREFIX
    integer = Op.PACKED
    rows = None

    def __init__(self, hostname: str, *, time: Op) -> None:
        self.time = time
        self._hostname = hostname

    def escape(self, text: str) -> bytes:
        return utf8(text)

    def frame(self, length: int) -> tuple[bytes, bytes]:
        return _head(length, (32, 0xA0), {">BB": 0xD9, ">BH": 0xDA, ">BI": 0xDB}), b""

    def number(self, value: int) -> bytes:
        if -32 <= value < 128:
            return struct.pack(">b", value)
        if value >= 0:
            return _head(value, (0, 0), {">BB": 0xCC, ">BH": 0xCD, ">BI": 0xCE, ">BQ": 0xCF})
        return _negative(value)

    def listing(self, items: tuple[str, ...]) -> bytes:
        return _head(len(items), (16, 0x90), {">BH": 0xDC, ">BI": 0xDD}) + b"".join(map(self._text, items))

    def record(self, kind: RecordKind, draft: Draft) -> None:
        draft.literal(b"\x86")
        draft.text("event")
        draft.text(kind.event)
        draft.text("hostname")
        draft.text(self._hostname)
        draft.text("start_time")
        draft.time(0)
        draft.text("end_time")
        draft.time(1)
        draft.text("categories")
        draft.literal(self.listing(kind.categories))
        draft.text("fields")
        self._map(kind, draft)
        for slot in kind.fields:
            with draft.unless_absent(slot):
                draft.text(slot.name)
                draft.value(slot)

    def _text(self, text: str) -> bytes:
        inner = utf8(text)
        return self.frame(len(inner))[0] + inner

    def _map(self, kind: RecordKind, draft: Draft) -> None:
        """The header says how many fields follow, so the optional ones are counted first."""
        columns = [column for slot in kind.fields if (column := optional_column(slot)) is not None]
        certain = len(kind.fields) - len(columns)
        if not columns:
            draft.literal(_head(certain, (16, 0x80), {">BH": 0xDE, ">BI": 0xDF}))
            return
        for column in columns:
            draft.piece(Op.COUNT, column)
        draft.piece(Op.MAP, certain)


def _head(number: int, small: tuple[int, int], forms: dict[str, int]) -> bytes:
    """The first form that can hold the number: inside the first byte, else behind it."""
    limit, first = small
    if number < limit:
        return bytes([first | number])
    for form, first_byte in forms.items():
        if number < 256 ** (struct.calcsize(form) - 1):
            return struct.pack(form, first_byte, number)
    raise FormatError(f"msgpack cannot hold a text or list of size {number}")


def _negative(value: int) -> bytes:
    for form, first_byte in ((">Bb", 0xD0), (">Bh", 0xD1), (">Bi", 0xD2), (">Bq", 0xD3)):
        if value >= -(256 ** (struct.calcsize(form) - 1) // 2):
            return struct.pack(form, first_byte, value)
    raise FormatError(f"msgpack cannot hold the integer {value}")
