"""YAML text to a small tree of nodes that know where they stand, safe against hostile files.

Only the part of YAML that a scenario needs is taken: mappings with text keys, lists and scalars. Anchors, aliases, tags and further documents
are faults; size, depth and number of nodes are bounded; nothing is built recursively. Plain scalars follow the core schema of YAML 1.2: ``yes``
and ``10:00`` are texts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import yaml

from dovestorm.errors import InputError
from dovestorm.scenario.model import At

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dovestorm.scenario.faultlist import FaultList

__all__ = ["Listing", "Node", "Scalar", "Table", "from_plain", "parse", "plain", "read_text"]

LARGEST_FILE = 4 << 20
DEEPEST = 100
MOST_NODES = 500_000

_INTEGER = re.compile(r"[-+]?[0-9]{1,40}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,3})?")
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One scalar: its text, and whether it stood there without quotes."""

    text: str
    bare: bool
    at: At

    @property
    def value(self) -> int | float | str | bool | None:
        """What the scalar means: bare ``null``, ``true``, ``12`` and ``1.5`` have their own types, all else is text."""
        text = self.text
        if not self.bare:
            return text
        if text in {"", "~", "null", "Null", "NULL"}:
            return None
        if text in {"true", "True", "TRUE", "false", "False", "FALSE"}:
            return text.lower() == "true"
        if _INTEGER.fullmatch(text):
            return int(text)
        return float(text) if len(text) < 60 and _FLOAT.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of nodes."""

    items: tuple[Node, ...]
    at: At


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping: keys (always text) with their nodes, in the order written."""

    entries: dict[str, Node]
    keys: dict[str, Scalar]
    at: At


Node = Scalar | Listing | Table


class _StopError(Exception):
    """The rest of the file is not worth reading."""


@dataclass(slots=True)
class _Open:
    """A list or mapping that has begun and not yet ended."""

    at: At
    mapping: bool
    items: list[Node]
    key: Scalar | None
    keys: dict[str, Scalar]
    entries: dict[str, Node]


def read_text(path: Path) -> str:
    """Read a scenario file.

    Raises:
        InputError: If it cannot be read, is too large, or is not UTF-8 text.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{str(path)!r}: not a file name") from error
    if len(data) > LARGEST_FILE:
        raise InputError(f"{path}: more than {LARGEST_FILE >> 20} MiB, which no scenario needs")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start} is 0x{data[error.start]:02x})") from error


def parse(text: str, *, file: str, faults: FaultList) -> Node | None:
    """Give the tree of one YAML document; None after a fault that leaves nothing to read on."""
    if len(text) > LARGEST_FILE:
        faults.add(At(file), f"more than {LARGEST_FILE >> 20} MiB, which no scenario needs")
        return None
    if bad := _CONTROL.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        faults.add(At(file, line, column), f"a character that YAML does not allow (U+{ord(bad.group()):04X})")
        return None
    try:
        return _Builder(file, faults).build(yaml.parse(text, Loader=_LOADER))
    except _StopError:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = At(file, mark.line + 1, mark.column + 1) if mark else At(file)
        faults.add(at, f"not YAML: {error.problem or error.context}")
        return None
    except yaml.YAMLError as error:
        faults.add(At(file), f"not YAML: {str(error).splitlines()[0]}")
        return None


class _Builder:
    """Builds the tree from parser events, with its own stack."""

    def __init__(self, file: str, faults: FaultList) -> None:
        self.file = file
        self.faults = faults
        self.stack: list[_Open] = []
        self.root: Node | None = None

    def build(self, events: Iterator[Any]) -> Node | None:
        documents = 0
        for event in islice(events, 2 * MOST_NODES):
            at = At(self.file, event.start_mark.line + 1, event.start_mark.column + 1)
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.faults.add(at, "a second document, a scenario is one")
                    return self.root
            elif isinstance(event, yaml.AliasEvent):
                self.faults.add(at, f"an alias (*{event.anchor}), write the value out or use a fragment")
                self.place(Scalar("", bare=True, at=at))
            elif isinstance(event, yaml.NodeEvent):
                self.node(event, at)
            elif isinstance(event, yaml.CollectionEndEvent):
                self.close()
        if self.stack:
            self.faults.add(At(self.file), f"more than {MOST_NODES:,} values, which no scenario needs")
            return None
        return self.root

    def node(self, event: Any, at: At) -> None:
        if event.anchor:
            self.faults.add(at, f"an anchor (&{event.anchor}), write the value out or use a fragment")
        if event.tag is not None:
            self.faults.add(at, f"a tag ({event.tag}), values have no tags here")
        if isinstance(event, yaml.ScalarEvent):
            self.place(Scalar(event.value, bare=not event.style, at=at))
            return
        if len(self.stack) >= DEEPEST:
            self.faults.add(at, f"nested deeper than {DEEPEST} levels")
            raise _StopError
        self.stack.append(_Open(at, isinstance(event, yaml.MappingStartEvent), [], None, {}, {}))

    def close(self) -> None:
        done = self.stack.pop()
        self.place(Table(done.entries, done.keys, done.at) if done.mapping else Listing(tuple(done.items), done.at))

    def place(self, node: Node) -> None:
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if not top.mapping:
            top.items.append(node)
        elif top.key is None:
            if not isinstance(node, Scalar):
                self.faults.add(node.at, "a key that is not text")
                node = Scalar("", bare=False, at=node.at)
            top.key = node
        else:
            key, top.key = top.key, None
            if key.text in top.keys:
                self.faults.add(key.at, f"key '{key.text}' stands twice, first in line {top.keys[key.text].at.line}")
            else:
                top.keys[key.text] = key
                top.entries[key.text] = node


def plain(node: Node) -> Any:
    """Give a node as plain Python data, as a JSON Schema validator wants it."""
    match node:
        case Scalar():
            return node.value
        case Listing():
            return [plain(item) for item in node.items]
        case Table():
            return {key: plain(item) for key, item in node.entries.items()}


def from_plain(value: Any, at: At) -> Node:
    """Give the node for plain Python data (texts as if bare, so that ``"5"`` given on a command line is a number)."""
    if isinstance(value, dict):
        return Table(
            {str(key): from_plain(item, at) for key, item in value.items()},
            {str(key): Scalar(str(key), bare=True, at=at) for key in value},
            at,
        )
    if isinstance(value, list | tuple):
        return Listing(tuple(from_plain(item, at) for item in value), at)
    return Scalar("" if value is None else str(value), bare=True, at=at)
