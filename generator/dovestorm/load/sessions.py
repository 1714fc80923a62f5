"""The user that lives mail sessions one after another, each event leaving at its own moment."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import gevent
from locust.exception import StopUser

from dovestorm.load.sending import SendingUser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.load.lane import Batch
    from dovestorm.load.worker import Worker

__all__ = ["SessionUser"]

_TICK_S = 0.2


class SessionUser(SendingUser):
    """Takes a whole session at a time and lives it: think times last as the scenario says, divided by ``--speed``.

    As many sessions are under way as there are users; a session begins when its user's last one is over.
    """

    abstract = True
    unit = "session"

    def _send(self, batch: Batch, worker: Worker) -> None:
        """Live one session."""
        done = 0
        try:
            for event in self._events(batch, worker):
                self._deliver(event, worker)
                done += 1
        finally:
            if done == len(batch.block):
                worker.settle(batch)
            else:
                batch.block = batch.block.part(done, len(batch.block))
                worker.give_back(batch)
        if worker.plan.connection == "session":
            self._outlet.leave(worker)

    def _events(self, session: Batch, worker: Worker) -> Iterator[Batch]:
        """Each event of a session, when it is due."""
        block, speed = session.block, worker.plan.speed or 1.0
        assert block.due is not None
        offsets = [max(offset, 0) / 1e6 / speed for offset in block.due.tolist()]
        begin = worker.now() - offsets[0]
        for index, offset in enumerate(offsets):
            due = begin + offset
            while (wait := due - worker.now()) > 0:
                if worker.is_finishing or self._is_stopping():
                    raise StopUser
                gevent.sleep(min(wait, _TICK_S))
            worker.statistics.offer(int(due), 1)
            yield replace(session, block=block.part(index, index + 1), due=due)

    def _deliver(self, event: Batch, worker: Worker) -> None:
        """Send one event; a connection that fails is made anew for the next."""
        while not self._connected():
            if worker.is_finishing:
                raise StopUser
        outcome = self._outlet.send(event, worker)
        self._fire(self._name, worker.count(event, outcome), outcome.size, outcome.error)
