"""What every sink promises."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dovestorm.block import Block
from dovestorm.errors import DeliveryError

__all__ = ["Block", "PipeClosed", "Sink", "Stopped", "Tally"]


class PipeClosed(DeliveryError):  # noqa: N818 - it ends a run, it is no error
    """The reader of a pipe has left (``| head``): the run ends quietly, it is nobody's fault."""


class Stopped(DeliveryError):  # noqa: N818 - it was asked for
    """``abort()`` ended a call that was under way."""


@dataclass(slots=True)
class Tally:
    """What a sink did so far, in events and bytes.

    ``written`` events were handed to the operating system whole; ``acknowledged`` were confirmed by the receiver (None where the
    protocol has no confirmation); ``undelivered`` were given up. ``retries`` counts events that were sent again after part of them (or an
    unanswered request with them) had gone out, so that the receiver may see them twice. ``unasked`` events were not sent because the receiver
    had said that it does not want them (a stats process's filter). ``held`` events (``held_bytes``) were taken, and wait in a compressor: they
    are to be written or undelivered after ``close``. ``fault`` tells the first loss that did not end
    the sink, such as a record too large for a datagram.
    """

    written: int = 0
    acknowledged: int | None = None
    undelivered: int = 0
    written_bytes: int = 0
    retries: int = 0
    reconnects: int = 0
    unasked: int = 0
    held: int = 0
    held_bytes: int = 0
    fault: str = ""


class Sink(Protocol):
    """A place that takes blocks. One thread uses it at a time; calls block until the target has taken the bytes."""

    url: str
    tally: Tally

    def open(self) -> None:
        """Connect or create; raises ``DeliveryError`` when the target cannot be reached within the retry limit."""

    def write(self, block: Block) -> None:
        """Deliver a block whole, with back-pressure, reconnecting as its options say; raises ``DeliveryError`` when it gives up.

        Whatever happens, ``tally`` says exactly what was delivered and what was not.
        """

    def close(self) -> None:
        """Flush and close; a file is complete after it. Raises ``DeliveryError`` when the flush fails."""

    def abort(self) -> None:
        """Close at once without waiting for the other side; what was not delivered is in ``tally``."""
