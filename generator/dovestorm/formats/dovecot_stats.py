"""The lines by which Dovecot's processes tell its stats process of events; the ``dovecot-stats`` sink sends them.

Each record stands by itself: it announces the event's categories, begins the parents that hold what events share, says the event, and ends the
parents. So records can be taken, left out and cut anywhere; the sink leaves out what a connection has been told already.

Source: Dovecot's stats protocol 4 (2.3.18 to 2.4.4), read, and recorded from a 2.3.19.1. The category tree: the sources of those versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.batch import Column, Constant, Encoding, FieldSlot
from dovestorm.formats import tab_text
from dovestorm.formats.stats_rows import StatsRows
from dovestorm.kernel.pieces import Op, Wrap
from dovestorm.stats_protocol import CONTENT_TYPE

if TYPE_CHECKING:
    from dovestorm.batch import Layout, RecordKind
    from dovestorm.formats.compiling import Draft
    from dovestorm.formats.stats_rows import Field

__all__ = ["dialect"]

_PARENTS = {
    **dict.fromkeys(("mailbox", "imapc", "maildir", "mbox", "mdbox", "sdbox", "pop3c", "cydir"), "storage"),
    **dict.fromkeys(("cassandra", "mysql", "pgsql", "sqlite"), "sql"),
    **dict.fromkeys(("sieve-action", "sieve-runtime", "sieve-storage"), "sieve"),
    "mail": "mailbox",
    "imap-hibernate": "imap",
    "oauth2": "auth",
}
"""Registration is common to all clients of a stats process: a category announced under another parent costs the connection, ours or a real one's."""

_PLAIN = (0, -1, 0)
_DEBUG = b"0"


def dialect(layout: Layout, *, unix: bool) -> _Stats:  # noqa: ARG001 - moments are always seconds and microseconds here
    """How the protocol's lines look."""
    return _Stats(layout)


class _Stats:
    content_type = CONTENT_TYPE
    terminator = 1
    wrap = Wrap.NONE
    integer = Op.INTEGER
    time = Op.UNIX

    def __init__(self, layout: Layout) -> None:
        self.rows = StatsRows(layout)
        self.escape = tab_text.dialect(layout, unix=False).escape

    def frame(self, length: int) -> tuple[bytes, bytes]:  # noqa: ARG002 - texts end at a tab
        return b"", b""

    def number(self, value: int) -> bytes:
        return b"%d" % value

    def listing(self, items: tuple[str, ...]) -> bytes:
        return b"\t".join([b"%d" % len(items), *map(self.escape, items)])

    def record(self, kind: RecordKind, draft: Draft) -> None:
        plan = self.rows.plan(kind)
        categories = b"".join(b"\tc" + self.escape(name) for name in kind.categories)
        draft.literal(self._announced(kind.categories))
        if plan.process:
            draft.literal(b"BEGIN\t%d\t0\t%s\t0\t0%s\n" % (plan.process, _DEBUG, categories))
            categories = b""
        if plan.session is not None:
            draft.literal(b"BEGIN\t")
            draft.piece(Op.INTEGER, plan.session, *_PLAIN)
            draft.literal(b"\t%d\t%s\t0\t0%s" % (plan.process, _DEBUG, categories))
            categories = b""
            self._fields(plan.shared, draft)
            draft.literal(b"\n")
        draft.literal(b"EVENT\t0\t")
        if plan.session is None:
            draft.literal(b"%d" % plan.process)
        else:
            draft.piece(Op.INTEGER, plan.session, *_PLAIN)
        draft.literal(b"\t" + _DEBUG)
        for number, mark in enumerate((b"\t", b"\t", b"\tl", b"\t")):
            draft.literal(mark)
            draft.piece(Op.INTEGER, plan.begin + number, *_PLAIN)
        draft.literal(b"\tn" + self.escape(kind.event) + categories)
        self._fields(plan.own, draft)
        draft.literal(b"\n")
        if plan.session is not None:
            draft.literal(b"END\t")
            draft.piece(Op.INTEGER, plan.session, *_PLAIN)
            draft.literal(b"\n")
        if plan.process:
            draft.literal(b"END\t%d\n" % plan.process)

    def _announced(self, categories: tuple[str, ...]) -> bytes:
        """The lines that announce categories, each after its parent."""
        lines: dict[bytes, None] = {}
        for name in categories:
            line = [name]
            while parent := _PARENTS.get(line[0]):
                line.insert(0, parent)
            for place, one in enumerate(line):
                lines[b"\t".join([b"CATEGORY", self.escape(one), *([self.escape(line[place - 1])] if place else [])]) + b"\n"] = None
        return b"".join(lines)

    def _fields(self, fields: tuple[Field, ...], draft: Draft) -> None:
        for field in fields:
            with draft.unless_absent(field.slot):
                if field.moment is not None:
                    self._moment(field.slot, field.moment, draft)
                elif field.text_flag is not None and field.list_flag is not None:
                    self._either(field.slot, field.text_flag, field.list_flag, draft)
                else:
                    self._field(_code(field.slot), field.slot, draft)

    def _either(self, slot: FieldSlot, text_flag: int, list_flag: int, draft: Draft) -> None:
        for code, flag in ((b"S", text_flag), (b"L", list_flag)):
            with draft.unless_absent(FieldSlot(slot.name, Column(flag, Encoding.INTEGER, optional=True))):
                self._field(code, slot, draft)

    def _moment(self, slot: FieldSlot, column: int, draft: Draft) -> None:
        draft.literal(b"\tT" + self.escape(slot.name))
        for part in (column, column + 1):
            draft.literal(b"\t")
            draft.piece(Op.INTEGER, part, *_PLAIN)

    def _field(self, code: bytes, slot: FieldSlot, draft: Draft) -> None:
        draft.literal(b"\t" + code + self.escape(slot.name) + b"\t")
        draft.value(slot)


def _code(slot: FieldSlot) -> bytes:
    match slot.source:
        case Constant(value=int()) | Column(encoding=Encoding.INTEGER):
            return b"I"
        case Constant(value=tuple()):
            return b"L"
        case _:
            return b"S"
