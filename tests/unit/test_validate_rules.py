"""Each rule rejects, for exactly its reason, a stream that differs from a real and valid one in that alone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from validation import Record, findings, first, recording, report_on, without

from dovestorm.validate import RULES, Severity

Break = Callable[[list[Record]], list[Record] | None]
CASES: list[Any] = []


def breaks(rule: str, name: str, **options: Any) -> Callable[[Break], Break]:
    """The decorated function changes the recording ``name`` so that ``rule`` is broken, in place or by giving another list."""

    def keep(function: Break) -> Break:
        CASES.append(pytest.param(rule, name, options, function, id=f"{rule}-{function.__name__}"))
        return function

    return keep


def moment(record: Record, us: int) -> str:
    """The record's end_time, shifted."""
    import datetime as dt

    shifted = dt.datetime.fromisoformat(record["end_time"]) + dt.timedelta(microseconds=us)
    return shifted.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def of_session(record: Record, other: Record) -> Record:
    """A copy of a record as if another record's session had sent it, at that record's time."""
    made = copy.deepcopy(record)
    for name in ("session", "remote_ip", "remote_port", "local_ip", "local_port"):
        if name in made["fields"] and name in other["fields"]:
            made["fields"][name] = other["fields"][name]
    made["start_time"] = made["end_time"] = moment(other, 1)
    made["fields"]["duration"] = 0
    return made


def after(records: list[Record], place: Record, *new: Record) -> list[Record]:
    at = next(index for index, record in enumerate(records) if record is place) + 1
    for record in new:
        record["end_time"] = place["end_time"]
    return records[:at] + list(new) + records[at:]


# ---------------------------------------------------------------- reading, time, catalog


@breaks("record-shape", "clean_login")
def key_missing(records: list[Record]) -> None:
    del first(records, "imap_command_finished")["hostname"]


@breaks("record-shape", "clean_login")
def keys_in_another_order(records: list[Record]) -> None:
    at = next(i for i, r in enumerate(records) if r["event"] == "imap_command_finished")
    records[at] = dict(reversed(records[at].items()))


@breaks("record-shape", "clean_login")
def hostname_is_a_number(records: list[Record]) -> None:
    first(records, "imap_command_finished")["hostname"] = 7


@breaks("timestamp", "clean_login")
def five_digits(records: list[Record]) -> None:
    record = first(records, "imap_command_finished")
    record["start_time"] = record["start_time"][:-2] + "Z"


