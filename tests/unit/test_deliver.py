"""The delivery loop: counts that add up, ends that are honest, and interruptions that are quick."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dovestorm import sinks
from dovestorm.block import Block
from dovestorm.clock import FakeClock
from dovestorm.delivery import VALID_BLOCKS, Finished, Pacer, Progress, Report, SinkReport, Started, deliver
from dovestorm.errors import DeliveryError, FormatError
from dovestorm.sinks import PipeClosed, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 10


class ListSink:
    """Keeps records; fails when it is told to."""

    def __init__(self, url: str = "list:", *, limit: int | None = None, error: type[DeliveryError] = DeliveryError, acks: bool = False) -> None:
        self.url = url
        self.tally = Tally(acknowledged=0 if acks else None)
        self.records: list[bytes] = []
        self.calls: list[str] = []
        self._limit = limit
        self._error = error
        self.on_write: Callable[[], None] = lambda: None

    def open(self) -> None:
        self.calls.append("open")
        if self._limit == 0:
            raise self._error("cannot open it")

    def write(self, block: Block) -> None:
        self.on_write()
        begin = 0
        for number, end in enumerate(block.ends.tolist()):
            if len(self.records) == self._limit:
                self.tally.undelivered += len(block) - number
                raise self._error("it is full")
            self.records.append(bytes(block.data[begin:end]))
            self.tally.written += 1
            self.tally.written_bytes += end - begin
            if self.tally.acknowledged is not None:
                self.tally.acknowledged += 1
            begin = end

    def close(self) -> None:
        self.calls.append("close")

    def abort(self) -> None:
        self.calls.append("abort")


def records(count: int, first: int = 0) -> list[bytes]:
    return [b"%d\n" % number for number in range(first, first + count)]


def block(wanted: list[bytes], due: list[int] | None = None) -> Block:
    ends = np.cumsum([len(record) for record in wanted], dtype=np.int64)
    return Block(memoryview(b"".join(wanted)), ends, 1, None if due is None else np.array(due, np.int64))


def blocks(*counts: int) -> Iterator[Block]:
    first = 0
    for count in counts:
        yield block(records(count, first))
        first += count


both_ways = pytest.mark.parametrize("read_ahead", [True, False])


@both_ways
def test_every_sink_gets_the_same_stream(*, read_ahead: bool) -> None:
    """Two sinks, one stream, and a report in which all counts agree."""
    first, second = ListSink("a:"), ListSink("b:", acks=True)
    report = deliver(blocks(3, 0, 4), [first, second], asked=7, read_ahead=read_ahead)
    assert first.records == second.records == records(7)
    assert first.calls == second.calls == ["open", "close"]
    assert (report.made, report.made_bytes, report.exit_code, report.complete) == (7, 14, 0, True)
    assert [(sink.written, sink.acknowledged, sink.undelivered) for sink in report.sinks] == [(7, None, 0), (7, 7, 0)]


@both_ways
def test_a_sink_that_fails_does_not_stop_the_other(*, read_ahead: bool) -> None:
    """The rest is counted as undelivered for the one, and delivered to the other; the run is not a success."""
    bad, good = ListSink("bad:", limit=4), ListSink("good:")
    report = deliver(blocks(3, 3, 3), [bad, good], read_ahead=read_ahead)
    assert good.records == records(9)
    assert [(sink.written, sink.undelivered, sink.error) for sink in report.sinks] == [(4, 5, "it is full"), (9, 0, "")]
    assert (report.exit_code, report.complete) == (1, False)
    assert "abort" in bad.calls
    assert "bad:: written 4, undelivered 5\n    it is full" in report.to_text()


@both_ways
def test_the_run_ends_with_its_last_sink(*, read_ahead: bool) -> None:
    """An endless stream is not made for nobody, and its generator is closed."""
    closed = threading.Event()

    def endless() -> Iterator[Block]:
        try:
            while True:
                yield block(records(2))
        finally:
            closed.set()

    source = endless()
    report = deliver(source, [ListSink(limit=3), ListSink(limit=5)], read_ahead=read_ahead)
    if not read_ahead:
        source.close()
    assert closed.wait(PATIENCE_S)
    assert (report.made, report.exit_code) == (6, 1)
    assert [(sink.written, sink.undelivered) for sink in report.sinks] == [(3, 3), (5, 1)]


def test_nothing_is_made_when_no_sink_opens() -> None:
    """All targets refuse: that is the end, and not a success."""
    report = deliver(blocks(3), [ListSink(limit=0)], asked=3)
    assert (report.made, report.exit_code, report.sinks[0].error) == (0, 1, "cannot open it")


def test_a_stream_shorter_than_asked_is_not_a_success() -> None:
    """Made is less than asked: exit 1, though every sink has all that was made."""
    report = deliver(blocks(3), [ListSink()], asked=4)
    assert (report.exit_code, report.complete) == (1, False)
    assert "asked 4, made 3 events" in report.to_text()


def test_a_reader_that_leaves_is_no_failure() -> None:
    """A closed pipe ends quietly with exit code 0; counts stay right, and complete is not claimed."""
    report = deliver(blocks(3, 3), [ListSink(limit=4, error=PipeClosed)], asked=6)
    assert (report.exit_code, report.complete, report.sinks[0].pipe_closed) == (0, False, True)
    assert (report.made, report.sinks[0].written, report.sinks[0].undelivered, report.sinks[0].error) == (6, 4, 2, "")


def test_a_reader_that_leaves_does_not_excuse_the_others() -> None:
    """A short count beside a closed pipe is still short."""
    report = deliver(blocks(3, 3), [ListSink(limit=1, error=PipeClosed), ListSink(limit=5)], asked=6)
    assert report.exit_code == 1
    report = deliver(blocks(3), [ListSink(limit=1, error=PipeClosed), ListSink()], asked=6)
    assert report.exit_code == 1


def test_a_loss_that_does_not_end_a_sink_is_a_failure() -> None:
    """An event too large for a datagram: told, counted, exit 1."""
    sink = ListSink()

    def lose() -> None:
        sink.tally.fault = "one was too large"
        sink.tally.undelivered = 1
        sink.tally.written = -1  # the write that follows counts one too many

    sink.on_write = lose
    report = deliver(blocks(5), [sink])
    assert (report.exit_code, report.sinks[0].undelivered, report.sinks[0].error) == (1, 1, "one was too large")


@both_ways
def test_an_error_of_the_stream_is_raised_after_closing(*, read_ahead: bool) -> None:
    """What was made before it is delivered; the error comes out as it is."""

    def broken() -> Iterator[Block]:
        yield block(records(2))
        raise FormatError("template 7: no such field")

    sink = ListSink()
    with pytest.raises(FormatError, match="template 7"):
        deliver(broken(), [sink], read_ahead=read_ahead)
    assert sink.records == records(2)
    assert sink.calls[-1] == "close"


def test_read_ahead_keeps_its_promise_about_buffers() -> None:
    """A generator that reuses a ring of ``VALID_BLOCKS`` + 1 buffers is sent unharmed, however slow the sink is."""
    ring = [bytearray(8) for _ in range(VALID_BLOCKS + 1)]
    made = threading.Semaphore(0)

    def reusing() -> Iterator[Block]:
        for number in range(20):
            buffer = ring[number % len(ring)]
            buffer[:] = b"%08d" % number
            made.release()
            yield Block(memoryview(buffer), np.array([8], np.int64), 0)

    sink = ListSink()
    sink.on_write = lambda: [made.acquire(timeout=0.01) for _ in range(VALID_BLOCKS)]  # let the generator run as far ahead as it may
    deliver(reusing(), [sink])
    assert sink.records == [b"%08d" % number for number in range(20)]


def test_without_read_ahead_a_block_is_used_before_the_next_is_made() -> None:
    """One buffer is enough."""
    buffer = bytearray(8)

    def reusing() -> Iterator[Block]:
        for number in range(10):
            buffer[:] = b"%08d" % number
            yield Block(memoryview(buffer), np.array([8], np.int64), 0)

    sink = ListSink()
    deliver(reusing(), [sink], read_ahead=False)
    assert sink.records == [b"%08d" % number for number in range(10)]


def test_events_of_a_run() -> None:
    """Started, then progress at most five times a second, then finished with the report."""
    clock = FakeClock()
    sink = ListSink()

    def pass_time() -> None:
        clock.now += 0.05

    sink.on_write = pass_time
    told: list[object] = []
    report = deliver(blocks(*[1] * 40), [sink], asked=40, on_progress=told.append, clock=clock)
    assert told[0] == Started(40, ("list:",))
    assert told[-1] == Finished(report)
    steps = [event for event in told if isinstance(event, Progress)]
    assert 8 <= len(steps) <= 10
    assert steps[0].made == steps[0].delivered == 4
    assert (steps[0].seconds, report.seconds) == (pytest.approx(0.2), pytest.approx(2.0))
    assert report.events_per_s == pytest.approx(20)


def test_a_paced_run_reports_its_lateness() -> None:
    """Ten events a second into a sink that stalls once for a second."""
    clock = FakeClock()
    sink = ListSink()
    sink.on_write = lambda: setattr(clock, "now", clock.now + (1.0 if not sink.records else 0.0))
    report = deliver(blocks(20), [sink], pacer=Pacer(rate=10, clock=clock), clock=clock)
    assert report.lateness is not None
    assert report.lateness.max_ms == 1000
    assert (report.offered_per_s, report.seconds) == (10, pytest.approx(1.9))
    assert "open loop, offered 10.0 events/s, lateness p50" in report.to_text()


def test_an_unpaced_block_is_one_write() -> None:
    """Nothing is done per record."""
    writes: list[int] = []
    sink = ListSink()
    sink.on_write = lambda: writes.append(len(sink.records))
    deliver(blocks(1000, 500), [sink])
    assert writes == [0, 1000]


def test_the_report_for_programs_is_plain() -> None:
    """It survives JSON, and has the figures that people are shown."""
    sink = SinkReport(url="tcp://h:1", written=5, acknowledged=None, undelivered=2, written_bytes=50, reconnects=1, error="lost")
    report = Report(asked=7, made=7, made_bytes=1_700_000, seconds=0.5, sinks=(sink,))
    plain = json.loads(json.dumps(report.to_dict()))
    assert (plain["asked"], plain["made"], plain["events_per_s"], plain["exit_code"], plain["complete"]) == (7, 7, 14.0, 1, False)
    assert plain["sinks"][0]["written"] == 5
    assert report.to_text().splitlines() == [
        "asked 7, made 7 events (1.7 MB) in 0.50 s, 14 events/s",
        "  tcp://h:1: written 5, undelivered 2, reconnected 1x (what was under way then may be lost)",
        "    lost",
        "  the stream is not complete",
    ]


# --- interruption -------------------------------------------------------------------------------------------------------------------


def endless_blocks(size: int = 1000) -> Iterator[Block]:
    while True:
        yield block([b"x" * 99 + b"\n"] * size)


def signal_from_another_thread(number: int, wait: threading.Event, moments: list[float]) -> threading.Thread:
    def send() -> None:
        assert wait.wait(PATIENCE_S)
        moments.append(time.monotonic())
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@both_ways
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_blocked_run(*, number: int, read_ahead: bool, tmp_path: Path) -> None:
    """A receiver that takes nothing cannot hold up Ctrl-C for a second; the report says what was delivered, and handlers are as before."""
    path = tmp_path / "socket"
    before = signal.getsignal(number)
    moments: list[float] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        ready = threading.Event()
        thread = signal_from_another_thread(number, ready, moments)
        file = tmp_path / "copy"
        targets = [sinks.open_url(str(file)), sinks.open_url(f"unix:{path}")]
        report = deliver(
            endless_blocks(), targets, on_progress=lambda event: ready.set() if isinstance(event, Started) else None, read_ahead=read_ahead
        )
        ended = time.monotonic()
        thread.join()
    assert ended - moments[0] < 1.0
    assert (report.interrupted, report.exit_code, report.complete) == (True, 130, False)
    assert report.sinks[0].written == report.made
    assert report.sinks[1].written + report.sinks[1].undelivered == report.made
    assert file.stat().st_size == report.made * 100
    assert signal.getsignal(number) is before


def test_a_signal_ends_a_long_wait() -> None:
    """Between two events that lie an hour apart, too; nothing counts as lost that was not begun."""
    moments: list[float] = []
    written = threading.Event()
    sink = ListSink()
    sink.on_write = written.set
    thread = signal_from_another_thread(signal.SIGINT, written, moments)
    report = deliver(iter([block(records(2), [0, 3_600_000_000])]), [sink], pacer=Pacer(speed=1))
    assert time.monotonic() - moments[0] < 1.0
    thread.join()
    assert (report.made, report.sinks[0].written, report.sinks[0].undelivered, report.exit_code) == (1, 1, 0, 130)


def test_a_signal_lets_a_healthy_sink_end_properly() -> None:
    """The write that is under way ends, and close follows; no abort."""
    sink = ListSink()

    def interrupt() -> None:
        if len(sink.records) == 2:
            signal.raise_signal(signal.SIGINT)

    sink.on_write = interrupt
    report = deliver(blocks(*[2] * 50), [sink], asked=100)
    assert sink.calls == ["open", "close"]
    assert (report.made, report.sinks[0].written, report.interrupted) == (4, 4, True)


def test_deliver_works_outside_the_main_thread() -> None:
    """There signals are somebody else's business."""
    reports: list[Report] = []
    thread = threading.Thread(target=lambda: reports.append(deliver(blocks(3), [ListSink()])))
    thread.start()
    thread.join(PATIENCE_S)
    assert reports[0].made == 3


PIPE_PROGRAM = """
import sys
sys.path[:0] = {path!r}
import itertools
import numpy
from dovestorm import sinks
from dovestorm.block import Block
from dovestorm.delivery import deliver
block = Block(memoryview((b"x" * 99 + b"\\n") * 1000), numpy.arange(1, 1001) * 100, 1)
report = deliver(itertools.repeat(block), [sinks.open_url("-")])
assert report.sinks[0].pipe_closed
sys.exit(report.exit_code)
"""


def test_head_ends_a_run_quietly() -> None:
    """``| head -n 1``: exit code 0, and not a word on standard error."""
    command = [sys.executable, "-c", PIPE_PROGRAM.format(path=sys.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"x" * 99 + b"\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE_S) == 0
