"""From what a user calls a version to the edition that holds for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from dovestorm.errors import CatalogError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["edition_of"]

_PATCHED: Final = re.compile(r"(\d+\.\d+\.\d+)\.\d+")
_NUMBERS: Final = re.compile(r"\D*(\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")
_STEP: Final = 1_000_000


def edition_of(version: str, *, known: Sequence[str], listed: str) -> str:
    """The edition that holds for ``version``: itself, or for a patch release (``2.3.19.1``) the release that it patches.

    Args:
        version: As the user gave it.
        known: Every edition, oldest first.
        listed: The one among them that is no server's release; so it has no patches.

    Raises:
        CatalogError: When there is none; the text names the nearest one.
    """
    if version in known:
        return version
    patched = _PATCHED.fullmatch(version)
    if patched and patched[1] in known and patched[1] != listed:
        return patched[1]
    raise CatalogError(f"unknown Dovecot version '{version}', known are {known[0]} to {known[-1]}{_hint(version, known)}")


def _hint(version: str, known: Sequence[str]) -> str:
    """The nearest by number, the later one of two; what is no version at all is compared as text."""
    asked = _number(version)
    if asked is None:
        return nearest(version[:80], known) or f" ({', '.join(known)})"
    best = min(reversed(known), key=lambda name: abs((_number(name) or 0) - asked))
    return f", did you mean '{best}'?"


def _number(version: str) -> int | None:
    found = _NUMBERS.match(version)
    if found is None:
        return None
    major, minor, release = (int(part or 0) for part in found.groups())
    return (major * _STEP + minor) * _STEP + release
