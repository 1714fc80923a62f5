"""Takes what a consumer received, in whatever pieces it comes, and holds it against the stream made anew.

Both sides are turned into fingerprints. A window of the expected ones tells at once which event each record is, as long as it comes within a
million events or so of its place; of these, no more than one bit is kept. All other records are kept until the end, when it is looked for them in
all of the stream: nothing is assumed about the order.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from dovestorm.audit.decoding import Decoder
from dovestorm.audit.expectation import Expectation
from dovestorm.audit.scratch import MOST_ROWS, Scratch, Table
from dovestorm.audit.settling import Ledger, settle
from dovestorm.audit.spool import LARGEST_KEPT, Spool
from dovestorm.audit.upcoming import LEAD, Upcoming
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
    from dovestorm.batch import Batch
    from dovestorm.stream import Stream

__all__ = ["COMPARISONS", "Auditor"]

COMPARISONS = ("auto", "bytes", "values")

_SAMPLE = 256
_UNKNOWN, _AGAIN = -1, -2
"""What stands instead of a place, see ``Window.match``."""
_LEFTOVER = [("key", "<u8"), ("more", "<u8"), ("at", "<i8"), ("place", "<i8")]
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
        received: Records that came so far.
        ledger: What is known of them and of the stream.
        leftover: Fingerprint and arrival number of each record that got no place in the stream, and the place that it might have shared.
        unrecognised: Those of them that share none; their bytes are in ``spool``.

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
        self.ledger = Ledger.open(self.scratch, examples)
        self.leftover = Table(self.scratch, _LEFTOVER)
        self.received = self.unrecognised = 0
        self._kernel = fingerprinting()
        self._upcoming = self._expected("bytes" if compare == "auto" else compare)
        self._lock = threading.Lock()
        self._ahead = ahead
        self._clock = SystemClock()
        self._begun = self._clock.monotonic()
        self._samples: dict[str, NDArray[np.uint64]] = {}
        if ahead:
            # Who measures the latency of the first records should not measure this.
            if compare == "auto":
                self._samples = {each: self._sample(each) for each in ("bytes", "values")}
            self._upcoming.prepare()

    @property
    def made(self) -> int:
        """Events of the stream that were made so far."""
        return self._upcoming.made

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
            if self._ahead:
                self._upcoming.run_ahead()
            low, high = self._prints(data, begins, ends)
            places = self._upcoming.match(low, high)
            if self.format != "msgpack" and len(unknown := np.flatnonzero(places == _UNKNOWN)):
                torn = self._torn(data, begins, ends, unknown)
                if torn is not None:
                    begins, ends, low, high, places = self._pieces(data, (begins, ends, low, high, places), *torn)
            self._note(low, high, places, moment_us)
            if len(unknown := np.flatnonzero(places == _UNKNOWN)):
                self.spool.add(self.received, unknown, data, begins, ends)
                self.unrecognised += len(unknown)
            self.received += len(low)

    def finish(self) -> AuditReport:
        """Say what became of every event; the auditor takes nothing more.

        Raises:
            DovestormError: The temporary files could not be written, or the stream could not be made.
        """
        self._upcoming.make_all()
        if self.compare == "auto":
            self.compare = "bytes"
        return settle(self, seconds=lambda: self._clock.monotonic() - self._begun)

    def close(self) -> None:
        """Remove the temporary files."""
        self._upcoming.close()
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
        """Lines in which a record was cut off and another follows at once, as when a consumer is killed and begins anew: which, and where to cut."""
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
        return np.array([number for number, _ in cuts]), np.array([at for _, at in cuts])

    def _pieces(self, data: bytes, records: tuple[NDArray[Any], ...], numbers: NDArray[np.int64], at: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
        """The records with some of them cut, and the pieces recognised."""
        begins, ends = np.insert(records[0], numbers + 1, at), np.insert(records[1], numbers, at)
        low, high, places = (np.insert(column, numbers + 1, 0) for column in records[2:])
        is_cut = np.zeros(len(records[0]), bool)
        is_cut[numbers] = True
        new = np.flatnonzero(np.insert(is_cut, numbers + 1, values=True))
        low[new], high[new] = self._prints(data, begins[new], ends[new])
        places[new] = self._upcoming.match(low[new], high[new])
        return begins, ends, low, high, places

    def _is_readable(self, record: bytes) -> bool:
        try:
            self.decoder.decode(record)
        except UnreadableError:
            return False
        return True

    def _note(self, low: NDArray[np.uint64], high: NDArray[np.uint64], places: NDArray[np.int64], moment_us: int) -> None:
        """Note what became of the records; what has no place of its own yet is left for the end."""
        numbers = np.arange(self.received, self.received + len(low))
        left = np.flatnonzero(places < 0)
        if len(left):
            rows = np.empty(len(left), _LEFTOVER)
            rows["key"], rows["more"], rows["at"], rows["place"] = low[left], high[left], numbers[left], _AGAIN - places[left]
            self.leftover.add(rows)
            found = np.flatnonzero(places >= 0)
            numbers, places = numbers[found], places[found]
        self.ledger.deliver(places, numbers, as_they_come=True)
        if self.arrivals is not None:
            self.arrivals.note(self.received, moment_us)
            if len(places):
                due = self._upcoming.due(places)
                if not self.arrivals.has_begun:
                    self.arrivals.begin(int(due[0]), moment_us)
                self.arrivals.add(moment_us, due)

    # ------------------------------------------------------------ the expected side

    def prints(self, batch: Batch) -> Prints:
        """The fingerprints of events, of what most records are recognised by."""
        return self._expected_prints(self.compare, batch)

    def _expected(self, compare: str) -> Upcoming:
        return Upcoming(self.expectation.stretches(), partial(self._expected_prints, compare), timed=self.arrivals is not None)

    def _expected_prints(self, compare: str, batch: Batch) -> Prints:
        return self.expectation.by_values(batch) if compare == "values" else self.expectation.by_bytes(batch)

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
        # What was prepared was for the other way.
        self._upcoming = self._expected("values")
        return "values"

    def _sample(self, compare: str) -> NDArray[np.uint64]:
        found, made = [np.empty(0, np.uint64)], 0
        for stretch in self.expectation.stretches():
            prints = self._expected_prints(compare, stretch.batch)
            found.append(prints[0])
            made += len(prints[0])
            if made >= LEAD // 4:
                break
        return np.concatenate(found)
