"""The reference consumer itself."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from dovestorm.errors import DeliveryError, DovestormError, UsageError
from dovestorm.receive.decoding import decode
from dovestorm.receive.framing import FORMATS
from dovestorm.receive.intake import Intake
from dovestorm.receive.place import parse_place
from dovestorm.receive.servers import Server, make_server
from dovestorm.receive.summary import Summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from dovestorm.receive.intake import Auditing
    from dovestorm.validate import Report as ValidationReport
    from dovestorm.validate import Validator

__all__ = ["Receiver"]

_LOOK_S = 0.02


class Receiver:
    """A consumer that runs in threads of its own; a context manager.

    Args:
        url: Where to listen; port 0 takes a free one.
        format: ``json``, ``tab-text``, ``msgpack``, or ``auto`` to go by the first byte of each connection.
        validator: Checks every record.
        write: A file that gets every record; compressed where its name ends in .gz or .zst.
        keep: Whether records are kept in memory, for ``events`` and ``records``.
        wanted: How many events ``wait_until_done`` waits for.
        public: Whether an address that others can reach may be bound.
        auditor: Holds every record against what was sent; whoever made it asks it for its report after ``stop``.

    Raises:
        UsageError: The URL, the format or the file cannot be used.
    """

    def __init__(
        self,
        url: str = "tcp://127.0.0.1:0",
        *,
        format: str = "auto",  # noqa: A002 - the word that users look for
        validator: Validator | None = None,
        write: str | Path | None = None,
        keep: bool = False,
        wanted: int | None = None,
        public: bool = False,
        auditor: Auditing | None = None,
    ) -> None:
        if format not in FORMATS:
            raise UsageError(f"unknown format '{format}', known are {', '.join(FORMATS)}")
        self._place = parse_place(url, public=public)
        self._format = format
        self._validator = validator
        self._path = None if write is None else Path(write)
        self._keep, self._wanted, self._auditor = keep, wanted, auditor
        self._file: BinaryIO | None = None
        self._server: Server | None = None
        self._summary: Summary | None = None
        self.intake = Intake()

    @property
    def url(self) -> str:
        """The URL to send to, with the port that was bound."""
        if self._server is None:
            raise DovestormError("the receiver is not started: use it in a with statement, or call start()")
        return self._place.url(self._server.port)

    def start(self) -> Self:
        """Listen.

        Raises:
            UsageError: The place is taken, or the file cannot be created.
        """
        if self._server is not None:
            raise DovestormError(f"{self.url}: the receiver is started already; make one receiver for each run")
        # The file comes second: a place that is taken must not cost a file that another consumer has written.
        server = make_server(self._place, self._format)
        try:
            self._file = None if self._path is None else _create(self._path)
        except UsageError:
            server.close()
            raise
        self.intake = Intake(validator=self._validator, write=self._file, keep=self._keep, wanted=self._wanted, auditor=self._auditor)
        server.start(self.intake)
        self._server = server
        return self

    def stop(self) -> Summary:
        """Stop listening, end every connection, and say what came. A second call gives the same.

        Raises:
            DeliveryError: The file could not be written whole.
        """
        if self._summary is None:
            url = self.url
            if self._server is not None:
                self._server.close()
            self._close_file()
            self._summary = self._look(url, self._validator.finish() if self._validator is not None else None)
        if self.intake.failure is not None:
            raise self.intake.failure
        return self._summary

    @property
    def summary(self) -> Summary:
        """What came: all of it after ``stop``, what came so far (and nothing of the validator's) before."""
        return self._summary or self._look(self.url, None)

    def _look(self, url: str, report: ValidationReport | None) -> Summary:
        intake = self.intake
        with intake.changed:
            return Summary(
                url=url,
                events=intake.events,
                bytes=intake.bytes,
                seconds=0.0 if intake.begun is None or intake.last is None else intake.last - intake.begun,
                connections=intake.connections,
                truncated=intake.truncated,
                oversized=intake.oversized,
                by_event=dict(intake.by_event),
                report=report,
            )

    def wait_for(self, count: int, *, timeout: float = 10.0) -> None:
        """Wait until ``count`` events have arrived.

        Raises:
            DovestormError: They have not after ``timeout`` seconds; the text says how many did.
        """
        if not self.intake.wait(lambda: self.intake.events >= count, timeout):
            raise DovestormError(f"{self.url}: {self.intake.events} of {count} events arrived within {timeout:g} s")

    def wait_until_done(
        self, *, seconds: float | None = None, idle: float | None = None, once: bool = False, stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until enough events have arrived, or one of the ends that are asked for has come.

        Args:
            seconds: At most so long.
            idle: Stop when no connection is open and nothing has come for so long, once something has.
            once: Stop when a connection has come and all that came have ended.
            stopped: Asked fifty times a second: whether to stop now.
        """
        intake, begin = self.intake, time.monotonic()

        def done() -> bool:
            now = time.monotonic()
            is_alone = intake.open_connections == 0
            ended = once and intake.connections > 0 and is_alone
            still = idle is not None and intake.active is not None and is_alone and now - intake.active >= idle
            return intake.has_enough or ended or still or (seconds is not None and now - begin >= seconds) or stopped()

        # Without the intake's lock: whoever waits here stays able to stop, even when a file that is written blocks for good.
        while not done():
            time.sleep(_LOOK_S)

    def records(self) -> list[bytes]:
        """The records as they arrived, one each, without terminators."""
        with self.intake.changed:
            return list(self.intake.records)

    def events(self) -> list[dict[str, Any]]:
        """The records, decoded; in tab-text every value is a text.

        Raises:
            DovestormError: The receiver does not keep records, or one of them holds no event.
        """
        if not self._keep:
            raise DovestormError("the receiver keeps no records: make it with keep=True")
        events: list[dict[str, Any]] = []
        for record in self.records():
            try:
                events.append(decode(record, self._format))
            except ValueError as error:
                raise DovestormError(f"{self.url}: record {len(events) + 1} is {error}") from None
        return events

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _close_file(self) -> None:
        if self._file is None:
            return
        try:
            self._file.close()
        except OSError as error:
            self.intake.failure = DeliveryError(f"{self._path}: what was received could not be written whole: {error.strerror or error}")
        self._file = None


def _create(path: Path) -> BinaryIO:
    try:
        if path.suffix == ".gz":
            import gzip

            return cast(BinaryIO, gzip.open(path, "wb", compresslevel=1))
        if path.suffix == ".zst":
            import zstandard

            return cast(BinaryIO, zstandard.open(path, "wb"))
        return path.open("wb")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror or error}") from None
