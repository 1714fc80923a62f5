"""Events as columns of integers: what the engine makes and what formats read.

A *layout* says, once per run, what kinds of record exist and what their integers mean. A *batch* is one stretch of the stream:
records in export order, each a row of 64-bit integers inside one flat array. No text is built here; a row refers to the layout's texts.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["ABSENT", "FIRST_FIELD", "Batch", "Column", "Composition", "Constant", "Encoding", "FieldSlot", "Hole", "Layout", "RecordKind"]

ABSENT = int(np.iinfo(np.int64).min)
"""The integer that stands for "this record lacks the field"; only allowed where the column is optional."""

FIRST_FIELD = 2
"""Row layout: integer 0 is the start time, 1 the end time (both microseconds since the epoch, UTC), fields follow from 2."""


class Encoding(enum.IntEnum):
    """How the integer in a column becomes a value."""

    INTEGER = 0
    """The signed integer itself."""
    TIMESTAMP = 1
    """Microseconds since the epoch, UTC."""
    TEXT = 2
    """v >= 0: entry v of ``Layout.texts``. v < 0: shape ``~v`` of ``Layout.shapes``, its holes counted from the next column on."""
    ADDRESS = 3
    """An IPv4 address as an unsigned 32-bit number, shown dotted."""
    SESSION_ID = 4
    """Two columns. First: connect time (microseconds, low 48 bits) plus remote port << 48; second: remote IPv4 address. Shown as
    the unpadded base64 of the 12 bytes time (little-endian) + port (little-endian) + address (network order), 16 characters."""


@dataclass(frozen=True, slots=True)
class Hole:
    """A part of a composed text that is read from a column (INTEGER, TEXT or ADDRESS).

    The value is ``((row[column] >> shift) & mask(bits)) + base``, so that one column can carry several small numbers or text references
    (with ``bits=64`` it is the plain column, sign and all).
    In a ``Composition`` the column counts from the row's start; in a shape of ``Layout.shapes``, from the column after the text's own.
    """

    column: int
    encoding: Encoding
    shift: int = 0
    bits: int = 64
    base: int = 0


@dataclass(frozen=True, slots=True)
class Constant:
    """A field whose value is the same in every record of the kind: text, integer, or a list of texts."""

    value: str | int | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Column:
    """A field read from column ``index`` of the row; ``optional`` when ``ABSENT`` there means that the field is left out."""

    index: int
    encoding: Encoding
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Composition:
    """A text put together from literals and holes."""

    parts: tuple[str | Hole, ...]


@dataclass(frozen=True, slots=True)
class FieldSlot:
    """One field of a record kind, under the name that it has in the catalog's edition."""

    name: str
    source: Constant | Column | Composition


@dataclass(frozen=True, slots=True)
class RecordKind:
    """What one emitting place of a scenario writes: event, categories, fields in wire order, and the row's width in integers."""

    event: str
    categories: tuple[str, ...]
    fields: tuple[FieldSlot, ...]
    width: int


@dataclass(frozen=True, slots=True)
class Layout:
    """All that is needed to read the integers of a stream's batches.

    ``texts`` may hold lone surrogates U+DC80..U+DCFF: bytes that were not valid UTF-8 (Python's ``surrogateescape``).
    An entry that is a tuple is a list value.
    """

    edition: str
    hostname: str
    kinds: tuple[RecordKind, ...]
    texts: tuple[str | tuple[str, ...], ...]
    shapes: tuple[tuple[str | Hole, ...], ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records in export order.

    Attributes:
        layout: The meaning of the integers.
        kind: int32[n], index into ``layout.kinds``.
        offset: int64[n], where each record's row begins in ``values``.
        session: int64[n], number of the session that the record belongs to.
        values: int64[m], the rows; it may hold more than the batch's own.
    """

    layout: Layout
    kind: NDArray[np.int32]
    offset: NDArray[np.int64]
    session: NDArray[np.int64]
    values: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def end(self) -> NDArray[np.int64]:
        """int64[n]: export time of each record in microseconds, non-decreasing."""
        return self.values[self.offset + 1]

    def head(self, count: int) -> Batch:
        """The first ``count`` records."""
        return Batch(self.layout, self.kind[:count], self.offset[:count], self.session[:count], self.values)

    def rows(self) -> Iterator[tuple[RecordKind, int, list[int]]]:
        """Each record's kind, session number and row; for tests and small fixtures, not for speed."""
        for kind_index, at, session in zip(self.kind.tolist(), self.offset.tolist(), self.session.tolist(), strict=True):
            kind = self.layout.kinds[kind_index]
            yield kind, session, self.values[at : at + kind.width].tolist()

    def field_values(self, kind: RecordKind, row: list[int]) -> dict[str, Any]:
        """The fields of one record as Python values: str, int (timestamps too: microseconds), or list of str."""
        values = ((slot.name, _read(self.layout, slot.source, row)) for slot in kind.fields)
        return {name: value for name, value in values if value is not None}


def _read(layout: Layout, source: Constant | Column | Composition, row: list[int]) -> str | int | list[str] | None:
    if isinstance(source, Constant):
        return list(source.value) if isinstance(source.value, tuple) else source.value
    if isinstance(source, Composition):
        return _compose(layout, source.parts, row, 0)
    if row[source.index] == ABSENT:
        return None
    return _decode(layout, source.encoding, row, source.index)


def _decode(layout: Layout, encoding: Encoding, row: list[int], column: int) -> str | int | list[str]:
    value = row[column]
    if encoding is Encoding.TEXT:
        if value < 0:
            return _compose(layout, layout.shapes[~value], row, column + 1)
        entry = layout.texts[value]
        return list(entry) if isinstance(entry, tuple) else entry
    if encoding is Encoding.ADDRESS:
        return _dotted(value)
    if encoding is Encoding.SESSION_ID:
        return _session_id(value, row[column + 1])
    return value


def _compose(layout: Layout, parts: tuple[str | Hole, ...], row: list[int], origin: int) -> str:
    return "".join(part if isinstance(part, str) else _fill(layout, part, row, origin) for part in parts)


def _fill(layout: Layout, hole: Hole, row: list[int], origin: int) -> str:
    value = row[origin + hole.column]
    if hole.bits < 64:
        value = (value >> hole.shift) & ((1 << hole.bits) - 1)
    value += hole.base
    if hole.encoding is Encoding.TEXT:
        if value < 0:
            return _compose(layout, layout.shapes[~value], row, origin + hole.column + 1)
        return str(layout.texts[value])
    return _dotted(value) if hole.encoding is Encoding.ADDRESS else str(value)


def _dotted(value: int) -> str:
    return ".".join(str(octet) for octet in value.to_bytes(4, "big"))


def _session_id(time_and_port: int, address: int) -> str:
    """Source: session ids of a real 2.3.19: base64 of 6 bytes time, 2 bytes port (both little-endian), the address; no padding."""
    import base64

    raw = (time_and_port & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little") + address.to_bytes(4, "big")
    return base64.b64encode(raw).decode("ascii")
