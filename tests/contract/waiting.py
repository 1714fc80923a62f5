"""Waiting for what comes about soon, in another process or thread."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["wait_until"]

_LOOK_S = 0.02


def wait_until(reached: Callable[[], bool], what: Callable[[], str] | str = "what was expected", *, seconds: float = 60) -> None:
    """Look again and again; fail with what did not come (a callable is asked then) after so many seconds."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain for {what if isinstance(what, str) else what()}"
        time.sleep(_LOOK_S)
