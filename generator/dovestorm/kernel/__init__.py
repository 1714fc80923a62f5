"""The only hot code: sessions to records, records in order, and records' integers to bytes.

All of it is compiled and has a plain twin: in Python for the renderer, in NumPy for the rest.

``DOVESTORM_KERNEL=reference`` forces the twin, ``DOVESTORM_KERNEL=cython`` the compiled one; without it, the compiled one serves where
it was built.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from dovestorm.errors import UsageError
from dovestorm.kernel.pieces import RecordTooLargeError, Template

if TYPE_CHECKING:
    from types import ModuleType

    from dovestorm.kernel._interpreter import Interpreter
    from dovestorm.kernel.instructions import in_order
    from dovestorm.kernel.reference import Walker

__all__ = ["RecordTooLargeError", "Template", "Walker", "fingerprinting", "implementation", "in_order", "interpreter"]


def _choose(wish: str) -> ModuleType:
    if wish not in {"", "cython", "reference"}:
        raise UsageError(f"DOVESTORM_KERNEL: unknown kernel '{wish}', 'cython' or 'reference' would be right")
    if wish != "reference":
        try:
            from dovestorm.kernel import _render
        except ImportError:
            if wish == "cython":
                raise UsageError("DOVESTORM_KERNEL: the compiled kernel was not built, reinstall with a C compiler at hand") from None
        else:
            return _render
    from dovestorm.kernel import reference

    return reference


_chosen = _choose(os.environ.get("DOVESTORM_KERNEL", ""))


def implementation() -> str:
    """Which kernel serves: ``"cython"`` or ``"reference"``."""
    return "reference" if _chosen.__name__.endswith("reference") else "cython"


def interpreter() -> type[Interpreter] | None:
    """The compiled interpreter's class, None where the reference serves."""
    if implementation() == "reference":
        return None
    from dovestorm.kernel._interpreter import Interpreter

    return Interpreter


def fingerprinting() -> ModuleType:
    """The module with ``fingerprint``, ``line_ends`` and ``Window``, compiled where the compiled kernel serves."""
    if implementation() == "cython":
        with suppress(ImportError):
            from dovestorm.kernel import _fingerprint

            return _fingerprint
    from dovestorm.kernel import fingerprints as reference

    return reference


if not TYPE_CHECKING:
    Walker = _chosen.Walker
    if implementation() == "reference":
        from dovestorm.kernel.instructions import in_order
    else:
        from dovestorm.kernel._interpreter import in_order
