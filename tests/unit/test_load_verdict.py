"""Options, thresholds, the report and its exit codes."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from dovestorm.errors import UsageError
from dovestorm.load.junit import to_junit
from dovestorm.load.plan import read_plan
from dovestorm.load.report import LoadReport
from dovestorm.load.statistics import DeliveryStatistics
from dovestorm.load.thresholds import parse_threshold, read_thresholds

HOST = "tcp://127.0.0.1:9"


def report(*thresholds, events=1000, undelivered=0, late_us=5000):
    statistics = DeliveryStatistics()
    statistics.offer(0, events + undelivered)
    if events:
        statistics.deliver(0, events, events * 10, lateness_us=late_us, service_us=300)
    if undelivered:
        statistics.fail(0, undelivered=undelivered)
    facts = {"target": HOST, "scenario": "s", "workers": 1, "shards": 1, "is_open": True, "is_acknowledged": False, "seconds": 2.0, "whole": True}
    return LoadReport(**facts, offered=events + undelivered, statistics=statistics, thresholds=tuple(map(parse_threshold, thresholds)))


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("p99_lateness < 200ms", True),
        ("p99_lateness<4ms", False),
        ("p99.9_lateness <= 5.1ms", True),
        ("max_service < 301us", True),
        ("mean_lateness == 5ms", True),
        ("lost == 0", True),
        ("lost < 1%", True),
        ("achieved >= 99%", True),
        ("achieved >= 501/s", False),
        ("achieved >= 500/s", True),
        ("events >= 1000", True),
        ("bytes != 10000", False),
        ("seconds < 2s", False),
        ("retries == 0", True),
    ],
)
def test_a_threshold_is_held_against_what_was_measured(text, holds):
    (outcome,) = report(text).outcomes
    assert outcome.passed is holds, outcome.to_text()
    assert report(text).exit_code == (0 if holds else 3)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("p99_latenes < 1ms", "did you mean 'p99_lateness'"),
        ("lst == 0", "did you mean 'lost'"),
        ("p99_lateness < 200", "must be a duration such as 200ms"),
        ("lost == 1ms", "must be a number such as 0 or a share such as 99%"),
        ("achieved > 5", "must be a share such as 99% or a rate"),
        ("events > nan", "must be a number"),
        ("fine", "must be NAME, one of"),
    ],
)
def test_a_wrong_threshold_says_what_would_be_right(text, problem):
    with pytest.raises(UsageError, match="threshold") as caught:
        parse_threshold(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_the_report_says_what_delivered_means(is_acknowledged):
    """Where nobody acknowledges, delivered is no more than written, and the reader is told how to find out what arrived."""
    made = replace(report(), is_acknowledged=is_acknowledged)
    assert made.to_dict()["acknowledged"] is is_acknowledged
    assert ("only means written" in made.to_text()) is not is_acknowledged


def test_a_file_of_thresholds(tmp_path):
    path = tmp_path / "limits.yaml"
    path.write_text("thresholds:\n- p99_lateness < 200ms\n- lost == 0\n")
    assert [threshold.measure for threshold in read_thresholds(str(path))] == ["p99_lateness", "lost"]
    path.write_text("- p99_latenes < 200ms\n- lst == 0\n")
    with pytest.raises(UsageError, match="p99_lateness") as caught:
        read_thresholds(str(path))
    assert "'lost'" in str(caught.value)
    path.write_text("5\n")
    with pytest.raises(UsageError, match="must be a list"):
        read_thresholds(str(path))


def test_exit_codes():
    assert report().exit_code == 0
    assert report(events=0).exit_code == 1
    assert "nothing was delivered" in report(events=0).to_text()
    assert report(undelivered=1).exit_code == 1
    assert report("lost <= 5", undelivered=1).exit_code == 0, "a threshold that speaks of losses decides over them"
    assert report("lost == 0", undelivered=1).exit_code == 3
    assert report("p99_lateness < 1s", undelivered=1).exit_code == 1
    assert report("p99_lateness < 1s", events=0).exit_code == 1


def test_junit_names_what_failed():
    suite = ET.fromstring(to_junit(report("p99_lateness < 1ms", "lost == 0")).split("\n", 1)[1])  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    assert [case.get("name") for case in suite.findall("testcase") if case.find("failure") is not None] == ["p99_lateness < 1ms"]


def test_all_faults_of_the_options_at_once():
    with pytest.raises(UsageError) as caught:
        read_plan(
            {"scenario": "imap-logn", "event_format": "jsn", "rate": "x", "seed": "y", "threshold": ["lst == 0"], "prebuild": "5XB"}, host="tpc://a:1"
        )
    for expected in ("'imap-login'", "'json'", "--rate 'x'", "--seed 'y'", "'lost'", "--prebuild '5XB'", "'tcp'"):
        assert expected in str(caught.value), expected


def test_options_are_read():
    plan = read_plan(
        {"scenario": "imap-login", "rate": "6000/min", "prebuild": "2MB", "send_for": "1.5s", "threshold": "lost == 0, events > 5"}, host=HOST
    )
    assert (plan.rate, plan.prebuild, plan.send_for, plan.is_open, plan.is_acknowledged) == (100, 2_000_000, 1.5, True, False)
    assert [threshold.measure for threshold in plan.thresholds] == ["lost", "events"]
    assert not read_plan({"scenario": "imap-login"}, host=HOST).is_open
    assert read_plan({"scenario": "imap-login"}, host=HOST, unit="session").speed == 1.0


@pytest.mark.parametrize(
    ("options", "unit", "problem"),
    [
        ({"rate": "5/s", "speed": "1"}, "batch", "exclude each other"),
        ({"rate": "5/s"}, "session", "--rate means nothing for sessions"),
        ({"recording": "/nonexistent.jsonl"}, "batch", "no such file"),
        ({"connection": "sesion"}, "session", "did you mean 'session'"),
    ],
)
def test_what_does_not_go_together(options, unit, problem):
    with pytest.raises(UsageError, match=problem):
        read_plan({"scenario": "imap-login", **options}, host=HOST, unit=unit)
