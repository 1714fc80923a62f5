"""Time as an argument: whatever waits or measures is given a clock, so that its tests never wait."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EPOCH", "Clock", "FakeClock", "SystemClock", "rfc3339", "wait_until", "wall_us"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LONGEST_NAP_S = 0.1


class Clock(Protocol):
    """Seconds that never go backwards, and sleep."""

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""

    def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` have passed."""


class SystemClock:
    """The machine's own clock."""

    __slots__ = ()

    def monotonic(self) -> float:
        """Seconds since some fixed moment."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Return after ``seconds`` have passed."""
        time.sleep(seconds)


class FakeClock:
    """A clock for tests: it stands still until someone sleeps or moves it."""

    __slots__ = ("now", "slept")

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """The time that the clock was set to."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Move on by ``seconds`` at once, and note it in ``slept``."""
        self.slept.append(seconds)
        self.now += seconds


def wall_us() -> int:
    """The machine's date and time, in microseconds since the epoch, UTC."""
    return time.time_ns() // 1000


def wait_until(clock: Clock, due: float, stopped: Callable[[], bool]) -> bool:
    """Sleep until ``due`` in naps short enough to notice ``stopped``; say whether the moment was reached."""
    while not stopped():
        left = due - clock.monotonic()
        if left <= 0:
            return True
        clock.sleep(min(left, _LONGEST_NAP_S))
    return False


def rfc3339(moment_us: int) -> str:
    """A moment (microseconds since the epoch, UTC) as events show it: ``2026-03-02T09:00:00.250000Z``."""
    moment = EPOCH + timedelta(microseconds=moment_us)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
