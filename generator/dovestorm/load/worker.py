"""A worker's side of a run: its shards, what its users send next and when, and what it tells the master."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore
from locust.exception import RPCError

from dovestorm.load.lane import Lane
from dovestorm.load.schedule import Schedule
from dovestorm.load.source import Source
from dovestorm.load.statistics import DeliveryStatistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from locust.env import Environment

    from dovestorm.load.lane import Batch
    from dovestorm.load.outlet import Outlet
    from dovestorm.load.plan import Plan

__all__ = ["Outcome", "Worker", "worker_of"]

_REPORT_S = 0.1
"""What a killed worker sent after its last report is sent again. A report costs a worker 0.2 ms, and the master 0.3 ms."""
_TICK_S = 0.2
"""A user that waits looks up this often whether it was asked to stop."""
_PATIENCE_S = 5.0
"""At the end, deliveries that are under way have this long."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a batch.

    Attributes:
        begun: When sending began, in seconds since the run began.
        ended: When it was acknowledged, or the write ended, or it failed.
        events: Events delivered.
        size: Their bytes.
        undelivered: Events given up.
        unasked: Events that the receiver does not want.
        retries: Events sent again.
        reconnects: Connections made anew.
        error: Why it failed.
    """

    begun: float
    ended: float
    events: int = 0
    size: int = 0
    undelivered: int = 0
    unasked: int = 0
    retries: int = 0
    reconnects: int = 0
    error: Exception | None = None


class Worker:
    """Holds the lanes of one process and serves its users.

    Args:
        environment: Locust's.
        plan: What the run is asked to do.
    """

    def __init__(self, environment: Environment, plan: Plan) -> None:
        self.plan = plan
        self.statistics = DeliveryStatistics()
        self.is_finishing = False
        self.users = 0
        """Users that are alive."""
        self.file: Outlet | None = None
        """What all users of this worker write to, when that is a file."""
        self._runner: Any = environment.runner
        self._lanes: dict[int, Lane] = {}
        self._returned: deque[Batch] = deque()
        self._turn = BoundedSemaphore()
        self._news = Event()
        self._origin: float | None = None
        self._offered: dict[int, int] = {}
        self._counted = 0.0
        self._ready: set[int] = set()
        self._troubles: set[str] = set()
        self._has_asked = False
        self._interval = _REPORT_S
        self._last = 0.0
        self._until = math.inf
        self._reporter = gevent.spawn(self._report_on)

    # ------------------------------------------------------------ users

    def enter(self) -> None:
        """A user is there; with the first one this worker asks for a share of the stream."""
        self.users += 1
        if not self._has_asked:
            self._has_asked = True
            self._send("ask", {"index": max(getattr(self._runner, "worker_index", 0), 0)})

    def leave(self) -> None:
        """A user is gone."""
        self.users -= 1
        self._news.set()

    def now(self) -> float:
        """Seconds since the run began to send."""
        return time.monotonic() - self._origin if self._origin is not None else 0.0

    def take(self, is_stopping: Callable[[], bool], *, most: int | None = None) -> Batch | None:
        """Wait for the next batch and its due moment; None when the user is to stop. ``most`` limits its events."""
        while not self._turn.acquire(timeout=_TICK_S):
            if self.is_finishing or is_stopping():
                return None
        try:
            while not (self.is_finishing or is_stopping()):
                if self._returned:
                    return self._returned.popleft()
                wait, lane = self._next()
                if lane is not None and wait <= 0:
                    return lane.cut(most=most)
                self._news.clear()
                self._news.wait(min(wait, _TICK_S))
        finally:
            self._turn.release()
        return None

    def give_back(self, batch: Batch) -> None:
        """A user that stops leaves this to another."""
        self._returned.append(batch)
        self._news.set()

    def settle(self, batch: Batch) -> None:
        """A batch was delivered, or given up."""
        batch.lane.settle(batch)

    def count(self, batch: Batch, outcome: Outcome) -> float:
        """Count what became of a batch; gives the time for Locust's own statistics in milliseconds: from the due moment, if there is one."""
        second = int(outcome.ended)
        service_us = round((outcome.ended - outcome.begun) * 1e6)
        lateness_us = round((outcome.ended - batch.due) * 1e6) if self.plan.is_open else None
        if outcome.events > 0:
            whole = outcome.error is None and outcome.events + outcome.unasked == len(batch.block)
            self._last = max(self._last, outcome.ended)
            self.statistics.deliver(second, outcome.events, outcome.size, lateness_us=lateness_us, service_us=service_us, whole=whole)
        elif outcome.events < 0:
            self.statistics.revoke(second, -outcome.events, -outcome.size)
        if outcome.error is not None or outcome.undelivered:
            self.statistics.fail(second, undelivered=outcome.undelivered)
        self.statistics.trouble(second, retries=outcome.retries, reconnects=outcome.reconnects, unasked=outcome.unasked)
        return (service_us if lateness_us is None else lateness_us) / 1000

    def correct(self, outcome: Outcome) -> None:
        """Take what the end of a connection or file showed: that what was counted as delivered was not, or may not have been."""
        second = int(outcome.ended)
        if outcome.events < 0:
            self.statistics.revoke(second, -outcome.events, -outcome.size)
        if outcome.undelivered:
            self.statistics.fail(second, undelivered=outcome.undelivered)
        if outcome.error is not None:
            self.trouble(str(outcome.error))

    def trouble(self, text: str) -> None:
        """Tell the master of something that the report should say, once."""
        if text not in self._troubles:
            self._troubles.add(text)
            self._send("trouble", {"text": text})

    def _next(self) -> tuple[float, Lane | None]:
        """The lane whose next event is due first, and seconds until then."""
        if self._origin is None:
            return _TICK_S, None
        first, found = _TICK_S, None
        now = self.now()
        for lane in self._lanes.values():
            due = lane.due()
            if due is not None and due < self._until and (found is None or due - now < first):
                first, found = due - now, lane
        return first, found

    # ------------------------------------------------------------ messages from the master

    def assign(self, facts: dict[str, Any]) -> None:
        """Begin with a shard."""
        schedule = facts["schedule"]
        self._until = math.inf if facts["until"] is None else facts["until"]
        lane = Lane(
            Source.from_dict(facts["source"]),
            self.plan.cut,
            schedule=Schedule.from_list(schedule, share=1 / facts["of"]) if schedule else None,
            prebuild=self.plan.prebuild,
            wake=self._news.set,
        )
        lane.until = self._until
        self._lanes[lane.shard] = lane
        self._offered[lane.shard] = facts["source"]["skip"]
        self._counted = 0.0
        self._interval = _REPORT_S + facts["of"] / 200  # many workers, fewer reports from each: the master reads them all
        lane.start()
        if facts["elapsed"] is not None:
            self.go(facts["elapsed"])

    def go(self, elapsed: float) -> None:
        """Sending begins, or began so many seconds ago."""
        if self._origin is None:
            self._origin = time.monotonic() - elapsed
            self._news.set()

    def change_rate(self, at: float, rate: float, of: int) -> None:
        """From ``at`` seconds on, each of ``of`` shards gets its part of ``rate``."""
        for lane in self._lanes.values():
            if lane.schedule is not None:
                lane.schedule.change(at, rate / of)
        self._news.set()

    def release(self, number: int) -> None:
        """Stop with a shard: what is under way is brought to its end, the rest is somebody else's."""
        lane = self._lanes.pop(number, None)
        if lane is None:
            return
        deadline = time.monotonic() + _PATIENCE_S
        while not lane.ledger.is_settled and time.monotonic() < deadline:
            gevent.sleep(0.01)
        self.report(lane)
        self._send("released", {"shard": number})
        lane.close()

    def finish(self) -> None:
        """End: deliveries under way are brought to their end, no new one begins, and the last report goes out."""
        if self.is_finishing:
            return
        self.is_finishing = True
        ended = self.now()
        self._news.set()
        deadline = time.monotonic() + _PATIENCE_S
        while self.users and time.monotonic() < deadline:
            gevent.sleep(0.01)
        if self.file is not None and not self.users:
            self.file.close(self)
        self._reporter.kill()
        self._count_offered(ended)
        self._send("final", self._facts())
        self.close()

    def close(self) -> None:
        """Let go of processes."""
        self._reporter.kill(block=False)
        for lane in self._lanes.values():
            lane.close()

    # ------------------------------------------------------------ reports

    def report(self, *more: Lane) -> None:
        """Tell positions and statistics in one message, so that they are of the same moment; what cannot be sent now is told with the next."""
        facts = self._facts(*more)
        try:
            self._send("report", facts)
        except RPCError:
            self.statistics.merge(DeliveryStatistics.from_dict(facts["statistics"]))

    def _report_on(self) -> None:
        while True:
            gevent.sleep(self._interval)
            self._count_offered(self.now())
            for lane in list(self._lanes.values()):
                if lane.error:
                    self.trouble(lane.error)
                elif lane.is_ready and lane.shard not in self._ready:
                    self._tell_ready(lane)
            if self._lanes:
                self.report()

    def _tell_ready(self, lane: Lane) -> None:
        with contextlib.suppress(RPCError):
            self._send("ready", {"shard": lane.shard})
            self._ready.add(lane.shard)

    def _facts(self, *more: Lane) -> dict[str, Any]:
        lanes = [*self._lanes.values(), *more]
        positions = [[lane.shard, lane.ledger.position, lane.ledger.reach, lane.total, lane.is_over or bool(lane.error)] for lane in lanes]
        return {"positions": positions, "statistics": self.statistics.take().to_dict(), "last": self._last}

    def _count_offered(self, now: float) -> None:
        if self._origin is None or self.plan.unit == "session":
            return
        # Reports come at any moment, but an event belongs to the second in which it was due.
        for second in range(int(self._counted), int(now) + 1):
            at = min(second + 1.0, now)
            for lane in self._lanes.values():
                count = lane.offered(at, until=self._until)
                if count > self._offered[lane.shard]:
                    self.statistics.offer(second if lane.schedule is not None else int(now), count - self._offered[lane.shard])
                    self._offered[lane.shard] = count
        self._counted = now

    def _send(self, kind: str, facts: dict[str, Any]) -> None:
        self._runner.send_message(f"dovestorm-{kind}", facts)


def worker_of(environment: Environment) -> Worker | None:
    """This process's side of the run that is under way; None when its options were wrong."""
    worker: Worker | None = getattr(environment, "dovestorm_worker", None)
    return worker