@breaks("timestamp", "clean_login")
def thirteenth_month(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["last_run_time"] = "2026-13-23T04:07:50.811472Z"


@breaks("time-format", "clean_login")
def unix_among_text(records: list[Record]) -> None:
    last = copy.deepcopy(first(records, "imap_command_finished", cmd_name="SELECT"))
    last["fields"]["session"] = "another"
    last["start_time"] = last["end_time"] = 1795500000.123456
    last["fields"]["last_run_time"] = 1795500000.123456
    records.append(last)


@breaks("end-time-order", "clean_login")
def a_late_record(records: list[Record]) -> None:
    records[20]["end_time"] = moment(records[19], -1)


@breaks("duration-fits", "clean_login")
def longer_than_it_can_have_been(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["duration"] += 60_000


@breaks("unknown-event", "clean_login")
def misspelt_event(records: list[Record]) -> None:
    first(records, "imap_command_finished")["event"] = "imap_command_finish"


@breaks("unknown-field", "clean_login")
def misspelt_field(records: list[Record]) -> None:
    fields = first(records, "imap_command_finished")["fields"]
    fields["bytes_inn"] = 1


@breaks("missing-field", "clean_login")
def no_byte_count(records: list[Record]) -> None:
    del first(records, "imap_command_finished")["fields"]["bytes_in"]


@breaks("field-type", "clean_login")
def a_boolean(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["bytes_in"] = True


@breaks("field-type", "clean_login")
def a_fraction(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["bytes_in"] = 1.5


@breaks("field-type", "clean_login")
def a_null(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["cmd_args"] = None


@breaks("field-type", "clean_login")
def a_map(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["session"] = {"id": 1}


@breaks("field-type", "clean_login")
def a_giant_integer(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["bytes_in"] = 10**40


@breaks("field-type", "clean_login")
def no_address(records: list[Record]) -> None:
    for record in records:
        if "remote_ip" in record["fields"]:
            record["fields"]["remote_ip"] = "127.0.0.256"


@breaks("field-type", "clean_login")
def a_list_of_numbers(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["reason_code"] = [1]


@breaks("field-range", "clean_login")
def beyond_64_bits(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["bytes_in"] = 2**63


@breaks("field-range", "clean_login")
def negative_bytes(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["bytes_out"] = -1


@breaks("closed-set", "clean_login")
def unheard_of_result(records: list[Record]) -> None:
    first(records, "auth_request_finished")["fields"]["transport"] = "tls"


@breaks("field-order", "clean_login")
def fields_reversed(records: list[Record]) -> None:
    record = first(records, "auth_request_finished")
    record["fields"] = dict(reversed(record["fields"].items()))


@breaks("categories", "clean_login")
def category_missing(records: list[Record]) -> None:
    first(records, "imap_command_finished")["categories"].remove("imap")


@breaks("categories", "clean_login")
def category_unknown(records: list[Record]) -> None:
    first(records, "imap_command_finished")["categories"].append("imaps")


@breaks("service-category", "clean_login")
def service_missing(records: list[Record]) -> None:
    first(records, "imap_command_finished")["categories"].remove("service:imap")


@breaks("service-category", "clean_login")
def service_of_another_event(records: list[Record]) -> None:
    first(records, "imap_command_finished")["categories"] = ["imap", "service:dns-client"]


# ---------------------------------------------------------------- authentication


@breaks("started-is-instant", "sql")
def a_start_that_lasts(records: list[Record]) -> None:
    """Starts of client requests long ago, so that the duration fits."""
    for record in records:
        record["end_time"] = moment(record, 3_000_000)
    first(records, "auth_client_request_started")["fields"]["duration"] = 2_000_000


@breaks("auth-client-request-pairs", "clean_login")
def request_never_started(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_client_request_started"))


@breaks("auth-client-request-pairs", "clean_login")
def request_started_at_another_time(records: list[Record]) -> None:
    record = first(records, "auth_client_request_finished")
    record["start_time"] = record["start_time"][:-2] + ("0Z" if record["start_time"][-2] != "0" else "1Z")


@breaks("auth-client-request-pairs", "failed_auth", complete=False)
def request_never_finished(records: list[Record]) -> list[Record]:
    """The session's next request shows that the first one is over."""
    starts = [r for r in records if r["event"] == "auth_client_request_started"]
    sessions = [r["fields"]["session"] for r in starts]
    again = next(r for r in starts if sessions.count(r["fields"]["session"]) > 1)
    ends = [r for r in records if r["event"] == "auth_client_request_finished" and r["start_time"] == again["start_time"]]
    answers = [r for r in records if r["event"] == "auth_request_finished" and r["fields"]["session"] == again["fields"]["session"]]
    keep = without(records, ends[0])
    return without(keep, answers[0])


@breaks("auth-client-request-pairs", "imap_mix", complete=False)
def mailbox_commands_in_an_open_request(records: list[Record]) -> list[Record]:
    gone = first(records, "auth_client_request_finished")
    answer = first(records, "auth_request_finished", session=gone["fields"]["session"])
    return without(without(records, gone), answer)


@breaks("challenge-order", "auth_mechs")
def challenged_twice(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_client_request_continued", mechanism="LOGIN"))


@breaks("challenge-order", "auth_mechs")
def answered_without_challenge(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_client_request_challenged"))


@breaks("passdb-pairs", "clean_login")
def passdb_never_started(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_passdb_request_started"))


@breaks("passdb-pairs", "failed_auth", complete=False)
def passdb_never_finished(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_passdb_request_finished", result="password_mismatch"))


@breaks("passdb-pairs", "clean_login")
def passdb_finished_twice(records: list[Record]) -> list[Record]:
    record = first(records, "auth_passdb_request_finished")
    return after(records, record, copy.deepcopy(record))


@breaks("passdb-pairs", "clean_login")
def passdb_of_another_name(records: list[Record]) -> None:
    first(records, "auth_passdb_request_finished")["fields"]["passdb_id"] = "9"


@breaks("userdb-pairs", "clean_login")
def userdb_never_started(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_userdb_request_started"))


@breaks("master-login-pairs", "clean_login")
def master_login_never_started(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_master_client_login_started"))


@breaks("master-login-pairs", "clean_login")
def master_login_never_finished(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_master_client_login_finished"))


@breaks("lookup-pairs", "lmtp")
def lookup_never_started(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_client_userdb_lookup_started"))


@breaks("lookup-pairs", "chain_master")
def flush_never_started(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_client_cache_flush_started"))


@breaks("success-without-error", "clean_login")
def succeeded_with_an_error(records: list[Record]) -> None:
    first(records, "auth_request_finished", success="yes")["fields"]["error"] = "odd"


@breaks("success-needs-passdb-ok", "clean_login")
def succeeded_after_a_mismatch(records: list[Record]) -> None:
    first(records, "auth_passdb_request_finished")["fields"]["result"] = "password_mismatch"


@breaks("policy-result", "policy")
def delayed_without_penalty(records: list[Record]) -> None:
    del first(records, "auth_request_finished", policy_result="delayed")["fields"]["policy_penalty"]


@breaks("policy-result", "policy")
def ok_with_penalty(records: list[Record]) -> None:
    first(records, "auth_request_finished", policy_result="ok")["fields"]["policy_penalty"] = 3


@breaks("policy-response", "policy")
def report_with_response(records: list[Record]) -> None:
    first(records, "auth_policy_request_finished", mode="report")["fields"]["policy_response"] = 0


@breaks("policy-response", "policy")
def allow_without_response(records: list[Record]) -> None:
    del first(records, "auth_policy_request_finished", mode="allow")["fields"]["policy_response"]


@breaks("refused-without-passdb", "failed_auth")
def refused_and_looked_up(records: list[Record]) -> None:
    session = first(records, "auth_passdb_request_finished", result="password_mismatch")["fields"]["session"]
    first(records, "auth_request_finished", session=session)["fields"]["policy_result"] = "refused"


@breaks("auth-request-once", "failed_auth")
def decided_twice(records: list[Record]) -> list[Record]:
    record = next(r for r in records if r["event"] == "auth_request_finished" and "success" not in r["fields"])
    return after(records, record, copy.deepcopy(record))


@breaks("auth-request-once", "failed_auth")
def decided_outside(records: list[Record]) -> None:
    """Ten minutes later, in a session with no request there."""
    record = copy.deepcopy(next(r for r in records if r["event"] == "auth_request_finished" and "success" not in r["fields"]))
    record["start_time"] = record["end_time"] = moment(records[-1], 500_000_000)
    record["fields"]["duration"] = 0
    records.append(record)


@breaks("auth-outcome", "clean_login")
def accepted_without_a_verdict(records: list[Record]) -> list[Record]:
    return without(records, first(records, "auth_request_finished"))


@breaks("auth-outcome", "failed_auth")
def accepted_against_the_verdict(records: list[Record]) -> None:
    del first(records, "auth_client_request_finished", error="Authentication failed")["fields"]["error"]


@breaks("userdb-after-authentication", "failed_auth")
def userdb_after_a_failure(records: list[Record]) -> list[Record]:
    failed = first(records, "auth_client_request_finished", error="Authentication failed")
    new = [of_session(first(records, f"auth_userdb_request_{step}"), failed) for step in ("started", "finished")]
    return after(records, failed, *new)


@breaks("userdb-after-authentication", "clean_login")
def userdb_before_the_verdict(records: list[Record]) -> list[Record]:
    passdb = first(records, "auth_passdb_request_finished")
    session = passdb["fields"]["session"]
    moved = [first(records, f"auth_userdb_request_{step}", session=session) for step in ("started", "finished")]
    for record in moved:
        records = without(records, record)
        record["start_time"] = passdb["end_time"]
        record["fields"]["duration"] = 1
    return after(records, passdb, *moved)


@breaks("master-login-outcome", "clean_login")
def neither_user_nor_error(records: list[Record]) -> None:
    del first(records, "auth_master_client_login_finished")["fields"]["user"]


# ---------------------------------------------------------------- sessions and commands


@breaks("mailbox-after-failed-authentication", "failed_auth")
def a_command_after_a_failure(records: list[Record]) -> list[Record]:
    failed = first(records, "auth_client_request_finished", error="Authentication failed")
    command = of_session(first(recording("clean_login"), "imap_command_finished"), failed)
    command["fields"].update(last_run_time=command["start_time"], running_usecs=0, lock_wait_usecs=0)
    return after(records, failed, command)


@breaks("session-addresses", "clean_login")
def another_port(records: list[Record]) -> None:
    first(records, "imap_command_finished", cmd_name="LOGOUT")["fields"]["remote_port"] += 1


@breaks("session-user", "clean_login")
def another_user(records: list[Record]) -> None:
    first(records, "imap_command_finished", cmd_name="LOGOUT")["fields"]["user"] = "mallory"


@breaks("session-user-renamed", "clean_login")
def renamed_user(records: list[Record]) -> None:
    session = first(records, "imap_command_finished")["fields"]["session"]
    for record in records:
        if record["event"] == "imap_command_finished" and record["fields"]["session"] == session:
            record["fields"]["user"] = "renamed"


@breaks("command-after-logout", "clean_login")
def a_command_too_many(records: list[Record]) -> list[Record]:
    logout = first(records, "imap_command_finished", cmd_name="LOGOUT")
    return after(records, logout, copy.deepcopy(first(records, "imap_command_finished", cmd_name="SELECT")))


@breaks("imap-reply", "clean_login")
def another_state(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["tagged_reply_state"] = "NO"


@breaks("imap-reply", "clean_login")
def no_reply(records: list[Record]) -> None:
    del first(records, "imap_command_finished")["fields"]["tagged_reply"]


@breaks("imap-reply", "clean_login")
def no_state(records: list[Record]) -> None:
    del first(records, "imap_command_finished")["fields"]["tagged_reply_state"]


@breaks("imap-reply", "clean_login")
def empty_tag(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["cmd_tag"] = ""


@breaks("imap-unknown-command", "clean_login")
def unknown_and_done(records: list[Record]) -> None:
    first(records, "imap_command_finished")["fields"]["cmd_name"] = "unknown"


@breaks("imap-times", "clean_login")
def waited_longer_than_it_ran(records: list[Record]) -> None:
    fields = first(records, "imap_command_finished")["fields"]
    fields["lock_wait_usecs"] = fields["running_usecs"] + 20_000


@breaks("imap-times", "clean_login")
def ran_longer_than_it_lasted(records: list[Record]) -> None:
    fields = first(records, "imap_command_finished")["fields"]
    fields["running_usecs"] = fields["duration"] + 20_000


@breaks("imap-times", "clean_login")
def ran_after_the_end(records: list[Record]) -> None:
    record = first(records, "imap_command_finished")
    record["fields"]["last_run_time"] = moment(record, 20_000)


# ---------------------------------------------------------------- connections, HTTP, DNS, SQL


@breaks("connection-pairs", "clean_login")
def disconnected_without_connect(records: list[Record]) -> list[Record]:
    return without(records, first(records, "server_connection_connected"))


@breaks("connection-pairs", "clean_login")
def disconnected_twice(records: list[Record]) -> list[Record]:
    record = first(records, "server_connection_disconnected")
    return after(records, record, copy.deepcopy(record))


@breaks("connection-endpoint", "lmtp")
def an_address_and_a_peer(records: list[Record]) -> None:
    next(r for r in records if r["event"] == "client_connection_connected" and "remote_ip" in r["fields"])["fields"]["remote_pid"] = 5


@breaks("http-attempts", "http_client", complete=False)
def retries_not_counted(records: list[Record]) -> None:
    next(r for r in records if r["event"] == "http_request_finished" and r["fields"]["attempts"] == 1)["fields"]["attempts"] = 0


@breaks("http-attempts", "http_client", complete=False)
def a_retry_lost(records: list[Record]) -> list[Record]:
    return without(records, first(records, "http_request_retried"))


@breaks("http-attempts", "http_client", complete=False)
def redirects_not_counted(records: list[Record]) -> None:
    first(records, "http_request_finished", redirects=1, status_code=200)["fields"]["redirects"] = 0


@breaks("http-attempts", "http_client", complete=False)
def another_target(records: list[Record]) -> None:
    next(r for r in records if r["event"] == "http_request_finished" and r["fields"]["attempts"] == 1)["fields"]["target"] = "/elsewhere"


@breaks("http-status", "http_client", complete=False)
def redirected_by_success(records: list[Record]) -> None:
    first(records, "http_request_redirected")["fields"]["status_code"] = 200


@breaks("dns-pairs", "proxy_dns")
def request_finished_unasked(records: list[Record]) -> list[Record]:
    return without(records, first(records, "dns_request_started"))


@breaks("dns-pairs", "proxy_dns")
def worker_finished_unasked(records: list[Record]) -> list[Record]:
    return without(records, first(records, "dns_worker_request_started"))


@breaks("error-code-needs-error", "proxy_dns")
def code_alone(records: list[Record]) -> None:
    record = next(r for r in records if r["event"] == "dns_request_finished" and "error" in r["fields"])
    del record["fields"]["error"]


@breaks("slow-query", "sql")
def slow_and_silent(records: list[Record]) -> None:
    record = first(records, "sql_query_finished")
    record["start_time"] = moment(record, -2_000_000)
    record["fields"]["duration"] = 2_000_000


@breaks("slow-query", "sql")
def quick_and_slow(records: list[Record]) -> None:
    first(records, "sql_query_finished")["fields"]["slow_query"] = "y"


@pytest.mark.parametrize(("rule", "name", "options", "function"), CASES)
def test_a_broken_stream_is_rejected_for_exactly_its_reason(rule: str, name: str, options: dict[str, Any], function: Break) -> None:
    """Its valid neighbour, the recording itself, passes."""
    options = {"complete": True, **options}
    records = recording(name)
    neighbour = report_on(records, **options)
    assert neighbour.valid, neighbour.to_text()
    assert not findings(neighbour)
    broken = function(records)
    report = report_on(records if broken is None else broken, **options)
    expected = set() if rule == "field-order" else {rule}
    assert findings(report) == expected, report.to_text()
    found = report.faults if RULES[rule].severity is Severity.FAULT else report.notes
    assert found[rule].examples[0].reason
    assert report.valid == (RULES[rule].severity is Severity.NOTE)
