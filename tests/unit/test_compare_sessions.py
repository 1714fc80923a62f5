"""Which events make a session, and what a session looks like to the classifier."""

from __future__ import annotations

import json

import pytest
from comparing import event, record, recorded

from dovestorm.compare import Record, features, group, records
from dovestorm.compare.flows import Flows
from dovestorm.compare.sampling import SessionSample
from dovestorm.compare.sessions import Grouping, Place
from dovestorm.compare.vocabulary import label, number, word

END = {"remote_ip": "192.0.2.7", "remote_port": 40_000}


def grouped(*items: Record) -> list[tuple[bool, list[str]]]:
    return [(session.named, [one.event for one in session.records]) for session in group(items)]


def test_the_session_field_groups_and_its_parts_belong_to_it() -> None:
    """``ID:T2`` and ``ID:R3`` are parts of ``ID``."""
    found = grouped(record("a", 1, session="X"), record("b", 2, session="Y"), record("c", 3, session="X:T2"), record("d", 4, session="X:R3"))
    assert found == [(True, ["a", "c", "d"]), (True, ["b"])]


def test_what_has_no_id_belongs_to_the_session_at_the_same_end() -> None:
    """Before the first event with the id as well as after it."""
    found = grouped(
        record("client_connection_connected", 1, **END),
        record("smtp_server_command_started", 2, session="X", **END),
        record("auth_master_client_login_started", 3, **END),
        record("auth_master_client_login_started", 4, remote_ip="192.0.2.8", remote_port=40_000),
    )
    assert found == [
        (True, ["client_connection_connected", "smtp_server_command_started", "auth_master_client_login_started"]),
        (False, ["auth_master_client_login_started"]),
    ]


def test_an_end_that_is_used_again_is_another_session() -> None:
    found = grouped(record("a", 1, session="X", **END), record("b", 2, session="Y", **END), record("c", 3, **END), record("d", 4, session="X"))
    assert found == [(True, ["a", "d"]), (True, ["b", "c"])]


def test_the_events_of_one_operation_are_kept_together() -> None:
    """They begin at the same microsecond; another operation of the kind does not."""
    found = grouped(
        record("dns_request_started", 10, lasts_us=10),
        record("dns_request_started", 12, lasts_us=5),
        record("dns_request_finished", 50, lasts_us=50),
    )
    assert found == [(False, ["dns_request_started", "dns_request_finished"]), (False, ["dns_request_started"])]


def test_a_session_is_in_order_of_end_time() -> None:
    assert grouped(record("late", 900, session="X"), record("early", 200, session="X")) == [(True, ["early", "late"])]


def test_the_memory_of_groups_is_bounded() -> None:
    grouping = Grouping(limit=3)
    first = grouping.place(record("a", 1, session="0"))
    for at in range(1, 5):
        grouping.place(record("a", at, session=str(at)))
    assert grouping.place(record("a", 9, session="0")) is not first


def test_a_recorded_delivery_is_whole() -> None:
    """Connection, commands, lookups in the auth process, delivery and disconnect of one LMTP session are one group."""
    names = [{one.event for one in session.records} for session in recorded("lmtp")]
    whole = {"client_connection_connected", "smtp_server_command_finished", "auth_userdb_request_finished", "mail_delivery_finished"}
    assert any(whole <= found for found in names)


def test_identities_and_absolute_time_are_no_features() -> None:
    """The same behaviour of another user, from elsewhere, at another hour looks the same."""
    fields = {"session": "X", "user": "ann", "id": 7, "cmd_args": "1:9", "remote_ip": "192.0.2.1", "remote_port": 1234, "bytes_in": 90}
    other = {**fields, "session": "Y", "user": "bob", "id": 99, "cmd_args": "2", "remote_ip": "192.0.2.2", "remote_port": 4321}
    here = [record("a", 500, **fields), record("b", 900, **fields)]
    there = [record("a", 3_600_000_500, **other), record("b", 3_600_000_900, **other)]
    assert features(here) == features(there)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ([("a", 500, {"bytes_in": 91}), ("b", 900, {})], "amount a@.bytes_in middle"),
        ([("a", 500, {"bytes_in": 90}), ("b", 901, {})], "amount gap a > b middle"),
        ([("b", 500, {}), ("a", 900, {"bytes_in": 90})], "then START > b"),
        ([("a", 500, {"bytes_in": 90, "error": "x"}), ("b", 900, {})], "has a@.error"),
        ([("a", 500, {"bytes_in": 90, "result": "ok"}), ("b", 900, {})], "is a@.result ok"),
    ],
    ids=["amount", "gap", "order", "presence", "value"],
)
def test_behaviour_is_a_feature(changed: list[tuple[str, int, dict[str, object]]], what: str) -> None:
    before = features([record("a", 500, bytes_in=90), record("b", 900)])
    after = features([record(name, at, **fields) for name, at, fields in changed])
    assert after[what] != before.get(what, 0)


def test_the_words_of_labels_and_values() -> None:
    assert label(record("imap_command_finished", 1, cmd_name="uid fetch")) == "imap_command_finished UID FETCH"
    assert label(record("imap_command_finished", 1, cmd_name=3)) == label(record("imap_command_finished", 1)) == "imap_command_finished"
    assert (number("bytes_in", 3), number("remote_port", 3), number("last_used", 3), number("x", True), number("x", 1 << 70)) == (
        3.0,
        None,
        None,
        None,
        None,
    )
    assert (word("reason", "took 123.4 s"), word("status_code", 404), word("user", "ann"), word("result", None)) == ("took 0.0 s", "404", None, None)


def test_the_sample_is_bounded_uniform_and_the_same_again() -> None:
    """Of 400 sessions 50 stay, whatever their order; one that had to go takes no more events."""
    places = [Place(f"session {number}", named=True) for number in range(400)]
    forth, back = SessionSample(50), SessionSample(50)
    for place in places:
        forth.join(place)
    for place in reversed(places):
        back.join(place)
    kept = [place.name for place in places if forth.holds(place)]
    assert len(kept) == 50 == len(forth.features(named=True))
    assert kept == [place.name for place in places if back.holds(place)]
    assert 10 <= sum(int(name.split()[1]) < 200 for name in kept) <= 40  # binomial(50, 1/2): 25 +- 4.2 standard deviations of 3.5
    other = SessionSample(50, seed=1)
    for place in places:
        other.join(place)
    assert kept != [place.name for place in places if other.holds(place)]


def test_beyond_the_limit_of_live_sessions_the_longest_silent_one_ends() -> None:
    flows = Flows(sample=10, live=2)
    for at, name in enumerate("XYZX"):
        flows.add(record("a", at, session=name), "a")
    flows.finish()
    assert flows.sessions.count == 4
    assert dict(flows.sessions.transitions) == {("START", "a"): 4, ("a", "END"): 4}


def test_records_pass_through_and_maps_are_read() -> None:
    (one,) = records([event("a", 5, session="X")])
    assert list(records([one])) == [one]
    assert json.dumps(one.fields) == '{"session": "X"}'
    assert (one.end_us - one.start_us, one.service) == (100, "")
