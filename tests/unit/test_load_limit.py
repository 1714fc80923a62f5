"""The search for a limit, with consumers that are only functions."""

from __future__ import annotations

import pytest

from dovestorm.load.limit import Probe, find_limit


def consumer(limit, *, briefly=None, ceiling=None):
    """Holds up to ``limit``; for short probes up to ``briefly``, because something on the way holds what is too much."""
    runs = []

    def run(rate, seconds):
        can = briefly if briefly and seconds < 30 else limit
        held = rate <= can
        runs.append((rate, seconds))
        achieved = min(rate, can)
        report = {
            "events": round(achieved * seconds),
            "offered": round(rate * seconds),
            "achieved_per_s": achieved,
            "lateness_ms": {"p99": 5.0, "max": 9.0},
            "each_second": {"least": achieved - 1, "median": achieved, "most": achieved + 1},
            "thresholds": [{"text": "achieved >= 99%", "passed": held}],
            "ceiling_per_s": ceiling,
            "workers": 1,
        }
        return Probe(rate=rate, seconds=seconds, held=held, report=report)

    return run, runs


@pytest.mark.parametrize("limit", [3, 999, 1000, 1001, 37_000, 2_500_000])
@pytest.mark.parametrize("precision", [0.02, 0.1])
def test_the_limit_is_found_from_below(limit, precision):
    run, runs = consumer(limit)
    found = find_limit(run, first=1000, precision=precision)
    assert limit / (1 + precision) <= found.rate <= limit < found.breaks_at <= found.rate * (1 + precision)
    assert runs[-1] == (found.rate, 60.0)
    assert all(seconds == 10.0 for _, seconds in runs[:-1])
    assert found.spread["median"] == found.rate


def test_what_only_a_buffer_held_is_not_confirmed():
    run, runs = consumer(10_000, briefly=14_000)
    found = find_limit(run, first=1000)
    assert 9_000 <= found.rate <= 10_000
    assert found.breaks_at > found.rate
    assert [seconds for _, seconds in runs].count(60.0) == 2


def test_nothing_above_the_most_is_tried():
    run, runs = consumer(10**9, ceiling=50_000)
    found = find_limit(run, first=1000, most=40_000)
    assert max(rate for rate, _ in runs) == found.rate == 40_000
    assert found.breaks_at is None
    assert found.is_near_ceiling
    assert "the limit lies higher" in found.to_text()
    assert "the generator's own limit" in found.to_text()


def test_a_consumer_that_holds_nothing():
    run, runs = consumer(0.5)
    found = find_limit(run, first=8)
    assert found.rate is None
    assert [rate for rate, _ in runs] == [8, 4, 2, 1]
    assert "not even briefly" in found.to_text()


def test_a_rate_that_never_lasts():
    run, _ = consumer(0, briefly=10_000)
    found = find_limit(run, first=1000)
    assert found.rate is None
    assert found.to_dict()["rate_per_s"] is None
    assert "held for 10 s, but not for longer" in found.to_text()


def test_a_probe_says_what_broke():
    run, _ = consumer(100)
    assert "breaks  (achieved 50.0 %, p99 lateness 5.0 ms; broken: achieved >= 99%)" in run(200, 1).to_text()
