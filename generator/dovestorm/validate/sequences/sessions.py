"""What is remembered of each session, and the rules that hold for all of its events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.report import shown
from dovestorm.validate.sequences.names import wire_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.stream import Handler, Stream

__all__ = ["ADDRESSES", "Session", "Sessions"]

ADDRESSES = ("remote_ip", "remote_port", "local_ip", "local_port")
_LIMIT = 200_000
_SWEEP_EVENTS = 65_536
_IDLE_US = 600_000_000


class Session:
    """The state of one session.

    Attributes:
        admitted: When the server decided to let the user in, by its own clock, -1 before.
        addresses: As ``ADDRESSES`` orders them, None where not yet known.
        request: Start and position of the client's authentication request that is under way.
        requests: Finished ones, not yet held against the server's side.
        answers: The server's auth_request_finished, not yet held against the client's side.
        lookups: By service and kind, start and position of the lookup under way.
        passed: Start times of passdb lookups with result ok or next.
        failed: Start times of the other ones.
        settings: Start time and position of the latest userdb lookup of the login.
        authenticated: How the last authentication ended, None when unknown.
        decided: When it ended.
        user: Who logged in.
        mailbox_user: Who gives mailbox commands.
        logged_out: Position of the answered LOGOUT, 0 before.
        commanded: end_time of the latest mailbox command, -1 before.
        ended: end_time of the mail session's end, -1 before and again when it is woken from hibernation.
        first_work: Start, position and event of the first thing that the mail process did.
        number: The id of its latest authentication request, -1 before.
        seen: end_time of the latest event.
    """

    __slots__ = (
        "addresses",
        "admitted",
        "answers",
        "authenticated",
        "commanded",
        "decided",
        "ended",
        "failed",
        "first_work",
        "logged_out",
        "lookups",
        "mailbox_user",
        "number",
        "passed",
        "request",
        "requests",
        "seen",
        "settings",
        "user",
    )

    def __init__(self) -> None:
        self.addresses: tuple[Any, ...] | None = None
        self.admitted = -1
        self.request: tuple[int, int] | None = None
        self.requests: list[Any] = []
        self.answers: list[Any] = []
        self.lookups: dict[str, tuple[int, int]] = {}
        self.passed: list[int] = []
        self.failed: list[int] = []
        self.settings: tuple[int, int] | None = None
        self.authenticated: bool | None = None
        self.decided = -1
        self.user: str | None = None
        self.mailbox_user: str | None = None
        self.logged_out = 0
        self.commanded = -1
        self.ended = -1
        self.first_work: tuple[int, int, str] | None = None
        self.number = -1
        self.seen = -1


class Sessions:
    """All live sessions; idle ones and, beyond the limit, the oldest ones are let go.

    ``closers`` are called with a session that is let go. What began at or before ``horizon`` may belong to a session whose memory is gone.
    """

    __slots__ = ("_countdown", "_limit", "_live", "_stream", "closers", "count", "horizon")

    def __init__(self, stream: Stream, *, limit: int = _LIMIT) -> None:
        self._stream = stream
        self._limit = limit
        self._live: dict[str, Session] = {}
        self._countdown = _SWEEP_EVENTS
        self.closers: list[Callable[[Session], None]] = []
        self.count = 0
        self.horizon = -1

    def of(self, name: str, end: int) -> Session:
        """The session of that name, made if need be."""
        session = self._live.get(name)
        if session is None:
            session = self._live[name] = Session()
            self.count += 1
            if len(self._live) > self._limit:
                self._shed()
        session.seen = end
        self._countdown -= 1
        if not self._countdown:
            self._countdown = _SWEEP_EVENTS
            self._sweep(end)
        return session

    def known_from(self, start: int) -> bool:
        """Whether all events since that time have been seen and are remembered."""
        return start > self._stream.horizon and start > self.horizon

    def close(self) -> None:
        """Let all sessions go."""
        for session in self._live.values():
            self._let_go(session)
        self._live.clear()

    def same_addresses(self, edition: Edition, event: str) -> Handler:
        """The rule that addresses and ports stay the same, for one event.

        Source: recordings; a trusted proxy gives a session another identity when it gives it other addresses.
        """
        name = wire_name(edition, event, "session")
        first, second, third, fourth = (wire_name(edition, event, address) for address in ADDRESSES)

        def handler(fields: dict[str, Any], _start: int, end: int, _service: str) -> None:
            get = fields.get
            identity = get(name)
            if not identity:
                return
            session = self.of(identity, end)
            given = (get(first), get(second), get(third), get(fourth))
            if given != session.addresses:
                self._merge(session, given)

        return handler

    def _merge(self, session: Session, given: tuple[Any, ...]) -> None:
        if session.addresses is None:
            session.addresses = given
            return
        merged = []
        for name, old, new in zip(ADDRESSES, session.addresses, given, strict=True):
            if old is not None and new is not None and old != new:
                self._stream.ledger.add("session-addresses", name, f"{shown(new)} was {shown(old)} earlier in the session")
            merged.append(new if old is None else old)
        session.addresses = tuple(merged)

    def _let_go(self, session: Session) -> None:
        for closer in self.closers:
            closer(session)

    def _drop(self, names: list[str]) -> None:
        for name in names:
            session = self._live.pop(name)
            self.horizon = max(self.horizon, session.seen)
            self._let_go(session)

    def _sweep(self, now: int) -> None:
        self._drop([name for name, session in self._live.items() if session.seen < now - _IDLE_US])

    def _shed(self) -> None:
        self._drop(list(self._live)[: max(1, self._limit // 4)])
