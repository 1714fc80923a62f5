"""Times of records as microseconds since the epoch."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

__all__ = ["TimeReader"]

_RFC3339_SIZE = len("2026-11-23T04:07:50.811472Z")
_UNIX_TEXT = re.compile(r"(\d{1,12})\.(\d{6})", re.ASCII)
_CACHE_LIMIT = 4096
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_LATEST_S = 253402300800.0


class TimeReader:
    """Reads times, remembering the seconds that it has seen.

    ``text`` and ``number`` say whether RFC 3339 and unix times have been met, so that a mixed stream can be told.
    """

    __slots__ = ("_seconds", "number", "text")

    def __init__(self) -> None:
        self._seconds: dict[str, int] = {}
        self.text = False
        self.number = False

    def read(self, value: Any) -> int | None:
        """Microseconds since the epoch, or None when it is no time.

        Source: the exporters' two time formats: ``YYYY-MM-DDTHH:MM:SS.uuuuuuZ``, and seconds with six decimals.
        """
        if type(value) is not str:
            return self._number(value)
        if len(value) == _RFC3339_SIZE and value[26] == "Z" and value.isascii():
            fraction = value[20:26]
            head = value[:20]
            if fraction.isdigit() and (base := self._seconds.get(head) or self._learn(head)) is not None:
                return base + int(fraction)
            return None
        return self._unix_text(value)

    def _learn(self, head: str) -> int | None:
        if head[10] != "T" or head[19] != "." or head[4] != "-":
            return None
        try:
            moment = dt.datetime.fromisoformat(head[:19]).replace(tzinfo=dt.UTC)
        except ValueError:
            return None
        self.text = True
        if len(self._seconds) >= _CACHE_LIMIT:
            self._seconds.clear()
        base = self._seconds[head] = (moment - _EPOCH) // dt.timedelta(seconds=1) * 1_000_000
        return base

    def _unix_text(self, value: str) -> int | None:
        """Tab-text and templates write unix times as text."""
        if (match := _UNIX_TEXT.fullmatch(value)) is None:
            return None
        self.number = True
        return int(match[1]) * 1_000_000 + int(match[2])

    def _number(self, value: Any) -> int | None:
        """A double holds the microseconds of our century exactly enough: its step there is a quarter of one."""
        kind = type(value)
        if kind is not float and kind is not int:
            seconds = getattr(value, "seconds", None)
            nanoseconds = getattr(value, "nanoseconds", None)
            if type(seconds) is not int or type(nanoseconds) is not int:
                return None
            self.number = True
            return int(seconds) * 1_000_000 + int(nanoseconds) // 1000
        if not 0 <= value < _LATEST_S:
            return None
        self.number = True
        us: int = round(value * 1_000_000)
        return us
