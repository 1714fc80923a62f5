"""From a layout to the kernel's template. A format says in a ``Dialect`` how its pieces look; all else is done here, once."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from dovestorm.batch import FIRST_FIELD, Column, Composition, Constant, Encoding, Hole
from dovestorm.errors import FormatError
from dovestorm.kernel.pieces import Op, Template, Wrap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.batch import Batch, FieldSlot, Layout, RecordKind

__all__ = ["Dialect", "Draft", "Rows", "compile_layout", "optional_column", "utf8"]

_HOLES = {Encoding.INTEGER: Op.INTEGER, Encoding.TEXT: Op.PART, Encoding.ADDRESS: Op.ADDRESS}
_RFC3339_BYTES = 27
_SESSION_BYTES = 16
_PLAIN = (0, -1, 0)
_SURROGATES = re.compile("[\ud800-\udfff]")


class Rows(Protocol):
    """Rows that hold more than the layout's own, for a format that needs it."""

    @property
    def layout(self) -> Layout:
        """The layout of the wider rows."""

    def widen(self, batch: Batch) -> Batch:
        """The same records with wider rows."""


class Dialect(Protocol):
    """How one format writes values, and how a record is put together from them.

    Attributes:
        content_type: For HTTP.
        terminator: Bytes that end each record: 1 (a newline) or 0.
        wrap: What stands around a text whose length is not known beforehand.
        integer: How integers in columns are written: ``Op.INTEGER`` or ``Op.PACKED``.
        time: How times are written: ``Op.RFC3339`` (framed like a text), ``Op.UNIX`` or ``Op.FLOAT``.
    """

    content_type: str
    terminator: int
    wrap: Wrap
    integer: Op
    time: Op

    @property
    def rows(self) -> Rows | None:
        """What widens the rows first, or None."""

    def escape(self, text: str) -> bytes:
        """The bytes of ``text`` inside a value, without what frames it."""

    def frame(self, length: int) -> tuple[bytes, bytes]:
        """What stands before and after a text of ``length`` bytes that is a whole value."""

    def number(self, value: int) -> bytes:
        """A constant integer."""

    def listing(self, items: tuple[str, ...]) -> bytes:
        """A constant list of texts."""

    def record(self, kind: RecordKind, draft: Draft) -> None:
        """Write one record of ``kind`` to ``draft``."""


def utf8(text: str) -> bytes:
    """Encode; a lone surrogate, which stands for a byte that was not valid UTF-8, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATES.sub("\ufffd", text).encode()


class Draft:
    """The pieces of a template while they are written; neighbouring literals become one, equal literals share their bytes."""

    def __init__(self, dialect: Dialect) -> None:
        self.pieces: list[list[int]] = []
        self.literals = bytearray()
        self._dialect = dialect
        self._pending = b""
        self._places: dict[bytes, int] = {}

    def literal(self, data: bytes) -> None:
        """Write fixed bytes."""
        self._pending += data

    def text(self, text: str) -> None:
        """Write a fixed text as a whole value."""
        inner = self._dialect.escape(text)
        head, tail = self._dialect.frame(len(inner))
        self.literal(head + inner + tail)

    def piece(self, op: Op, *arguments: int) -> None:
        """Write a piece, with the literals before it."""
        place = self._places.get(self._pending)
        if place is None:
            place = self._places[self._pending] = len(self.literals)
            self.literals += self._pending
        self.pieces.append([op, place, len(self._pending), *arguments, *(0,) * (4 - len(arguments))])
        self._pending = b""

    def flush(self) -> int:
        """Write literals that have no piece behind them, and give the number of the next piece."""
        if self._pending:
            self.piece(Op.LITERAL)
        return len(self.pieces)

    @contextmanager
    def unless_absent(self, slot: FieldSlot) -> Iterator[None]:
        """What is written inside is left out of records that lack the optional field."""
        column = optional_column(slot)
        if column is None:
            yield
            return
        self.piece(Op.SKIP, column)
        skip = len(self.pieces)
        yield
        self.pieces[skip - 1][4] = self.flush() - skip

    def time(self, column: int) -> None:
        """Write the time in a column as a whole value."""
        if self._dialect.time is Op.RFC3339:
            self._fixed(_RFC3339_BYTES, Op.RFC3339, column)
        else:
            self.piece(self._dialect.time, column)

    def value(self, slot: FieldSlot) -> None:
        """Write a field's value."""
        match slot.source:
            case Constant(value=str(text)):
                self.text(text)
            case Constant(value=tuple(items)):
                self.literal(self._dialect.listing(items))
            case Constant(value=int(number)) if -(2**63) <= number < 2**63:
                self.literal(self._dialect.number(number))
            case Composition(parts=parts):
                self._wrapped(parts)
            case Column(index=column, encoding=Encoding.INTEGER):
                self.piece(self._dialect.integer, column, *_PLAIN)
            case Column(index=column, encoding=Encoding.TIMESTAMP):
                self.time(column)
            case Column(index=column, encoding=Encoding.TEXT):
                self.piece(Op.TEXT, column, self._dialect.wrap)
            case Column(index=column, encoding=Encoding.ADDRESS):
                self._wrapped((Hole(column, Encoding.ADDRESS),))
            case Column(index=column, encoding=Encoding.SESSION_ID):
                self._fixed(_SESSION_BYTES, Op.SESSION, column)
            case other:
                raise FormatError(
                    f"field '{slot.name}': cannot be rendered ({other!r}), a text, a 64-bit integer, a list, a column or a composition would be right"
                )

    def parts(self, parts: tuple[str | Hole, ...]) -> None:
        """Write the parts of a composed text, without what frames it."""
        for part in parts:
            if isinstance(part, str):
                self.literal(self._dialect.escape(part))
                continue
            if part.encoding not in _HOLES:
                raise FormatError(f"a hole cannot be of encoding {part.encoding!r}, INTEGER, TEXT or ADDRESS would be right")
            if not 1 <= part.bits <= 64:
                raise FormatError(f"a hole takes {part.bits} bits, 1 to 64 would be right")
            shift, mask = (0, -1) if part.bits == 64 else (part.shift, (1 << part.bits) - 1)
            self.piece(_HOLES[part.encoding], part.column, shift, mask, part.base)

    def _wrapped(self, parts: tuple[str | Hole, ...]) -> None:
        if self._dialect.wrap is Wrap.PREFIX:
            self.piece(Op.OPEN)
            self.parts(parts)
            self.piece(Op.CLOSE)
            return
        quote = b'"' if self._dialect.wrap is Wrap.QUOTES else b""
        self.literal(quote)
        self.parts(parts)
        self.literal(quote)

    def _fixed(self, length: int, op: Op, column: int) -> None:
        head, tail = self._dialect.frame(length)
        self.literal(head)
        self.piece(op, column)
        self.literal(tail)


