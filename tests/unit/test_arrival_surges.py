"""Arrivals that follow fault windows: the rate inside and outside, exact for constant arrivals, and what the loader refuses."""

from __future__ import annotations

import numpy as np
import pytest

from dovestorm import scenario
from dovestorm.engine.arrivals import arrival_chunks
from dovestorm.errors import ScenarioError, UsageError
from dovestorm.stream import Limits, Stream

HEAD = """\
scenario: surges
start: 2026-03-02T06:00:00Z
duration: 1h
arrivals: {arrivals}
faults:
  - {{fault: quiet, from: +10min, to: +15min}}
  - {{fault: storm, from: +20min, to: +20.5min}}
  - {{fault: storm, from: +30min, to: +31min}}
  - {{fault: calm, from: +30min, to: +45min}}
flows: [{{flow: only, steps: [{{emit: imap_command_finished}}]}}]
"""


def loaded(arrivals):
    return scenario.load_text(HEAD.format(arrivals=arrivals))


def moments(arrivals, *, seed=1, scale=1.0):
    """Seconds since the start of the sessions that begin within the hour."""
    found = loaded(arrivals)
    end, taken = found.start + found.duration, []
    for numbers, at in arrival_chunks(found.arrivals, begin=found.start, seed=seed, scale=scale, windows=found.faults):
        assert len(numbers) == len(at)
        taken.append(at)
        if at[-1] >= end:
            break
    every = np.concatenate(taken)
    assert (np.diff(every) >= 0).all()
    return (every[every < end] - found.start) / 1e6


def count(at, begin, end):
    return int(((at >= begin * 60) & (at < end * 60)).sum())


def test_constant_arrivals_keep_their_rate_exactly_in_every_stretch():
    at = moments("{constant: 10/s, during: {quiet: 0, storm: 20, calm: 0.1}}")
    assert count(at, 0, 10) == 6000
    assert count(at, 10, 15) == 0
    assert abs(count(at, 15, 20) - 3000) <= 1
    assert abs(count(at, 20, 20.5) - 6000) <= 1
    assert abs(count(at, 20.5, 30) - 5700) <= 1
    assert abs(count(at, 31, 45) - 840) <= 1
    assert abs(count(at, 45, 60) - 9000) <= 1


def test_of_two_open_windows_the_first_one_written_counts():
    assert abs(count(moments("{constant: 10/s, during: {storm: 20, calm: 0.1}}"), 30, 31) - 12_000) <= 1
    assert abs(count(moments("{constant: 10/s, during: {calm: 0.1, storm: 20}}"), 30, 31) - 60) <= 1


def test_a_curve_goes_on_beneath():
    at = moments('{constant: 10/s, daily: {"06:00": 1.0, "06:20": 0.5, "07:00": 0.5}, during: {storm: 4}}')
    assert abs(count(at, 20, 20.5) - 600) <= 2
    assert abs(count(at, 40, 60) - 6000) <= 2


def test_poisson_arrivals_have_the_expected_number():
    """1,200 sessions a minute are expected in the storm: five standard deviations are 173."""
    at = moments("{poisson: 2/s, during: {storm: 10}}")
    assert abs(count(at, 30, 31) - 1200) < 173
    assert abs(count(at, 45, 60) - 1800) < 5 * 43


def test_bursts_come_more_often():
    at = moments("{bursts: {rate: 6/min, size: 5, spread: 0s}, during: {quiet: 0, storm: 10}}".replace("size: 5", "size: {uniform: [5, 5]}"))
    assert count(at, 10, 15) == 0
    assert count(at, 30, 31) > 3 * count(at, 45, 60) / 15


def test_the_rate_factor_applies_to_surges_too():
    assert abs(count(moments("{constant: 10/s, during: {storm: 20}}", scale=0.5), 30, 31) - 6000) <= 1


def test_windows_that_lie_before_the_start_change_nothing():
    late = scenario.load_text(HEAD.format(arrivals="{constant: 1/s, during: {quiet: 7}}").replace("+10min", "05:00").replace("+15min", "05:30"))
    first = next(arrival_chunks(late.arrivals, begin=late.start, seed=1, windows=late.faults))[1]
    assert first[:3].tolist() == [late.start, late.start + 1_000_000, late.start + 2_000_000]


def test_a_window_that_is_open_at_the_start_counts_from_there():
    late = scenario.load_text(HEAD.format(arrivals="{constant: 1/s, during: {quiet: 2}}").replace("+10min", "05:00"))
    first = next(arrival_chunks(late.arrivals, begin=late.start, seed=1, windows=late.faults))[1]
    assert first[:3].tolist() == [late.start, late.start + 500_000, late.start + 1_000_000]


def test_shards_together_are_the_whole():
    found = loaded("{poisson: 4/s, during: {storm: 9}}")

    def sessions(shard):
        stream = Stream(scenario=found, seed=5, limits=Limits(duration=1_900_000_000), shard=shard)
        return {session for batch in stream.batches() for session in batch.session.tolist()}

    assert sessions((1, 2)) | sessions((2, 2)) == sessions((1, 1))


@pytest.mark.parametrize(
    ("arrivals", "message"),
    [
        ("{poisson: 1/s, during: {strom: 2}}", "unknown fault 'strom', did you mean 'storm'"),
        ("{poisson: 1/s, during: {storm: -1}}", "must be a number from 0 to 1000"),
        ("{poisson: 1/s, during: {storm: 1001}}", "must be a number from 0 to 1000"),
        ("{poisson: 1/s, during: 3}", "during"),
        ("{trace: [1s], during: {storm: 2}}", "a trace has its own times, it takes no 'during'"),
    ],
)
def test_what_cannot_be_is_refused(arrivals, message):
    with pytest.raises(ScenarioError) as caught:
        loaded(arrivals)
    assert message in str(caught.value)


SERVICE = """\
scenario: services
dovecot: 2.3.19
start: 2026-03-02T06:00:00Z
duration: 10s
arrivals: {constant: 1/s}
flows: [{flow: only, steps: [{use: dns-lookup, with: {service: SERVICE, host: imap.example.com}}]}]
"""


def test_a_fragments_parameter_may_name_the_service():
    found = Stream(scenario=scenario.load_text(SERVICE.replace("SERVICE", "lmtp")), limits=Limits(sessions=1))
    kinds = {kind.event: kind.categories for batch in found.batches() for kind, _, _ in batch.rows()}
    assert "service:lmtp" in kinds["dns_request_started"]
    assert "service:lmtp" in kinds["dns_request_finished"]
    assert "service:dns-client" in kinds["dns_worker_request_started"]


def test_a_service_that_differs_between_sessions_is_refused():
    with pytest.raises((ScenarioError, UsageError), match=r"service .* must be one name, the same for every session"):
        list(Stream(scenario=scenario.load_text(SERVICE.replace("SERVICE", "{choose: {lmtp: 1, auth: 1}}")), limits=Limits(sessions=1)).batches())


def test_a_service_that_is_no_parameter_is_refused():
    text = SERVICE.replace("{use: dns-lookup, with: {service: SERVICE, host: imap.example.com}}", "{emit: dns_request_started, service: $service}")
    with pytest.raises(ScenarioError, match="must be a service's name or a parameter of the fragment"):
        scenario.load_text(text)
