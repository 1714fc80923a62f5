"""Takes what a consumer received, in whatever pieces it comes, and holds it against the stream made anew.

Both sides are turned into fingerprints, which are joined in the end: nothing is assumed about the order. A memory of the latest expected
fingerprints tells at once which records are as they should be; the bytes of all others are kept until the end, when it is clear what they are.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dovestorm.audit.decoding import Decoder
from dovestorm.audit.expectation import Expectation
from dovestorm.audit.scratch import MOST_ROWS, Bins, Scratch, bin_of_key
from dovestorm.audit.settling import settle
from dovestorm.audit.spool import LARGEST_KEPT, Spool
from dovestorm.audit.values import Spelling
from dovestorm.clock import SystemClock
from dovestorm.errors import UsageError
from dovestorm.kernel import fingerprinting
from dovestorm.validate.json_lines import UnreadableError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from dovestorm.audit.expectation import Prints
    from dovestorm.audit.latency import Arrivals
    from dovestorm.audit.report import AuditReport
    from dovestorm.stream import Stream

__all__ = ["COMPARISONS", "Auditor"]

COMPARISONS = ("auto", "bytes", "values")

_ROOM = 1 << 20
_LEAD = 1 << 18
"""Events that the expected side is ahead of the last record that was recognised."""
_LOST = 1 << 16
"""So many records in a row that are not recognised mean that the place in the stream is lost, and that it must be looked for further on."""
_SAMPLE = 256
_JSON_BEGIN = b'{"event":'
_TAB_TEXT_BEGIN = b"event:"


class Auditor:
    """Audits one consumer; a context manager. Records may be brought from any thread.

    Args:
        stream: What was sent.
        format: The format in which it was sent.
        time_format: See ``Stream.blocks``.
        ignore: Names of fields, or of entries of the head such as ``hostname``, that may differ.
        precision: Microseconds; times are compared in whole numbers of it.
        rounded: Whether times that a collector wrote with less precision were rounded; otherwise they were cut off.
        field: The field in which a collector put the event.
        untyped: Whether integers may arrive as texts.
        compare: ``bytes`` or ``values``: what most records will be recognised by (the counts are the same); ``auto`` goes by the first records.
        arrivals: Measures latency.
        scratch: A folder for temporary files.
        examples: How many of each finding to show.
        ahead: Whether the expected side is made in a thread of its own, ahead of what comes.
        most_rows: Rows, of 24 to 90 bytes each, that each table keeps in memory before it goes to a file.

    Attributes:
        made: Events of the stream that were made so far.

    Raises:
        UsageError: An unknown format, or a folder that cannot be used.
    """

    def __init__(
        self,
        stream: Stream,
        *,
        format: str = "json",  # noqa: A002 - the word that users look for
        time_format: str = "rfc3339",
        ignore: tuple[str, ...] = (),
        precision: int = 1,
        rounded: bool = False,
        field: str = "",
        untyped: bool = False,
        compare: str = "auto",
        arrivals: Arrivals | None = None,
        scratch: str | Path | None = None,
        examples: int = 5,
        ahead: bool = False,
        most_rows: int = MOST_ROWS,
    ) -> None:
        if compare not in COMPARISONS:
            raise UsageError(f"compare: '{compare}', must be one of {', '.join(COMPARISONS)}")
        self.format, self.compare, self.field = format, compare, field
        self.spelling = Spelling(stream.layout, frozenset(ignore), precision, rounded)
        self.expectation = Expectation(stream, self.spelling, format_name=format, time_format=time_format)
        self.expectation.check()
        self.decoder = Decoder(format, self.spelling, field=field, untyped=untyped)
        self.arrivals, self.examples = arrivals, examples
        self.scratch = Scratch(scratch, most_rows=most_rows)
        self.spool = Spool(self.scratch)
        due = [("due", "<i8")] if arrivals is not None else []
        self.expected = Bins(self.scratch, [("key", "<u8"), ("more", "<u8"), ("at", "<i8"), *due], bin_of_key)
        self.received = Bins(self.scratch, [("key", "<u8"), ("more", "<u8"), ("at", "<i8")], bin_of_key)
        self._kernel = fingerprinting()
        self._recent: Any = self._kernel.Recent(_ROOM)
        self._stretches = self.expectation.stretches()
        self.made = 0
        self._front = self._strikes = 0
        self._exhausted = False
        self._lock, self._making = threading.Lock(), threading.Lock()
        self._wanted = threading.Event()
        self._closed = False
        self._ahead = ahead
        self._thread: threading.Thread | None = None
        self._early: list[tuple[int, NDArray[np.int64]]] = []
        self._failure: BaseException | None = None
        self._clock = SystemClock()
        self._begun = self._clock.monotonic()
        self._samples: dict[str, NDArray[np.uint64]] = {}
        if ahead:
            self._prepare()

    def lines(self, data: bytes, moment_us: int = 0) -> None:
        """Take whole lines, each with its newline; empty ones are passed over.

        Args:
            data: The lines.
            moment_us: When they came, microseconds since the epoch; only looked at where latency is measured.
        """
        ends: NDArray[np.int64] = self._kernel.line_ends(data)
        begins = np.concatenate((np.zeros(min(1, len(ends)), np.int64), ends[:-1] + 1))
        full = ends > begins
        self.take(data, begins, ends, moment_us) if full.all() else self.take(data, begins[full], ends[full], moment_us)

    def record(self, data: bytes, moment_us: int = 0) -> None:
        """Take one record, without a newline."""
        self.take(data, np.zeros(1, np.int64), np.array([len(data)]), moment_us)

    def take(self, data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64], moment_us: int = 0) -> None:
        """Take records that lie in ``data`` from ``begins`` to ``ends``."""
        if not len(ends):
            return
        with self._lock:
            if self.compare == "auto":
                self.compare = self._choice(data, begins, ends)
            if self._ahead and self._thread is None:
                self._thread = threading.Thread(target=self._make_ahead, name="dovestorm-audit", daemon=True)
                self._thread.start()
            low, high = self._prints(data, begins, ends)
            unknown = self._unrecognised(low)
            if len(unknown) and self.format != "msgpack":
                torn = self._torn(data, begins, ends, unknown)
                if torn is not None:
                    begins, ends = torn
                    low, high = self._prints(data, begins, ends)
                    unknown = self._unrecognised(low)
            first = self.received.count
            rows = np.empty(len(low), [("key", "<u8"), ("more", "<u8"), ("at", "<i8")])
            rows["key"], rows["more"], rows["at"] = low, high, np.arange(first, first + len(low))
            if self.arrivals is not None:
                self._note(first, low, moment_us)
            self.received.add(rows)
            if len(unknown):
                self.spool.add(first, unknown, data, begins, ends)

    def finish(self) -> AuditReport:
        """Say what became of every event; the auditor takes nothing more.

        Raises:
            DovestormError: The temporary files could not be written, or the stream could not be made.
        """
        self._end_thread()
        if self.compare == "auto":
            self.compare = "bytes"
        while self._make():
            pass
        return settle(self, seconds=lambda: self._clock.monotonic() - self._begun)

    def close(self) -> None:
        """Remove the temporary files."""
        self._end_thread()
        self.scratch.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    # ------------------------------------------------------------ the received side

    def _prints(self, data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> Prints:
        if self.compare == "values":
            return self._printed([self._spelled(data[begin:end]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)])
        if self.field:
            return self._printed([self._unwrapped(data[begin:end]) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True)])
        low, high = self._kernel.fingerprint(data, begins, ends, seek=ord("{") if self.format == "json" else -1, trim=self.format != "msgpack")
        return low, high

    def _printed(self, records: list[bytes]) -> Prints:
        ends = np.cumsum(np.fromiter(map(len, records), np.int64, len(records)))
        begins = np.concatenate((np.zeros(1, np.int64), ends[:-1]))
        low, high = self._kernel.fingerprint(b"".join(records), begins, ends)
        return low, high

    def _spelled(self, record: bytes) -> bytes:
        """A record that cannot be read has the fingerprint of its bytes, which no event's spelling has."""
        try:
            return self.spelling.spell(self.decoder.decode(record))
        except UnreadableError:
            return b"\0" + record[:LARGEST_KEPT]

    def _unwrapped(self, record: bytes) -> bytes:
        try:
            return self.decoder.unwrap(record)
        except UnreadableError:
            return record

    def _torn(
        self, data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64], unknown: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Lines in which a record was cut off and another follows at once, as when a consumer is killed and begins anew, become two."""
        mark = _JSON_BEGIN if self.format == "json" else _TAB_TEXT_BEGIN
        cuts: list[tuple[int, int]] = []
        for number in unknown.tolist():
            begin, end = int(begins[number]), int(ends[number])
            first = data.find(mark[:1] if self.format == "json" else mark, begin, end)
            at = data.find(mark, first + 1, end) if first >= 0 else -1
            if at < 0 or (self.format == "tab-text" and data[at - 1] in b"\t ,") or self._is_readable(data[begin:end]):
                continue
            while at >= 0:
                cuts.append((number, at))
                at = data.find(mark, at + 1, end)
        if not cuts:
            return None
        numbers, places = (np.array(column, np.int64) for column in zip(*cuts, strict=True))
        return np.insert(begins, numbers + 1, places), np.insert(ends, numbers, places)

    def _is_readable(self, record: bytes) -> bool:
        try:
            self.decoder.decode(record)
        except UnreadableError:
            return False
        return True

    # ------------------------------------------------------------ the expected side

    def _unrecognised(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Which keys are not among those that are expected about here."""
        found: NDArray[np.int64] = self._recent.find(keys)
        latest = int(found.max())
        self._front = max(self._front, latest + 1)
        unknown = np.flatnonzero(found < 0)
        while len(unknown) and self.made < self._front + _LEAD and self._make(below=self._front + _LEAD):
            found[unknown] = self._recent.find(keys[unknown])
            latest = int(found.max())
            self._front = max(self._front, latest + 1)
            unknown = unknown[found[unknown] < 0]
        self._strikes = 0 if latest >= 0 else self._strikes + len(keys)
        if self._strikes > _LOST:
            self._front, self._strikes = self.made, 0
        if self._thread is not None:
            self._wanted.set()
        return unknown

    def _make(self, below: int | None = None) -> bool:
        """Make the next stretch of the expected side, unless more than ``below`` are made already; False when there is no more."""
        with self._making:
            if self._exhausted or (below is not None and self.made >= below):
                return not self._exhausted
            stretch = next(self._stretches, None)
            if stretch is None:
                self._exhausted = True
                return False
            batch = stretch.batch
            low, high = self.expectation.by_values(batch) if self.compare == "values" else self.expectation.by_bytes(batch)
            rows = np.empty(len(low), self.expected.dtype)
            rows["key"], rows["more"], rows["at"] = low, high, np.arange(stretch.first, stretch.first + len(low))
            if self.arrivals is not None:
                rows["due"] = batch.end
                if not self.arrivals.has_begun and self.made < _LEAD:
                    self._early.append((stretch.first, rows["due"]))
            self.expected.add(rows)
            self._recent.add(low, stretch.first)
            self.made += len(low)
            return True

    def _note(self, first: int, keys: NDArray[np.uint64], moment_us: int) -> None:
        """Note when a chunk came; the first event that is recognised sets the clock."""
        assert self.arrivals is not None
        self.arrivals.note(first, moment_us)
        if self.arrivals.has_begun:
            return
        found = self._recent.find(keys)
        for begin, due in self._early:
            inside = found[(found >= begin) & (found < begin + len(due))]
            if len(inside):
                self.arrivals.begin(int(due[inside[0] - begin]), moment_us)
                self._early.clear()
                return

    def _choice(self, data: bytes, begins: NDArray[np.int64], ends: NDArray[np.int64]) -> str:
        """Whether the first records look the same as when they were sent, or say the same."""
        begins, ends = begins[:_SAMPLE], ends[:_SAMPLE]
        hits: dict[str, int] = {}
        for compare in ("bytes", "values"):
            self.compare = compare
            if compare not in self._samples:
                self._samples[compare] = self._sample(compare)
            hits[compare] = int(np.isin(self._prints(data, begins, ends)[0], self._samples[compare]).sum())
        self._samples.clear()
        if hits["values"] <= 2 * hits["bytes"]:
            return "bytes"
        if self.made:
            # What was prepared was for the other way.
            self.expected, self._recent = Bins(self.scratch, self.expected.dtype, bin_of_key), self._kernel.Recent(_ROOM)
            self._stretches, self.made, self._exhausted = self.expectation.stretches(), 0, False
            self._early.clear()
        return "values"

    def _prepare(self) -> None:
        """Do beforehand what the first records would have to wait for: who measures their latency should not measure that."""
        wish = self.compare
        if wish == "auto":
            self._samples = {compare: self._sample(compare) for compare in ("bytes", "values")}
            self.compare = "bytes"
        while self.made < _LEAD and self._make(below=_LEAD):
            pass
        self.compare = wish

    def _sample(self, compare: str) -> NDArray[np.uint64]:
        found, made = [np.empty(0, np.uint64)], 0
        for stretch in self.expectation.stretches():
            prints = self.expectation.by_values(stretch.batch) if compare == "values" else self.expectation.by_bytes(stretch.batch)
            found.append(prints[0])
            made += len(prints[0])
            if made >= _LEAD // 4:
                break
        return np.concatenate(found)

    def _make_ahead(self) -> None:
        try:
            while not self._closed and not self._exhausted:
                if self.made >= self._front + _LEAD or not self._make():
                    self._wanted.wait()
                    self._wanted.clear()
        except Exception as error:  # noqa: BLE001 - told by finish(), in the thread that asks
            self._failure = error

    def _end_thread(self) -> None:
        self._closed = True
        self._wanted.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        self._thread = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
