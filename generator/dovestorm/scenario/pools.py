"""Pools of texts: the shipped files, those beside a scenario, and the ones written in it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from dovestorm import resources
from dovestorm.errors import InputError
from dovestorm.scenario.nodes import Node, Scalar, read_text
from dovestorm.scenario.reading import Reading, shown

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Pools", "read_pool"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def read_pool(path: Path) -> tuple[str, ...]:
    """Give a pool file's entries: its lines without empty ones and without comments (``#`` and a space).

    Raises:
        InputError: If it cannot be read.
    """
    lines = (line.strip() for line in read_text(path).split("\n"))
    return tuple(line for line in lines if line and line != "#" and not line.startswith("# "))


@cache
def _shipped(name: str) -> tuple[str, ...]:
    return read_pool(resources.pools_dir() / f"{name}.txt")


class Pools:
    """The pool files within reach of one scenario: a ``pools`` folder beside its file, then the shipped ones."""

    def __init__(self, beside: Path | None) -> None:
        self._beside = beside / "pools" if beside is not None else None

    def shipped(self, name: str) -> tuple[str, ...]:
        """Give a shipped pool."""
        return _shipped(name)

    def names(self) -> tuple[str, ...]:
        """The names of all pool files within reach."""
        folders = [folder for folder in (self._beside, resources.pools_dir()) if folder is not None and folder.is_dir()]
        return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.txt")}))

    def file(self, node: Node, reading: Reading) -> tuple[str, ...]:
        """Give the entries of a pool file named in a scenario; empty after a fault."""
        name = node.text if isinstance(node, Scalar) else ""
        if not _NAME.fullmatch(name):
            reading.faults.add(node.at, f"a pool's file ({shown(node)}) must be a plain name without folder or ending")
            return ()
        try:
            if self._beside is not None and (self._beside / f"{name}.txt").is_file():
                return read_pool(self._beside / f"{name}.txt")
            if (resources.pools_dir() / f"{name}.txt").is_file():
                return _shipped(name)
        except InputError as error:
            reading.faults.add(node.at, str(error))
            return ()
        reading.faults.add(node.at, f"unknown pool file '{name}'{reading.hint(name, self.names(), most=40)}")
        return ()

    def entries(self, node: Scalar, reading: Reading) -> tuple[str, ...]:
        """Give the entries of a pool by name: the scenario's own, then a file; empty after a fault."""
        if node.text in reading.pools:
            return reading.pools[node.text]
        known = (*reading.pools, *self.names())
        if node.text not in known:
            reading.faults.add(node.at, f"unknown pool '{node.text}'{reading.hint(node.text, known, most=40)}")
            return ()
        return self.file(node, reading)
