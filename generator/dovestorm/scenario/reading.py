"""What the readers of one scenario share, and the small questions that all of them ask of a node."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from dovestorm.errors import nearest
from dovestorm.scenario import units
from dovestorm.scenario.model import At, Weight
from dovestorm.scenario.nodes import Listing, Node, Scalar, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from dovestorm.scenario.faultlist import FaultList
    from dovestorm.scenario.fragments import Fragment
    from dovestorm.scenario.place import Place
    from dovestorm.scenario.vocabulary import Vocabulary

__all__ = ["Column", "Frame", "Reading", "Reference", "shown"]

_T = TypeVar("_T")
_DIGITS = 15
NAME = re.compile(r"[a-z][a-z0-9_-]*")


def shown(node: Node) -> str:
    """Give a node as an error text shows it."""
    match node:
        case Scalar():
            text = node.text if len(node.text) <= 60 else node.text[:57] + "..."
            return repr(text) if not node.bare else text or "nothing"
        case Listing():
            return "a list"
        case Table():
            return "a mapping"


@dataclass(frozen=True)
class Column:
    """A column of a table: its cells, from the first row to the last."""

    cells: tuple[Scalar, ...]

    @cached_property
    def numbers(self) -> tuple[int, ...] | None:
        """What stands in it, if that is nothing but plain whole numbers without units: a table has many cells, and most are such."""
        texts = [cell.text for cell in self.cells if cell.bare and len(cell.text) <= _DIGITS]
        if len(texts) < len(self.cells) or not all(text.isdecimal() and text.isascii() for text in texts):
            return None
        return tuple(map(int, texts))


@dataclass(frozen=True, slots=True)
class Reference:
    """One use of a variable: where, in ``steps`` or ``finally``, and whether the step was dropped for its version guard."""

    name: str
    at: At
    section: str
    dropped: bool


@dataclass(slots=True)
class Frame:
    """What is known of one flow or fragment while it is read.

    Attributes:
        name: Of the flow or fragment.
        fragment: Which of the two.
        parameters: Names of a fragment's parameters.
        expects: What the places in which a parameter stands ask for.
        switched: Parameters that a ``switch`` goes by.
        sets: Variables that are set, in kept steps and in dropped ones.
        references: Variables that are read.
        uses: Fragments used, with section and whether dropped.
        windows: The fault windows it may name, None for any.
        labels: The labels it may give.
        inner: Whether ``inner`` stands in it.
        section: ``steps`` or ``finally``.
        dropped: Whether the step being read is dropped for its version guard.
    """

    name: str
    fragment: bool
    parameters: tuple[str, ...] = ()
    expects: dict[str, Place] = field(default_factory=dict)
    switched: set[str] = field(default_factory=set)
    sets: dict[bool, set[str]] = field(default_factory=lambda: {False: set(), True: set()})
    references: list[Reference] = field(default_factory=list)
    uses: list[tuple[Fragment, str, bool]] = field(default_factory=list)
    windows: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()
    inner: bool = False
    section: str = "steps"
    dropped: bool = False


@dataclass(slots=True)
class Reading:
    """The state of reading one scenario.

    Attributes:
        vocabulary: The catalog.
        faults: What was found wrong.
        pools: The scenario's own pools.
        tables: The scenario's own tables: for each its columns.
        windows: Names of the fault windows; None where any name goes (a fragment on its own).
        numbers: Session variables that some place needs as a number, from the round before.
        wanted: The same, found in this round.
        texts: Session variables that were given a literal text, in this round or one before.
        labels: Where the scenario names its labels; None for a fragment on its own.
        given: Labels that some step gives.
        pool: Looks up a pool's entries by name.
        fragment: Looks up a fragment by name, None if there is none (already a fault).
    """

    vocabulary: Vocabulary
    faults: FaultList
    pools: dict[str, tuple[str, ...]]
    windows: tuple[str, ...] | None
    numbers: Mapping[str, Place]
    pool: Callable[[Scalar], tuple[str, ...]]
    fragment: Callable[[Scalar], Fragment | None]
    wanted: dict[str, Place] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Column]] = field(default_factory=dict)
    texts: set[str] = field(default_factory=set)
    labels: Mapping[str, Scalar] | None = None
    given: set[str] = field(default_factory=set)

    # ------------------------------------------------------------ questions

    def unit(self, node: Node, read: Callable[[str], _T], otherwise: _T, *, what: str) -> _T:
        """Read a scalar with a function of ``units``; its complaint becomes a fault."""
        if not isinstance(node, Scalar):
            self.faults.add(node.at, f"{what} is {shown(node)}, a single value is needed")
            return otherwise
        try:
            return read(node.text)
        except ValueError as error:
            self.faults.add(node.at, f"{what} ({shown(node)}): {error}")
            return otherwise

    def whole(self, node: Node, *, what: str, least: int, most: int) -> int:
        """Read a plain whole number within bounds."""
        value = node.value if isinstance(node, Scalar) and node.bare else None
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self.faults.add(node.at, f"{what} ({shown(node)}) must be a whole number from {least} to {most}")
            return least
        return value

    def factor(self, node: Node, *, what: str, least: float = 0.0, most: float = 1e12) -> float:
        """Read a plain number within bounds."""
        value = node.value if isinstance(node, Scalar) and node.bare else None
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            self.faults.add(node.at, f"{what} ({shown(node)}) must be a number from {least:g} to {most:g}")
            return 1.0
        return float(value)

    def flag(self, node: Node, *, what: str) -> bool:
        """Read true or false."""
        if isinstance(node, Scalar) and node.bare and isinstance(node.value, bool):
            return node.value
        self.faults.add(node.at, f"{what} ({shown(node)}) must be true or false")
        return False

    def text(self, node: Node | None, *, what: str) -> str:
        """Read a text."""
        if node is None:
            return ""
        if isinstance(node, Scalar) and node.value is not None:
            return node.text
        self.faults.add(node.at, f"{what} ({shown(node)}) must be a text")
        return ""

    def name(self, node: Node, *, what: str) -> str:
        """Read a name of lower-case letters, digits, ``_`` and ``-``."""
        text = node.text if isinstance(node, Scalar) else ""
        if not NAME.fullmatch(text):
            self.faults.add(node.at, f"{what} ({shown(node)}) must be lower-case letters, digits, _ and -, a letter first")
        return text

    def table(self, node: Node, *, what: str) -> Table:
        """Expect a mapping; an empty one after a fault."""
        if isinstance(node, Table):
            return node
        self.faults.add(node.at, f"{what} ({shown(node)}) must be a mapping")
        return Table({}, {}, node.at)

    def listing(self, node: Node, *, what: str) -> tuple[Node, ...]:
        """Expect a list; an empty one after a fault."""
        if isinstance(node, Listing):
            return node.items
        self.faults.add(node.at, f"{what} ({shown(node)}) must be a list")
        return ()

    def hint(self, word: str, known: Iterable[str], *, most: int = 0) -> str:
        """Give the nearest known name for an error text, or all of them where there are no more than ``most``."""
        if self.faults.full or len(word) > 200:
            return ""
        names = list(known)
        return nearest(word, names) or (f", known are {', '.join(names)}" if 0 < len(names) <= most else "")

    def keys(self, table: Table, *, what: str, required: Sequence[str] = (), optional: Sequence[str] = ()) -> dict[str, Node]:
        """Give a mapping's known entries; unknown keys and missing ones are faults."""
        known = (*required, *optional)
        for key, scalar in table.keys.items():
            if key not in known:
                self.faults.add(scalar.at, f"unknown key '{key}' in {what}{self.hint(key, known, most=20)}")
        for key in required:
            if key not in table.entries:
                self.faults.add(table.at, f"{what} lacks '{key}'")
        return {key: node for key, node in table.entries.items() if key in known}

    def known(self, scalar: Scalar, known: Collection[str], *, what: str) -> bool:
        """Whether a name is one of those known; a fault with the nearest one if not."""
        if scalar.text in known:
            return True
        self.faults.add(scalar.at, f"unknown {what} '{scalar.text}'{self.hint(scalar.text, sorted(known), most=8)}")
        return False

    # ------------------------------------------------------------ weights and fault windows

    def window(self, key: Scalar, frame: Frame) -> bool:
        """Whether a name in ``during`` is a fault window of this scenario; a fragment may know more of them than its scenario has."""
        if frame.windows is not None and not self.known(key, frame.windows, what="fault"):
            return False
        return self.windows is None or key.text in self.windows

    def label(self, node: Node, frame: Frame) -> str | None:
        """Read the name of a label that a step or flow gives; None for a fault, or where the fragment's scenario has none of that name."""
        if not isinstance(node, Scalar):
            self.faults.add(node.at, f"label ({shown(node)}) must be a label's name")
            return None
        if not frame.labels:
            where = f"fragment '{frame.name}'" if frame.fragment else "the scenario"
            self.faults.add(node.at, f"unknown label '{node.text}', {where} names no labels: list it under 'labels'")
            return None
        if not self.known(node, frame.labels, what="label"):
            return None
        self.given.add(node.text)
        return node.text if self.labels is None or node.text in self.labels else None

    def weight(self, node: Node, frame: Frame) -> Weight:
        """Read a weight: a number, or ``{normal: 5, during: {sql-down: 60}}``."""
        if not isinstance(node, Table):
            return Weight(self.factor(node, what="weight"))
        entries = self.keys(node, what="a weight", required=("normal", "during"))
        normal = self.factor(entries["normal"], what="weight") if "normal" in entries else 1.0
        during = self.table(entries["during"], what="during") if "during" in entries else Table({}, {}, node.at)
        faults = []
        for key, item in during.entries.items():
            value = self.factor(item, what="weight")
            if self.window(during.keys[key], frame):
                faults.append((key, value))
        return Weight(normal, tuple(faults))

    def weights(self, weights: Sequence[Weight], at: At, *, what: str) -> None:
        """Check that the weights of alternatives are not all zero, at no time."""
        if not weights:
            self.faults.add(at, f"{what} is empty")
            return
        if not any(weight.normal for weight in weights):
            self.faults.add(at, f"{what}: all weights are 0, one must be > 0")
        for name in dict.fromkeys(name for weight in weights for name, _ in weight.faults):
            if not any(dict(weight.faults).get(name, weight.normal) for weight in weights):
                self.faults.add(at, f"{what}: all weights are 0 during '{name}', one must be > 0")

    def ratio(self, node: Node | None, *, what: str) -> float:
        """Read a popularity: ``uniform`` or ``{zipf: 1.05}``, as a Zipf exponent."""
        if node is None or (isinstance(node, Scalar) and node.text == "uniform"):
            return 0.0
        if not isinstance(node, Table):
            self.faults.add(node.at, f"{what} ({shown(node)}) must be uniform or {{zipf: 1.1}}")
            return 0.0
        entries = self.keys(node, what=what, required=("zipf",))
        return self.factor(entries["zipf"], what="zipf", least=0.0, most=10.0) if "zipf" in entries else 0.0

    def networks(self, node: Node, *, what: str) -> tuple[tuple[int, int], ...]:
        """Read one network or a list of them."""
        nodes = node.items if isinstance(node, Listing) else (node,)
        if not nodes:
            self.faults.add(node.at, f"{what} is empty, give a network like 10.0.0.0/8")
        return tuple(self.unit(item, units.network, (0, 1), what=what) for item in nodes)
