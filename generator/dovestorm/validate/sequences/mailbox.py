"""Rules of imap_command_finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.report import shown
from dovestorm.validate.sequences.names import wire_name
from dovestorm.validate.sequences.stream import SLACK_US, Stream

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.sessions import Session, Sessions
    from dovestorm.validate.times import TimeReader

__all__ = ["Commands"]

_EVENT = "imap_command_finished"


class Commands:
    """imap_command_finished by itself and in its session."""

    __slots__ = (
        "_args",
        "_duration",
        "_lock",
        "_name",
        "_ran",
        "_reply",
        "_run",
        "_session",
        "_sessions",
        "_state",
        "_stream",
        "_tag",
        "_times",
        "_user",
    )

    def __init__(self, stream: Stream, edition: Edition, sessions: Sessions, times: TimeReader) -> None:
        self._stream = stream
        self._sessions = sessions
        self._times = times
        names = ("cmd_tag", "cmd_name", "tagged_reply_state", "tagged_reply", "lock_wait_usecs", "running_usecs", "duration", "last_run_time")
        wired = [wire_name(edition, _EVENT, name) for name in names]
        self._tag, self._name, self._state, self._reply, self._lock, self._run, self._duration, self._ran = wired
        self._session = wire_name(edition, _EVENT, "session")
        self._user = wire_name(edition, _EVENT, "user")

    def finish(self, fields: dict[str, Any], start: int, end: int, _service: str) -> None:
        """A command ended."""
        get = fields.get
        state, name = get(self._state), get(self._name)
        self._reply_rules(fields, state, name)
        self._time_rules(fields, start, end)
        if identity := get(self._session):
            session = self._sessions.of(identity, end)
            session.commanded = end
            self._session_rules(session, get(self._user), answered=state is not None)
            if name == "LOGOUT" and state == "OK":
                session.logged_out = self._stream.ledger.position

    def _reply_rules(self, fields: dict[str, Any], state: Any, name: Any) -> None:
        reply, tag = fields.get(self._reply), fields.get(self._tag)
        add = self._stream.ledger.add
        if state is None:
            if reply is not None:
                add("imap-reply", self._reply, f"there is no {self._state} beside it")
        elif reply is None:
            add("imap-reply", self._reply, f"missing, {self._state} is {shown(state)}")
        elif reply[: len(state)] != state or reply[len(state) : len(state) + 1] not in {"", " "}:
            add("imap-reply", self._reply, f"{shown(reply)} must begin with {shown(state)}")
        if tag == "" or (tag is None and state is not None):
            add("imap-reply", self._tag, "an answered command has a tag")
        if name == "unknown" and state is not None and state != "BAD":
            add("imap-unknown-command", self._state, f"{shown(state)} must be BAD, or the command a known one")

    def _time_rules(self, fields: dict[str, Any], start: int, end: int) -> None:
        get = fields.get
        add = self._stream.ledger.add
        lock, run = get(self._lock), get(self._run)
        if lock is not None and run is not None and lock > run + SLACK_US:
            add("imap-times", self._lock, f"{lock} exceeds {self._run} {run}")
        if run is not None:
            lasted = get(self._duration, end - start)
            if run > lasted + SLACK_US:
                add("imap-times", self._run, f"{run} exceeds the {lasted} microseconds that the command lasted")
        ran = self._times.read(get(self._ran, ""))
        if ran is not None and not start - SLACK_US <= ran <= end + SLACK_US:
            when = "before start_time" if ran < start else "after end_time"
            add("imap-times", self._ran, f"lies {start - ran if ran < start else ran - end} microseconds {when}")

    def _session_rules(self, session: Session, user: Any, *, answered: bool) -> None:
        add = self._stream.ledger.add
        if session.logged_out and answered:
            add("command-after-logout", "", f"LOGOUT was answered at position {session.logged_out}")
        if user != session.mailbox_user:
            if session.mailbox_user is not None and user is not None:
                add("session-user", self._user, f"{shown(user)} was {shown(session.mailbox_user)} in the session's commands before")
            elif user is not None and session.user is not None and user != session.user:
                add("session-user-renamed", self._user, f"{shown(user)} logged in as {shown(session.user)}")
            session.mailbox_user = user
