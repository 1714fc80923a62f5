"""The user that sends batch after batch of a stream to any of our sinks, over a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
from locust import task
from locust.exception import StopUser

from dovestorm.load.sending import SendingUser

if TYPE_CHECKING:
    from dovestorm.load.lane import Batch
    from dovestorm.load.worker import Worker

__all__ = ["StreamUser"]


class StreamUser(SendingUser):
    """Takes batches of the worker's shards, and sends each at its due moment."""

    abstract = True
    unit = "batch"

    @task
    def replay(self) -> None:
        """Send one batch."""
        worker = self._share()
        if not self._connected():
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
