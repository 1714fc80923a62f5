"""The loop that gives blocks to sinks, and keeps the count."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovestorm.clock import Clock, SystemClock
from dovestorm.delivery.ahead import read_ahead as take_ahead
from dovestorm.delivery.events import Finished, Progress, Started
from dovestorm.delivery.interruption import Interruption, interruption
from dovestorm.delivery.report import Lateness, Report, SinkReport
from dovestorm.errors import DeliveryError
from dovestorm.sinks.base import PipeClosed, Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dovestorm.block import Block
    from dovestorm.delivery.events import RunEvent
    from dovestorm.delivery.pacing import Pacer
    from dovestorm.sinks.base import Sink

__all__ = ["deliver"]

_PROGRESS_S = 0.2


def deliver(
    blocks: Iterator[Block],
    sinks: Sequence[Sink],
    *,
    asked: int | None = None,
    pacer: Pacer | None = None,
    on_progress: Callable[[RunEvent], None] | None = None,
    clock: Clock | None = None,
    read_ahead: bool = True,
) -> Report:
    """Open the sinks, give every block to each of them, close them, and say what became of it all.

    A sink that fails does not stop the others; the run ends when none is left. SIGINT and SIGTERM (in the main thread) end it in under
    a second, with a report.

    Args:
        blocks: The stream. Without ``read_ahead`` a block is used up before the next is taken; with it, a block must stay valid while
            ``delivery.VALID_BLOCKS`` more blocks are taken, and the iterator runs in another thread.
        sinks: Not yet opened.
        asked: Events that the stream should have, when that is known; fewer make the run incomplete.
        pacer: When to send; None sends as fast as the sinks take it.
        on_progress: Is told about start, progress (at most five times a second) and end.
        clock: Measures.
        read_ahead: Make blocks in another thread while others are sent.

    Raises:
        DovestormError: What ``blocks`` raised, after the sinks were closed. Failures of sinks are in the report.
    """
    with interruption(sinks) as stopped:
        run = _Run(sinks, stopped, asked=asked, pacer=pacer, on_progress=on_progress, clock=clock or SystemClock())
        try:
            run.open()
            with contextlib.closing(take_ahead(blocks, stopped)) if read_ahead else contextlib.nullcontext(blocks) as source:
                run.send_all(source)
        except KeyboardInterrupt:
            stopped.requested = True
            run.abort()
        finally:
            run.close()
        return run.finish()


@dataclass(slots=True)
class _Lane:
    """A sink, and what the run knows about it."""

    sink: Sink
    skipped: int = 0
    error: str = ""
    pipe_closed: bool = False
    alive: bool = False

    def report(self) -> SinkReport:
        tally = self.sink.tally
        return SinkReport(
            url=self.sink.url,
            written=tally.written,
            acknowledged=tally.acknowledged,
            undelivered=tally.undelivered + self.skipped,
            written_bytes=tally.written_bytes,
            retries=tally.retries,
            reconnects=tally.reconnects,
            unasked=tally.unasked,
            error=self.error or tally.fault,
            pipe_closed=self.pipe_closed,
        )


class _Run:
    """One run from open to close."""

    def __init__(
        self,
        sinks: Sequence[Sink],
        stopped: Interruption,
        *,
        asked: int | None,
        pacer: Pacer | None,
        on_progress: Callable[[RunEvent], None] | None,
        clock: Clock,
    ) -> None:
        self._lanes = [_Lane(sink) for sink in sinks]
        self._stopped = stopped
        self._asked = asked
        self._pacer = pacer
        self._tell = on_progress or _say_nothing
        self._clock = clock
        self._made = 0
        self._made_bytes = 0
        self._begin = self._end = self._told_at = self._clock.monotonic()

    def open(self) -> None:
        for lane in self._lanes:
            if self._stopped():
                break
            lane.alive = True
            self._guarded(lane, lane.sink.open)
        self._tell(Started(self._asked, tuple(lane.sink.url for lane in self._lanes)))

    def send_all(self, blocks: Iterator[Block]) -> None:
        if not self._goes_on():
            return
        self._begin = self._end = self._told_at = self._clock.monotonic()
        for block in blocks:
            if self._pacer is None:
                self._send(block)
            else:
                self._send_paced(block, self._pacer)
            if not self._goes_on():
                return

    def close(self) -> None:
        for lane in self._lanes:
            if lane.alive:
                self._guarded(lane, lane.sink.close)
            else:
                lane.sink.abort()

    def abort(self) -> None:
        for lane in self._lanes:
            lane.sink.abort()

    def finish(self) -> Report:
        report = Report(
            asked=self._asked,
            made=self._made,
            made_bytes=self._made_bytes,
            seconds=self._end - self._begin,
            sinks=tuple(lane.report() for lane in self._lanes),
            offered_per_s=self._pacer.offered_per_s if self._pacer else None,
            lateness=_lateness(self._pacer) if self._pacer else None,
            interrupted=self._stopped(),
        )
        self._tell(Finished(report))
        return report

    def _goes_on(self) -> bool:
        return not self._stopped() and any(lane.alive for lane in self._lanes)

    def _send_paced(self, block: Block, pacer: Pacer) -> None:
        for due, part in pacer.slices(block):
            if not (self._goes_on() and pacer.wait(due, self._stopped)):
                return
            self._send(part)
            pacer.left(due, len(part))

    def _send(self, block: Block) -> None:
        count = len(block)
        if not count:
            return
        self._made += count
        self._made_bytes += int(block.ends[-1])
        for lane in self._lanes:
            if lane.alive:
                self._guarded(lane, lambda sink=lane.sink: sink.write(block))  # type: ignore[misc]
            else:
                lane.skipped += count
        self._end = self._clock.monotonic()
        if self._end - self._told_at >= _PROGRESS_S:
            self._told_at = self._end
            self._tell_progress()

    def _guarded(self, lane: _Lane, action: Callable[[], None]) -> None:
        """Let a lane's failure end that lane only."""
        try:
            action()
        except PipeClosed:
            lane.alive = False
            lane.pipe_closed = True
        except Stopped as error:
            lane.alive = False
            lane.error = "" if self._stopped() else str(error)
        except DeliveryError as error:
            lane.alive = False
            lane.error = str(error)

    def _tell_progress(self) -> None:
        counts = [lane.sink.tally for lane in self._lanes if lane.alive]
        delivered = min((tally.unasked + (tally.written if tally.acknowledged is None else tally.acknowledged) for tally in counts), default=0)
        self._tell(Progress(self._asked, self._made, self._made_bytes, delivered, self._end - self._begin))


def _lateness(pacer: Pacer) -> Lateness:
    sketch = pacer.lateness_us
    return Lateness(p50_ms=sketch.quantile(0.5) / 1000, p99_ms=sketch.quantile(0.99) / 1000, max_ms=sketch.largest / 1000)


def _say_nothing(_event: RunEvent) -> None:
    pass
