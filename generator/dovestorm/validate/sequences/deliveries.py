"""Rules about mails that are handed over: what the counts and replies of an SMTP or LMTP transaction say together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.names import wire_name

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.report import Ledger
    from dovestorm.validate.sequences.stream import Handler

__all__ = ["recipient_counts", "reply_and_error"]

_GOOD = (2, 3)
"""First digits of replies that refuse nothing."""

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
