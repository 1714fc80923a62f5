"""A user's connection to the target, and what became of each batch that went over it."""

from __future__ import annotations

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

    A file has one outlet for all users of a worker. ``{worker}`` in its name stands for the worker's number.

    Args:
        url: The sink's.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.scheme = parse(url).scheme
        self._blocks_the_hub = self.scheme in _FILES
        self._lock = BoundedSemaphore()
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

    def reset(self) -> None:
        """End the connection; the next batch gets a new one. Raises ``DeliveryError`` when the other side had not read all."""
        with self._lock:
            sink, self._sink = self._sink, None
            if sink is not None:
                self._run(sink.close)

    def _drop(self, sink: Sink) -> None:
        self._sink = None
        sink.abort()

    def _run(self, call: Any, *given: Any) -> None:
        """Writing a file may take its time, and would stop every greenlet: that happens in a thread."""
        if self._blocks_the_hub:
            gevent.get_hub().threadpool.apply(call, given)
        else:
            call(*given)


def _facts(tally: Tally) -> tuple[int, int, int, int, int]:
    events = tally.written if tally.acknowledged is None else tally.acknowledged
    return events, tally.written_bytes, tally.undelivered, tally.retries, tally.reconnects


def outlet_of(environment: Environment, url: str) -> Outlet:
    """A connection of one's own; users that write to the same file share it."""
    name = url.replace("{worker}", str(max(getattr(environment.runner, "worker_index", 0), 0) + 1))
    if parse(name).scheme not in _FILES:
        return Outlet(name)
    worker: Any = worker_of(environment)
    if not hasattr(worker, "shared_outlet"):
        worker.shared_outlet = Outlet(name)
    shared: Outlet = worker.shared_outlet
    return shared
