"""What a user's mail process does lies between the login and the end of the mail session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.names import ABSENT, wire_name
from dovestorm.validate.sequences.stream import SLACK_US, Handler, Stream

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.sessions import Session, Sessions

__all__ = ["Activity"]

_WORK = (
    "imap_command_finished",
    "pop3_command_finished",
    "mail_opened",
    "mail_expunge_requested",
    "mail_expunged",
    "mail_cache_decision_changed",
    "mail_cache_purge_started",
    "mail_index_recreated",
)
_END = "mail_user_session_finished"
_WAKE = "imap_client_unhibernated"
_SERVICES = frozenset({"imap", "pop3"})
"""Other services work on a mailbox without a login of the session's user."""


class Activity:
    """Commands and mail events of IMAP and POP3 sessions."""

    __slots__ = ("_session", "_sessions", "_stream")

    def __init__(self, stream: Stream, edition: Edition, sessions: Sessions) -> None:
        self._stream = stream
        self._sessions = sessions
        self._session = {event: wire_name(edition, event, "session") for event in (*_WORK, _END, _WAKE)}

    def handlers(self) -> dict[str, Handler]:
        """By canonical event."""
        steps = {_END: self._end, _WAKE: self._wake, **dict.fromkeys(_WORK, self._work)}
        return {event: self._by_session(event, step) for event, step in steps.items() if self._session[event] != ABSENT}

    def _by_session(self, event: str, step: Any) -> Handler:
        name = self._session[event]

        def handler(fields: dict[str, Any], start: int, end: int, service: str) -> None:
            if service in _SERVICES and (identity := fields.get(name)):
                step(self._sessions.of(identity, end), start, end)

        return handler

    def _work(self, session: Session, start: int, _end: int) -> None:
        add = self._stream.ledger.add
        if session.authenticated is False and session.request is None and start > session.decided:
            add("mailbox-after-failed-authentication", "", "the session's last authentication failed")
        elif session.authenticated and start < session.admitted - SLACK_US:
            add("mailbox-before-login", "", f"it began {session.admitted - start} microseconds before the login was decided")
        if 0 <= session.ended < start - SLACK_US:
            add("mailbox-after-session-end", "", f"the session ended {start - session.ended} microseconds before it began")
        if session.first_work is None:
            session.first_work = (start, self._stream.ledger.position, self._stream.ledger.event)

    @staticmethod
    def _end(session: Session, _start: int, end: int) -> None:
        session.ended = end

    @staticmethod
    def _wake(session: Session, _start: int, _end: int) -> None:
        """Source: recordings; a hibernating session's mail process ends, and another one goes on."""
        session.ended = -1
