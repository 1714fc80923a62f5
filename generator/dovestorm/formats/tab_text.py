"""Dovecot's tab-text exporter: one line of ``name:value`` tokens per event.

Source: Dovecot's stats process, read and recorded: TAB between tokens and none at the end, times unquoted, five bytes escaped in two
characters each, lists escaped twice, all other bytes as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dovestorm.kernel.pieces import Op, Wrap

if TYPE_CHECKING:
    from dovestorm.batch import Layout, RecordKind
    from dovestorm.formats.compiling import Draft

__all__ = ["dialect"]

_ESCAPES = str.maketrans({"\0": "\x010", "\x01": "\x011", "\t": "\x01t", "\r": "\x01r", "\n": "\x01n"})
_NO_BYTE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def dialect(layout: Layout, *, unix: bool) -> _TabText:
    """How tab-text looks."""
    return _TabText(layout.hostname, time=Op.UNIX if unix else Op.RFC3339)


class _TabText:
    content_type = "text/plain"
    terminator = 1
    wrap = Wrap.NONE
    integer = Op.INTEGER
    rows = None

    def __init__(self, hostname: str, *, time: Op) -> None:
        self.time = time
        self._hostname = hostname

    def escape(self, text: str) -> bytes:
        text = text.translate(_ESCAPES)
        try:
            return text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            return _NO_BYTE.sub("\ufffd", text).encode("utf-8", "surrogateescape")

    def frame(self, length: int) -> tuple[bytes, bytes]:  # noqa: ARG002 - tab-text does not say lengths
        return b"", b""

    def number(self, value: int) -> bytes:
        return b"%d" % value

    def listing(self, items: tuple[str, ...]) -> bytes:
        return self.escape("\t".join(item.translate(_ESCAPES) for item in items))

    def record(self, kind: RecordKind, draft: Draft) -> None:
        draft.literal(b"event:")
        draft.text(kind.event)
        draft.literal(b"\thostname:")
        draft.text(self._hostname)
        draft.literal(b"\tstart_time:")
        draft.time(0)
        draft.literal(b"\tend_time:")
        draft.time(1)
        for category in kind.categories:
            draft.literal(b"\tcategory:")
            draft.text(category)
        for slot in kind.fields:
            with draft.unless_absent(slot):
                draft.literal(b"\tfield:")
                draft.text(slot.name)
                draft.literal(b"=")
                draft.value(slot)
        draft.literal(b"\n")
