"""Waiting: in short ticks while a call is blocked, and longer after each failure, up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.clock import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.sinks.target import Options

__all__ = ["FIRST_DELAY_S", "LONGEST_DELAY_S", "TICK_S", "Backoff"]

FIRST_DELAY_S = 0.05
LONGEST_DELAY_S = 5.0

TICK_S = 0.2
"""Blocked calls look up this often whether they were stopped."""


class Backoff:
    """Counts failures in a row; each is followed by twice the wait of the one before, without jitter."""

    def __init__(self, options: Options) -> None:
        self._clock = options.clock
        self._limit = options.retries
        self._failures = 0

    def succeeded(self) -> None:
        """The next failure is a first one again."""
        self._failures = 0

    def again(self, stopped: Callable[[], bool]) -> bool:
        """Count a failure; wait and say True, or say at once that no attempt is left."""
        if self._failures >= self._limit:
            return False
        delay = min(FIRST_DELAY_S * 2**self._failures, LONGEST_DELAY_S)
        self._failures += 1
        wait_until(self._clock, self._clock.monotonic() + delay, stopped)
        return True
