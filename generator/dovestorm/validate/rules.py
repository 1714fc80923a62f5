"""The one table of rules: what each is called, whether breaking it makes a stream invalid, and what it says."""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = ["RULES", "Rule", "Severity", "rules_table"]


class Severity(enum.StrEnum):
    """A ``fault`` makes the stream invalid; a ``note`` is reported and does not."""

    FAULT = "fault"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        name: Its short name, as reports show it.
        group: ``reading``, ``catalog``, ``time`` or ``sequence``.
        severity: Fault or note.
        about: What must hold, in a sentence.
        invariants: Numbers in the list of known invariants that it covers, for the sequence rules.
    """

    name: str
    group: str
    severity: Severity
    about: str
    invariants: tuple[int, ...] = ()


def _rule(name: str, group: str, about: str, *invariants: int, severity: Severity = Severity.FAULT) -> Rule:
    return Rule(name, group, severity, about, invariants)


_NOTE = Severity.NOTE

_ALL = (
    _rule("unreadable", "reading", "The record can be decoded: whole, not cut off, not nested beyond reason, of the stream's format."),
    _rule("too-long", "reading", "A line or a packed record is at most 16 MiB."),
    _rule("duplicate-key", "reading", "No key appears twice in a record or in its fields."),
    _rule(
        "record-shape",
        "reading",
        "A record has exactly event, hostname, start_time, end_time, categories, fields, in this order, of the right types.",
    ),
    _rule(
        "escape-case",
        "reading",
        "JSON escapes have lower case digits before 2.4, upper case ones since. What was decoded on its way may differ, so this is a note.",
        severity=_NOTE,
    ),
    _rule("timestamp", "time", "Times are RFC 3339 in UTC with six digits and Z, or unix seconds with six digits.", 30),
    _rule("time-format", "time", "All times of a stream are written in the same way, RFC 3339 or unix."),
    _rule("end-time-order", "time", "end_time never decreases in the stream (switched off by --unordered)."),
    _rule(
        "duration-fits",
        "time",
        "start_time, and start_time plus duration, lie at most 10 ms after end_time. "
        "Source: recordings; the exporter's clock is cached and was up to 5.6 ms behind.",
        1,
    ),
    _rule("unknown-event", "catalog", "The edition's catalog has the event."),
    _rule("unknown-field", "catalog", "The edition's catalog gives the event this field."),
    _rule("missing-field", "catalog", "A field that every such event has is there."),
    _rule("field-type", "catalog", "A value has the field's type; no booleans, fractions or nulls."),
    _rule("field-range", "catalog", "Integers fit 64 bits; ports lie in 1 to 65535; counters and durations are not negative.", 1, 14, 15, 30),
    _rule("closed-set", "catalog", "The value of a field with a closed set of values is one of them."),
    _rule("field-order", "catalog", "Fields come in the catalog's order. Real servers vary, so this is a note.", severity=_NOTE),
    _rule("categories", "catalog", "The categories are the event's, as a set."),
    _rule(
        "service-category", "catalog", "From 2.3.9 on there is exactly one service: category, of a process that emits the event; before, none.", 31
    ),
    _rule("started-is-instant", "sequence", "A *_started event lasts less than a second.", 29),
    _rule("auth-client-request-pairs", "sequence", "Each auth_client_request_finished has its started: same id, session and start_time.", 2, 28),
    _rule(
        "challenge-order",
        "sequence",
        "Between them challenged and continued alternate, beginning with challenged; the last challenge may stay unanswered.",
        2,
        3,
    ),
    _rule(
        "request-id-order",
        "sequence",
        "Ids of a session's authentication requests grow. A connection anew to the authentication service begins at 1, hence a note.",
        2,
        severity=_NOTE,
    ),
    _rule("passdb-pairs", "sequence", "passdb lookups start, finish once, and do not overlap within a session and process.", 4, 28),
    _rule("userdb-pairs", "sequence", "userdb lookups start, finish once, and do not overlap within a session and process.", 4, 28),
    _rule("master-login-pairs", "sequence", "Each auth_master_client_login_finished has its started: same id and start_time.", 11, 28),
    _rule("lookup-pairs", "sequence", "Each finished lookup, listing or cache flush of an authentication client has its started.", 13, 28),
    _rule(
        "connection-pairs",
        "sequence",
        "A disconnect has its connect: same addresses and start_time, at most once. Without one it is no fault if it names "
        "a session, which the connect never does: recordings sampled by session part the two.",
        14,
    ),
    _rule(
        "connection-endpoint",
        "sequence",
        "A connection has an address or a UNIX peer, not both. Source: recordings; a server_connection may also carry the "
        "addresses of the session that caused it, so there only dest_ip beside socket_path counts.",
        16,
    ),
    _rule(
        "dns-pairs",
        "sequence",
        "Each dns_request_finished and dns_worker_request_finished has its started (resolver fallbacks from 2.4.2 on excepted).",
        22,
    ),
    _rule("smtp-pairs", "sequence", "Each command and transaction of an SMTP or LMTP client starts, and finishes once.", 26, 28),
    _rule("delivery-pairs", "sequence", "Each mail_delivery_finished has its started: same transaction, recipient, message and start_time.", 32, 28),
    _rule(
        "operation-pairs",
        "sequence",
        "Each finished cache purge, Sieve script, dictionary iteration or transaction, proxied session, request to Dovecot's HTTP "
        "server, index merge or upload, submission, client command and client transaction has its started; what lies between comes "
        "between.",
        28,
    ),
    _rule(
        "recipient-counts",
        "sequence",
        "The recipients of a transaction are the aborted, failed and succeeded ones together; denied ones are among the failed; a reset leaves none "
        "that succeeded.",
        26,
    ),
    _rule(
        "transaction-parts",
        "sequence",
        "Recipients and deliveries of a transaction come before its end, and as many recipients as it counts. "
        "Source: recordings; sampled by session some are missing, so that fewer are a fault only with --complete.",
        26,
        32,
    ),
    _rule("reply-error", "sequence", "An SMTP or LMTP reply has an error exactly when its status is neither 2xx nor 3xx.", 26),
    _rule("success-without-error", "sequence", "An authentication that succeeded has no error.", 6),
    _rule(
        "success-needs-passdb-ok",
        "sequence",
        "A success follows a passdb result ok or next of the same request. Source: recordings; mechanisms that ask no passdb "
        "(ANONYMOUS, EXTERNAL, tokens, Kerberos) are excepted.",
        7,
    ),
    _rule(
        "policy-result",
        "sequence",
        "policy_result is delayed exactly when policy_penalty is above 0 and the login was not refused (from 2.3.11 on).",
        8,
    ),
    _rule("policy-response", "sequence", "policy_response is there exactly when mode is allow.", 9),
    _rule(
        "refused-without-passdb",
        "sequence",
        "A refused login had no failed passdb lookup (a policy server in log-only mode may, hence a note).",
        10,
        severity=_NOTE,
    ),
    _rule(
        "auth-request-once",
        "sequence",
        "Each authentication request of a client has at most one auth_request_finished, and each of these lies inside one.",
        5,
        28,
    ),
    _rule("auth-outcome", "sequence", "A client request without error and with a user has an auth_request_finished that succeeded.", 5),
    _rule("userdb-after-authentication", "sequence", "The userdb lookup of a login comes after its auth_request_finished, which succeeded.", 12),
    _rule("master-login-outcome", "sequence", "auth_master_client_login_finished has exactly one of user and error.", 11),
    _rule(
        "mailbox-after-failed-authentication",
        "sequence",
        "No mailbox command or mail event follows in a session whose last authentication failed.",
        12,
    ),
    _rule("mailbox-before-login", "sequence", "Commands and mail events of a session begin after its login was decided (10 ms of slack).", 12),
    _rule(
        "mailbox-after-session-end",
        "sequence",
        "No command or mail event begins after the end of its mail session, unless that was woken from hibernation (10 ms of slack).",
        12,
    ),
    _rule("session-addresses", "sequence", "Addresses and ports stay the same through a session.", 27),
    _rule("session-user", "sequence", "The user of a session's mailbox commands stays the same.", 27),
    _rule("session-user-renamed", "sequence", "It is the user that logged in (a userdb may rename, hence a note).", 27, severity=_NOTE),
    _rule("command-after-logout", "sequence", "No command is answered after LOGOUT was."),
    _rule("imap-reply", "sequence", "tagged_reply begins with tagged_reply_state, they come together, and an answered command has a tag.", 19),
    _rule("imap-unknown-command", "sequence", "An unknown command is answered BAD or not at all.", 19),
    _rule(
        "imap-times",
        "sequence",
        "lock_wait_usecs <= running_usecs <= duration, and last_run_time lies between start_time and end_time (each with 10 ms of "
        "slack). Source: recordings; cached clocks put last_run_time up to 3.8 ms before start_time and 4.9 ms after end_time.",
        20,
        21,
    ),
    _rule(
        "http-attempts",
        "sequence",
        "attempts counts the retried events of the request, redirects the redirected ones since the last retry. "
        "Source: recordings; a redirect that is refused (9004) counts without an event.",
        17,
        18,
    ),
    _rule("http-status", "sequence", "A redirected event has a 3xx status.", 17),
    _rule("error-code-needs-error", "sequence", "error_code never comes without error.", 23),
    _rule("dns-cached", "sequence", "An answer from the cache has no error.", 24),
    _rule("slow-query", "sequence", "slow_query is set exactly when the query took a second or more (50 ms of slack).", 25),
)

RULES: dict[str, Rule] = {rule.name: rule for rule in _ALL}
"""Every rule by name, in the order of the report and of docs/validation.md."""


def rules_table() -> str:
    """The rules as the Markdown table that docs/validation.md holds."""
    rows = [f"| `{rule.name}` | {rule.group} | {rule.severity} | {rule.about} |" for rule in RULES.values()]
    return "\n".join(["| rule | kind | severity | what must hold |", "| --- | --- | --- | --- |", *rows])
