"""What all sequence rules know of the stream, and the shape of a rule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovestorm.validate.report import Ledger

__all__ = ["SLACK_US", "Handler", "Stream"]

SLACK_US = 10_000
"""How far clocks of two processes may lie apart. Source: recordings, where the exporter's cached clock was up to 5.6 ms behind."""

Handler = Callable[[dict[str, Any], int, int, str], None]
"""A rule's hand on an event: fields, start_time, end_time (microseconds) and service."""


@dataclass(slots=True)
class Stream:
    """The stream so far.

    Attributes:
        ledger: Where breaches are booked.
        complete: Whether nothing lies before the first and after the last record.
        horizon: What started at or before this may have been reported before the stream began.
        now: The latest end_time.
    """

    ledger: Ledger
    complete: bool = False
    horizon: int = -1
    now: int = -1

    def advance(self, end: int) -> None:
        """Take note of a record's end_time."""
        if self.now < 0 and not self.complete:
            self.horizon = end + SLACK_US
        self.now = max(self.now, end)
