"""The records of a file, whatever its format and compression; what cannot be read is counted and passed over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.compare.records import RecordReader
from dovestorm.errors import InputError, UsageError, nearest
from dovestorm.validate.json_lines import UnreadableError, parse_json
from dovestorm.validate.lines import LINE_LIMIT, LineSplitter
from dovestorm.validate.packed import PackedStream
from dovestorm.validate.sources import chunks, detect
from dovestorm.validate.tab_text import parse_tab_text
from dovestorm.validate.validator import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dovestorm.compare.records import Record

__all__ = ["Source"]

_DETECT_BYTES = 12
_EXAMPLES = 3


class Source:
    """A stream in a file, or standard input for ``-``: JSON lines, tab-text or msgpack, plain or compressed with gzip or zstd.

    Iterating reads it once. ``unreadable`` counts lines (or msgpack records) that are no events, ``examples`` has the reasons of the first.
    """

    __slots__ = ("_format", "_number", "_reader", "_types", "examples", "path", "unreadable")

    def __init__(self, path: str | Path, *, format: str = "auto") -> None:  # noqa: A002 - the word of the command line
        """Name the stream; nothing is opened yet.

        Args:
            path: The file.
            format: ``json``, ``tab-text``, ``msgpack``, or ``auto`` to go by the first bytes.

        Raises:
            UsageError: An unknown format.
        """
        if format not in FORMATS:
            raise UsageError(f"unknown format '{format}'{nearest(format, FORMATS)}, known are {', '.join(FORMATS)}")
        self.path = str(path)
        self.unreadable = 0
        self.examples: list[str] = []
        self._format = format
        self._number = 0
        self._reader = RecordReader()
        self._types: Mapping[str, Mapping[str, str]] | None = None

    def __iter__(self) -> Iterator[Record]:
        """The records, in the order of the stream.

        Raises:
            InputError: The file cannot be read, or holds something but no event at all.
        """
        read = 0
        for record in self._records():
            read += 1
            yield record
        if self.unreadable and not read:
            raise InputError(f"{self.path}: no event in it ({self.examples[0]}), must be JSON lines, tab-text or msgpack")

    def _records(self) -> Iterator[Record]:
        for item in self._decoded():
            self._number += 1
            if item is None:
                continue
            try:
                if isinstance(item, UnreadableError):
                    raise item
                yield self._reader.read(item)
            except UnreadableError as error:
                self.unreadable += 1
                if len(self.examples) < _EXAMPLES:
                    self.examples.append(f"{'record' if self._format == 'msgpack' else 'line'} {self._number}: {error}")

    def _decoded(self) -> Iterator[Any]:
        """Decoded records, and in place of what cannot be decoded the reason; None stands for an empty line."""
        pieces = self._pieces()
        head = b""
        for piece in pieces:
            if isinstance(piece, UnreadableError):
                yield piece
                return
            head += piece
            if len(head.lstrip()) >= _DETECT_BYTES:
                break
        if not head.strip():
            return
        if self._format == "auto":
            self._format = detect(head)
        yield from (self._packed if self._format == "msgpack" else self._lines)(head, pieces)

    def _pieces(self) -> Iterator[bytes | UnreadableError]:
        try:
            yield from chunks(self.path)
        except UnreadableError as error:
            yield error

    def _packed(self, head: bytes, pieces: Iterator[bytes | UnreadableError]) -> Iterator[Any]:
        stream = PackedStream()
        for piece in _joined(head, pieces):
            if isinstance(piece, UnreadableError):
                yield piece
            else:
                yield from (UnreadableError(reason) if reason else record for _, record, _, reason in stream.push(piece))
        yield from (UnreadableError(reason) if reason else record for _, record, _, reason in stream.finish())

    def _lines(self, head: bytes, pieces: Iterator[bytes | UnreadableError]) -> Iterator[Any]:
        splitter = LineSplitter()
        for piece in _joined(head, pieces):
            if isinstance(piece, UnreadableError):
                yield piece
            else:
                yield from map(self._line, splitter.push(piece))
        yield from map(self._line, splitter.finish())

    def _line(self, line: bytes | None) -> Any:
        if line is None:
            return UnreadableError(f"longer than {LINE_LIMIT} bytes")
        line = line.rstrip(b"\r")
        if not line:
            return None
        try:
            if self._format == "tab-text":
                return parse_tab_text(line, self._catalog_types())[0]
            record = parse_json(line)
        except UnreadableError as error:
            return error
        return UnreadableError("no event but null, must be a map") if record is None else record

    def _catalog_types(self) -> Mapping[str, Mapping[str, str]]:
        """By event, the types of its fields: tab-text does not tell an integer from a text. Every version's catalog counts, the newest most."""
        if self._types is None:
            from dovestorm import catalog

            types: dict[str, dict[str, str]] = {}
            for version in catalog.versions():
                for event in catalog.load(version).by_canonical.values():
                    types.setdefault(event.name, {}).update({field.name: field.type for field in event.fields.values()})
            self._types = types
        return self._types


def _joined(head: bytes, pieces: Iterator[bytes | UnreadableError]) -> Iterator[bytes | UnreadableError]:
    yield head
    yield from pieces
