"""What all users have in common that send over our sinks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
from locust import User, task
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING

from dovestorm.errors import DeliveryError, DovestormError
from dovestorm.load import arguments, wiring  # noqa: F401 - importing them puts options and listeners in place
from dovestorm.load.outlet import Outlet, outlet_of
from dovestorm.load.worker import Worker, worker_of

if TYPE_CHECKING:
    from dovestorm.load.lane import Batch

__all__ = ["SendingUser"]

_RETRY_S = 0.5
"""A user whose target cannot be reached tries again after so long; the schedule goes on meanwhile."""

_STRETCH_S = 0.02
"""A user lets others have their turn after so long, even if its target never made it wait."""


class SendingUser(User):
    """Asks for a share of the stream, keeps a connection, takes batches, and tells Locust of each delivery. How it sends one, ``_send`` says."""

    abstract = True
    unit = "batch"
    _worker: Worker | None = None
    _outlet: Outlet

    def on_start(self) -> None:
        """Ask for a share of the stream; the connection is made with the first batch."""
        worker = worker_of(self.environment)
        if worker is None:
            return
        try:
            self._outlet = outlet_of(self.environment, self.host or "")
        except DovestormError as error:
            worker.trouble(str(error))
            return
        self._worker = worker
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
            self._outlet.leave(worker)
        finally:
            self._worker = None
            worker.leave()

    @task
    def replay(self) -> None:
        """Take batches, each once it is due, and send them: several, since Locust's own way from task to task takes time."""
        worker = self._worker
        if worker is None:
            raise StopUser
        until = worker.now() + _STRETCH_S
        while self._connected():
            batch = worker.take(self._is_stopping)
            if batch is None:
                raise StopUser
            self._send(batch, worker)
            if worker.now() >= until:
                return

    def _send(self, batch: Batch, worker: Worker) -> None:
        """Send a batch, and settle it or give it back."""
        raise NotImplementedError

    def _connected(self) -> bool:
        """Connect unless connected; when that fails, say so, and pass a moment."""
        try:
            self._outlet.open()
        except DeliveryError as error:
            self._fire("connect", 0.0, 0, error)
            if self._is_stopping() or self._worker is None or self._worker.is_finishing:
                raise StopUser from None
            gevent.sleep(_RETRY_S)
            return False
        return True

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