def optional_column(slot: FieldSlot) -> int | None:
    """The column that says by ``ABSENT`` that a record lacks the field; None for a field that is always there."""
    return slot.source.index if isinstance(slot.source, Column) and slot.source.optional else None


def compile_layout(layout: Layout, dialect: Dialect) -> Template:
    """Compile a layout for one format.

    Raises:
        FormatError: A field reads a column that its row does not have, or a source that the format cannot hold.
    """
    draft = Draft(dialect)
    kinds: list[tuple[int, int]] = []
    for kind in layout.kinds:
        _check_width(kind)
    for kind in (layout if dialect.rows is None else dialect.rows.layout).kinds:
        begin = len(draft.pieces)
        dialect.record(kind, draft)
        kinds.append((begin, draft.flush()))
    shapes: list[tuple[int, int]] = []
    for parts in layout.shapes:
        begin = len(draft.pieces)
        draft.parts(parts)
        shapes.append((begin, draft.flush()))
    pool, entries = _encode(layout.texts, dialect)
    return Template(literals=bytes(draft.literals), pieces=draft.pieces, kinds=kinds, shapes=shapes, pool=pool, entries=entries)


def _check_width(kind: RecordKind) -> None:
    if kind.width < FIRST_FIELD:
        raise FormatError(f"{kind.event}: a row of {kind.width} integers has no place for start and end time")
    for slot in kind.fields:
        for column in _columns(slot):
            if not 0 <= column < kind.width:
                raise FormatError(f"{kind.event}: field '{slot.name}' reads column {column}, the row has {kind.width}")


def _columns(slot: FieldSlot) -> list[int]:
    match slot.source:
        case Column(index=column, encoding=Encoding.SESSION_ID):
            return [column, column + 1]
        case Column(index=column):
            return [column]
        case Composition(parts=parts):
            return [part.column for part in parts if isinstance(part, Hole)]
        case _:
            return []


def _encode(texts: tuple[str | tuple[str, ...], ...], dialect: Dialect) -> tuple[bytes, list[tuple[int, int, int, int]]]:
    pool: list[bytes] = []
    entries: list[tuple[int, int, int, int]] = []
    begin = 0
    for text in texts:
        if isinstance(text, tuple):
            whole = dialect.listing(text)
            entries.append((begin, begin + len(whole), -1, -1))
        else:
            inner = dialect.escape(text)
            head, tail = dialect.frame(len(inner))
            whole = head + inner + tail
            entries.append((begin, begin + len(whole), begin + len(head), begin + len(head) + len(inner)))
        pool.append(whole)
        begin += len(whole)
    return b"".join(pool), entries
