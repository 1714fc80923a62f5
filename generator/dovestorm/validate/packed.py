"""A stream of msgpack maps to records, with recovery from broken stretches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgpack

from dovestorm.validate.lines import LINE_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PackedStream"]

_KEY = b"\xa5event"
_FIXMAP = range(0x80, 0x90)
_MAP16, _MAP32 = 0xDE, 0xDF
_ITEMS = 100_000
_FIRST_SLICE = 1024
_LARGEST_SLICE = 1024 * 1024
_RECOVERIES_AT_END = 100


class PackedStream:
    """Decodes pushed chunks.

    It gives ``(offset, record, repeated keys, reason)``: the record that begins at that byte, or None and the reason why there is none.
    After a broken record it looks for the next map that begins with the key ``event``; a broken stream cannot be taken up again with
    certainty, so what follows a breach may be misread until then.
    """

    __slots__ = ("_fed", "_limit", "_offset", "_origin", "_pending", "_repeated", "_searching", "_unpacker")

    def __init__(self, limit: int = LINE_LIMIT) -> None:
        self._limit = limit
        self._pending = bytearray()  # from the first byte of the record being read
        self._fed = 0  # how much of it the decoder has
        self._offset = 0  # where it begins in the stream
        self._origin = 0  # where the decoder's first byte lies in the stream
        self._searching = False
        self._repeated: list[str] = []
        self._unpacker = self._fresh()

    def push(self, chunk: bytes) -> Iterator[tuple[int, Any, list[str], str]]:
        """Take a chunk and give the records that it completes."""
        self._pending += chunk
        yield from self._read()

    def finish(self) -> Iterator[tuple[int, Any, list[str], str]]:
        """Report what is left, and read on behind it if another record begins there."""
        for _ in range(_RECOVERIES_AT_END):
            if self._searching or not self._pending:
                return
            yield self._offset, None, [], f"the stream ends inside a record that begins at byte {self._offset}"
            self._recover()
            yield from self._read()
        if self._pending and not self._searching:
            yield self._offset, None, [], f"gave up at byte {self._offset}: too many broken records near the end"

    def _fresh(self) -> Any:
        return cast(Any, msgpack).Unpacker(
            raw=False,
            strict_map_key=False,
            unicode_errors="surrogateescape",
            object_pairs_hook=self._pairs,
            max_buffer_size=self._limit + 2 * _LARGEST_SLICE,
            max_str_len=self._limit,
            max_bin_len=self._limit,
            max_ext_len=self._limit,
            max_array_len=_ITEMS,
            max_map_len=_ITEMS,
        )

    def _pairs(self, items: list[tuple[Any, Any]]) -> dict[Any, Any]:
        seen = dict(items)
        if len(seen) != len(items):
            met: set[Any] = set()
            for key, _ in items:
                if key in met:
                    self._repeated.append(str(key))
                met.add(key)
        return seen

    def _read(self) -> Iterator[tuple[int, Any, list[str], str]]:
        size = _FIRST_SLICE
        while True:
            if self._searching and not self._find():
                return
            try:
                record = self._unpacker.unpack()
            except msgpack.OutOfData:
                if self._fed == len(self._pending):
                    return
                if self._fed > self._limit:
                    yield self._broken(f"a record of more than {self._limit} bytes begins at byte {self._offset}")
                    continue
                self._unpacker.feed(self._pending[self._fed : self._fed + size])
                self._fed = min(self._fed + size, len(self._pending))
                size = min(size * 2, _LARGEST_SLICE)
            except (ValueError, TypeError, RecursionError, MemoryError, OverflowError, msgpack.UnpackException) as error:
                yield self._broken(f"no msgpack at byte {self._offset}: {error or type(error).__name__}")
                size = _FIRST_SLICE
            else:
                yield self._whole(record)

    def _whole(self, record: Any) -> tuple[int, Any, list[str], str]:
        begin, repeated = self._offset, self._repeated
        self._repeated = []
        self._drop(self._origin + self._unpacker.tell() - begin)
        if isinstance(record, dict):
            return begin, record, repeated, ""
        self._searching = True
        return begin, None, [], f"no map at byte {begin} but {type(record).__name__}"

    def _broken(self, reason: str) -> tuple[int, Any, list[str], str]:
        begin = self._offset
        self._recover()
        return begin, None, [], reason

    def _recover(self) -> None:
        """Give up the record being read, at least its first byte."""
        self._repeated = []
        self._drop(1)
        self._searching = True

    def _find(self) -> bool:
        """Look for the head of a map whose first key is ``event``; drop what lies before it."""
        at = self._pending.find(_KEY)
        while at >= 0:
            head = self._head(at)
            if head is not None:
                self._drop(head)
                self._fed = 0
                self._origin = self._offset
                self._unpacker = self._fresh()
                self._searching = False
                return True
            at = self._pending.find(_KEY, at + 1)
        self._drop(max(0, len(self._pending) - len(_KEY) - 5))
        return False

    def _head(self, key: int) -> int | None:
        pending = self._pending
        if key >= 1 and pending[key - 1] in _FIXMAP:
            return key - 1
        if key >= 3 and pending[key - 3] == _MAP16:
            return key - 3
        return key - 5 if key >= 5 and pending[key - 5] == _MAP32 else None

    def _drop(self, size: int) -> None:
        del self._pending[:size]
        self._fed = max(0, self._fed - size)
        self._offset += size
