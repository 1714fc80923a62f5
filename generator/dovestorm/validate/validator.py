"""The validator: records in, in stream order, a report out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.errors import UsageError, nearest
from dovestorm.validate.catalog_check import CatalogCheck
from dovestorm.validate.json_lines import UnreadableError, exact_unix_times, foreign_escape, parse_json, repeated_keys
from dovestorm.validate.lines import LINE_LIMIT, LineSplitter
from dovestorm.validate.packed import PackedStream
from dovestorm.validate.report import Ledger, Report, shown
from dovestorm.validate.sequences import assemble
from dovestorm.validate.sequences.stream import SLACK_US, Stream
from dovestorm.validate.sources import detect
from dovestorm.validate.tab_text import parse_tab_text
from dovestorm.validate.times import TimeReader

if TYPE_CHECKING:
    from collections.abc import Collection

    from dovestorm.catalog.model import Edition

__all__ = ["FORMATS", "Validator"]

FORMATS = ("auto", "json", "tab-text", "msgpack")

_KEYS = ("event", "hostname", "start_time", "end_time", "categories", "fields")
_TYPES = (str, str, list, dict)
_DETECT_BYTES = 12


class Validator:
    """Checks a stream as it comes: every record against the catalog, every session and process against the sequence rules.

    Feed it whole records (``feed_record``), lines (``feed_line``) or bytes as they arrive (``feed``), then ask for the report (``finish``).
    Its memory is bounded, however long the stream.
    """

    def __init__(
        self,
        edition: Edition,
        *,
        max_examples: int = 5,
        sections: Collection[str] | None = None,
        format: str = "auto",  # noqa: A002 - the word of the command line
        unordered: bool = False,
        complete: bool = False,
        ignore_unknown_events: bool = False,
    ) -> None:
        """Set up the checks.

        Args:
            edition: The catalog's edition that the stream must keep to.
            max_examples: How many examples to keep of each finding.
            sections: Keys of the sections to check; events of others are passed over. None for all.
            format: ``json``, ``tab-text``, ``msgpack``, or ``auto`` to go by the first bytes.
            unordered: Whether records may come out of order; then rules over several records are off.
            complete: Whether nothing is cut off at either end, so that all that starts must finish and the other way round.
            ignore_unknown_events: Pass over events that the edition does not have.

        Raises:
            UsageError: An unknown section or format.
        """
        if format not in FORMATS:
            raise UsageError(f"unknown format '{format}'{nearest(format, FORMATS)}, known are {', '.join(FORMATS)}")
        events = edition.by_canonical
        known = {event.section for event in events.values()}
        for section in sections or ():
            if section not in known:
                raise UsageError(f"unknown section '{section}'{nearest(section, known)}, known are {', '.join(sorted(known))}")
        self._edition = edition
        self._sections = None if sections is None else frozenset(sections)
        self._ignore_unknown = ignore_unknown_events
        self._unordered = unordered
        self._format = format
        self._ledger = Ledger(max_examples)
        self._times = TimeReader()
        self._catalog = CatalogCheck(edition, ledger=self._ledger, times=self._times)
        self._stream = Stream(self._ledger, complete)
        checked = frozenset(name for name, event in events.items() if self._sections is None or event.section in self._sections)
        self._rules = assemble(self._stream, edition, checked, self._times, ordered=not unordered)
        self._checks = {
            name: (check.check, tuple(self._rules.handlers[name]), self._catalog.durations[name])
            for name, check in self._catalog.events.items()
            if check.event.canonical in checked
        }
        self._events = 0
        self._skipped = 0
        self._number = 0
        self._latest = -1
        self._ended_text: Any = None
        self._ended = -1
        self._mixed = False
        self._head = b""
        self._splitter: LineSplitter | None = None
        self._packed: PackedStream | None = None
        self._report: Report | None = None

    # ------------------------------------------------------------ bytes

    def feed(self, chunk: bytes) -> None:
        """Take bytes as they come, in pieces of any size."""
        if self._packed is not None:
            self._feed_packed(chunk)
        elif self._splitter is not None:
            self._feed_lines(chunk)
        else:
            self._head += chunk
            if self._format != "auto" or len(self._head.lstrip()) >= _DETECT_BYTES:
                self._begin()

    def _begin(self) -> None:
        head, self._head = self._head, b""
        if self._format == "auto":
            self._format = detect(head)
        if self._format == "msgpack":
            self._packed = PackedStream()
        else:
            self._splitter = LineSplitter()
        self.feed(head)

    def _feed_lines(self, chunk: bytes) -> None:
        if self._splitter is not None:
            for line in self._splitter.push(chunk):
                self.feed_line(line)

    def _feed_packed(self, chunk: bytes) -> None:
        if self._packed is not None:
            for item in self._packed.push(chunk):
                self._take_packed(*item)

    def _take_packed(self, _offset: int, record: Any, repeated: list[str], reason: str) -> None:
        self._number += 1
        if reason:
            self._misread(reason)
            return
        self._begin_record(self._number)
        for key in repeated:
            self._ledger.add("duplicate-key", key, "stands there twice")
        self.feed_record(record, self._number)

    # ------------------------------------------------------------ lines

    def feed_line(self, line: bytes | None) -> None:
        """Take one line of JSON or tab-text, with or without its newline; None stands for one that was too long to keep."""
        self._number += 1
        if line is None or len(line) > LINE_LIMIT:
            self._begin_record(self._number)
            self._ledger.add("too-long", "", f"the line is longer than {LINE_LIMIT} bytes")
            return
        line = line.rstrip(b"\r\n")
        if not line:
            return
        if self._format == "auto":
            self._format = detect(line)
        foreign = ""
        try:
            if self._format == "tab-text":
                record, repeated = parse_tab_text(line, self._catalog.types)
            else:
                record = parse_json(line)
                repeated = repeated_keys(line, record) if type(record) is dict else []
                foreign = foreign_escape(line, upper=self._edition.upper_hex)
        except UnreadableError as error:
            self._misread(str(error))
            return
        if repeated:
            self._begin_record(self._number)
            for key in repeated:
                self._ledger.add("duplicate-key", key, "stands there twice")
        self.feed_record(record, self._number)
        if foreign:
            self._ledger.add(
                "escape-case",
                "",
                f"{foreign}, Dovecot {self._edition.version} writes such digits in {'upper' if self._edition.upper_hex else 'lower'} case",
            )
        if self._format != "tab-text" and type(record) is dict and type(record.get("start_time")) in {float, int} and not exact_unix_times(line):
            self._ledger.add("timestamp", "start_time", "unix times must be seconds with exactly six decimals")

    def misread(self, reason: str) -> None:
        """Book input that could not be decoded, such as damaged compression, at the current position."""
        self._number += 1
        self._misread(reason)

    def _misread(self, reason: str) -> None:
        self._begin_record(self._number)
        self._ledger.add("unreadable", "", reason)

    def _begin_record(self, position: int) -> None:
        self._ledger.position = position
        self._ledger.event = ""

    # ------------------------------------------------------------ records

    def feed_record(self, record: Any, position: int) -> None:
        """Take one decoded record; ``position`` is its number in the stream, for the report."""
        ledger = self._ledger
        ledger.position = position
        ledger.event = ""
        try:
            event, hostname, started, ended, categories, fields = record.values()
        except (AttributeError, ValueError, TypeError):
            self._misshapen(record)
            return
        if tuple(record) != _KEYS or (type(event), type(hostname), type(categories), type(fields)) != _TYPES:
            self._misshapen(record)
            return
        self._events += 1
        ledger.event = event
        times = self._times
        read = times.read
        start = read(started)
        end = self._ended if ended == self._ended_text else read(ended)
        if start is None or end is None:
            name, value = ("start_time", started) if start is None else ("end_time", ended)
            ledger.add("timestamp", name, f"{shown(value)} must be like 2026-11-23T04:07:50.811472Z or 1795406870.811472")
            return
        self._ended_text, self._ended = ended, end
        if end < self._latest:
            if not self._unordered:
                ledger.add(
                    "end-time-order",
                    "end_time",
                    f"{shown(ended)} is {self._latest - end} microseconds before one that came earlier (several senders? --unordered)",
                )
        else:
            self._latest = end
        if times.text and times.number and not self._mixed:
            self._mixed = True
            ledger.add("time-format", "start_time", "the stream has RFC 3339 and unix times, must have one of them")
        stream = self._stream
        if end > stream.now:
            stream.advance(end)
        known = self._checks.get(event)
        if known is None:
            self._pass_over(event)
            return
        check, rules, duration = known
        service, wrong = check(categories, fields)
        if wrong:
            fields = {name: value for name, value in fields.items() if name not in wrong}
        over = start + fields.get(duration, 0)
        if over > end + SLACK_US:
            reason = f"start_time plus duration lies {over - end} microseconds after end_time"
            ledger.add("duration-fits", duration if duration in fields else "start_time", reason)
        for rule in rules:
            rule(fields, start, end, service)

    def _pass_over(self, event: str) -> None:
        self._skipped += 1
        if event in self._catalog.events or self._ignore_unknown or self._sections is not None:
            return
        hint = nearest(event[:80], self._catalog.events) if self._ledger.wants("unknown-event") else ""
        self._ledger.add("unknown-event", "", f"Dovecot {self._edition.version} has no event {shown(event)}{hint}")

    def _misshapen(self, record: Any) -> None:
        add = self._ledger.add
        if not isinstance(record, dict):
            add("record-shape", "", f"a record must be a map, this is {type(record).__name__}")
            return
        self._events += 1
        if isinstance(record.get("event"), str):
            self._ledger.event = record["event"]
        keys = tuple(record)
        if set(keys) != set(_KEYS):
            for key in _KEYS:
                if key not in record:
                    add("record-shape", key, "missing")
            for key in keys:
                if key not in _KEYS:
                    add("record-shape", str(key), f"unknown key{nearest(str(key)[:80], _KEYS)}")
        elif keys != _KEYS:
            add("record-shape", "", f"the keys stand as {', '.join(keys)}, must be {', '.join(_KEYS)}")
        for key, kind in zip(("event", "hostname", "categories", "fields"), _TYPES, strict=True):
            if key in record and type(record[key]) is not kind:
                add("record-shape", key, f"{shown(record[key])} must be {_WORDS[kind]}")

    # ------------------------------------------------------------ the end

    def finish(self) -> Report:
        """End the stream and give the report; a second call gives the same one."""
        if self._report is None:
            self._finish_input()
            for closer in self._rules.closers:
                closer()
            faults, notes = self._ledger.split()
            sessions = None if self._rules.sessions is None else self._rules.sessions.count
            unit = "record" if self._packed is not None else "line"
            self._report = Report(self._edition.version, unit, self._events, self._skipped, sessions, faults, notes)
        return self._report

    def _finish_input(self) -> None:
        if self._head:
            self._begin()
        if self._packed is not None:
            for item in self._packed.finish():
                self._take_packed(*item)
        elif self._splitter is not None:
            for line in self._splitter.finish():
                self.feed_line(line)


_WORDS = {str: "a text", list: "a list", dict: "a map"}
