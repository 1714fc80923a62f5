"""success-needs-passdb-ok for the edition whose events name no session: joined by user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.authentication import WITHOUT_PASSDB
from dovestorm.validate.sequences.names import wire_name

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.stream import Handler, Stream

__all__ = ["Successes"]

_LIMIT = 250_000
_LOOKUP = "auth_passdb_request_finished"
_VERDICT = "auth_request_finished"


class Successes:
    """Remembers per user when a passdb lookup that passed last began; oldest users are forgotten beyond a limit."""

    __slots__ = ("_horizon", "_login", "_lookup_user", "_mechanism", "_passed", "_result", "_stream", "_success", "_users")

    def __init__(self, stream: Stream, edition: Edition) -> None:
        self._stream = stream
        self._result = wire_name(edition, _LOOKUP, "result")
        self._lookup_user = wire_name(edition, _LOOKUP, "user")
        self._users = tuple(wire_name(edition, _VERDICT, name) for name in ("user", "master_user", "login_user", "original_user", "translated_user"))
        self._success = wire_name(edition, _VERDICT, "success")
        self._mechanism = wire_name(edition, _VERDICT, "mechanism")
        self._passed: dict[Any, int] = {}
        self._horizon = -1

    def handlers(self) -> dict[str, Handler]:
        """By canonical event."""
        return {_LOOKUP: self.look_up, _VERDICT: self.decide}

    def look_up(self, fields: dict[str, Any], start: int, _end: int, _service: str) -> None:
        """A password database answered."""
        if fields.get(self._result) in {"ok", "next"}:
            user = fields.get(self._lookup_user)
            self._passed[user] = max(start, self._passed.pop(user, start))
            if len(self._passed) > _LIMIT:
                self._horizon = max(self._horizon, self._passed.pop(next(iter(self._passed))))

    def decide(self, fields: dict[str, Any], start: int, _end: int, _service: str) -> None:
        """A login was decided."""
        if self._success not in fields or fields.get(self._mechanism) in WITHOUT_PASSDB:
            return
        if start <= self._stream.horizon or start <= self._horizon:
            return
        if not any(self._passed.get(fields.get(name), -1) >= start for name in self._users if name in fields):
            self._stream.ledger.add("success-needs-passdb-ok", "", "no passdb lookup of this user ended ok or next since the login began")
