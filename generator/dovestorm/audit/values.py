"""What an event says, apart from how it is written: one spelling for each event, of which both sides can take fingerprints.

The expected side is rendered in this spelling by the kernel, from the columns. The received side is decoded and written anew. The spelling is
JSON with sorted keys and no blanks; moments look as Dovecot's exporter writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from dovestorm.batch import ABSENT, Batch, Column, Constant, Encoding
from dovestorm.formats.compiling import utf8
from dovestorm.formats.json import write_fields
from dovestorm.formats.rendering import Renderer
from dovestorm.kernel.pieces import Op, Wrap

if TYPE_CHECKING:
    from collections.abc import Iterable

    from dovestorm.batch import FieldSlot, Layout, RecordKind
    from dovestorm.formats.compiling import Draft

__all__ = ["HEAD", "PRECISIONS", "Spelling"]

HEAD = ("event", "hostname", "start_time", "end_time", "categories")
"""What stands in an event beside its fields."""

PRECISIONS = {"us": 1, "ms": 1000, "s": 1_000_000}
"""Units of time, in microseconds."""


@dataclass(frozen=True, slots=True)
class Spelling:
    """How events are compared.

    Attributes:
        layout: The stream's.
        ignored: Names of head entries and fields that are passed over.
        precision: Microseconds; moments are compared in whole numbers of them.
        rounded: Whether moments are rounded to these; otherwise they are cut down.
    """

    layout: Layout
    ignored: frozenset[str] = frozenset()
    precision: int = 1
    rounded: bool = False

    @property
    def half(self) -> int:
        """What is added to a moment before it is cut down."""
        return self.precision // 2 if self.rounded else 0

    def moments(self) -> dict[str, frozenset[str]]:
        """By event, the names of the fields that hold a moment."""
        return _by_event(self.layout, lambda slot: isinstance(slot.source, Column) and slot.source.encoding is Encoding.TIMESTAMP)

    def types(self) -> dict[str, dict[str, str]]:
        """By event and field, what tab-text does not tell: which are integers and which are lists."""
        types: dict[str, dict[str, str]] = {}
        for kind in self.layout.kinds:
            types.setdefault(kind.event, {}).update((slot.name, _type(slot)) for slot in kind.fields)
        return types

    def renderer(self, *, timeless: bool = False) -> Renderer:
        """Writes batches that went through ``convert``; ``timeless`` leaves the beginning and the end away."""
        ignored = self.ignored | ({"start_time", "end_time"} if timeless else set())
        layout = self._layout()
        return Renderer("values", layout, _Values(layout.hostname, ignored))

    def convert(self, batch: Batch, layout: Layout) -> Batch:
        """A batch for the renderer whose layout is given; with a coarser precision, its rows are a copy."""
        values = batch.values
        if self.precision > 1:
            values = values.copy()
            for place in self._moment_places(batch):
                held = values[place]
                values[place] = np.where(held == ABSENT, held, (held + self.half) // self.precision * self.precision)
        return Batch(layout, batch.kind, batch.offset, batch.session, values)

    def spell(self, event: dict[str, Any]) -> bytes:
        """The spelling of an event whose moments are spelled already, as ``decoding`` gives it."""
        if self.ignored:
            event = {key: value for key, value in event.items() if key not in self.ignored}
            fields = event.get("fields")
            if type(fields) is dict and not self.ignored.isdisjoint(fields):
                event["fields"] = {name: value for name, value in fields.items() if name not in self.ignored}
        try:
            return orjson.dumps(event, option=orjson.OPT_SORT_KEYS)
        except TypeError:
            return orjson.dumps(_plain(event), option=orjson.OPT_SORT_KEYS)

    def _layout(self) -> Layout:
        return replace(self.layout, kinds=tuple(self._kind(kind) for kind in self.layout.kinds))

    def _kind(self, kind: RecordKind) -> RecordKind:
        slots = sorted((slot for slot in kind.fields if slot.name not in self.ignored), key=lambda slot: utf8(slot.name))
        return replace(kind, fields=tuple(slots))

    def _moment_places(self, batch: Batch) -> Iterable[Any]:
        yield batch.offset
        yield batch.offset + 1
        for number, kind in enumerate(self.layout.kinds):
            columns = [slot.source.index for slot in kind.fields if isinstance(slot.source, Column) and slot.source.encoding is Encoding.TIMESTAMP]
            if columns:
                offset = batch.offset[batch.kind == number]
                yield from (offset + column for column in columns)


class _Values:
    """The dialect in which the kernel writes the spelling."""

    content_type = "application/json"
    terminator = 0
    wrap = Wrap.QUOTES
    integer = Op.INTEGER
    time = Op.RFC3339
    rows = None

    def __init__(self, hostname: str, ignored: frozenset[str] | set[str]) -> None:
        self._hostname = hostname
        self._ignored = ignored

    def escape(self, text: str) -> bytes:
        return orjson.dumps(utf8(text).decode())[1:-1]

    def frame(self, length: int) -> tuple[bytes, bytes]:  # noqa: ARG002 - JSON does not say lengths
        return b'"', b'"'

    def number(self, value: int) -> bytes:
        return b"%d" % value

    def listing(self, items: tuple[str, ...]) -> bytes:
        return b"[" + b",".join(b'"' + self.escape(item) + b'"' for item in items) + b"]"

    def record(self, kind: RecordKind, draft: Draft) -> None:
        comma = b"{"
        for key in sorted({*HEAD, "fields"} - self._ignored):
            draft.literal(comma + b'"' + key.encode() + b'":')
            comma = b","
            if key == "event":
                draft.text(kind.event)
            elif key == "hostname":
                draft.text(self._hostname)
            elif key == "categories":
                draft.literal(self.listing(kind.categories))
            elif key == "fields":
                write_fields(kind, draft)
            else:
                draft.time(1 if key == "end_time" else 0)
        draft.literal(b"}" if comma == b"," else b"{}")


def _by_event(layout: Layout, wanted: Any) -> dict[str, frozenset[str]]:
    names: dict[str, set[str]] = {}
    for kind in layout.kinds:
        names.setdefault(kind.event, set()).update(slot.name for slot in kind.fields if wanted(slot))
    return {event: frozenset(found) for event, found in names.items() if found}


def _type(slot: FieldSlot) -> str:
    source = slot.source
    if isinstance(source, Constant):
        return "integer" if isinstance(source.value, int) else "list" if isinstance(source.value, tuple) else "text"
    return "integer" if isinstance(source, Column) and source.encoding is Encoding.INTEGER else "text"


def _plain(value: Any) -> Any:
    """What JSON can hold: bytes that were no UTF-8 become U+FFFD, as in the expected spelling."""
    if isinstance(value, str):
        return utf8(value).decode()
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (bool, float)) else str(value) if not isinstance(value, int) else _whole(value)


def _whole(value: int) -> int | str:
    return value if -(2**63) <= value < 2**64 else str(value)
