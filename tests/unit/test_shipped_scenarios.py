"""What every shipped scenario promises: valid for the 2.3.6 list and a real server's edition, the same bytes for a seed, and no real names."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections import Counter
from datetime import datetime
from functools import cache
from pathlib import Path

import pytest

from dovestorm import catalog, resources, scenario
from dovestorm.api import generate
from dovestorm.validate import Validator

ROOT = Path(__file__).resolve().parents[2]
NAMES = [name for name, _ in scenario.shipped()]
FAILED_LOGIN = ("auth_client_request_finished", "error", ())
TROUBLES = {
    "brute-force": ("attack", FAILED_LOGIN),
    "dns-trouble": ("gone", ("dns_request_finished", "error", ())),
    "http-retries": ("outage", ("http_request_finished", "status_code", (200,))),
    "login-storm": ("flood", ("auth_client_request_started", "id", ())),
    "master-user": ("raid", ("auth_request_finished", "master_user", ())),
    "password-spray": ("spray", FAILED_LOGIN),
    "policy-delays": ("down", ("http_request_finished", "status_code", (200,))),
    "sql-outage": ("sql-down", ("sql_query_finished", "error", ())),
}
"""The window in which it is worst, and an event that is then seen more often: its name, a field that it has, and values that do not count."""
EVERYTHING = "every-event"
"""The scenario that holds every event for its own sake; the others must hold them all without it."""


@cache
def coverage():
    spec = importlib.util.spec_from_file_location("coverage_table", ROOT / "scripts" / "coverage_table.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def counted():
    return coverage().everything()


@pytest.mark.parametrize("dovecot", ["2.3.6", "2.3.19", "2.3.21", "2.4.1"])
@pytest.mark.parametrize("name", NAMES)
def test_a_scenario_is_valid_in_all_of_its_phases_and_the_same_twice(name, dovecot):
    """Law: what a shipped scenario makes is what a server of that edition could have written, byte for byte by the seed."""
    stream = generate(name, dovecot=dovecot, seed=11, rate=coverage().thin(name, 10 if name == "migration" else 70, dovecot=dovecot))
    made = stream.bytes()
    assert made.count(b"\n") > 100
    assert made == stream.bytes()
    validator = Validator(catalog.load(dovecot))
    validator.feed(made)
    report = validator.finish()
    assert report.valid, report.to_text()
    assert not report.notes, report.to_text()


@pytest.mark.parametrize("name", NAMES)
def test_sessions_that_end_leave_nothing_open(name):
    """Law: when every session runs to its end, everything that starts finishes, and the other way round."""
    validator = Validator(catalog.load("2.3.19"), complete=True)
    validator.feed(generate(name, dovecot="2.3.19", seed=12, sessions=25).bytes())
    report = validator.finish()
    assert report.valid, report.to_text()


@pytest.mark.parametrize("dovecot", ["2.3.7", "2.3.10", "2.3.13", "2.3.18", "2.4.4"])
@pytest.mark.parametrize("name", sorted(set(NAMES) - {EVERYTHING}))
def test_a_scenario_is_valid_for_other_releases(name, dovecot):
    """A few sessions for releases at which much changed; the everything scenario has a test of its own for all of them."""
    validator = Validator(catalog.load(dovecot))
    validator.feed(generate(name, dovecot=dovecot, seed=14, sessions=4).bytes())
    report = validator.finish()
    assert report.valid, report.to_text()
    assert not report.notes, report.to_text()


def test_other_seeds_give_other_bytes():
    assert generate("admin", dovecot="2.3.6", seed=1, sessions=50).bytes() != generate("admin", dovecot="2.3.6", seed=2, sessions=50).bytes()


def test_no_event_and_no_field_of_the_list_is_left_out():
    found = [seen for name, seen in counted().items() if name != EVERYTHING]
    missing = [
        f"{event.name} {spec}".strip()
        for event in catalog.load("2.3.6").events.values()
        for spec in ("", *(one.name for one in event.fields.values()))
        if not any(seen.fields[event.name, spec] if spec else seen.events[event.name] for seen in found)
    ]
    assert missing == []


def test_the_coverage_page_is_up_to_date():
    committed = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert committed == coverage().page(counted(), coverage().beyond()), "renew with: python scripts/coverage_table.py, and read the difference"


@pytest.mark.parametrize(
    ("name", "event", "service"),
    [
        ("working-day", "mail_opened", "imap"),
        ("webmail", "mail_expunged", "imap"),
        ("pop3", "mail_user_session_finished", "pop3"),
        ("lmtp-delivery", "smtp_server_transaction_finished", "lmtp"),
        ("lmtp-delivery", "mail_delivery_finished", "lmtp"),
        ("lmtp-delivery", "sieve_action_finished", "lmtp"),
    ],
)
def test_real_editions_tell_of_mailboxes_and_deliveries_too(name, event, service):
    made = generate(name, dovecot="2.3.19", seed=14, sessions=60).to_list()
    assert any(one.name == event and f"service:{service}" in one.categories for one in made)
    assert all(one.name != event for one in generate(name, dovecot="2.3.6", seed=14, sessions=60))


def test_the_pages_marks_tell_always_from_sometimes():
    seen = coverage().Seen(Counter({"a": 2}), Counter({("a", "x"): 2, ("a", "y"): 1}))
    assert [seen.mark("a", name) for name in "xyz"] == ["●", "○", ""]


@pytest.mark.parametrize("path", sorted(resources.scenarios_dir().rglob("*.yaml")), ids=lambda path: path.stem)
def test_hosts_and_addresses_are_reserved_ones(path):
    """Nobody's real host, domain or address: RFC 2606, 6761, 5737, 1918, 6598."""
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    hosts = re.findall(r"\b(?:[a-z0-9-]+\.)+(?:com|org|net|de|io|eu|uk|example|test)\b", text)
    assert [host for host in hosts if not re.search(r"(^|\.)(example\.(com|org|net)|[a-z-]+\.test|mail\.example|example)$", host)] == []
    addresses = re.findall(r"(?<![\d.])\d+\.\d+\.\d+\.\d+(?![\d.])", text)
    reserved = r"(10|127)\..*|192\.0\.2\..*|198\.51\.100\..*|203\.0\.113\..*|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\..*"
    assert [address for address in addresses if not re.fullmatch(reserved, address)] == []


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble_begins_and_ends(name):
    """Baseline, incident, recovery: of what the incident brings there is more than twice as much a minute as before and after."""
    window, (event, field, usual) = TROUBLES[name]
    stream = generate(name, dovecot="2.3.6", seed=13, rate=coverage().thin(name, 1200))
    found = stream.stream.scenario
    first, last = min(one.begin for one in found.faults), max(one.end for one in found.faults)
    begin, end = next((one.begin, one.end) for one in found.faults if one.name == window)
    moments = []
    for line in stream.bytes().splitlines():
        record = json.loads(line)
        if record["event"] == event and record["fields"].get(field, usual) not in (usual, *usual):
            moments.append(datetime.fromisoformat(record["start_time"]).timestamp() * 1e6)

    def each_minute(begin, end):
        return sum(begin <= moment < end for moment in moments) * 6e7 / max(end - begin, 1)

    # The second half of what comes after: by then the last of the crowd has gone.
    over = found.start + found.duration
    worst = each_minute(begin, end)
    assert worst > 2 * each_minute(found.start, first)
    assert worst > 2 * each_minute((last + over) // 2, over)


@pytest.mark.parametrize("name", TROUBLES)
def test_what_is_planted_is_marked(name):
    """Labels will be attached to these flows and steps; the comment says which they are."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in resources.scenarios_dir().rglob("*.yaml")}
    used, todo = set(), [name]
    while todo:
        used.add(one := todo.pop())
        todo += set(re.findall(r"use: ([a-z-]+)", texts[one])) - used
    assert any("# Planted: " in texts[one] for one in used)
