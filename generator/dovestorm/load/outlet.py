"""A user's connection to the target, and what became of each batch that went over it."""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import BoundedSemaphore

from dovestorm import sinks
from dovestorm.errors import DeliveryError
from dovestorm.load.worker import Outcome, worker_of
from dovestorm.sinks.target import parse

if TYPE_CHECKING:
    from locust.env import Environment

    from dovestorm.load.lane import Batch
    from dovestorm.load.worker import Worker
    from dovestorm.sinks.base import Sink, Tally

__all__ = ["Outlet", "outlet_of"]

_FILES = frozenset({"file", "-"})


class Outlet:
    """A user's connection, made anew when it fails.

    A file has one outlet for all users of a worker. It stays open until the run's end, whatever happens: to open it anew would empty it.
    ``{worker}`` in its name stands for the worker's number.

    Args:
        url: The sink's.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.scheme = parse(url).scheme
        self._is_file = self.scheme in _FILES
        self._lock = BoundedSemaphore()
        self._sink: Sink | None = None

    def open(self) -> None:
        """Connect, unless connected; raises ``DeliveryError``."""
        if self._sink is not None:
            return
        with self._lock:
            if self._sink is None:
                sink = sinks.open_url(self._url)
                self._run(sink, sink.open)
                self._sink = sink

    def send(self, batch: Batch, worker: Worker) -> Outcome:
        """Deliver a batch; when the user is killed meanwhile, what was not sent is given back, or counted as unsent at the run's end."""
        with self._lock:
            sink = self._sink
            assert sink is not None
            outcome = self.last = Outcome(begun=worker.now(), ended=0.0)
            before = _facts(sink.tally)
            try:
                self._run(sink, sink.write, batch.block)
            except DeliveryError as error:
                outcome.error = error
                self._drop(sink)
            except gevent.GreenletExit:
                self._drop(sink)
                raise
            finally:
                _tell(outcome, before, sink.tally, worker)
            if outcome.error is None and outcome.undelivered:
                outcome.error = DeliveryError(sink.tally.fault or "part of the batch was given up")
            return outcome

    def leave(self, worker: Worker) -> None:
        """A user, or a session, is done with it: its connection ends, and the next batch would get a new one. A file is not theirs alone."""
        if not self._is_file:
            self.close(worker)

    def close(self, worker: Worker) -> None:
        """End the connection or the file; the worker is told when the other side had not read all, or the rest could not be written."""
        sink, self._sink = self._sink, None
        if sink is None:
            return
        outcome = Outcome(begun=worker.now(), ended=0.0)
        before = _facts(sink.tally)
        try:
            self._run(sink, sink.close)
        except DeliveryError as error:
            outcome.error = error
        finally:
            _tell(outcome, before, sink.tally, worker)
        worker.correct(outcome)

    def _drop(self, sink: Sink) -> None:
        if not self._is_file:
            self._sink = None
            sink.abort()

    def _run(self, sink: Sink, call: Any, *given: Any) -> None:
        """Writing a file may take its time, and would stop every greenlet: that happens in a thread."""
        if not self._is_file:
            call(*given)
            return
        work = gevent.get_hub().threadpool.spawn(_attempt, call, *given)
        try:
            problem = work.get()
        except gevent.GreenletExit:
            # The thread would write on while its user is gone.
            sink.abort()
            work.wait()
            raise
        if problem is not None:
            raise problem


def _attempt(call: Any, *given: Any) -> DeliveryError | None:
    """Give a failure back: one that is raised in a thread of gevent's pool is printed with its traceback as well."""
    try:
        call(*given)
    except DeliveryError as error:
        return error
    return None


def _tell(outcome: Outcome, before: tuple[int, ...], tally: Tally, worker: Worker) -> None:
    """Write into ``outcome`` what the tally has counted since ``before``."""
    outcome.ended = worker.now()
    outcome.events, outcome.size, outcome.undelivered, outcome.unasked, outcome.retries, outcome.reconnects = map(sub, _facts(tally), before)


def _facts(tally: Tally) -> tuple[int, ...]:
    events = tally.written + tally.held if tally.acknowledged is None else tally.acknowledged
    return events, tally.written_bytes + tally.held_bytes, tally.undelivered, tally.unasked, tally.retries, tally.reconnects


def outlet_of(environment: Environment, url: str) -> Outlet:
    """A connection of one's own; users that write to the same file share it."""
    name = url.replace("{worker}", str(max(getattr(environment.runner, "worker_index", 0), 0) + 1))
    if parse(name).scheme not in _FILES:
        return Outlet(name)
    worker = worker_of(environment)
    assert worker is not None
    worker.file = worker.file or Outlet(name)
    return worker.file
