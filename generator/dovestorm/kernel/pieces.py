"""The kernel's language: what a compiled template is made of, and what can go wrong while it is walked.

A template is a table of *pieces*, one row of ``WIDTH`` integers each: operation, the literal that is written before it (begin and
length in ``literals``), and up to four arguments. Every record kind and every shape of a layout is a range of that table.
Columns count from the row's start; inside a shape, from the column after the text that called it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "ABSENT",
    "LAST_MICROSECOND",
    "MAX_CALLS",
    "MAX_DEPTH",
    "PADDING",
    "WIDTH",
    "Op",
    "Reason",
    "RecordTooLargeError",
    "Template",
    "Wrap",
    "failure",
]

WIDTH = 7
"""Integers per piece: operation, literal begin, literal length, arguments a, b, c, d."""

MAX_DEPTH = 16
"""How deep shapes may call shapes."""

MAX_CALLS = 4096
"""How many shapes one record may call in all; it stops shapes that call themselves several times over."""

PADDING = 64
"""Bytes behind ``literals`` and ``pool`` that may be read (never shown), so that copies can go in wide steps."""

ABSENT = -(2**63)
"""The integer that says that a record lacks an optional field; the same as ``dovestorm.batch.ABSENT``."""

LAST_MICROSECOND = 253_402_300_799_999_999
"""The end of the year 9999, in microseconds since the epoch."""

_MAX_COLUMN = 2**31


class Op(enum.IntEnum):
    """What a piece does after its literal. A *number* is ``((row[a] >> b) & c) + d``."""

    LITERAL = 0
    """Nothing more."""
    INTEGER = 1
    """A number in decimal digits."""
    PACKED = 2
    """A number as the shortest msgpack integer."""
    RFC3339 = 3
    """Column a, microseconds, as 27 characters of UTC."""
    UNIX = 4
    """Column a, microseconds, as seconds with six decimals."""
    FLOAT = 5
    """Column a, microseconds, as seconds in a msgpack float64."""
    TEXT = 6
    """Column a as a whole value: v >= 0 pool entry v, v < 0 shape ~v wrapped as b says."""
    PART = 7
    """A number as text inside a value: v >= 0 the inner part of pool entry v, v < 0 shape ~v."""
    ADDRESS = 8
    """A number as a dotted IPv4 address."""
    SESSION = 9
    """Columns a and a + 1 as 16 characters of base64."""
    SKIP = 10
    """If column a holds ``ABSENT``, leave out the next b pieces."""
    SEPARATOR = 11
    """Byte b, unless the record's last byte so far is a."""
    OPEN = 12
    """Begin of a msgpack string whose length is not known yet."""
    CLOSE = 13
    """End of it: its header is written now, with the content moved if it must be longer than one byte."""
    COUNT = 14
    """Add 1 to the size of the next map, unless column a holds ``ABSENT``."""
    MAP = 15
    """A msgpack map header for a plus what was counted."""


class Wrap(enum.IntEnum):
    """What stands around a composed text when it is a whole value."""

    NONE = 0
    QUOTES = 1
    PREFIX = 2
    """A msgpack string header."""


class Reason(enum.IntEnum):
    """Why a record could not be rendered."""

    NONE = 0
    FULL = 1
    KIND = 2
    ROW = 3
    TEXT = 4
    SHAPE = 5
    DEPTH = 6
    CALLS = 7
    LIST = 8
    TIME = 9
    ADDRESS = 10
    OVERFLOW = 11
    UNOPENED = 12
    LENGTH = 13


_EXPLANATIONS = {
    Reason.KIND: "no such record kind in the layout ({})",
    Reason.ROW: "its row reaches beyond the batch's values (it begins at {})",
    Reason.TEXT: "no such text in the layout ({})",
    Reason.SHAPE: "no such shape in the layout ({})",
    Reason.DEPTH: "shapes call shapes too deep (shape {}), at most " + str(MAX_DEPTH) + " deep is right",
    Reason.CALLS: "too many shapes in one record (shape {}), at most " + str(MAX_CALLS) + " is right",
    Reason.LIST: "a list stands inside a composed text (text {}), only a plain text can",
    Reason.TIME: "time outside the years 1970 to 9999 ({} microseconds)",
    Reason.ADDRESS: "not an IPv4 address ({}), 0 to 4294967295 would be",
    Reason.OVERFLOW: "a number leaves 64 bits when its base is added ({})",
    Reason.UNOPENED: "the template closes a text that it did not open (piece {})",
    Reason.LENGTH: "a text is too long for msgpack ({} bytes)",
}


class RecordTooLargeError(FormatError):
    """The very first record did not fit in the buffer: try again with a larger one."""


def failure(reason: int, record: int, detail: int) -> FormatError:
    """The error for a record that could not be rendered; ``detail`` is the value at fault."""
    if reason == Reason.FULL:
        return RecordTooLargeError(f"record {record}: does not fit in the buffer ({detail} bytes), a larger one is needed")
    return FormatError(f"record {record}: {_EXPLANATIONS[Reason(reason)].format(detail)}")


