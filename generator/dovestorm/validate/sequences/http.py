"""Rules of http_request_*: retries and redirects on the way to the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.sequences.names import ABSENT, wire_name

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition
    from dovestorm.validate.sequences.stream import Handler, Stream

__all__ = ["Requests"]

_EVENT = "http_request_finished"
_REFUSED_REDIRECT = 9004
_NOT_MODIFIED = 304
_LIMIT = 100_000


class Requests:
    """Follows the requests that were retried or redirected; two requests may share a key, so each key has a list of states."""

    __slots__ = ("_attempts", "_families", "_first", "_horizon", "_keys", "_redirects", "_status", "_stream", "_strict")

    def __init__(self, stream: Stream, edition: Edition) -> None:
        self._stream = stream
        self._keys = tuple(wire_name(edition, _EVENT, name) for name in ("method", "target", "dest_host", "dest_port"))
        self._strict = ABSENT not in self._keys
        self._attempts, self._redirects, self._status = (wire_name(edition, _EVENT, name) for name in ("attempts", "redirects", "status_code"))
        # The 2.3.6 list counts the first try too, a real server only the retries.
        self._first = 1 if edition.version == "2.3.6" else 0
        self._families: dict[Any, list[tuple[int, int]]] = {}
        self._horizon = -1

    def handlers(self) -> dict[str, Handler]:
        """By canonical event."""
        return {"http_request_redirected": self.redirect, "http_request_retried": self.retry, _EVENT: self.finish}

    def retry(self, fields: dict[str, Any], start: int, _end: int, service: str) -> None:
        """A request is sent again: attempts goes up by one, redirects to 0."""
        attempts, redirects, family = self._look(fields, start, service)
        before = [state for state in family if state[0] == attempts - 1]
        if not before and attempts != 1 and self._known(start):
            self._breach(self._attempts, f"{attempts} must be one more than the retried events before")
        self._move(family, before, (attempts, redirects))

    def redirect(self, fields: dict[str, Any], start: int, _end: int, service: str) -> None:
        """A request goes elsewhere: redirects goes up by one."""
        attempts, redirects, family = self._look(fields, start, service)
        status = fields.get(self._status, 0)
        if not 300 <= status < 400 or status == _NOT_MODIFIED:
            self._stream.ledger.add("http-status", self._status, f"{status} is no redirection")
        before = [state for state in family if state == (attempts, redirects - 1)]
        if not before and (attempts, redirects) != (0, 1) and self._known(start):
            self._breach(self._redirects, f"{redirects} must be one more than the redirected events since the last retry")
        self._move(family, before, (attempts, redirects))

    def finish(self, fields: dict[str, Any], start: int, _end: int, service: str) -> None:
        """A request ends."""
        if not self._families and not self._retries(fields) and not fields.get(self._redirects):
            return
        key = self._key(fields, start, service)
        attempts, redirects = self._retries(fields), fields.get(self._redirects, 0)
        family = self._families.get(key, [])
        expected = {(attempts, redirects)}
        if fields.get(self._status) == _REFUSED_REDIRECT:
            expected.add((attempts, redirects - 1))
        state = next((state for state in family if state in expected), None)
        if state is not None:
            family.remove(state)
        elif ((0, 0) not in expected or (family and self._strict)) and self._known(start):
            seen = family.pop() if family else (0, 0)
            self._breach(
                self._attempts, f"{attempts} retries and {redirects} redirects, but retried and redirected events make it {seen[0]} and {seen[1]}"
            )
        if not family:
            self._families.pop(key, None)

    def _retries(self, fields: dict[str, Any]) -> int:
        count: int = fields.get(self._attempts, self._first)
        return count - self._first

    def _key(self, fields: dict[str, Any], start: int, service: str) -> Any:
        return (start, service, *map(fields.get, self._keys))

    def _look(self, fields: dict[str, Any], start: int, service: str) -> tuple[int, int, list[tuple[int, int]]]:
        family = self._families.setdefault(self._key(fields, start, service), [])
        if len(self._families) > _LIMIT:
            oldest = next(iter(self._families))
            del self._families[oldest]
            self._horizon = max(self._horizon, oldest[0])
        return self._retries(fields), fields.get(self._redirects, 0), family

    @staticmethod
    def _move(family: list[tuple[int, int]], before: list[tuple[int, int]], state: tuple[int, int]) -> None:
        if before:
            family.remove(before[0])
        family.append(state)

    def _known(self, start: int) -> bool:
        return start > self._stream.horizon and start > self._horizon

    def _breach(self, name: str, reason: str) -> None:
        self._stream.ledger.add("http-attempts", name, reason)
