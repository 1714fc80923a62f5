"""Rules about mails that are handed over: what the counts and replies of an SMTP or LMTP transaction say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.names import wire_name

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.report import Ledger
    from dovestorm.validate.sequences.stream import Handler, Stream

__all__ = ["Transactions", "recipient_counts", "reply_and_error"]

_GOOD = (2, 3)
"""First digits of replies that refuse nothing."""

_TRANSACTION = "smtp_server_transaction"
_INSIDE = (f"{_TRANSACTION}_rcpt_finished", "mail_delivery_started", "mail_delivery_finished")
_LIMIT = 100_000
_OVER = -1

_PARTS = ("recipients", "recipients_aborted", "recipients_denied", "recipients_failed", "recipients_succeeded")


def recipient_counts(ledger: Ledger, edition: Edition, event: str) -> Handler:
    """Every recipient of a transaction was served, or failed (as those that were denied did), or was aborted.

    Source: recordings; the server counts denied recipients among the failed ones. After a reset nobody was served.
    """
    names = [wire_name(edition, event, part) for part in _PARTS]
    reset = wire_name(edition, event, "is_reset")

    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        counts = [count for name in names if isinstance(count := fields.get(name), int)]
        if len(counts) < len(names):
            return
        total, aborted, denied, failed, succeeded = counts
        if total != aborted + failed + succeeded:
            ledger.add("recipient-counts", names[0], f"{total} are not {aborted} aborted, {failed} failed and {succeeded} succeeded ones")
        elif denied > failed:
            ledger.add("recipient-counts", names[2], f"{denied} denied ones are more than the {failed} that failed")
        elif reset in fields and succeeded:
            ledger.add("recipient-counts", names[4], f"{succeeded} succeeded although the transaction was reset")

    return rule


def reply_and_error(ledger: Ledger, edition: Edition, event: str) -> Handler:
    """A reply says what went wrong exactly when its status is neither 2xx nor 3xx. Source: recordings."""
    status, error = wire_name(edition, event, "status_code"), wire_name(edition, event, "error")

    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        code = fields.get(status)
        if isinstance(code, int) and (code // 100 in _GOOD) == (error in fields):
            ledger.add("reply-error", error, f"{'stands beside' if error in fields else 'is missing with'} {status} {code}")

    return rule


class Transactions:
    """Recipients and deliveries belong inside their transaction, which ends after them."""

    __slots__ = ("_complete", "_id", "_ledger", "_recipients", "_seen")

    def __init__(self, stream: Stream, edition: Edition) -> None:
        events = (f"{_TRANSACTION}_started", f"{_TRANSACTION}_finished", *_INSIDE)
        self._ledger = stream.ledger
        self._complete = stream.complete
        self._id = {event: wire_name(edition, event, "transaction_id") for event in events}
        self._recipients = wire_name(edition, f"{_TRANSACTION}_finished", "recipients")
        self._seen: dict[str, int] = {}

    def handlers(self) -> dict[str, Handler]:
        """By canonical event."""
        ends: dict[str, Handler] = {f"{_TRANSACTION}_started": self._start, f"{_TRANSACTION}_finished": self._finish}
        return ends | {event: self._inside(event, counts=event == _INSIDE[0]) for event in _INSIDE}

    def _start(self, fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        if name := fields.get(self._id[f"{_TRANSACTION}_started"]):
            self._seen.pop(name, None)
            self._seen[name] = 0
            if len(self._seen) > _LIMIT:
                del self._seen[next(iter(self._seen))]

    def _inside(self, event: str, *, counts: bool) -> Handler:
        wire = self._id[event]

        def handler(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
            name = fields.get(wire)
            count = self._seen.get(name) if name else None
            if name is None or count is None:
                return
            if count == _OVER:
                self._ledger.add("transaction-parts", wire, "its transaction has finished already")
            elif counts:
                self._seen[name] = count + 1

        return handler

    def _finish(self, fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        """Source: recordings; sampled by session they lack some recipients, which are sessions of their own."""
        name = fields.get(self._id[f"{_TRANSACTION}_finished"])
        count = self._seen.get(name, _OVER) if name else _OVER
        if name is None or count == _OVER:
            return
        self._seen[name] = _OVER
        told = fields.get(self._recipients)
        if told is not None and (count > told or (self._complete and count < told)):
            self._ledger.add("transaction-parts", self._recipients, f"{told}, but {count} recipients finished before it")
