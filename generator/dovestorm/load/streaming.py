"""The user that sends batch after batch of a stream to any of our sinks, over a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import BoundedSemaphore
from locust import User, task
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING

from dovestorm import sinks
from dovestorm.errors import DeliveryError, DovestormError
from dovestorm.load import arguments, wiring  # noqa: F401 - importing them puts options and listeners in place
from dovestorm.load.worker import Outcome, Worker, worker_of

if TYPE_CHECKING:
    from dovestorm.load.lane import Batch
    from dovestorm.sinks.base import Sink, Tally

__all__ = ["Outlet", "StreamUser"]

_RETRY_S = 0.5
"""A user whose target cannot be reached tries again after so long; the schedule goes on meanwhile."""
_FILES = frozenset({"file", "-"})


class Outlet:
    """A user's connection, made anew when it fails.

    A file has one outlet for all users of a worker. ``{worker}`` in its name stands for the worker's number.

    Args:
        url: The sink's.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.scheme = sinks.parse(url).scheme
        self._blocks_the_hub = self.scheme in _FILES
        self._lock = BoundedSemaphore()  # type: ignore[no-untyped-call]
        self._sink: Sink | None = None
        self._users = 0

    def enter(self) -> None:
        """One more user."""
        self._users += 1

    def open(self) -> None:
        """Connect, unless connected; raises ``DeliveryError``."""
        with self._lock:
            if self._sink is None:
                sink = sinks.open_url(self._url)
                self._run(sink.open)
                self._sink = sink

    def send(self, batch: Batch, worker: Worker) -> Outcome:
        """Deliver a batch; when the user is killed meanwhile, what was not sent is given back, or counted as unsent at the run's end."""
        with self._lock:
            sink = self._sink
            assert sink is not None
            before = _facts(sink.tally)
            outcome = Outcome(begun=worker.now(), ended=0.0)
            try:
                self._run(sink.write, batch.block)
            except DeliveryError as error:
                outcome.error = error
                self._drop(sink)
            except gevent.GreenletExit:
                self._drop(sink)
                raise
            finally:
                outcome.ended = worker.now()
                outcome.events, outcome.size, outcome.undelivered, outcome.retries, outcome.reconnects = (
                    now - then for now, then in zip(_facts(sink.tally), before, strict=True)
                )
                self.last = outcome
            if outcome.error is None and outcome.undelivered:
                outcome.error = DeliveryError(sink.tally.fault or "part of the batch was given up")
            return outcome

    def close(self) -> None:
        """One user less; the last one ends the connection. Raises ``DeliveryError`` when the other side had not read all."""
        self._users -= 1
        sink, self._sink = (self._sink, None) if not self._users else (None, self._sink)
        if sink is not None:
            self._run(sink.close)

    def _drop(self, sink: Sink) -> None:
        self._sink = None
        sink.abort()

    def _run(self, call: Any, *given: Any) -> None:
        """Writing a file may take its time, and would stop every greenlet: that happens in a thread."""
        if self._blocks_the_hub:
            gevent.get_hub().threadpool.apply(call, given)  # type: ignore[no-untyped-call]
        else:
            call(*given)


def _facts(tally: Tally) -> tuple[int, int, int, int, int]:
    events = tally.written if tally.acknowledged is None else tally.acknowledged
    return events, tally.written_bytes, tally.undelivered, tally.retries, tally.reconnects


class StreamUser(User):
    """Takes batches of the worker's shards, and sends each at its due moment."""

    abstract = True
    _worker: Worker | None = None
    _outlet: Outlet

    def on_start(self) -> None:
        """Ask for a share of the stream; the connection is made with the first batch."""
        worker = worker_of(self.environment)
        if worker is None:
            raise StopUser
        self._worker = worker
        try:
            self._outlet = _outlet(self.environment, self.host or "")
        except DovestormError as error:
            worker.trouble(str(error))
            raise StopUser from None
        self._outlet.enter()
        worker.enter()
        open_workload = worker.plan.is_open
        end = "acknowledgement" if worker.plan.is_acknowledged else "end of write"
        self._name = f"due to {end}" if open_workload else f"begin to {end}"

    def on_stop(self) -> None:
        """Bring what was written to its end."""
        worker = self._worker
        if worker is None:
            return
        try:
            self._outlet.close()
        except DeliveryError as error:
            worker.trouble(str(error))
        finally:
            self._worker = None
            worker.leave()

    @task
    def replay(self) -> None:
        """Send one batch."""
        worker = self._worker
        assert worker is not None
        try:
            self._outlet.open()
        except DeliveryError as error:
            self._fire("connect", 0.0, 0, error)
            if self._is_stopping():
                raise StopUser from None
            gevent.sleep(_RETRY_S)
            return
        batch = worker.take(self._is_stopping)
        if batch is None:
            raise StopUser
        try:
            outcome = self._outlet.send(batch, worker)
        except gevent.GreenletExit:
            self._cut_short(batch, worker)
            raise
        worker.settle(batch)
        self._fire(self._name, worker.count(batch, outcome), outcome.size, outcome.error)

    def _cut_short(self, batch: Batch, worker: Worker) -> None:
        """Killed while sending: what went out counts, the rest is for another user."""
        outcome = self._outlet.last
        worker.count(batch, outcome)
        if outcome.events + outcome.undelivered < len(batch.block):
            batch.block = batch.block.part(outcome.events + outcome.undelivered, len(batch.block))
            worker.give_back(batch)
        else:
            worker.settle(batch)

    def _is_stopping(self) -> bool:
        return self._state == LOCUST_STATE_STOPPING

    def _fire(self, name: str, milliseconds: float, size: int, error: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type=self._outlet.scheme,
            name=name,
            response_time=milliseconds,
            response_length=size,
            exception=error,
            context={},
        )


def _outlet(environment: Any, url: str) -> Outlet:
    """A connection of one's own; users that write to the same file share it."""
    name = url.replace("{worker}", str(max(getattr(environment.runner, "worker_index", 0), 0) + 1))
    if sinks.parse(name).scheme not in _FILES:
        return Outlet(name)
    worker: Any = worker_of(environment)
    if not hasattr(worker, "shared_outlet"):
        worker.shared_outlet = Outlet(name)
    shared: Outlet = worker.shared_outlet
    return shared
