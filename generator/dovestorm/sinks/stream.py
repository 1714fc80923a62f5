"""A byte stream over a connection: records follow each other, a lost connection is made anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dovestorm.errors import DeliveryError
from dovestorm.sinks.base import Tally
from dovestorm.sinks.connection import Connection

if TYPE_CHECKING:
    from dovestorm.block import Block
    from dovestorm.sinks.dial import Dial
    from dovestorm.sinks.target import Options

__all__ = ["StreamSink"]


class StreamSink:
    """Sends blocks as they are. There is no confirmation: an event is written once the kernel has all its bytes.

    After a loss it goes on with the first record that the old connection did not take whole; what that connection still had on the way
    may be lost, which ``tally.reconnects`` hints at.
    """

    def __init__(self, url: str, dial: Dial, *, options: Options) -> None:
        self.url = url
        self.tally = Tally()
        self._connection = Connection(url, dial, self.tally, options=options)

    def open(self) -> None:
        """Connect; raises ``DeliveryError`` when the retries are used up."""
        with self._connection.at_work():
            self._connection.ensure()

    def write(self, block: Block) -> None:
        """Send a block whole; raises ``DeliveryError`` when it gives up."""
        first = 0
        try:
            with self._connection.at_work():
                while first < len(block):
                    self._connection.ensure()
                    whole, problem = self._send_from(block, first)
                    first += whole
                    if isinstance(problem, OSError):
                        if self._connection.is_steady():
                            self._connection.succeeded()
                        self._connection.lost(problem)
                    elif problem is not None:
                        raise problem
        except DeliveryError:
            self.tally.undelivered += len(block) - first
            raise

    def close(self) -> None:
        """End the stream, and wait up to two seconds until the receiver has closed."""
        with self._connection.at_work():
            self._connection.finish()

    def abort(self) -> None:
        """End at once, from any thread."""
        self._connection.abort()

    def _send_from(self, block: Block, first: int) -> tuple[int, OSError | DeliveryError | None]:
        """Send the records from ``first`` on over one connection; give how many it took whole, and what stopped it."""
        begin = int(block.ends[first - 1]) if first else 0
        view = block.data[begin : int(block.ends[-1])]
        taken = 0
        problem: OSError | DeliveryError | None = None
        try:
            self._connection.check_peer()
            while taken < len(view):
                taken += self._connection.send(view[taken:])
        except (OSError, DeliveryError) as error:
            problem = error
        finally:
            # Even if someone kills the greenlet that we are in: the tally says what went out.
            whole = len(block) - first if taken == len(view) else int(np.searchsorted(block.ends, begin + taken, side="right")) - first
            boundary = int(block.ends[first + whole - 1]) if first + whole else 0
            self.tally.written += whole
            self.tally.written_bytes += boundary - begin
            self.tally.retries += taken > boundary - begin
        return whole, problem