_NUMBERS = frozenset({Op.INTEGER, Op.PACKED, Op.PART, Op.ADDRESS})
_COLUMNS = _NUMBERS | {Op.RFC3339, Op.UNIX, Op.FLOAT, Op.TEXT, Op.SESSION, Op.SKIP, Op.COUNT}


class Template:
    """A layout compiled for one format; checked when made, so that the kernel need only check what depends on rows.

    Attributes:
        literals: uint8[], the bytes of all literals, and padding.
        pieces: int64[n, WIDTH].
        kinds: int64[k, 3], per record kind the first piece, the piece after the last, and how many columns it needs.
        shapes: int64[s, 3], the same per shape.
        pool: uint8[], the encoded texts, and padding.
        entries: int64[t, 4], per text begin and end as a whole value, then begin and end as a part of one (-1, -1 for a list).
    """

    __slots__ = ("entries", "kinds", "literals", "pieces", "pool", "shapes")

    def __init__(
        self,
        *,
        literals: bytes,
        pieces: Sequence[Sequence[int]],
        kinds: Sequence[tuple[int, int]],
        shapes: Sequence[tuple[int, int]],
        pool: bytes,
        entries: Sequence[tuple[int, int, int, int]],
    ) -> None:
        """Put the parts together; ``kinds`` and ``shapes`` are ranges of ``pieces``.

        Raises:
            FormatError: The parts do not fit together.
        """
        self.pieces: NDArray[np.int64] = _table(pieces, WIDTH, "piece")
        self.entries: NDArray[np.int64] = _table(entries, 4, "text entry")
        rows: list[list[int]] = self.pieces.tolist()
        for number, row in enumerate(rows):
            _check_piece(number, row, len(literals))
        _check_entries(self.entries, len(pool))
        self.kinds: NDArray[np.int64] = _table([_range(rows, span, f"kind {number}") for number, span in enumerate(kinds)], 3, "kind")
        self.shapes: NDArray[np.int64] = _table([_range(rows, span, f"shape {number}") for number, span in enumerate(shapes)], 3, "shape")
        self.literals: NDArray[np.uint8] = np.frombuffer(literals + bytes(PADDING), np.uint8)
        self.pool: NDArray[np.uint8] = np.frombuffer(pool + bytes(PADDING), np.uint8)


def _table(rows: Iterable[Sequence[int]], width: int, name: str) -> NDArray[np.int64]:
    rows = list(rows)
    try:
        table = np.array(rows, np.int64).reshape(len(rows), width)
    except (OverflowError, ValueError) as error:
        raise FormatError(f"template: every {name} must be {width} 64-bit integers ({error})") from error
    table.setflags(write=False)
    return table


def _check_piece(number: int, row: list[int], literal_bytes: int) -> None:
    op, begin, length, a, b, c, _ = row
    if not 0 <= op < len(Op):
        raise FormatError(f"template: piece {number} has an unknown operation ({op}), 0 to {len(Op) - 1} are known")
    if begin < 0 or length < 0 or begin + length > literal_bytes:
        raise FormatError(f"template: piece {number} has its literal at {begin} to {begin + length}, the literals are {literal_bytes} bytes")
    if op in _COLUMNS and not 0 <= a < _MAX_COLUMN:
        raise FormatError(f"template: piece {number} has a column out of range ({a})")
    if op in _NUMBERS and not 0 <= b < 64:
        raise FormatError(f"template: piece {number} shifts by {b} bits, 0 to 63 would be right")
    if op in _NUMBERS and c < -1:
        raise FormatError(f"template: piece {number} has a negative mask ({c})")
    if op == Op.TEXT and not 0 <= b < len(Wrap):
        raise FormatError(f"template: piece {number} has an unknown wrap ({b})")
    if op == Op.SEPARATOR and not (0 <= a < 256 and 0 <= b < 256):
        raise FormatError(f"template: piece {number} separates by {a} and {b}, which are not both bytes")
    if op == Op.MAP and not 0 <= a < _MAX_COLUMN:
        raise FormatError(f"template: piece {number} begins a map of {a} entries")


def _check_entries(entries: NDArray[np.int64], pool_bytes: int) -> None:
    begin, end, inner_begin, inner_end = entries.T
    whole = (begin >= 0) & (begin <= end) & (end <= pool_bytes)
    part = ((begin <= inner_begin) & (inner_begin <= inner_end) & (inner_end <= end)) | ((inner_begin == -1) & (inner_end == -1))
    wrong = np.flatnonzero(~(whole & part))
    if len(wrong):
        raise FormatError(f"template: text {wrong[0]} lies at {entries[wrong[0]].tolist()}, the pool is {pool_bytes} bytes")


def _range(rows: list[list[int]], span: tuple[int, int], name: str) -> tuple[int, int, int]:
    begin, end = span
    if not 0 <= begin <= end <= len(rows):
        raise FormatError(f"template: {name} is pieces {begin} to {end} of {len(rows)}")
    need = 0
    for number, (op, _, _, a, b, _, _) in enumerate(rows[begin:end], begin):
        if op in _COLUMNS:
            need = max(need, a + (2 if op == Op.SESSION else 1))
        if op == Op.SKIP and not 0 <= b < end - number:
            raise FormatError(f"template: piece {number} of {name} skips {b} pieces, which leads out of it")
    return begin, end, need
