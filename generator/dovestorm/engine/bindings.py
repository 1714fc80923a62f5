"""Names and their values while a flow is compiled: variables in cells, constants, and texts with holes."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from dovestorm.batch import Encoding, Hole
from dovestorm.engine.blocks import Builder, Const, Operand
from dovestorm.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Binding", "Kind", "Parts", "Texts", "Val", "Var", "place_columns"]


class Kind(Enum):
    """What a value is."""

    NOTHING = "nothing"
    INTEGER = "integer"
    TIMESTAMP = "timestamp"
    TEXT = "text"
    ADDRESS = "address"
    SESSION = "session"
    LIST = "list"

    @property
    def encoding(self) -> Encoding:
        """How a column of it is read."""
        return _ENCODINGS[self]

    @property
    def phrase(self) -> str:
        """The kind as a phrase for messages."""
        words = {Kind.INTEGER: "an integer", Kind.ADDRESS: "an address", Kind.SESSION: "a session id", Kind.NOTHING: "nothing"}
        return words.get(self, f"a {self.value}")


_ENCODINGS = {
    Kind.NOTHING: Encoding.INTEGER,
    Kind.INTEGER: Encoding.INTEGER,
    Kind.TIMESTAMP: Encoding.TIMESTAMP,
    Kind.TEXT: Encoding.TEXT,
    Kind.ADDRESS: Encoding.ADDRESS,
    Kind.SESSION: Encoding.SESSION_ID,
    Kind.LIST: Encoding.TEXT,
}


@dataclass(frozen=True, slots=True)
class Val:
    """A value at hand in the block being built.

    ``columns`` are its integers (a text's first one refers to a text or a shape, the rest fill the shape's holes). ``parts``, when given, is a
    text still in pieces and ``columns`` is empty. ``optional``: it may be ``ABSENT``.
    """

    kind: Kind
    columns: tuple[Operand, ...] = ()
    parts: tuple[str | Val, ...] | None = None
    optional: bool = False

    @property
    def constant(self) -> bool:
        """Whether it is the same for every session."""
        return self.parts is None and all(isinstance(column, Const) for column in self.columns)


@dataclass(slots=True)
class Var:
    """A value kept in session cells. Kind and width are learnt in a first pass over the flow and used in the next."""

    name: str
    kind: Kind = Kind.NOTHING
    cells: list[int] = field(default_factory=list)
    optional: bool = False
    counts: bool = False
    """Whether it starts at 0 (it is added to) rather than absent."""
    most: int | None = 0
    """An upper bound of all numbers that it is given, None when there is none."""
    never_negative: bool = False
    fixed: bool = False
    """Whether it is given its value once, and so can be shared under another name."""

    @property
    def learnt(self) -> tuple[object, ...]:
        """What a pass can learn of it; the bound of a text is but a text's number, which says nothing."""
        return self.kind, len(self.cells), self.optional, self.counts, None if self.kind in {Kind.TEXT, Kind.LIST} else self.most

    def get(self, builder: Builder) -> Val:
        """Its value in this block."""
        columns = tuple(builder.read(cell) for cell in self.cells) or (Const(0),)
        return Val(self.kind, columns, optional=self.optional and not (self.cells and self.cells[0] in builder.present))


@dataclass(frozen=True, slots=True)
class Parts:
    """A text of a fragment's parameter: literals and the bindings of its holes."""

    parts: tuple[str | Binding, ...]


Binding = Val | Var | Parts


@dataclass(slots=True)
class Texts:
    """The texts and shapes of a layout."""

    items: list[str | tuple[str, ...]] = field(default_factory=list)
    numbers: dict[str | tuple[str, ...], int] = field(default_factory=dict)
    shapes: dict[tuple[str | Hole, ...], int] = field(default_factory=dict)

    def text(self, entry: str | tuple[str, ...]) -> int:
        """The number of a text or a list; each is kept once."""
        if entry not in self.numbers:
            self.numbers[entry] = len(self.items)
            self.items.append(entry)
        return self.numbers[entry]

    def run(self, entries: Sequence[str]) -> int:
        """Keep all entries one after another; gives the number of the first."""
        first = len(self.items)
        self.items.extend(entries)
        return first

    def shape(self, parts: tuple[str | Hole, ...]) -> int:
        """The reference of a shape: a negative number."""
        return ~self.shapes.setdefault(parts, len(self.shapes))

    def flat(self, val: Val) -> Val:
        """The same value as columns only: a text in pieces becomes a shape and its holes."""
        if val.parts is None:
            return val
        pieces: list[str | Hole] = []
        columns: list[Operand] = []
        self.lay_out(val.parts, pieces, columns, 0)
        if not columns:
            return Val(Kind.TEXT, (Const(self.text("".join(str(piece) for piece in pieces))),))
        return Val(Kind.TEXT, (Const(self.shape(tuple(pieces))), *columns))

    def lay_out(self, parts: Sequence[str | Val], pieces: list[str | Hole], columns: list[Operand], origin: int) -> None:
        """Spread a text's parts over literals and columns; holes count from ``origin`` columns before the first of ``columns``."""
        for part in parts:
            if isinstance(part, str):
                _add_literal(pieces, part)
            elif part.parts is not None:
                self.lay_out(part.parts, pieces, columns, origin)
            elif part.constant and len(part.columns) == 1 and part.kind in {Kind.INTEGER, Kind.TEXT}:
                _add_literal(pieces, self._constant(part))
            elif part.kind in {Kind.INTEGER, Kind.TEXT, Kind.ADDRESS}:
                pieces.append(Hole(origin + place_columns(part.columns, columns), part.kind.encoding))
            elif part.kind is not Kind.NOTHING:
                message = f"{part.kind.phrase} cannot stand inside a text"
                raise ScenarioError([Fault("<scenario>", 1, 1, message)])

    def _constant(self, part: Val) -> str:
        operand = part.columns[0]
        assert isinstance(operand, Const)
        return str(operand.value) if part.kind is Kind.INTEGER else str(self.items[operand.value])


def place_columns(wanted: Sequence[Operand], columns: list[Operand]) -> int:
    """Where a value's columns stand, one after another; they are added unless they stand there already."""
    width = len(wanted)
    for place in range(len(columns) - width + 1):
        if tuple(columns[place : place + width]) == tuple(wanted):
            return place
    columns.extend(wanted)
    return len(columns) - width


def _add_literal(pieces: list[str | Hole], text: str) -> None:
    if pieces and isinstance(pieces[-1], str):
        pieces[-1] += text
    elif text:
        pieces.append(text)
