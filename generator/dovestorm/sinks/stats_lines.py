"""Reading our own lines of the stats protocol: which fields stand in them, and their values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.stats_protocol import unescape

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["field_names", "read_fields"]

_FIELD_CODES = b"SITL"


def field_names(rest: bytes) -> list[bytes]:
    """The codes and names of the fields in a line's end, after its moment."""
    return [code + name for code, name, _ in _fields(rest.removeprefix(b"\t").rstrip(b"\n").split(b"\t"))]


def read_fields(head: bytes, event: bytes) -> dict[str, int | str | list[str] | None]:
    """The fields of an event and of the parents in its head, as a filter compares them; moments are None.

    ``duration`` is among them: the stats process counts it from the moments, and so do the clients of Dovecot 2.4.
    """
    words = event.rstrip(b"\n").split(b"\t")
    found: dict[str, int | str | list[str] | None] = {}
    for line in head.splitlines():
        if line.startswith(b"BEGIN\t"):
            found |= _values(line.split(b"\t")[6:])
    found |= _values(words[8:])
    seconds, microseconds = int(words[6][1:]) - int(words[4]), int(words[7]) - int(words[5])
    found["duration"] = seconds * 1_000_000 + microseconds
    return found


def _values(words: list[bytes]) -> dict[str, int | str | list[str] | None]:
    return {_text(name): _value(code, values) for code, name, values in _fields(words)}


def _value(code: bytes, values: list[bytes]) -> int | str | list[str] | None:
    match code:
        case b"S":
            return _text(values[0])
        case b"I":
            return int(values[0])
        case b"L":
            return [_text(value) for value in values[1:]]
        case _:
            return None


def _fields(words: list[bytes]) -> Iterator[tuple[bytes, bytes, list[bytes]]]:
    """Each field's code, name and values; whatever stands before the first field is left out."""
    at = 0
    while at < len(words):
        code, name = words[at][:1], words[at][1:]
        at += 1
        if not code or code not in _FIELD_CODES:
            continue
        count = {b"T": 2, b"L": 1 + int(words[at])}.get(code, 1) if code in b"TL" else 1
        yield code, name, words[at : at + count]
        at += count


def _text(token: bytes) -> str:
    return unescape(token).decode("utf-8", "surrogateescape")
