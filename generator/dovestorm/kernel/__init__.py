"""The only hot code: records' integers to bytes, and two number mills for the engine. Compiled, with a plain Python twin.

``DOVESTORM_KERNEL=reference`` forces the twin, ``DOVESTORM_KERNEL=cython`` the compiled one; without it, the compiled one serves where
it was built.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from dovestorm.errors import UsageError
from dovestorm.kernel.pieces import RecordTooLargeError, Template

if TYPE_CHECKING:
    from types import ModuleType

    from dovestorm.kernel.reference import Walker, mix64_into, quantile_into

__all__ = ["RecordTooLargeError", "Template", "Walker", "implementation", "mix64_into", "quantile_into"]


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

if not TYPE_CHECKING:
    Walker = _chosen.Walker
    mix64_into = _chosen.mix64_into
    quantile_into = _chosen.quantile_into


def implementation() -> str:
    """Which kernel serves: ``"cython"`` or ``"reference"``."""
    return "reference" if _chosen.__name__.endswith("reference") else "cython"
