"""One line of Dovecot's tab-text export to a record."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dovestorm.validate.json_lines import UnreadableError
from dovestorm.validate.report import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["parse_tab_text", "unescape"]

_HEAD = ("event", "hostname", "start_time", "end_time")
_ESCAPE = re.compile(r"\x01(.?)", re.DOTALL)
_ESCAPED = {"0": "\0", "1": "\x01", "t": "\t", "n": "\n", "r": "\r"}
_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)


def unescape(text: str) -> str:
    """Undo the exporter's escapes.

    Source: the exporter writes byte 1 and a letter for TAB, CR, LF, NUL and byte 1.

    Raises:
        UnreadableError: An escape that the exporter never writes.
    """
    if "\x01" not in text:
        return text

    def plain(match: re.Match[str]) -> str:
        try:
            return _ESCAPED[match[1]]
        except KeyError:
            raise UnreadableError(f"unknown escape byte 1 + '{printable(match[1])}', known are 0 1 t n r") from None

    return _ESCAPE.sub(plain, text)


def parse_tab_text(line: bytes, types: Mapping[str, Mapping[str, str]]) -> tuple[dict[str, Any], list[str]]:
    """Decode a line into a record and the keys that appear twice.

    Args:
        line: The line without its newline.
        types: By event name, the types of its fields by name; the format itself does not tell an integer from a text.

    Raises:
        UnreadableError: A token that is none of the format's.
    """
    tokens = line.decode("utf-8", "surrogateescape").split("\t")
    record: dict[str, Any] = {}
    for name, token in zip(_HEAD, tokens, strict=False):
        head, colon, value = token.partition(":")
        if head != name or not colon:
            raise UnreadableError(f"token '{printable(token)}' stands where {name}: belongs")
        record[name] = unescape(value)
    if len(tokens) < len(_HEAD):
        raise UnreadableError(f"cut off after {len(tokens)} of the {len(_HEAD)} head tokens")
    categories: list[str] = []
    fields: dict[str, Any] = {}
    repeated: list[str] = []
    kinds = types.get(record["event"], {})
    for token in tokens[len(_HEAD) :]:
        if token.startswith("field:"):
            key, equals, value = token[6:].partition("=")
            if not equals:
                raise UnreadableError(f"field token '{printable(token)}' has no =")
            name = unescape(key)
            if name in fields:
                repeated.append(name)
            fields[name] = _typed(value, kinds.get(name))
        elif token.startswith("category:") and not fields:
            categories.append(unescape(token[9:]))
        else:
            raise UnreadableError(f"token '{printable(token)}' is no category: or field:, or stands out of place")
    record["categories"] = categories
    record["fields"] = fields
    return record, repeated


def _typed(value: str, kind: str | None) -> Any:
    text = unescape(value)
    if kind == "integer" and _INTEGER.fullmatch(text):
        return int(text)
    if kind == "list":
        return [unescape(item) for item in text.split("\t")] if text else []
    return text
