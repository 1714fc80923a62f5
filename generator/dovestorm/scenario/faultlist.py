"""Collecting the faults of a file, so that all of them are reported and not just the first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dovestorm.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from dovestorm.scenario.model import At

__all__ = ["FaultList"]

_MOST = 1000
"""A hostile file may hold a fault in every line; more than this many help nobody."""


@dataclass(slots=True)
class FaultList:
    """The faults found so far."""

    found: dict[Fault, None] = field(default_factory=dict)

    def add(self, at: At, message: str) -> None:
        """Note a fault, once."""
        if not self.full:
            self.found.setdefault(Fault(at.file, at.line, at.column, message))

    @property
    def full(self) -> bool:
        """Whether further faults are not kept."""
        return len(self.found) >= _MOST

    def __len__(self) -> int:
        return len(self.found)

    def raise_any(self) -> None:
        """Raise what was found, if anything was.

        Raises:
            ScenarioError: With every fault.
        """
        if self.found:
            raise ScenarioError(tuple(self.found))
