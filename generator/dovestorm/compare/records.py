"""One event of a stream, as every part of the comparison reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from dovestorm.validate.json_lines import UnreadableError
from dovestorm.validate.report import shown
from dovestorm.validate.times import TimeReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Record", "RecordReader", "records"]

_NAME_LIMIT = 200
_FIELD_LIMIT = 1_000


class Record(NamedTuple):
    """One event.

    Attributes:
        event: Its name.
        hostname: The host that reported it.
        start_us: start_time in microseconds since the epoch.
        end_us: end_time, likewise.
        categories: In the order of the record.
        fields: Name to value, in the order of the record; values are of any type that the format has.
    """

    event: str
    hostname: str
    start_us: int
    end_us: int
    categories: tuple[str, ...]
    fields: dict[str, Any]

    @property
    def service(self) -> str:
        """The process that sent it, from its ``service:`` category; empty when it has none."""
        return next((name[8:] for name in self.categories if name.startswith("service:")), "")


class RecordReader:
    """Turns decoded maps into records; it remembers the seconds that it has read, so keep one for a stream."""

    __slots__ = ("_times",)

    def __init__(self) -> None:
        self._times = TimeReader()

    def read(self, item: Any) -> Record:
        """Give the record of a decoded map.

        Raises:
            UnreadableError: It is no event: a key is missing, or has a value of another type.
        """
        if not isinstance(item, dict):
            raise UnreadableError(f"no event but {shown(item)}, must be a map")
        event, categories, fields = item.get("event"), item.get("categories", []), item.get("fields", {})
        if type(event) is not str or not 0 < len(event) <= _NAME_LIMIT:
            raise UnreadableError(f"event: {shown(event)}, must be the name of an event")
        if not isinstance(categories, list) or not all(type(name) is str for name in categories):
            raise UnreadableError(f"categories: {shown(categories)}, must be a list of texts")
        if not isinstance(fields, dict) or not all(type(name) is str for name in fields):
            raise UnreadableError(f"fields: {shown(fields)}, must be a map by name")
        if len(fields) > _FIELD_LIMIT or max(map(len, fields), default=0) > _NAME_LIMIT:
            raise UnreadableError(f"fields: {len(fields)} of them, must be at most {_FIELD_LIMIT} with names of at most {_NAME_LIMIT} characters")
        start, end = self._times.read(item.get("start_time")), self._times.read(item.get("end_time"))
        if start is None or end is None:
            name = "start_time" if start is None else "end_time"
            raise UnreadableError(f"{name}: {shown(item.get(name))}, must be like 2026-11-23T04:07:50.811472Z or 1795406870.811472")
        return Record(event, str(item.get("hostname", "")), start, end, tuple(categories), fields)


def records(items: Iterable[Mapping[str, Any] | Record]) -> Iterator[Record]:
    """The records of decoded events, such as ``json.loads`` gives them; records are passed through.

    Raises:
        UnreadableError: One of them is no event.
    """
    reader = RecordReader()
    for item in items:
        yield item if isinstance(item, Record) else reader.read(item)
