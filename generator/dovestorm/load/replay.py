"""High-volume replay of a scenario to the sink that ``--host`` names.

One request of Locust's statistics is one block of events; its time is that of the write. Each worker takes its own shard of the stream, so that
together they send exactly what one would. The engine runs in gevent's thread pool, beside the greenlets, never inside one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import gevent
from gevent.lock import BoundedSemaphore
from locust import User, events, task
from locust.exception import StopUser

from dovestorm import registry, sinks
from dovestorm.errors import DeliveryError
from dovestorm.stream import Limits, open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from locust.argument_parser import LocustArgumentParser
    from locust.env import Environment

    from dovestorm.block import Block

__all__ = ["ReplayUser"]

_USERS_MOST = 256
"""A block must stay good until every user that may hold one has sent it."""


@events.init_command_line_parser.add_listener  # type: ignore[untyped-decorator]
def _arguments(parser: LocustArgumentParser) -> None:
    """Options of ours; they stand in the web page's form too."""
    group = parser.add_argument_group("dovestorm")
    group.add_argument("--scenario", default="working-day", help="scenario to replay: a shipped one's name, or a file")
    group.add_argument("--dovecot", default="", help="edition to emit, instead of the scenario's own")
    group.add_argument("--seed", type=int, default=0, help="same scenario, edition and seed: same bytes")
    group.add_argument("--event-format", default="json", choices=list(registry.FORMATS), help="how events look")
    group.add_argument("--events", type=int, default=0, help="stop after so many events in each worker; 0 for all")


class _Source:
    """One process's share of the stream, taken block by block by all of its users."""

    def __init__(self, environment: Environment) -> None:
        options: Any = environment.parsed_options
        index, workers = _share(environment)
        stream = open_stream(
            options.scenario,
            dovecot=options.dovecot or None,
            seed=options.seed,
            shard=(index + 1, workers),
            limits=Limits(events=options.events or None),
        )
        self._blocks: Iterator[Block] = stream.blocks(options.event_format, keep=_USERS_MOST)
        self._lock = BoundedSemaphore()  # type: ignore[no-untyped-call]

    def take(self) -> Block | None:
        """The next block, or None at the end."""
        with self._lock:
            block: Block | None = gevent.get_hub().threadpool.apply(next, (self._blocks, None))  # type: ignore[no-untyped-call]
            return block


def _share(environment: Environment) -> tuple[int, int]:
    """This process's number and how many there are; alone it is the first of one."""
    runner: Any = environment.runner
    index = getattr(runner, "worker_index", -1)
    options: Any = environment.parsed_options
    count = getattr(options, "expect_workers", 1) if index >= 0 else 1
    processes = getattr(options, "processes", None) or 1
    return max(index, 0), max(count, processes, index + 1, 1)


class ReplayUser(User):
    """Sends block after block, as fast as the target takes them; ends the run when the stream ends."""

    abstract = True

    def on_start(self) -> None:
        """Connect; all users of a process share one stream."""
        self._sink = sinks.open_url(self.host or "")
        self._sink.open()
        environment: Any = self.environment
        if not hasattr(environment, "dovestorm_source"):
            environment.dovestorm_source = _Source(self.environment)
        self._source: _Source = environment.dovestorm_source

    def on_stop(self) -> None:
        """Bring what was written to its end."""
        try:
            self._sink.close()
        except DeliveryError as error:
            self._fire(0.0, 0, error)

    @task
    def replay(self) -> None:
        """Send one block."""
        block = self._source.take()
        if block is None:
            self.environment.runner.quit()
            raise StopUser
        begin = time.perf_counter()
        try:
            self._sink.write(block)
        except DeliveryError as error:
            self._fire((time.perf_counter() - begin) * 1000, 0, error)
            raise StopUser from None
        self._fire((time.perf_counter() - begin) * 1000, len(block.data), None)

    def _fire(self, milliseconds: float, size: int, error: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type="batch",
            name="write",
            response_time=milliseconds,
            response_length=size,
            exception=error,
            context={},
        )
