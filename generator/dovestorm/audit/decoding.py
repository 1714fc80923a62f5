"""A received record to the event that it holds, whatever a collector put around it or made of its times."""

from __future__ import annotations

import datetime as dt
import re
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import orjson

from dovestorm.audit.values import HEAD
from dovestorm.validate.json_lines import UnreadableError, parse_json
from dovestorm.validate.tab_text import parse_tab_text
from dovestorm.validate.times import TimeReader

if TYPE_CHECKING:
    from dovestorm.audit.values import Spelling

__all__ = ["Decoder", "inner_record", "moment_us"]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)
_JSON_BEGIN = b'{"event":"'
_TAB_TEXT = b"event:"
_PACKED_BEGIN = b"\x86\xa5event"
_INTEGER = re.compile(r"-?\d{1,19}", re.ASCII)
_UNIX = re.compile(r"\d{9,20}(\.\d+)?", re.ASCII)
_UNITS = ((10**17, 1000, 1), (10**14, 1, 1), (10**11, 1, 1000))
"""From which whole number on a time counts nanoseconds, microseconds or milliseconds: divisor and factor to microseconds."""
_USUAL = len("2026-03-02T09:00:00.369000Z")
_USUAL_ZONE = len("2026-03-02T09:00:00.369000+00:00")
_LATEST = 253402300800 * 10**6
_NONE: frozenset[str] = frozenset()
_ENTRIES = frozenset((*HEAD, "fields"))
_EVENT = re.compile(rb'event(?:": ?"|:|[\xa1-\xbf]|\xd9.)([a-z0-9_]+)(?=[^a-z0-9_])')
_MOMENT = rb'(?:": ?"?|:|\xbb|\xd9\x1b)([0-9][0-9T:.+Z-]{9,34})(?=[^0-9T:.+Z-])'
_TIMES = {name: re.compile(name.encode() + _MOMENT) for name in ("start_time", "end_time")}


