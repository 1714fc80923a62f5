"""A byte stream over a connection: records follow each other, a lost connection is made anew."""

from __future__ import annotations

from functools import partial
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
        self._connection.carry(len(block), partial(self._send_from, block))

    def close(self) -> None:
        """End the stream, and wait up to two seconds until the receiver has closed."""
        with self._connection.at_work():
            self._connection.finish()

    def abort(self) -> None:
        """End at once, from any thread."""
        self._connection.abort()

    def _send_from(self, block: Block, first: int) -> tuple[int, OSError | DeliveryError | None]:
        """Send the records from ``first`` on over one connection; give the first that it did not take whole, and what stopped it."""
        self._connection.ensure()
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
        return first + whole, problem
