"""What a run tells while it goes on; terminal, JSON output and tests listen to the same small events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dovestorm.delivery.report import Report

__all__ = ["Finished", "Progress", "RunEvent", "Started"]


@dataclass(frozen=True, slots=True)
class Started:
    """All sinks that can be opened are open."""

    asked: int | None
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the run is: events given to the sinks, their bytes, and seconds since the sinks were open.

    ``delivered`` is the count of the sink that is furthest behind, of those that still work.
    """

    asked: int | None
    made: int
    made_bytes: int
    delivered: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Finished:
    """The run is over, and all sinks are closed."""

    report: Report


RunEvent = Started | Progress | Finished
