"""What the fields of an event hold, without a word of the recording's users, addresses and texts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from dovestorm.compare.vocabulary import WORDS
from dovestorm.learn.commands import UNKNOWN
from dovestorm.learn.visits import OF_A_SESSION, USERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.catalog.model import Event
    from dovestorm.learn.visits import Step

__all__ = ["BOX", "STAND_INS", "Drawing", "contents", "is_harmless"]

STAND_INS = {
    **dict.fromkeys(USERS, "$user"),
    "username": "$username",
    "domain": "$domain",
    **dict.fromkeys(("session", "connection_id", "transaction_id"), "$session"),
    **dict.fromkeys(("remote_ip", "real_remote_ip", "client_ip"), "$client_ip"),
    **dict.fromkeys(("local_ip", "real_local_ip", "source_ip"), "$server_ip"),
    **dict.fromkeys(("remote_port", "real_remote_port", "client_port"), "$client_port"),
    **dict.fromkeys(("local_port", "real_local_port"), "$server_port"),
    "dest_ip": "192.0.2.60",
    "dest_host": "backend.example.com",
    "host": "backend.example.com",
    "mailbox": "$box",
    "hostname": "mail01",
}
"""Fields that say who and where: the scenario has users, addresses and names of its own."""

_SENDERS = frozenset({"mail_from", "mail_from_raw", "message_from"})
_PROTOCOL = frozenset({"tls_cipher", "tls_protocol", "tls_pfs", "driver", "passdb_id", "userdb_id", "disconnect_side", "field", "action_name"})
"""Fields of which Dovecot or a protocol's registry chose the values."""

_FREE = frozenset({"reason"})
"""Texts that may hold what a client said; they stay where several sessions had the very same."""

_SEVERAL = 3
_HARMLESS = re.compile(r"[A-Za-z][A-Za-z0-9 _.:()=-]{0,79}|[0-9]{1,6}", re.ASCII)
_ADDRESS = re.compile(r"\d+\.\d+\.\d+|@|/")
BOX = re.compile(r"SELECT|EXAMINE|STATUS|CREATE|DELETE|RENAME|APPEND|SUBSCRIBE|UNSUBSCRIBE|COPY|MOVE")
"""Commands that name a mailbox anew."""


class Drawing(Protocol):
    """How a value that differs from event to event is told."""

    def amount(self, column: str, amounts: Sequence[int]) -> Any:
        """A number: microseconds, bytes or pieces."""

    def one(self, column: str, values: Sequence[Any]) -> Any:
        """One of the values."""

    def numbered(self, column: str, shape: str, values: Sequence[Any]) -> Any:
        """A text of the shape, its hole ``${n}`` a number that stands for the value."""

    def word(self, column: str, values: Sequence[str]) -> Any:
        """A word that a session has throughout."""


def contents(event: Event, steps: Sequence[Step], drawing: Drawing, *, keep: frozenset[str]) -> dict[str, Any]:
    """Canonical field name to value, for the fields that all of these steps have.

    Args:
        event: What the edition says of the event.
        steps: All of one kind.
        drawing: How values that differ are told.
        keep: Fields whose recorded values are kept.
    """
    found: dict[str, Any] = {}
    for name in steps[0].kind.fields:
        if name == "duration" or name not in event.fields:
            continue
        recorded = [step.values[name] for step in steps]
        field = event.fields[name]
        if name in keep or field.values is not None:
            found[name] = _kept(name, [value if field.values is None or value in field.values else None for value in recorded], drawing)
        else:
            found[name] = _value(name, field.type, recorded, steps[0], drawing)
    return {name: value for name, value in found.items() if value is not None}


def _value(name: str, kind: str, recorded: list[Any], step: Step, drawing: Drawing) -> Any:
    if kind == "timestamp":
        return "$start"
    if name in OF_A_SESSION and all(isinstance(value, str) for value in recorded):
        return drawing.word(name, [value if is_harmless(value) else UNKNOWN for value in recorded])
    if (other := dict(step.kind.words).get(f"other {name}")) is not None:
        return f"other{other}@example.com"
    if name in STAND_INS:
        return STAND_INS[name]
    if name == "cmd_input_name" and "cmd_name" in step.values:
        return step.values["cmd_name"]
    if all(type(value) is int for value in recorded):
        return recorded[0] if name in WORDS else drawing.amount(name, recorded)
    if name in WORDS and is_harmless(recorded[0]) and (name not in _FREE or len(recorded) >= _SEVERAL):
        return recorded[0]
    if name in _PROTOCOL and all(map(is_harmless, recorded)):
        return drawing.one(name, recorded)
    return _stand_in(name, step, recorded, drawing)


def _kept(name: str, recorded: list[Any], drawing: Drawing) -> Any:
    if all(value is None for value in recorded):
        return None
    return drawing.amount(name, recorded) if all(type(value) is int for value in recorded) else drawing.one(name, recorded)


def is_harmless(value: Any) -> bool:
    """Whether a text is so plain that it can stand in a scenario: words, neither an address nor a path nor anything that the language reads."""
    if isinstance(value, list):
        return all(map(is_harmless, value))
    return isinstance(value, str) and _HARMLESS.fullmatch(value) is not None and not _ADDRESS.search(value)


def _stand_in(name: str, step: Step, recorded: Sequence[Any], drawing: Drawing) -> Any:
    """A text of our own, of about as many as there were."""
    if name == "tagged_reply":
        return f"{step.values.get('tagged_reply_state', 'OK')} Done."
    if name == "message_id":
        return drawing.numbered(name, "<${session_number}.${n}@example.com>", recorded)
    return drawing.numbered(name, "sender${n}@example.com" if name in _SENDERS else f"{name.replace('_', '-')}-${{n}}", recorded)
