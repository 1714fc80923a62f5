"""What workers count and the master merges."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovestorm.errors import UsageError
from dovestorm.load.schedule import Schedule
from dovestorm.load.statistics import COUNTS, DeliveryStatistics

deliveries = st.lists(st.tuples(st.integers(0, 59), st.integers(1, 5000), st.integers(0, 10**7), st.integers(0, 10**6)), max_size=30)


def counted(entries):
    statistics = DeliveryStatistics()
    for second, events, late, service in entries:
        statistics.offer(second, events)
        statistics.deliver(second, events, events * 250, lateness_us=late, service_us=service)
    return statistics


def facts(statistics):
    whole = statistics.whole
    return ([getattr(whole, name) for name in COUNTS], [whole.lateness_us.quantile(q / 100) for q in range(101)], statistics.rows())


@given(deliveries, deliveries)
def test_merging_is_counting_in_one_place(left, right):
    """Law: however the deliveries are shared out, and sent as messages, the sums, quantiles and seconds are the same."""
    merged = DeliveryStatistics()
    for part in (counted(left), counted(right)):
        merged.merge(DeliveryStatistics.from_dict(part.to_dict()))
    assert facts(merged) == facts(counted([*left, *right]))


def test_reports_in_pieces_are_the_whole():
    """Law: what is taken is counted once, and later counts begin at zero."""
    worker, master = DeliveryStatistics(), DeliveryStatistics()
    for second in range(300):
        worker.deliver(second, 10, 100, lateness_us=second * 1000, service_us=5)
        master.merge(worker.take())
    assert master.whole.events == 3000
    assert [row.events for row in master.rows()] == [10] * 300
    assert master.rows()[3].lateness_p50_ms == master.rows()[3].lateness_max_ms == 3.0  # settled long ago
    assert worker.whole.events == 0


def test_a_backlog_grows_until_it_is_delivered():
    statistics = DeliveryStatistics()
    for second in range(3):
        statistics.offer(second, 100)
    statistics.fail(1, undelivered=50)
    statistics.deliver(2, 250, 1, lateness_us=2_000_000, service_us=1)
    assert [row.backlog for row in statistics.rows()] == [100, 150, 0]


def test_what_is_revoked_or_not_asked_for_is_no_backlog():
    """Law: every event that was offered is delivered, given up or not asked for, in the end once."""
    statistics = DeliveryStatistics()
    statistics.offer(0, 100)
    statistics.deliver(0, 90, 900, lateness_us=1, service_us=1)
    statistics.trouble(0, unasked=10)
    statistics.revoke(1, 30, 300)
    statistics.fail(1, undelivered=30)
    whole = DeliveryStatistics.from_dict(statistics.to_dict()).whole
    assert (whole.events, whole.bytes, whole.undelivered, whole.unasked) == (60, 600, 30, 10)
    assert [row.backlog for row in statistics.rows()] == [0, 0]


rates = st.floats(0.5, 1e6)


@given(st.lists(st.tuples(st.floats(0, 20), st.one_of(st.just(0.0), rates)), max_size=6), rates, st.integers(0, 10**6))
def test_as_many_events_are_due_as_have_a_due_moment_before(changes, first, number):
    """Law: event k is due no earlier than k events are, whatever changes the rate went through."""
    schedule = Schedule(first)
    for at, rate in sorted(changes):
        schedule.change(at, rate)
    due = schedule.due(number)
    if math.isfinite(due):
        assert abs(schedule.count(due) - (number + 1)) <= 1
        assert schedule.due(number + 1) >= due
    assert Schedule.from_list(schedule.to_list()).due(number) == due


def test_a_schedule_that_stands_still():
    schedule = Schedule(0)
    assert schedule.due(0) == math.inf
    assert schedule.count(100) == 0
    schedule.change(5, 10)
    assert [schedule.due(k) for k in (0, 10)] == [5, 6]
    assert (schedule.count(4.9), schedule.count(5), schedule.count(6)) == (0, 1, 11)
    schedule.change(6, 0)
    assert schedule.due(10) == math.inf
    with pytest.raises(UsageError, match="rate -1"):
        schedule.change(7, -1)
