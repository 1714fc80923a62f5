"""What of an event's fields may tell streams apart, and what is only somebody's name.

Two streams of the same behaviour have other users, addresses, ids and times. A comparison that looked at these would tell any two streams apart
and say nothing, so they are left out, by name, wherever the behaviour of sessions is judged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovestorm.compare.records import Record

__all__ = ["IDENTITIES", "WORDS", "label", "number", "word"]

WORDS = frozenset({
    "cache",
    "cached",
    "cmd_name",
    "command",
    "credentials_scheme",
    "error_code",
    "mechanism",
    "method",
    "mode",
    "new_decision",
    "old_decision",
    "passdb",
    "policy_response",
    "policy_result",
    "protocol",
    "query_first_word",
    "reason",
    "reason_code",
    "result",
    "secured",
    "service",
    "slow_query",
    "status_code",
    "success",
    "successful",
    "tagged_reply_state",
    "transport",
    "userdb",
})  # fmt: skip
"""Fields whose value is one of a few words (or codes) that Dovecot chose, not a client."""

IDENTITIES = frozenset({"user", "remote_ip", "mailbox", "rcpt_to"})
"""Fields of which only the number of different values in a session counts."""

_COMMANDS = {
    "imap_command_finished": ("cmd_name", "name"),
    "smtp_server_command_started": ("cmd_name",),
    "smtp_server_command_finished": ("cmd_name",),
}
_NO_AMOUNT = re.compile(
    r"(?:^|_)(?:id|pid|uid|gid|port|txid|seq|modseq|uidvalidity|uidnext|fd|used|time|created|timestamp|version|marker|code|response|name|user|address|ip)$"
)
_DIGITS = re.compile(r"\d+", re.ASCII)
_WORD_LIMIT = 40


def label(record: Record) -> str:
    """The event's name, and the command that it reports if it is one that reports commands: ``imap_command_finished SELECT``."""
    for name in _COMMANDS.get(record.event, ()):
        command = record.fields.get(name)
        if isinstance(command, str):
            return f"{record.event} {command[:_WORD_LIMIT].upper()}"
    return record.event


def number(name: str, value: Any) -> float | None:
    """The amount that a field holds (a size, a duration, a count), or None for all else, such as ports and ids."""
    kind = type(value)
    if kind is not int and kind is not float:
        return None
    if _NO_AMOUNT.search(name) is not None:
        return None
    if kind is int and not -(1 << 63) <= value < 1 << 64:
        return None
    amount = float(value)
    return amount if abs(amount) < float("inf") else None


def word(name: str, value: Any) -> str | None:
    """The value of one of the ``WORDS``, at most 40 characters, with digits of longer texts made equal; None for other fields and values."""
    if name not in WORDS:
        return None
    if isinstance(value, list):
        return " ".join(str(item)[:_WORD_LIMIT] for item in value[:4])
    if isinstance(value, bool) or not isinstance(value, (str, int)) or (isinstance(value, int) and value.bit_length() > 64):
        return None
    text = str(value)
    return text if len(text) <= 4 else _DIGITS.sub("0", text[:_WORD_LIMIT])
