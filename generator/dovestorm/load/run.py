"""The master's side of a run, or that of the only process: who sends what, what came of it, and the verdict.

Master and workers talk in Locust's own messages: ``ask``, ``ready``, ``report``, ``released``, ``trouble`` and ``final`` come from workers,
``assign``, ``release``, ``go``, ``rate`` and ``finish`` go to them.
"""

from __future__ import annotations

import logging
import math
import re
import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.event import Event
from locust.runners import STATE_MISSING, LocalRunner, MasterRunner

from dovestorm.load.report import LoadReport
from dovestorm.load.schedule import Schedule
from dovestorm.load.shapes import Course
from dovestorm.load.shards import ShardTable
from dovestorm.load.statistics import DeliveryStatistics
from dovestorm.sinks.target import parse

if TYPE_CHECKING:
    from locust.env import Environment
    from locust.rpc.protocol import Message

    from dovestorm.load.plan import Plan
    from dovestorm.load.shards import Takeover

__all__ = ["Run", "of"]

_WATCH_S = 0.25
_FINAL_S = 8.0
"""So long the last reports are waited for; a worker itself waits five seconds for what is under way."""

_SETTLE_S = 5.0

_REASONS = 3
"""So many errors are named when nothing was delivered."""

_AHEAD_S = 2.0
"""So long before it is due, a worker knows of a change of rate; a master that is busy for less does no harm."""

_log = logging.getLogger(__name__)


