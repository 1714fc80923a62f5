"""``dovecot-stats:PATH``: events into a running Dovecot, over the ``stats-writer`` socket of its stats process.

There they are counted, shown on the OpenMetrics page, and exported, as events of its own processes are. The protocol has no confirmation: an
event is written once the kernel has all its bytes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.errors import DeliveryError, UsageError
from dovestorm.sinks.base import Tally
from dovestorm.sinks.connection import Connection
from dovestorm.sinks.dial import unix_dialler
from dovestorm.sinks.failure import failure
from dovestorm.sinks.stats_greeting import Listener, greet
from dovestorm.sinks.stats_telling import Telling, Told
from dovestorm.sinks.target import Options, Settings, Target, socket_path
from dovestorm.stats_protocol import CONTENT_TYPE, LONGEST_LINE

if TYPE_CHECKING:
    from dovestorm.block import Block
    from dovestorm.sinks.base import Sink
    from dovestorm.sinks.dial import Dial

__all__ = ["StatsSink", "make"]

_PIECE = 1024
"""Records that are put into words at a time: about what a socket holds, so that the server reads while we write the next."""


def make(target: Target, *, options: Options) -> Sink:
    """A sink for ``dovecot-stats:PATH[?retries=N&timeout=S]``."""
    path, query = socket_path(target)
    settings = Settings(target, query)
    own = settings.options(options)
    settings.finish()
    return StatsSink(target.shown, unix_dialler(path, own.timeout_s), options=own)


class StatsSink:
    """A client of a stats process. After a loss it introduces itself anew, and goes on with the first event that was not taken whole."""

    def __init__(self, url: str, dial: Dial, *, options: Options) -> None:
        self.url = url
        self.tally = Tally()
        self._options = options
        self._connection = Connection(url, dial, self.tally, options=options)
        self._meeting: tuple[Listener, Told] | None = None

    def open(self) -> None:
        """Connect and exchange versions; raises ``DeliveryError`` when the retries are used up, or another version answers."""
        with self._connection.at_work():
            self._meet()

    def write(self, block: Block) -> None:
        """Send what the server asks for of a block; raises ``DeliveryError`` when it gives up.

        Raises:
            UsageError: The block is of another format.
        """
        if block.content_type != CONTENT_TYPE:
            raise UsageError(f"{self.url}: events come as {block.content_type}, but a stats process takes the format 'dovecot-stats' only")
        self._connection.carry(len(block), partial(self._send_from, block))

    def close(self) -> None:
        """End the parents that are left and the connection; waits up to two seconds until the server has closed."""
        with self._connection.at_work():
            if self._meeting is not None:
                rest = memoryview(self._meeting[1].farewell())
                self._meeting = None
                try:
                    while rest:
                        rest = rest[self._connection.send(rest) :]
                except OSError as error:
                    raise failure(self.url, "closed before all was read, the last events may be lost", error) from error
            self._connection.finish()

    def abort(self) -> None:
        """End at once, from any thread."""
        self._connection.abort()

    def _meet(self) -> tuple[Listener, Told]:
        """Connect unless connected, and begin the conversation anew on a new connection."""
        while True:
            if not self._connection.ensure() and self._meeting is not None:
                return self._meeting
            try:
                listener = greet(self._connection, self.url, clock=self._options.clock, timeout_s=self._options.timeout_s)
            except OSError as error:
                self._meeting = None
                self._connection.lost(error, "no greeting")
                continue
            except DeliveryError:
                self._connection.drop()
                raise
            assert listener.filter is not None
            self._meeting = listener, Told(listener.filter)
            return self._meeting

    def _send_from(self, block: Block, first: int) -> tuple[int, OSError | DeliveryError | None]:
        """Send the records from ``first`` on over one connection; give the first that it did not take, and what stopped it."""
        listener, told = self._meet()
        while first < len(block):
            last = min(first + _PIECE, len(block))
            begin = int(block.ends[first - 1]) if first else 0
            bounds = [0, *(block.ends[first:last] - begin).tolist()]
            data = bytes(block.data[begin : begin + bounds[-1]])
            taken = 0
            telling = Telling(b"", np.zeros(0, np.int64), np.zeros(0, np.uint8))
            problem: OSError | DeliveryError | None = None
            try:
                if listener.hear(self._connection.arrived()) and listener.filter is not None:
                    told.ask(listener.filter)
                telling = told.say(data, bounds)
                view = memoryview(telling.data)
                while taken < len(view):
                    taken += self._connection.send(view[taken:])
            except (OSError, DeliveryError) as error:
                problem = error
                if isinstance(error, OSError):
                    self._meeting = None
            first += self._account(telling, taken)
            if problem is not None:
                return first, problem
        return first, None

    def _account(self, telling: Telling, taken: int) -> int:
        """Count what became of the records whose bytes were all taken; gives their number."""
        whole = int(np.searchsorted(telling.ends, taken, side="right"))
        boundary = int(telling.ends[whole - 1]) if whole else 0
        sent, unasked, too_long = np.bincount(telling.fates[:whole], minlength=3).tolist()
        self.tally.written += sent
        self.tally.written_bytes += boundary
        self.tally.unasked += unasked
        self.tally.retries += taken > boundary
        if too_long:
            self.tally.undelivered += too_long
            self.tally.fault = (
                self.tally.fault or f"{self.url}: an event of more than {LONGEST_LINE:,} bytes, which a stats process does not read; shorten it"
            )
        return whole
