"""Dovecot's JSON exporter: one compact object per line.

Source: Dovecot's stats process, read and recorded: fixed key order, ``fields`` nested, UTC with six digits or seconds with six digits,
``/`` and DEL and non-ASCII raw, escapes in lower case hex before 2.4 and upper case since.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dovestorm.formats.compiling import optional_column, utf8
from dovestorm.kernel.pieces import Op, Wrap

if TYPE_CHECKING:
    from dovestorm.batch import Layout, RecordKind
    from dovestorm.formats.compiling import Draft

__all__ = ["dialect", "write_fields"]

_HOSTILE = re.compile('["\\\\\x00-\x1f\u2028\u2029]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def dialect(layout: Layout, *, unix: bool) -> _Json:
    """How JSON looks in the layout's edition."""
    edition = tuple(map(int, re.findall(r"\d+", layout.edition)))
    return _Json(layout.hostname, hexadecimal="04X" if edition >= (2, 4) else "04x", time=Op.UNIX if unix else Op.RFC3339)


class _Json:
    content_type = "application/json"
    terminator = 1
    wrap = Wrap.QUOTES
    integer = Op.INTEGER
    rows = None

    def __init__(self, hostname: str, *, hexadecimal: str, time: Op) -> None:
        self.time = time
        self._hostname = hostname
        self._hexadecimal = hexadecimal

    def escape(self, text: str) -> bytes:
        return utf8(_HOSTILE.sub(self._escaped, text))

    def frame(self, length: int) -> tuple[bytes, bytes]:  # noqa: ARG002 - JSON does not say lengths
        return b'"', b'"'

    def number(self, value: int) -> bytes:
        return b"%d" % value

    def listing(self, items: tuple[str, ...]) -> bytes:
        return b"[" + b",".join(b'"' + self.escape(item) + b'"' for item in items) + b"]"

    def record(self, kind: RecordKind, draft: Draft) -> None:
        draft.literal(b'{"event":')
        draft.text(kind.event)
        draft.literal(b',"hostname":')
        draft.text(self._hostname)
        draft.literal(b',"start_time":')
        draft.time(0)
        draft.literal(b',"end_time":')
        draft.time(1)
        draft.literal(b',"categories":' + self.listing(kind.categories) + b',"fields":')
        write_fields(kind, draft)
        draft.literal(b"}\n")

    def _escaped(self, match: re.Match[str]) -> str:
        character = match[0]
        return _SHORT.get(character) or f"\\u{ord(character):{self._hexadecimal}}"


def write_fields(kind: RecordKind, draft: Draft) -> None:
    """The map of a record's fields.

    Whether a comma is due is known beforehand once a field is surely there; before that, only the record can tell.
    """
    draft.literal(b"{")
    certain = False
    for number, slot in enumerate(kind.fields):
        with draft.unless_absent(slot):
            if certain:
                draft.literal(b",")
            elif number:
                draft.piece(Op.SEPARATOR, ord("{"), ord(","))
            draft.text(slot.name)
            draft.literal(b":")
            draft.value(slot)
        certain = certain or optional_column(slot) is None
    draft.literal(b"}")
