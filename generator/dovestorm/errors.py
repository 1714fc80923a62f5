"""The one error tree: every error that a person at the keyboard may meet.

The command line prints the text of a ``DovestormError`` and exits with its ``exit_code``; it never shows a traceback for one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["CatalogError", "DeliveryError", "DovestormError", "Fault", "FormatError", "InputError", "ScenarioError", "UsageError", "nearest"]


class DovestormError(Exception):
    """Base of all errors of this package; its text says what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(DovestormError):
    """The caller asked for something that cannot be: an unknown name, a bad URL, options that contradict each other."""

    exit_code = 2


class CatalogError(UsageError):
    """An unknown version, event or field, or a catalog file that does not hold together."""


class FormatError(DovestormError):
    """A record could not be rendered: a wrong template, or a value that the format cannot hold."""


class InputError(UsageError):
    """A file that we were given cannot be read at all (missing, unreadable, of an unknown format)."""


class DeliveryError(DovestormError):
    """A sink could not deliver: refused, timed out, broken, and retries are used up."""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One fault of a file: where (1-based line and column) and what."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class ScenarioError(UsageError):
    """A scenario that cannot be used; carries every fault that was found, not just the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)))

    def __reduce__(self) -> tuple[type[ScenarioError], tuple[tuple[Fault, ...]]]:
        return ScenarioError, (self.faults,)


def nearest(word: str, known: Iterable[str]) -> str:
    """Give ``", did you mean 'x'?"`` for the known name closest to ``word``, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f", did you mean '{close[0]}'?" if close else ""
