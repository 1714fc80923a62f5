"""The edition of the 2.3.6 list, whose events name no session, and small editions made by hand."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from validation import Record, Script, findings, report_on

from dovestorm.catalog.model import Edition, Event, Field
from dovestorm.validate import Validator
from dovestorm.validate.report import Ledger
from dovestorm.validate.sequences.pairs import Pairs
from dovestorm.validate.sequences.sessions import Sessions
from dovestorm.validate.sequences.stream import Stream

LOOKUP = {"passdb_name": "pw", "passdb": "sql"}
ANSWER = {**LOOKUP, "user": "ann@example.org", "username": "ann", "domain": "example.org", "result": "ok"}
VERDICT = {"user": "ann@example.org", "transport": "TLS", "mechanism": "PLAIN", "successful": "yes"}
PEER = {"client_ip": "192.0.2.7", "client_port": 40001, "ip": "198.51.100.1", "port": 993}
COMMAND = {
    "tag": "a1",
    "name": "SELECT",
    "tagged_reply_state": "OK",
    "tagged_reply": "OK Done.",
    "last_run_time": "2026-11-23T04:07:50.900000Z",
    "running_usecs": 10,
    "lock_wait_usecs": 0,
    "bytes_in": 1,
    "bytes_out": 2,
}
CLIENT = "auth_client_request_"


def login() -> Script:
    """A connection, a login in two rounds, a command, the end."""
    script = Script()
    script.add("client_connection_connected", 0, 10, **PEER)
    script.add(f"{CLIENT}started", 20_000, 20, id=1).add(f"{CLIENT}challenged", 20_000, 900, id=1).add(f"{CLIENT}continue", 20_000, 1_900, id=1)
    script.add("auth_passdb_request_started", 23_000, 10, **LOOKUP).add("auth_passdb_request_finished", 23_000, 900, **ANSWER)
    script.add("auth_request_finished", 22_000, 2_000, **VERDICT).add(f"{CLIENT}finished", 20_000, 5_000, id=1)
    script.add("imap_command_finished", 30_000, 90_000, **{**COMMAND, "last_run_time": "2026-11-23T04:07:50.100000Z"})
    return script.add("client_connection_disconnected", 0, 200_000, **PEER, bytes_in=10, bytes_out=20, reason="Logged out")


def drop(event: str) -> Any:
    return lambda records: [record for record in records if record["event"] != event]


def change(event: str, **fields: Any) -> Any:
    def changed(records: list[Record]) -> list[Record]:
        for record in records:
            if record["event"] == event:
                record["fields"].update(fields)
        return records

    return changed


def test_a_login_of_the_list_is_valid() -> None:
    report = report_on(login().sorted(), "2.3.6", complete=True)
    assert report.valid, report.to_text()
    assert not findings(report)
    assert report.sessions is None


@pytest.mark.parametrize(
    ("rule", "broken"),
    [
        ("auth-client-request-pairs", change(f"{CLIENT}started", id=2)),
        ("challenge-order", drop(f"{CLIENT}challenged")),
        ("passdb-pairs", drop("auth_passdb_request_started")),
        ("passdb-pairs", change("auth_passdb_request_started", passdb="ldap")),
        ("success-needs-passdb-ok", change("auth_passdb_request_finished", result="user_unknown")),
        ("success-without-error", change("auth_request_finished", error="odd")),
        ("policy-result", change("auth_request_finished", policy_result="delayed")),
        ("connection-pairs", drop("client_connection_connected")),
        ("connection-pairs", change("client_connection_connected", client_port=40002)),
        ("imap-reply", change("imap_command_finished", tagged_reply="NO Done.")),
        ("imap-times", change("imap_command_finished", running_usecs=200_000)),
    ],
)
def test_without_sessions_the_rules_go_by_start_time_and_keys(rule: str, broken: Any) -> None:
    report = report_on(broken(login().sorted()), "2.3.6", complete=True)
    assert findings(report) == {rule}, report.to_text()


def test_an_unanswered_challenge_may_end_a_request() -> None:
    report = report_on(drop(f"{CLIENT}continue")(login().sorted()), "2.3.6", complete=True)
    assert report.valid, report.to_text()


def test_two_processes_may_share_an_id_and_a_microsecond() -> None:
    """Ids count per process, and the list does not name the process."""
    script = Script()
    for _ in range(2):
        script.add(f"{CLIENT}started", 100_000, 20, id=1)
    for _ in range(2):
        script.add(f"{CLIENT}finished", 100_000, 500, id=1)
    assert report_on(script.sorted(), "2.3.6", complete=True).valid
    script.add(f"{CLIENT}finished", 100_000, 500, id=1)
    assert findings(report_on(script.sorted(), "2.3.6", complete=True)) == {"auth-client-request-pairs"}


def test_two_processes_that_share_a_key_may_challenge_each_on_its_own() -> None:
    script = Script()
    for _ in range(2):
        script.add(f"{CLIENT}started", 100_000, 20, id=1).add(f"{CLIENT}challenged", 100_000, 30, id=1)
    for _ in range(2):
        script.add(f"{CLIENT}continue", 100_000, 40, id=1).add(f"{CLIENT}finished", 100_000, 50, id=1)
    assert report_on(script.sorted(), "2.3.6", complete=True).valid


def test_what_started_before_a_cut_stream_may_finish_in_it() -> None:
    records = login().sorted()[1:]
    assert report_on(records, "2.3.6").valid
    assert not report_on(records, "2.3.6", complete=True).valid


def test_what_starts_at_the_end_of_a_cut_stream_need_not_finish() -> None:
    records = login().sorted()[:-1]
    assert report_on(records, "2.3.6").valid
    assert set(report_on(records, "2.3.6", complete=True).faults) == {"connection-pairs"}


def test_the_list_has_no_service_category() -> None:
    records = login().sorted()
    records[-1]["categories"].append("service:imap-login")
    assert findings(report_on(records, "2.3.6", complete=True)) == {"service-category"}


def test_unordered_streams_are_checked_record_by_record() -> None:
    records = list(reversed(login().sorted()))
    assert report_on(records, "2.3.6", unordered=True, complete=True).valid
    assert "end-time-order" in report_on(records, "2.3.6").faults


def test_sections_limit_the_check() -> None:
    records = login().sorted()
    records[1]["fields"]["id"] = "one"
    report = report_on(records, "2.3.6", sections=["imap"])
    assert report.valid
    assert report.skipped == len(records) - 1
    assert not report_on(records, "2.3.6", sections=["authentication-client"]).valid


def edition(**fields: Field) -> Edition:
    names = ("dns_request_started", "dns_request_finished")
    events = {name: Event(name, name, "dns", ("dns",), ("auth",), fields, {}) for name in names}
    return Edition("2.4.4", events, events, service_category=True, upper_hex=True)


def lookup(cached: str, **fields: Any) -> bytes:
    time = "2026-11-23T04:07:50.900000Z"
    record = {"event": "dns_request_finished", "hostname": "mx", "start_time": time, "end_time": time, "categories": ["dns", "service:auth"]}
    return orjson.dumps({**record, "fields": {"cached": cached, **fields}})


def test_dns_cached_rejects_an_error_beside_an_answer_from_the_cache() -> None:
    """The same lookup without the error passes, though it never started: from 2.4.2 on it need not."""
    made = edition(cached=Field("cached", "cached", "string", values=("yes", "no")), error=Field("error", "error", "string"))
    for line, rules in ((lookup("yes"), set()), (lookup("no", error="x"), set()), (lookup("yes", error="x"), {"dns-cached"})):
        validator = Validator(made, complete=True)
        validator.feed_line(line)
        assert set(validator.finish().faults) == rules


def test_pairs_beyond_the_limit_are_forgotten_and_what_ends_of_them_is_let_pass() -> None:
    """Memory is bounded; forgetting never makes a fault, and what began later is still checked."""
    from dovestorm import catalog

    ledger = Ledger()
    pairs = Pairs(
        Stream(ledger), catalog.load("2.3.6"), "passdb-pairs", ("auth_passdb_request_started", "auth_passdb_request_finished"), (), limit=100
    )
    for at in range(1000):
        pairs.start({}, at, at, "")
    assert len(pairs._open) <= 101
    for at in range(1000):
        pairs.finish({}, at, at, "")
    assert not ledger.findings
    pairs.finish({}, 2000, 2000, "")
    assert ledger.findings["passdb-pairs"].count == 1


def test_sessions_beyond_the_limit_are_forgotten() -> None:
    sessions = Sessions(Stream(Ledger()), limit=100)
    for number in range(1000):
        sessions.of(f"s{number}", number)
    assert len(sessions._live) <= 101
    assert sessions.count == 1000
    assert not sessions.known_from(500)
    assert sessions.known_from(1000)
