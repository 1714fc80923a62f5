"""Which rules look at which event of an edition."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dovestorm.validate.sequences.activity import Activity
from dovestorm.validate.sequences.authentication import ClientRequests, Lookups, Verdicts
from dovestorm.validate.sequences.connections import Connections
from dovestorm.validate.sequences.deliveries import Transactions
from dovestorm.validate.sequences.http import Requests
from dovestorm.validate.sequences.mailbox import Commands
from dovestorm.validate.sequences.names import ABSENT, wire_name
from dovestorm.validate.sequences.pairs import Pairs
from dovestorm.validate.sequences.sessions import ADDRESSES, Sessions
from dovestorm.validate.sequences.single import single_record_rules
from dovestorm.validate.sequences.successes import Successes

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.stream import Handler, Stream
    from dovestorm.validate.times import TimeReader

__all__ = ["Rulebook", "assemble"]

_STORAGE = (
    "obox_index_merge",
    "obox_mailbox_rescan",
    "obox_mailbox_rebuild",
    "metacache_user_refresh",
    "metacache_mailbox_refresh",
    "metacache_user_bundle_download",
    "metacache_mailbox_bundle_download",
    "metacache_upload",
    "metacache_user_bundle_upload",
    "metacache_mailbox_bundle_upload",
    "metacache_user_clean",
)
_OPERATIONS = {
    "mail_cache_purge": ("session", "mailbox"),
    "sieve_runtime_script": ("rcpt_to", "script_location"),
    "sieve_storage_save": ("session", "script_location"),
    "dict_iteration": ("session", "key"),
    "dict_transaction": (),
    "http_server_request": ("request_id",),
    "proxy_session": ("remote_port",),
    "smtp_submit": ("mail_from",),
    "smtp_client_command": ("cmd_name",),
    "smtp_client_transaction": ("mail_from",),
    **dict.fromkeys(_STORAGE, ("session",)),
}
"""Other operations that begin and end, and what tells two apart that began at the same time."""

_STEPS = {"proxy_session": "established", "smtp_client_command": "sent"}
"""What lies between beginning and end of an operation."""

_RESOLVER_FALLBACK = (2, 4, 2)
"""From here on a lookup can finish without having started."""


@dataclass(slots=True)
class Rulebook:
    """The rules of an edition.

    Attributes:
        handlers: By event name on the wire.
        closers: To be called at the end of the stream.
        sessions: The session memory, or None when no checked event names a session.
    """

    handlers: dict[str, list[Handler]] = field(default_factory=dict)
    closers: list[Callable[[], None]] = field(default_factory=list)
    sessions: Sessions | None = None


def assemble(stream: Stream, edition: Edition, checked: frozenset[str], times: TimeReader, *, ordered: bool) -> Rulebook:
    """The rules for the ``checked`` events (canonical names); without order only those that one record can break."""
    book = Rulebook({edition.by_canonical[name].name: single_record_rules(stream.ledger, edition, edition.by_canonical[name]) for name in checked})
    if ordered:
        builder = _Builder(book, stream, edition, checked)
        builder.sessions()
        builder.pairs()
        builder.authentication()
        builder.others(times)
    return book


class _Builder:
    def __init__(self, book: Rulebook, stream: Stream, edition: Edition, checked: frozenset[str]) -> None:
        self._book = book
        self._stream = stream
        self._edition = edition
        self._checked = checked
        self._sessions = Sessions(stream)

    def _has(self, *events: str) -> bool:
        return self._checked.issuperset(events)

    def _add(self, handlers: dict[str, Handler]) -> None:
        for canonical, handler in handlers.items():
            if canonical in self._checked:
                self._book.handlers[self._edition.by_canonical[canonical].name].append(handler)

    def sessions(self) -> None:
        for event in sorted(self._checked):
            if wire_name(self._edition, event, "session") == ABSENT:
                continue
            self._book.sessions = self._sessions
            if any(wire_name(self._edition, event, name) != ABSENT for name in ADDRESSES):
                self._add({event: self._sessions.same_addresses(self._edition, event)})

    def pairs(self) -> None:
        self._pair("master-login-pairs", "auth_master_client_login", ("id", "remote_port"))
        for family in ("userdb_lookup", "passdb_lookup", "userdb_list", "cache_flush"):
            self._pair("lookup-pairs", f"auth_client_{family}", ("user", "session", "remote_port", "user_mask"))
        self._pair("dns-pairs", "dns_worker_request", ("name",))
        self._pair("smtp-pairs", "smtp_server_command", ("cmd_name",))
        self._pair("smtp-pairs", "smtp_server_transaction", ("transaction_id",))
        self._pair("delivery-pairs", "mail_delivery", ("transaction_id", "rcpt_to", "message_id", "session"))
        for family, keys in _OPERATIONS.items():
            self._pair("operation-pairs", family, keys)
        if not _at_least(self._edition.version, _RESOLVER_FALLBACK):
            self._pair("dns-pairs", "dns_request", ("session",))

    def _pair(self, rule: str, family: str, keys: tuple[str, ...]) -> None:
        events = (f"{family}_started", f"{family}_finished")
        if self._has(*events):
            pairs = Pairs(self._stream, self._edition, rule, events, keys)
            self._add({events[0]: pairs.start, events[1]: pairs.finish, f"{family}_{_STEPS.get(family)}": pairs.step})
            self._book.closers.append(pairs.close)

    def authentication(self) -> None:
        """Verdicts go by order of the checks: lookups before the verdict, both sides of a login at the end."""
        both = self._has("auth_request_finished", "auth_client_request_started", "auth_client_request_finished")
        if self._has("auth_client_request_started", "auth_client_request_finished"):
            requests = ClientRequests(self._stream, self._edition, self._sessions)
            self._add(requests.handlers())
            self._book.closers.append(requests.close_all)
            self._sessions.closers.append(requests.close)
        for kind in ("passdb", "userdb"):
            if self._has(f"auth_{kind}_request_started", f"auth_{kind}_request_finished"):
                lookups = Lookups(self._stream, self._edition, self._sessions, kind)
                self._add(lookups.handlers())
                self._book.closers.append(lookups.close_all)
        if self._has("auth_request_finished", "auth_passdb_request_finished"):
            verdicts = Verdicts(self._stream, self._edition, self._sessions)
            self._add({"auth_request_finished": verdicts.finish})
            if both:
                self._sessions.closers.append(verdicts.settle)
            if verdicts.session == ABSENT:
                self._add(Successes(self._stream, self._edition).handlers())
        self._book.closers.append(self._sessions.close)

    def others(self, times: TimeReader) -> None:
        for side in ("client", "server"):
            if self._has(f"{side}_connection_connected", f"{side}_connection_disconnected"):
                connections = Connections(self._stream, self._edition, side)
                self._add(connections.handlers())
                self._book.closers.append(connections.close_all)
        if self._has("http_request_finished", "http_request_redirected", "http_request_retried"):
            self._add(Requests(self._stream, self._edition).handlers())
        if self._has("smtp_server_transaction_started", "smtp_server_transaction_finished"):
            self._add(Transactions(self._stream, self._edition).handlers())
        self._add(Activity(self._stream, self._edition, self._sessions).handlers())
        if self._has("imap_command_finished"):
            self._add({"imap_command_finished": Commands(self._stream, self._edition, self._sessions, times).finish})


def _at_least(version: str, least: tuple[int, ...]) -> bool:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")) >= least