class Run:
    """One run from the start of its users to their end.

    Args:
        environment: Locust's.
        plan: What is asked for.
        events: For each shard how many events it holds at most, or None.
        ceiling_per_s: The generator's own limit, if it was measured.

    Attributes:
        plan: As given.
        statistics: All workers' counts, as last reported.
        table: Who has which shard.
        schedule: The target rate over all shards; None unless the plan gives a rate or a shape.
        report: What became of it, once it has ended.
        is_judged: Whether the report was written where it was asked for, and the exit code set.
        is_shown: Whether it was shown.
    """

    def __init__(self, environment: Environment, plan: Plan, *, events: list[int | None], ceiling_per_s: float | None = None) -> None:
        self.plan = plan
        self.statistics = DeliveryStatistics()
        self.table = ShardTable(events)
        self.schedule = None if plan.rate is None and plan.shape is None else Schedule(plan.rate or 0.0)
        self._course = None if plan.shape is None or self.schedule is None else Course(plan.shape, self.schedule)
        self.report: LoadReport | None = None
        self.is_judged = False
        self.is_shown = False
        self._environment = environment
        self._runner: Any = environment.runner
        self._ceiling_per_s = ceiling_per_s
        self._ready: set[int] = set()
        self._finals: set[str] = set()
        self._took_part: set[str] = set()
        self._told: list[Takeover] = []
        self._troubles: list[str] = []
        self._origin: float | None = None
        self._ended: float | None = None
        self._last_delivery = 0.0
        self._settle_by: float | None = None
        self._news = Event()
        self._follow_shape()
        self._watcher = gevent.spawn(self._watch)

    # ------------------------------------------------------------ for others

    @property
    def elapsed(self) -> float:
        """Seconds since sending began; it stands still when the run has ended."""
        if self._origin is None:
            return 0.0
        return (self._ended or time.monotonic()) - self._origin

    @property
    def offered(self) -> int:
        """Events that are due by now."""
        if self.schedule is None:
            return self.statistics.whole.offered
        until = math.inf if self.plan.send_for is None else self.plan.send_for
        count = self.schedule.count(self.elapsed, until=until) if self._origin is not None else 0
        share, rest = divmod(count, len(self.table.shards))
        due = [share + (shard.number <= rest) for shard in self.table.shards]
        return sum(
            min(number, shard.position) if shard.over else min(number, shard.total or number)
            for number, shard in zip(due, self.table.shards, strict=True)
        )

    def set_rate(self, rate: float) -> None:
        """From now on ``rate`` events per second over all shards; for a run that is paced by rate."""
        if self.schedule is None:
            raise ValueError("only a run that is paced by rate has a rate to change")
        at = self.elapsed
        self.schedule.change(at, rate)
        self._tell_rate(at, rate)

    def _tell_rate(self, at: float, rate: float) -> None:
        self._send("rate", {"at": at, "rate": rate, "of": len(self.table.shards)})

    def _follow_shape(self) -> None:
        if self._course is not None:
            for at, rate in self._course.extend(self.elapsed + _AHEAD_S):
                self._tell_rate(at, rate)

    # ------------------------------------------------------------ messages from workers

    def hear(self, kind: str, worker: str, facts: dict[str, Any]) -> None:
        """Take a worker's message."""
        if kind == "ask":
            self.table.join(worker, facts["index"])
            self._took_part.add(worker)
            self._move()
        elif kind == "ready":
            self._ready.add(facts["shard"])
            self._go()
        elif kind in {"report", "final"}:
            self._account(worker, facts)
            if kind == "final":
                self._finals.add(worker)
        elif kind == "released":
            self.table.give_back(worker, facts["shard"])
            self._move()
        elif kind == "trouble":
            self._troubles.append(facts["text"])
            _log.error("%s", facts["text"])
        self._news.set()

    def _account(self, worker: str, facts: dict[str, Any]) -> None:
        self.statistics.merge(DeliveryStatistics.from_dict(facts["statistics"]))
        self._last_delivery = max(self._last_delivery, facts["last"])
        for number, position, reach, total, over in facts["positions"]:
            if not self.table.report(worker, number, position, reach, total=total, over=over):
                self._send("release", {"shard": number}, worker)  # it was given away while this worker was silent

    # ------------------------------------------------------------ decisions

    def settle(self) -> None:
        """All users are there; once those workers have asked that have some, what is left is shared out."""
        self._settle_by = time.monotonic() + _SETTLE_S
        self._news.set()

    def _settle(self) -> None:
        if self._settle_by is None:
            return
        with_users = {client.id for client in self._runner.clients.all if client.user_count} if isinstance(self._runner, MasterRunner) else set()
        if with_users <= self.table.workers.keys() or time.monotonic() > self._settle_by:
            self._settle_by = None
            self.table.settle()
            self._move()

    def _move(self) -> None:
        for move in self.table.moves():
            shard = move.shard
            if not move.begins:
                self._send("release", {"shard": shard.number}, move.worker)
                continue
            count = len(self.table.shards)
            source = self.plan.share(shard.number, count, events=shard.events, skip=shard.position)
            facts = {
                "source": source.to_dict(),
                "of": count,
                "elapsed": None if self._origin is None else self.elapsed,
                "until": self.plan.send_for,
                "schedule": None if self.schedule is None else self.schedule.to_list(),
            }
            self._send("assign", facts, move.worker)
        for takeover in self.table.takeovers[len(self._told) :]:
            _log.warning("%s", takeover.to_text())
            self._told.append(takeover)
        self._go()

    def _go(self) -> None:
        if self._origin is None and self.table.is_shared_out and len(self._ready) == len(self.table.shards):
            self._origin = time.monotonic()
            self._send("go", {"elapsed": 0.0})

    def _watch(self) -> None:
        """Look for workers that are gone, and for the end."""
        while True:
            self._news.wait(_WATCH_S)
            self._news.clear()
            self._settle()
            self._follow_shape()
            for worker in [worker for worker in self.table.workers if not self._is_there(worker)]:
                left = self.table.leave(worker, lost=worker not in self._finals)
                if left:
                    self._move()
            if self.table.is_over or (self.plan.send_for is not None and self.elapsed >= self.plan.send_for):
                gevent.spawn(self._end)
                return

    def _is_there(self, worker: str) -> bool:
        if not isinstance(self._runner, MasterRunner):
            return True
        client = self._runner.clients.get(worker)
        return client is not None and client.state != STATE_MISSING

    def _end(self) -> None:
        """End the run as Locust does at its time limit."""
        options: Any = self._environment.parsed_options
        if options is None or options.headless:
            self._runner.quit()
        else:
            self._runner.stop()

    def finish(self) -> None:
        """Let all workers come to their end, and draw up the report."""
        if self._ended is not None:
            return
        self._ended = time.monotonic()
        self._watcher.kill(block=False)
        self._send("finish", {})
        deadline = time.monotonic() + _FINAL_S
        while time.monotonic() < deadline and any(self._is_there(worker) for worker in self.table.workers.keys() - self._finals):
            self._news.clear()
            self._news.wait(0.05)
        self.report = LoadReport(
            target=parse(self.plan.host).shown,
            scenario=self.plan.source.recording or self.plan.source.scenario,
            workers=len(self._took_part),
            shards=len(self.table.shards),
            is_open=self.plan.is_open,
            is_acknowledged=self.plan.is_acknowledged,
            seconds=self._seconds(),
            offered=self.offered,
            statistics=self.statistics,
            whole=self.table.is_over,
            takeovers=tuple(self.table.takeovers),
            ceiling_per_s=self._ceiling_per_s,
            troubles=tuple(self._troubles or self._reasons()),
            thresholds=self.plan.thresholds,
        )

    def _reasons(self) -> list[str]:
        """Why nothing was delivered, as Locust counted it; nothing to say when something was."""
        if self.statistics.whole.events:
            return []
        errors = sorted(self._runner.errors.values(), key=lambda error: -error.occurrences)
        return [f"{error.name}, {error.occurrences} time{'s' * (error.occurrences != 1)}: {_words(error.error)}" for error in errors[:_REASONS]]

    def _seconds(self) -> float:
        """To the last delivery; when time was up, at least until then."""
        if self.table.is_over:
            return max(self._last_delivery, 1e-6)
        return max(self._last_delivery, min(self.elapsed, self.plan.send_for or self.elapsed))

    def _send(self, kind: str, facts: dict[str, Any], worker: str | None = None) -> None:
        self._runner.send_message(f"dovestorm-{kind}", facts, worker)


def _words(error: Any) -> str:
    """What an exception says; a worker sends it as its ``repr``."""
    text = error if isinstance(error, str) else repr(error)
    found = re.fullmatch(r"""\w+\((['"])(.*)\1\)""", text, re.DOTALL)
    return found[2] if found else text


def of(environment: Environment) -> Run | None:
    """The run that is under way, or the last one; None before the first, and in a worker."""
    run: Run | None = getattr(environment, "dovestorm_run", None)
    return run


def is_alone(environment: Environment) -> bool:
    """Whether one process is both master and worker."""
    return isinstance(environment.runner, LocalRunner)


def hear(environment: Environment, msg: Message) -> None:
    """A message of a worker, given to the run that is under way."""
    run = of(environment)
    if run is not None:
        run.hear(str(msg.type).removeprefix("dovestorm-"), msg.node_id, msg.data)
