"""The open-loop schedule, and the sketch that holds its lateness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovestorm.block import Block
from dovestorm.clock import FakeClock, wait_until
from dovestorm.delivery import Pacer
from dovestorm.delivery.quantiles import QuantileSketch
from dovestorm.errors import UsageError


def block(count: int, due: list[int] | None = None) -> Block:
    ends = np.arange(1, count + 1, dtype=np.int64)
    return Block(memoryview(bytes(count)), ends, 0, None if due is None else np.array(due, np.int64))


def never() -> bool:
    return False


def run(pacer: Pacer, clock: FakeClock, blocks: list[Block], cost_s: float = 0.0) -> list[tuple[float, int]]:
    """Send all; give when each slice left and how many records it had. Sending takes ``cost_s`` a slice."""
    left = []
    for each in blocks:
        for due, part in pacer.slices(each):
            pacer.wait(due, never)
            left.append((round(clock.now, 9), len(part)))
            clock.now += cost_s
            pacer.left(due, len(part))
    return left


def test_a_slow_rate_sends_one_by_one() -> None:
    """Below 100 events/s each record leaves at its own moment: index divided by rate."""
    clock = FakeClock(100.0)
    assert run(Pacer(rate=4, clock=clock), clock, [block(3), block(2)]) == [(100.0, 1), (100.25, 1), (100.5, 1), (100.75, 1), (101.0, 1)]


def test_a_high_rate_sends_slices_of_ten_milliseconds() -> None:
    """A slice leaves at its first record's moment; block borders do not shift the schedule."""
    clock = FakeClock()
    assert run(Pacer(rate=1000, clock=clock), clock, [block(25), block(10)]) == [(0.0, 10), (0.01, 10), (0.02, 5), (0.025, 10)]


def test_real_time_follows_the_records() -> None:
    """Speed 1 keeps the distances; records within 10 ms leave together."""
    clock = FakeClock(50.0)
    due = [7_000_000, 7_000_000, 7_009_999, 7_010_000, 8_000_000]
    assert run(Pacer(speed=1, clock=clock), clock, [block(5, due)]) == [(50.0, 3), (50.01, 1), (51.0, 1)]


def test_speed_divides_the_distances() -> None:
    """Speed 60 shows a minute in a second, across blocks."""
    clock = FakeClock()
    blocks = [block(1, [0]), block(1, [60_000_000]), block(1, [180_000_000])]
    assert run(Pacer(speed=60, clock=clock), clock, blocks) == [(0.0, 1), (1.0, 1), (3.0, 1)]


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=60), st.sampled_from([0.5, 1.0, 10.0]), st.integers(1, 7))
def test_every_record_is_in_one_slice_and_none_early_by_more_than_a_slice(due: list[int], speed: float, cut: int) -> None:
    """Slices hold all records in order, and a record leaves at most 10 ms (of wall time) before its own moment, never after it."""
    due.sort()
    pacer = Pacer(speed=speed, clock=FakeClock())
    seen: list[int] = []
    for first in range(0, len(due), cut):
        for at, part in pacer.slices(block(len(due[first : first + cut]), due[first : first + cut])):
            assert part.due is not None
            for each in part.due.tolist():
                assert 0 <= (each - due[0]) / 1e6 / speed - at + 1e-9 <= 0.010 + 1e-6
                seen.append(each)
    assert seen == due


def test_a_stall_is_seen_in_full() -> None:
    """No coordinated omission: after a stall of a second, all that was due meanwhile counts as late, and the schedule stays what it was."""
    clock = FakeClock()
    pacer = Pacer(rate=100, clock=clock)
    for number, (due, part) in enumerate(pacer.slices(block(200))):
        pacer.wait(due, never)
        clock.now += 1.0 if number == 0 else 0.0
        pacer.left(due, len(part))
    assert clock.now == pytest.approx(1.99)
    assert pacer.lateness_us.largest == 1_000_000
    assert pacer.lateness_us.count == 200
    late = pacer.lateness_us.quantile(0.75)
    assert 490_000 <= late <= 530_000  # half of the records were due in the stalled second; 3/4 of all are at most half a second late


def test_a_receiver_that_is_too_slow_is_offered_the_same_rate() -> None:
    """Lateness grows with every slice when each takes twice its share."""
    clock = FakeClock()
    pacer = Pacer(rate=100, clock=clock)
    run(pacer, clock, [block(100)], cost_s=0.02)
    assert pacer.lateness_us.largest == pytest.approx(1_010_000, abs=10)
    assert pacer.offered_per_s == 100


def test_waiting_ends_when_it_is_stopped() -> None:
    """Long waits are cut into naps of a tenth of a second."""
    clock = FakeClock()
    assert not wait_until(clock, 3600.0, lambda: clock.now >= 0.5)
    assert clock.now < 0.65


def test_offered_rate_of_a_replay() -> None:
    """Records divided by the length of the plan; unknown while it has no length."""
    clock = FakeClock()
    pacer = Pacer(speed=2, clock=clock)
    assert pacer.offered_per_s is None
    run(pacer, clock, [block(3, [0, 1_000_000, 4_000_000])])
    assert pacer.offered_per_s == pytest.approx(1.5)


@pytest.mark.parametrize("wrong", [{}, {"rate": 1, "speed": 1}, {"rate": 0}, {"speed": -1}, {"rate": float("nan")}, {"rate": float("inf")}])
def test_impossible_plans_are_refused(wrong: dict[str, float]) -> None:
    """Either rate or speed, above 0."""
    with pytest.raises(UsageError):
        Pacer(**wrong)


def test_speed_needs_times() -> None:
    """Records without time cannot be replayed by time."""
    with pytest.raises(UsageError, match="pace them by rate"):
        list(Pacer(speed=1, clock=FakeClock()).slices(block(1)))


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(1, 5)), min_size=1, max_size=80), st.floats(0.0, 1.0))
def test_quantiles_are_close_and_never_too_low(values: list[tuple[int, int]], share: float) -> None:
    """The sketch answers the exact quantile or up to 1/32 more; its largest value is exact."""
    sketch = QuantileSketch()
    flat = sorted(value for value, count in values for _ in range(count))
    for value, count in values:
        sketch.add(value, count)
    exact = flat[max(int(np.ceil(share * len(flat))) - 1, 0)]
    assert exact <= sketch.quantile(share) <= exact * 33 / 32 + 1e-6
    assert sketch.largest == flat[-1]


def test_an_empty_sketch_says_nothing() -> None:
    """No values, no lateness; early is not late."""
    sketch = QuantileSketch()
    assert sketch.quantile(0.99) == sketch.largest == 0
    sketch.add(-5)
    assert (sketch.quantile(1.0), sketch.count) == (0, 1)