class Decoder:
    """Decodes records of one format.

    Args:
        layout: ``json``, ``tab-text`` or ``msgpack``.
        spelling: How events are compared.
        field: The name of the field that holds the event, as a text or as a map, in a JSON record that a collector wrapped around it.
        untyped: Whether integers may arrive as texts.
    """

    def __init__(self, layout: str, spelling: Spelling, *, field: str = "", untyped: bool = False) -> None:
        self._decode = {"json": self._json, "tab-text": self._tab_text, "msgpack": self._packed}[layout]
        self._begin = {"json": _JSON_BEGIN, "tab-text": _TAB_TEXT, "msgpack": _PACKED_BEGIN}[layout]
        self._field = field
        self._types = spelling.types()
        self._moments = spelling.moments()
        self._untyped = untyped
        self._precision, self._half = spelling.precision, spelling.half
        self._reader = TimeReader()

    def decode(self, record: bytes) -> dict[str, Any]:
        """The event: what ``HEAD`` names, and its fields; times and moments spelled as the exporter does, so far as they can be read.

        Raises:
            UnreadableError: The record holds no event.
        """
        found = self._read_wrapped(record) if self._field else self._decode(record)
        event = found if found.keys() == _ENTRIES else {key: value for key, value in found.items() if key in _ENTRIES}
        for key in _TIMES:
            if key in event:
                event[key] = self._moment(event[key])
        fields = event.get("fields")
        if type(fields) is dict:
            event["fields"] = self._mended(event.get("event"), fields)
        return event

    def unwrap(self, record: bytes) -> bytes:
        """The record that a collector put into a field as a text.

        Raises:
            UnreadableError: There is no such text.
        """
        inner = self._inner(record)
        if not isinstance(inner, str):
            raise UnreadableError(f"no text in field '{self._field}'")
        return inner.rstrip("\r\n").encode("utf-8", "surrogatepass")

    def salvage(self, record: bytes) -> dict[str, Any]:
        """What can be told of a record that is broken: event and times, where they stand in it whole; ``begins`` says that it begins as one."""
        event: dict[str, Any] = {"begins": record.startswith(self._begin[: len(record)])}
        if (match := _EVENT.search(record)) is not None:
            event["event"] = match[1].decode("ascii")
        for key, pattern in _TIMES.items():
            if (match := pattern.search(record)) is not None:
                event[key] = self._moment(match[1].decode("ascii"))
        return event

    def _read_wrapped(self, record: bytes) -> dict[str, Any]:
        inner = self._inner(record)
        return self._decode(inner.rstrip("\r\n").encode("utf-8", "surrogatepass")) if isinstance(inner, str) else _map(inner)

    def _inner(self, record: bytes) -> Any:
        inner = self._json(record).get(self._field)
        if inner is None:
            raise UnreadableError(f"no field '{self._field}' in the record")
        return inner

    def _json(self, record: bytes) -> dict[str, Any]:
        record = inner_record(record)
        try:
            found = orjson.loads(record)
        except orjson.JSONDecodeError:
            found = parse_json(record)  # Says why not.
        return _map(found)

    def _tab_text(self, record: bytes) -> dict[str, Any]:
        begin = max(record.find(_TAB_TEXT), 0)
        return parse_tab_text(record[begin:].rstrip(b"\r"), self._types)[0]

    def _packed(self, record: bytes) -> dict[str, Any]:
        import msgpack

        try:
            found = cast(Any, msgpack).unpackb(record, strict_map_key=False, unicode_errors="surrogateescape")
        except (msgpack.UnpackException, ValueError, RecursionError, TypeError, OverflowError) as error:
            raise UnreadableError(f"no msgpack: {error or type(error).__name__}") from None
        return _map(found)

    def _mended(self, name: Any, fields: dict[str, Any]) -> dict[str, Any]:
        """Fields with moments spelled as the exporter does, and with whole numbers as integers however they were written."""
        if float in map(type, fields.values()):
            fields = {
                key: int(value) if type(value) is float and value.is_integer() and abs(value) < 2**53 else value for key, value in fields.items()
            }
        name = name if isinstance(name, str) else ""
        if self._untyped:
            types = self._types.get(name, {})
            fields = {key: _integer(value) if types.get(key) == "integer" else value for key, value in fields.items()}
        for key in self._moments.get(name, _NONE):
            if key in fields:
                fields[key] = self._moment(fields[key])
        return fields

    def _moment(self, value: Any) -> Any:
        """Spelled as the exporter does; what is no time stays what it is."""
        if type(value) is str and self._precision == 1 and value[10:11] == "T":
            if len(value) == _USUAL and value[-1] == "Z":
                return value
            if len(value) == _USUAL_ZONE and value[19] == "." and value[26:] == "+00:00":
                return f"{value[:26]}Z"
        moment = None if type(value) is int and value < 0 else self._read(value)
        if moment is None or not 0 <= moment < _LATEST:
            return value
        return _spelled((moment + self._half) // self._precision * self._precision)

    def _read(self, value: Any) -> int | None:
        if type(value) is int:
            for least, divisor, factor in _UNITS:
                if value >= least:
                    return value // divisor * factor
        moment = self._reader.read(value)
        if moment is None and isinstance(value, str):
            if _UNIX.fullmatch(value):
                return self._read(int(value)) if "." not in value else round(float(value) * 1e6)
            with suppress(ValueError, OverflowError):
                read = dt.datetime.fromisoformat(value)
                return (read - _EPOCH if read.tzinfo is not None else read.replace(tzinfo=dt.UTC) - _EPOCH) // _MICROSECOND
        return moment


def moment_us(value: Any) -> int | None:
    """Microseconds since the epoch of a time that was read; None for what is none."""
    return TimeReader().read(value) if type(value) is str else None


def inner_record(record: bytes) -> bytes:
    """The record from its first brace on: what stands before it is a collector's, such as a syslog header."""
    return record if record.startswith(b"{") else record[max(record.find(b"{"), 0) :]


def _map(found: Any) -> dict[str, Any]:
    if type(found) is not dict:
        raise UnreadableError(f"no map but {type(found).__name__}")
    return found


def _spelled(moment: int) -> str:
    second, part = divmod(moment, 1_000_000)
    return f"{_second(second)}.{part:06d}Z"


@lru_cache(maxsize=1 << 12)
def _second(second: int) -> str:
    return (_EPOCH + dt.timedelta(seconds=second)).replace(tzinfo=None).isoformat()


def _integer(value: Any) -> Any:
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else value
