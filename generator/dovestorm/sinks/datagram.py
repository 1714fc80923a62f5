"""One record per datagram, without its terminator; a record that does not fit is counted and told, never cut."""

from __future__ import annotations

import errno
from itertools import pairwise
from typing import TYPE_CHECKING

from dovestorm.errors import DeliveryError
from dovestorm.sinks.base import Tally
from dovestorm.sinks.connection import Connection

if TYPE_CHECKING:
    from dovestorm.block import Block
    from dovestorm.sinks.dial import Dial
    from dovestorm.sinks.target import Options

__all__ = ["DatagramSink"]


class DatagramSink:
    """Sends each record as one datagram over a connected socket.

    ``written`` are datagrams that the kernel took; it may still drop one on the way to a slow receiver, which nobody tells a sender.

    Args:
        url: For messages.
        dial: Makes the socket.
        options: Retries, clock.
        limit: The largest datagram in bytes.
        refused_late: A refusal speaks of the datagram before (UDP learns it from the answer of the network), not of the one being sent.
    """

    def __init__(self, url: str, dial: Dial, *, options: Options, limit: int, refused_late: bool) -> None:
        self.url = url
        self.tally = Tally()
        self._connection = Connection(url, dial, self.tally, options=options)
        self._limit = limit
        self._refused_late = refused_late

    def open(self) -> None:
        """Make the socket; raises ``DeliveryError`` when the address cannot be used."""
        with self._connection.at_work():
            self._connection.ensure()

    def write(self, block: Block) -> None:
        """Send every record; raises ``DeliveryError`` when it gives up."""
        pieces = self._fitting(block)
        at, trouble_at = 0, -1
        try:
            with self._connection.at_work():
                while at < len(pieces):
                    self._connection.ensure()
                    at, problem = self._send_from(pieces, at)
                    if isinstance(problem, OSError):
                        if at > trouble_at:
                            self._connection.succeeded()
                        trouble_at = at
                        if problem.errno == errno.EMSGSIZE and at < len(pieces):
                            self._too_large(1, len(pieces.pop(at)))
                            continue
                        at = self._refused_at(problem, at)
                        self._connection.lost(problem, "cannot send")
                    elif problem is not None:
                        raise problem
        except DeliveryError:
            self.tally.undelivered += len(pieces) - at
            raise
        finally:
            self.tally.written += at
            self.tally.written_bytes += sum(map(len, pieces[:at]))

    def close(self) -> None:
        """Close the socket; datagrams are on their way already."""
        self._connection.drop()

    def abort(self) -> None:
        """End at once, from any thread."""
        self._connection.abort()

    def _fitting(self, block: Block) -> list[memoryview]:
        bounds = [0, *block.ends.tolist()]
        pieces = [block.data[begin : end - block.terminator] for begin, end in pairwise(bounds)]
        fitting = [piece for piece in pieces if 0 < len(piece) <= self._limit]
        if len(fitting) < len(pieces):
            self._too_large(len(pieces) - len(fitting), max(map(len, pieces)))
        return fitting

    def _send_from(self, pieces: list[memoryview], at: int) -> tuple[int, OSError | DeliveryError | None]:
        """Send from piece ``at`` on; give the number of the first that the kernel did not take, and what stopped it."""
        send = self._connection.send
        try:
            while at < len(pieces):
                if send(pieces[at]):
                    at += 1
            self._connection.check_error()
        except (OSError, DeliveryError) as error:
            return at, error
        return at, None

    def _refused_at(self, problem: OSError, at: int) -> int:
        """Which piece an error at piece ``at`` speaks of."""
        if not self._refused_late or problem.errno != errno.ECONNREFUSED:
            return at
        if at:
            self.tally.retries += 1
            return at - 1
        if self.tally.written:
            self.tally.written -= 1
            self.tally.undelivered += 1
            self._note("a datagram was refused after it was sent")
        return at

    def _too_large(self, count: int, largest: int) -> None:
        self.tally.undelivered += count
        self._note(f"an event of {largest:,} bytes does not fit into one datagram; shorten it, or raise ?max=N where the network allows it")

    def _note(self, text: str) -> None:
        self.tally.fault = self.tally.fault or f"{self.url}: {text}"
