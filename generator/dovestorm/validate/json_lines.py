"""One line of JSON to a record."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from dovestorm.validate.report import printable

__all__ = ["UnreadableError", "foreign_escape", "parse_json", "repeated_keys"]

# A backslash and what it escapes: so the second of two backslashes never begins an escape.
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)")
_UNIX_HEAD = re.compile(rb'"start_time"\s*:\s*\d+\.\d{6}\s*,\s*"end_time"\s*:\s*\d+\.\d{6}\s*,')


class UnreadableError(Exception):
    """A record that cannot be decoded; the text says why."""


def foreign_escape(line: bytes, *, upper: bool) -> str:
    r"""The first ``\u`` escape of a line whose digits are not in the case of the edition; empty if there is none."""
    if b"\\u" not in line:
        return ""
    for found in _ESCAPE.finditer(line):
        digits = found[1]
        if digits is not None and digits != (digits.upper() if upper else digits.lower()):
            return f"\\u{digits.decode()}"
    return ""


def parse_json(line: bytes) -> Any:
    """Decode a line.

    Raises:
        UnreadableError: The line is no JSON, is cut off, or is nested too deeply.
    """
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnreadableError(_reason(line, error)) from None


def _reason(line: bytes, error: orjson.JSONDecodeError) -> str:
    start = printable(line[:40].decode("utf-8", "replace"))
    text = f"no JSON: {error.msg} at byte {error.pos + 1}, line begins '{start}'"
    return f"{text}; it seems cut off" if line.startswith(b"{") and not line.rstrip().endswith(b"}") else text


def repeated_keys(line: bytes, record: dict[str, Any]) -> list[str]:
    """The keys that appear twice, which a decoder hides.

    In compact JSON every key ends in ``":`` and an escaped quotation mark before a colon is the only other place for these two bytes, so
    counting them settles nearly every line; the rest is decoded again with a decoder that sees all pairs.
    """
    fields = record.get("fields")
    keys = len(record) + (len(fields) if type(fields) is dict else 0)
    if line.count(b'":') == keys and b" :" not in line and b"\t" not in line and b"\r" not in line:
        return []
    repeated: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(items)
        if len(seen) != len(items):
            met: set[str] = set()
            repeated.extend(key for key, _ in items if key in met or met.add(key))  # type: ignore[func-returns-value]
        return seen

    try:
        json.loads(line, object_pairs_hook=pairs, parse_int=_number, parse_float=_number)
    except (ValueError, RecursionError):
        return repeated
    return repeated


def _number(_text: str) -> int:
    """Values do not matter here, and Python refuses integers of very many digits."""
    return 0


def exact_unix_times(line: bytes) -> bool:
    """Whether the head of the line has both times with six decimals."""
    return _UNIX_HEAD.search(line) is not None
