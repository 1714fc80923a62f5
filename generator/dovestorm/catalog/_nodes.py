"""Reading YAML as nodes that know their line, so that every fault of a catalog file can be told with its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import yaml

from dovestorm.errors import CatalogError, Fault, nearest

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from types import TracebackType

__all__ = ["Entry", "Faults", "Page", "WrongNodeError", "offer"]

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}


def offer(word: str, known: Collection[str]) -> str:
    """What would be right instead of ``word``: the nearest known one, or all of them when none is near."""
    return nearest(word, known) or ", known are " + ", ".join(known)


class WrongNodeError(Exception):
    """One fault on its way to the list of all faults; never leaves this package."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        super().__init__(str(fault))


class Faults:
    """Collects the faults of all files, so that they can be told at once.

    ``with faults:`` notes a fault that the block meets and goes on after the block; thousands of blocks do so, which a generator would slow down.
    """

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def __enter__(self) -> None:
        """Begin a block."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> bool:
        """Keep a fault, let everything else through."""
        if isinstance(error, WrongNodeError):
            self.found.append(error.fault)
            return True
        return False

    def settle(self) -> None:
        """Raise CatalogError with every fault, in the order of files and lines, if there is one."""
        if self.found:
            raise CatalogError("\n".join(map(str, sorted(set(self.found)))))


class Entry(NamedTuple):
    """One ``key: value`` of a mapping."""

    key: str
    at: yaml.Node
    value: yaml.Node


class Page:
    """One YAML file; its methods read a node as what it has to be, or raise WrongNodeError."""

    def __init__(self, path: Path) -> None:
        self.file = str(path)
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
        except (OSError, UnicodeDecodeError) as error:
            raise WrongNodeError(Fault(self.file, 1, 1, f"cannot be read ({error}); every section needs its file")) from error
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            where = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            raise WrongNodeError(Fault(self.file, *where, f"is not YAML: {error.problem}")) from error
        if node is None:
            raise WrongNodeError(Fault(self.file, 1, 1, "is empty"))
        self.root: yaml.Node = node

    def fault(self, node: yaml.Node, message: str) -> Fault:
        """A fault at the place of ``node``."""
        return Fault(self.file, node.start_mark.line + 1, node.start_mark.column + 1, message)

    def wrong(self, node: yaml.Node, message: str) -> WrongNodeError:
        """The error to raise for a fault at the place of ``node``."""
        return WrongNodeError(self.fault(node, message))

    def mapping(self, node: yaml.Node, what: str, known: Collection[str] | None = None) -> dict[str, Entry]:
        """The entries of a mapping by key; with ``known``, no other keys may occur. An empty value is an empty mapping."""
        if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null":
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise self.wrong(node, f"{what} must be a mapping (key: value)")
        entries: dict[str, Entry] = {}
        for key_node, value in node.value:
            key = self.text(key_node, f"a key of {what}")
            if key in entries:
                raise self.wrong(key_node, f"'{key}' is given twice, once would be right")
            if known is not None and key not in known:
                raise self.wrong(key_node, f"unknown key '{key}' of {what}{offer(key, known)}")
            entries[key] = Entry(key, key_node, value)
        return entries

    def items(self, node: yaml.Node, what: str) -> list[yaml.Node]:
        """The nodes of a list."""
        if not isinstance(node, yaml.SequenceNode):
            raise self.wrong(node, f"{what} must be a list")
        return list(node.value)

    def text(self, node: yaml.Node, what: str) -> str:
        """A scalar as it is written; what YAML would take for something else than text must be quoted."""
        if not isinstance(node, yaml.ScalarNode):
            raise self.wrong(node, f"{what} must be text")
        if node.tag != "tag:yaml.org,2002:str":
            raise self.wrong(node, f"{what} must be text, {node.value!r} needs quotes")
        return str(node.value)

    def texts(self, node: yaml.Node, what: str) -> tuple[str, ...]:
        """A list of scalars, each once."""
        found: list[str] = []
        for item in self.items(node, what):
            text = self.text(item, f"an entry of {what}")
            if text in found:
                raise self.wrong(item, f"'{text}' stands twice in {what}")
            found.append(text)
        return tuple(found)

    def flag(self, node: yaml.Node, what: str) -> bool:
        """True or false."""
        if isinstance(node, yaml.ScalarNode) and node.value in _BOOLEANS:
            return _BOOLEANS[node.value]
        raise self.wrong(node, f"{what} must be true or false")
