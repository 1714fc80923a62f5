"""Fragments: finding their files, and what is known of one that was read."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from dovestorm import resources
from dovestorm.errors import Fault, InputError
from dovestorm.scenario.faultlist import FaultList
from dovestorm.scenario.model import At
from dovestorm.scenario.nodes import Node, parse, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from dovestorm.scenario.model import Step, Value
    from dovestorm.scenario.reading import Frame

__all__ = ["Folder", "Fragment"]


@dataclass(frozen=True, slots=True)
class Fragment:
    """A fragment that was read: parameters with their defaults (None if one is required), steps, and what its frame noted."""

    name: str
    parameters: dict[str, Value | None]
    steps: tuple[Step, ...]
    frame: Frame


class Folder:
    """The fragments within reach of one scenario: those beside its file, then the shipped ones. Files are read once."""

    def __init__(self, beside: Path | None) -> None:
        self._folders: list[tuple[Path, str]] = []
        if beside is not None:
            folder = beside / "fragments"
            self._folders.append((folder, str(folder)))
        shipped = resources.scenarios_dir() / "fragments"
        self._folders.append((shipped, "scenarios/fragments"))
        self._names: tuple[str, ...] | None = None

    def names(self) -> tuple[str, ...]:
        """The names of all fragments within reach."""
        if self._names is None:
            self._names = tuple(sorted({path.stem for folder, _ in self._folders if folder.is_dir() for path in folder.glob("*.yaml")}))
        return self._names

    def node(self, name: str, faults: FaultList) -> Node | None:
        """Give the tree of a fragment's file, which must be one of ``names()``; None after a fault."""
        folder, label = next((folder, label) for folder, label in self._folders if (folder / f"{name}.yaml").is_file())
        path = folder / f"{name}.yaml"
        file = f"{label}/{name}.yaml"
        try:
            state = path.stat()
            node, found = _tree(path, file, state.st_mtime_ns, state.st_size)
        except (InputError, OSError) as error:
            faults.add(At(file), str(error))
            return None
        for fault in found:
            faults.found.setdefault(fault)
        return node


@lru_cache(maxsize=256)
def _tree(path: Path, file: str, _changed: int, _size: int) -> tuple[Node | None, tuple[Fault, ...]]:
    """Parse a fragment once for every state of its file: trees never change, and many scenarios share them."""
    faults = FaultList()
    return parse(read_text(path), file=file, faults=faults), tuple(faults.found)
