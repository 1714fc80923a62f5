"""The user that sends batch after batch of a stream to any of our sinks, over a connection of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent

from dovestorm.load.sending import SendingUser

if TYPE_CHECKING:
    from dovestorm.load.lane import Batch
    from dovestorm.load.worker import Worker

__all__ = ["StreamUser"]


class StreamUser(SendingUser):
    """Takes batches of the worker's shards, and sends each at its due moment."""

    abstract = True
    unit = "batch"

    def _send(self, batch: Batch, worker: Worker) -> None:
        """Send a batch at once."""
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
        settled = outcome.events + outcome.undelivered + outcome.unasked
        if settled < len(batch.block):
            batch.block = batch.block.part(settled, len(batch.block))
            worker.give_back(batch)
        else:
            worker.settle(batch)
