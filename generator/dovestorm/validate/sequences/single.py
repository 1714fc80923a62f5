"""Rules that one record by itself can break."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.validate.report import Ledger, shown
from dovestorm.validate.sequences.deliveries import recipient_counts, reply_and_error
from dovestorm.validate.sequences.names import ABSENT, wire_name

if TYPE_CHECKING:
    from dovestorm.catalog.model import Edition, Event
    from dovestorm.validate.sequences.stream import Handler

__all__ = ["single_record_rules"]

_LONGEST_START_US = 1_000_000
_REPLIES = frozenset({"smtp_server_command_finished", "smtp_server_transaction_finished", "smtp_server_transaction_rcpt_finished"})
_SLOW_QUERY_US = 1_000_000
_SLOW_QUERY_SLACK_US = 50_000


def single_record_rules(ledger: Ledger, edition: Edition, event: Event) -> list[Handler]:
    """The rules that apply to the event, given the fields that it has in the edition."""

    def name(canonical: str) -> str:
        return wire_name(edition, event.canonical, canonical)

    rules: list[Handler] = []
    if event.canonical.endswith("_started") and name("duration") != ABSENT:
        rules.append(_instant(ledger, name("duration")))
    if name("error_code") != ABSENT:
        rules.append(_error_code(ledger, name("error_code"), name("error")))
    if event.canonical == "auth_request_finished":
        rules += [_outcome(ledger, name("success"), name("error")), _policy_result(ledger, name("policy_result"), name("policy_penalty"))]
    if event.canonical == "auth_policy_request_finished":
        rules.append(_policy_response(ledger, name("mode"), name("policy_response")))
    if event.canonical == "auth_master_client_login_finished":
        rules.append(_master_login(ledger, name("user"), name("error")))
    if event.canonical == "dns_request_finished" and name("cached") != ABSENT:
        rules.append(_cached(ledger, name("cached"), name("error")))
    if event.canonical == "smtp_server_transaction_finished":
        rules.append(recipient_counts(ledger, edition, event.canonical))
    if event.canonical in _REPLIES:
        rules.append(reply_and_error(ledger, edition, event.canonical))
    if event.canonical == "sql_query_finished" and ABSENT not in {name("slow_query"), name("duration")}:
        rules.append(_slow_query(ledger, name("slow_query"), name("duration")))
    return rules


def _instant(ledger: Ledger, duration: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        if fields.get(duration, 0) > _LONGEST_START_US:
            ledger.add("started-is-instant", duration, f"{fields[duration]} microseconds, a start must be shorter than {_LONGEST_START_US}")

    return rule


def _error_code(ledger: Ledger, code: str, error: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        if code in fields and error not in fields:
            ledger.add("error-code-needs-error", code, f"{shown(fields[code])} stands without {error}")

    return rule


def _outcome(ledger: Ledger, success: str, error: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        if success in fields and error in fields:
            ledger.add("success-without-error", error, f"{shown(fields[error])} stands beside {success}")

    return rule


def _policy_result(ledger: Ledger, result: str, penalty: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        given = fields.get(result)
        if given is None or given == "refused" or penalty == ABSENT:
            return
        imposed = fields.get(penalty, 0) > 0
        if (given == "delayed") != imposed:
            ledger.add("policy-result", result, f"{shown(given)} with {penalty} {fields.get(penalty, 0)}, must be {'delayed' if imposed else 'ok'}")

    return rule


def _policy_response(ledger: Ledger, mode: str, response: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        if (fields.get(mode) == "allow") != (response in fields):
            ledger.add("policy-response", response, f"{'stands' if response in fields else 'is missing'} with {mode} {shown(fields.get(mode))}")

    return rule


def _master_login(ledger: Ledger, user: str, error: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        if (user in fields) == (error in fields):
            ledger.add("master-login-outcome", error, f"{'both' if user in fields else 'neither'} of {user} and {error} there, must be exactly one")

    return rule


def _cached(ledger: Ledger, cached: str, error: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        if fields.get(cached) == "yes" and error in fields:
            ledger.add("dns-cached", error, "an answer from the cache has none")

    return rule


def _slow_query(ledger: Ledger, slow: str, duration: str) -> Handler:
    def rule(fields: dict[str, Any], _start: int, _end: int, _service: str) -> None:
        lasted = fields.get(duration)
        if lasted is None or abs(lasted - _SLOW_QUERY_US) <= _SLOW_QUERY_SLACK_US:
            return
        if (slow in fields) != (lasted > _SLOW_QUERY_US):
            ledger.add("slow-query", slow, f"{'there' if slow in fields else 'missing'}, but the query took {lasted} microseconds")

    return rule
