"""Rules of logins: the client's request, the server's answer, and the lookups between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.names import wire_name
from dovestorm.validate.sequences.pairs import Pairs
from dovestorm.validate.sequences.stream import SLACK_US, Handler, Stream

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.sessions import Session, Sessions

__all__ = ["WITHOUT_PASSDB", "ClientRequests", "Lookups", "Verdicts"]

WITHOUT_PASSDB = frozenset({"ANONYMOUS", "EXTERNAL", "OAUTHBEARER", "XOAUTH2", "GSSAPI", "GSS-SPNEGO", "NTLM", "DOVECOT-TOKEN", "WINBIND"})
_SETTLE_US = 1_000_000
_UNSETTLED = 32
_OPEN_LIMIT = 100_000
_CLIENT = "auth_client_request_"
_VERDICT = "auth_request_finished"


class ClientRequests:
    """auth_client_request_*: started, then challenged and continued in turn, then finished."""

    __slots__ = ("_duration", "_error", "_forgotten", "_id", "_open", "_pairs", "_sessions", "_stream", "_user", "session")

    def __init__(self, stream: Stream, edition: Edition, sessions: Sessions) -> None:
        finished = f"{_CLIENT}finished"
        self._stream = stream
        self._sessions = sessions
        self._pairs = Pairs(stream, edition, "auth-client-request-pairs", (f"{_CLIENT}started", finished), ("id", "session"))
        self._open: dict[Any, bool | None] = {}
        self._forgotten = -1
        self.session = wire_name(edition, finished, "session")
        self._id = wire_name(edition, finished, "id")
        self._error = wire_name(edition, finished, "error")
        self._user = wire_name(edition, finished, "user")
        self._duration = wire_name(edition, finished, "duration")

    def handlers(self) -> dict[str, Handler]:
        """By canonical event."""
        steps = {"started": self.start, "challenged": self.challenge, "continued": self.proceed, "finished": self.finish}
        return {f"{_CLIENT}{step}": handler for step, handler in steps.items()}

    def start(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """A request begins; the one before it in the session must have ended."""
        self._pairs.start(fields, start, end, service)
        if identity := fields.get(self.session):
            session = self._sessions.of(identity, end)
            if session.request is not None:
                self._unfinished(session.request[1])
            session.request = (start, self._stream.ledger.position)
            self._count(session, fields.get(self._id))

    def _count(self, session: Session, number: Any) -> None:
        """Source: recordings; a process numbers its requests, but begins anew with another connection to the authentication service."""
        if isinstance(number, int):
            if number <= session.number:
                self._stream.ledger.add("request-id-order", self._id, f"{number} follows {session.number} in the same session")
            session.number = number

    def challenge(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """The server asks."""
        self._step(fields, start, end, service, asked=True)

    def proceed(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """The client answers."""
        self._step(fields, start, end, service, asked=False)

    def _step(self, fields: dict[str, Any], start: int, end: int, service: str, *, asked: bool) -> None:
        """``_open`` says of each request whether a challenge awaits its answer; None if two requests share the key, which have no order."""
        key = self._pairs.key(fields, start, service)
        self._pairs.step(fields, start, end, service)
        open_ = None if self._pairs.shared(key) else self._open.get(key, False)
        if open_ is asked and self._sessions.known_from(start) and start > self._forgotten:
            reason = "the challenge before it was not answered" if asked else "there is no open challenge to answer"
            self._stream.ledger.add("challenge-order", "", reason)
        self._open[key] = None if open_ is None else asked
        if len(self._open) > _OPEN_LIMIT:
            self._forgotten = max(self._forgotten, *(key[0] for key in self._open))
            self._open.clear()

    def finish(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """A request ends."""
        self._pairs.finish(fields, start, end, service)
        if self._open and not self._pairs.pending(fields, start, service):
            self._open.pop(self._pairs.key(fields, start, service), None)
        if identity := fields.get(self.session):
            session = self._sessions.of(identity, end)
            session.request = None
            over = max(end, start + fields.get(self._duration, 0))
            session.requests.append((start, over, self._error not in fields and self._user in fields, self._stream.ledger.position, end))
            if self._error in fields:
                session.authenticated = False
                session.decided = over
            if len(session.requests) > _UNSETTLED:
                del session.requests[: _UNSETTLED // 2], session.answers[: _UNSETTLED // 2]
                self._sessions.horizon = max(self._sessions.horizon, start)

    def close(self, session: Session) -> None:
        """A mailbox session whose request never ended; the stream went on long enough for the end to show."""
        if session.request is not None and 0 <= session.commanded < self._stream.now - _SETTLE_US:
            self._unfinished(session.request[1])

    def close_all(self) -> None:
        """At the end of the stream."""
        self._pairs.close()

    def _unfinished(self, position: int) -> None:
        self._stream.ledger.add_at("auth-client-request-pairs", position, f"{_CLIENT}started", "", "it never finishes, though its session goes on")


class Lookups:
    """auth_passdb_request_* or auth_userdb_request_*."""

    __slots__ = ("_kind", "_pairs", "_result", "_rule", "_session", "_sessions", "_stream")

    def __init__(self, stream: Stream, edition: Edition, sessions: Sessions, kind: str) -> None:
        events = (f"auth_{kind}_request_started", f"auth_{kind}_request_finished")
        self._kind = kind
        self._rule = f"{kind}-pairs"
        self._stream = stream
        self._sessions = sessions
        self._pairs = Pairs(stream, edition, self._rule, events, (f"{kind}_id", f"{kind}_name", kind, "session"))
        self._session = wire_name(edition, events[1], "session")
        self._result = wire_name(edition, events[1], "result")

    def handlers(self) -> dict[str, Handler]:
        """By canonical event."""
        return {f"auth_{self._kind}_request_started": self.start, f"auth_{self._kind}_request_finished": self.finish}

    def start(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """A lookup begins; the one before it in this session and process must have ended."""
        self._pairs.start(fields, start, end, service)
        if identity := fields.get(self._session):
            session = self._sessions.of(identity, end)
            before = session.lookups.get(service + self._kind)
            if before is not None:
                reason = "the session's lookup before it, in the same process, has not finished"
                self._stream.ledger.add(self._rule, "", f"{reason} (it began at position {before[1]})")
            session.lookups[service + self._kind] = (start, self._stream.ledger.position)
            if self._kind == "userdb" and service == "auth":
                self._login(session, start)

    def finish(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """A lookup ends."""
        self._pairs.finish(fields, start, end, service)
        if identity := fields.get(self._session):
            session = self._sessions.of(identity, end)
            session.lookups.pop(service + self._kind, None)
            if self._kind == "passdb":
                (session.passed if fields.get(self._result) in {"ok", "next"} else session.failed).append(start)

    def close_all(self) -> None:
        """At the end of the stream."""
        self._pairs.close()

    def _login(self, session: Session, start: int) -> None:
        session.settings = (start, self._stream.ledger.position)
        if session.authenticated is False and session.request is None and start > session.decided:
            self._stream.ledger.add("userdb-after-authentication", "", "the session's last authentication failed")


class Verdicts:
    """auth_request_finished, the server's word on a login."""

    __slots__ = ("_duration", "_mechanism", "_policy", "_sessions", "_stream", "_success", "_user", "session")

    def __init__(self, stream: Stream, edition: Edition, sessions: Sessions) -> None:
        self._stream = stream
        self._sessions = sessions
        self.session = wire_name(edition, _VERDICT, "session")
        self._success = wire_name(edition, _VERDICT, "success")
        self._mechanism = wire_name(edition, _VERDICT, "mechanism")
        self._duration = wire_name(edition, _VERDICT, "duration")
        self._user = wire_name(edition, _VERDICT, "user")
        self._policy = wire_name(edition, _VERDICT, "policy_result")

    def finish(self, fields: dict[str, Any], start: int, end: int, service: str) -> None:
        """A login was decided."""
        identity = fields.get(self.session)
        if not identity:
            return
        session = self._sessions.of(identity, end)
        success = self._success in fields
        over = max(end, start + fields.get(self._duration, 0))
        self._lookups(session, fields, start, service, success=success)
        session.answers.append((start, over, success, self._stream.ledger.position, end))
        work = session.first_work
        if session.authenticated is None and work is not None and work[0] < start - SLACK_US and self._sessions.known_from(work[0]):
            reason = f"it began {over - work[0]} microseconds before the login was decided"
            self._stream.ledger.add_at("mailbox-before-login", work[1], work[2], "", reason)
        session.authenticated = success
        session.decided = over
        if success:
            session.user = fields.get(self._user)
            session.admitted = start + fields.get(self._duration, 0)

    def _lookups(self, session: Session, fields: dict[str, Any], start: int, service: str, *, success: bool) -> None:
        ledger = self._stream.ledger
        known = self._sessions.known_from(start)
        for kind in ("passdb", "userdb"):
            if (begun := session.lookups.pop(service + kind, None)) is not None and begun[0] >= start:
                ledger.add_at(f"{kind}-pairs", begun[1], f"auth_{kind}_request_started", "", "it never finishes, though its login was decided")
        if success and known and not any(at >= start for at in session.passed) and fields.get(self._mechanism) not in WITHOUT_PASSDB:
            ledger.add("success-needs-passdb-ok", "", "no passdb lookup of this login ended ok or next")
        if fields.get(self._policy) == "refused" and any(at >= start for at in session.failed):
            ledger.add("refused-without-passdb", self._policy, "a passdb lookup of this login failed all the same")
        if session.settings is not None and session.settings[0] >= start:
            position = session.settings[1]
            ledger.add_at("userdb-after-authentication", position, "auth_userdb_request_started", "", "it comes before its auth_request_finished")
        session.settings = None
        session.passed.clear()
        session.failed.clear()

    def settle(self, session: Session) -> None:
        """Hold both sides of a session's logins against each other; what is too fresh at the end of a cut stream is left alone."""
        ledger, now = self._stream.ledger, self._stream.now
        patience = 0 if self._stream.complete else _SETTLE_US
        answers = list(session.answers)
        for start, over, success, position, end in session.requests:
            inside = [answer for answer in answers if start - SLACK_US <= answer[0] <= over + SLACK_US and answer[1] <= over + 5 * SLACK_US]
            answers = [answer for answer in answers if answer not in inside]
            for extra in inside[1:]:
                ledger.add_at("auth-request-once", extra[3], _VERDICT, "", f"the client's request at position {position} has one already")
            if not success or not self._sessions.known_from(start):
                continue
            if not inside and end <= now - patience:
                ledger.add_at("auth-outcome", position, f"{_CLIENT}finished", "", "it succeeded without an auth_request_finished")
            elif inside and not inside[-1][2]:
                ledger.add_at("auth-outcome", position, f"{_CLIENT}finished", "error", "missing, though the server's auth_request_finished failed")
        for start, _over, _success, position, end in answers:
            if session.request is None and self._sessions.known_from(start - SLACK_US) and end <= now - patience:
                ledger.add_at("auth-request-once", position, _VERDICT, "", "it lies inside no auth_client_request of its session")
