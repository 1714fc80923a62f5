"""The user that posts one event at a time, as Dovecot's http-post exporter does, with Locust's own HTTP client and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from locust import FastHttpUser, task
from locust.exception import StopUser
from locust.user.task import LOCUST_STATE_STOPPING

from dovestorm.errors import DeliveryError, DovestormError
from dovestorm.load import arguments, wiring  # noqa: F401 - importing them puts options and listeners in place
from dovestorm.load.address import Address, read_address
from dovestorm.load.worker import Outcome, Worker, worker_of

if TYPE_CHECKING:
    from locust.env import Environment

    from dovestorm.load.lane import Batch

__all__ = ["PostUser"]


class PostUser(FastHttpUser):
    """Posts each event at its due moment to the address that ``--host`` names; any 2xx answer acknowledges it, and nothing is sent twice.

    A user whose answer came late goes on at once with what is due: the schedule waits for nobody. The time in Locust's statistics is that of
    the request, as in every Locust test; lateness from the due moment is in the delivery report.

    Args:
        environment: Locust's.
    """

    abstract = True
    unit = "event"
    _worker: Worker | None = None
    _address: Address

    def __init__(self, environment: Environment) -> None:
        self._fault = ""
        try:
            self._address = address = read_address(self.host or environment.host or "")
        except DovestormError as error:
            self._fault = str(error)
        else:
            self.network_timeout = address.timeout_s or self.network_timeout
            self.connection_timeout = address.timeout_s or self.connection_timeout
            if address.context is not None and self.ssl_context_factory is None:
                self.insecure = not address.context.check_hostname
                self.ssl_context_factory = lambda **_given: address.context
        super().__init__(environment)

    def on_start(self) -> None:
        """Ask for a share of the stream."""
        worker = worker_of(self.environment)
        if worker is None:
            return
        if self._fault:
            worker.trouble(self._fault)
            return
        self._worker = worker
        worker.enter()

    def on_stop(self) -> None:
        """Nothing is under way: every answer was awaited."""
        if self._worker is not None:
            self._worker.leave()
            self._worker = None

    @task
    def post(self) -> None:
        """Post one event."""
        worker = self._worker
        if worker is None:
            raise StopUser
        batch = worker.take(self._is_stopping, most=1)
        if batch is None:
            raise StopUser
        is_answered = False
        try:
            outcome = self._posted(batch, worker)
            is_answered = True
        finally:
            if not is_answered:
                worker.give_back(batch)
        worker.count(batch, outcome)
        worker.settle(batch)

    def _posted(self, batch: Batch, worker: Worker) -> Outcome:
        block = batch.block
        body = bytes(block.data[: int(block.ends[0]) - block.terminator])
        outcome = Outcome(begun=worker.now(), ended=0.0)
        headers = {"Content-Type": block.content_type, **self._address.headers}
        client: Any = self.client
        # A redirected POST would become a GET, and its 200 no acknowledgement.
        with client.post(self._address.url, data=body, headers=headers, name="event", catch_response=True, allow_redirects=False) as answer:
            status = answer.status_code
            if not 200 <= status < 300:
                outcome.error = DeliveryError(f"answered {status}" if status else f"no answer: {answer.error}")
                answer.failure(outcome.error)
        outcome.ended = worker.now()
        if outcome.error is None:
            outcome.events, outcome.size = 1, len(body)
        else:
            outcome.undelivered = 1
        return outcome

    def _is_stopping(self) -> bool:
        return self._state == LOCUST_STATE_STOPPING
