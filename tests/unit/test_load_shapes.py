"""Load shapes: what they mean as functions of time, how they are written, and that a schedule follows them."""

from __future__ import annotations

import math
from itertools import pairwise
from types import SimpleNamespace

import pytest

from dovestorm.errors import UsageError
from dovestorm.load.plan import read_plan
from dovestorm.load.schedule import Schedule
from dovestorm.load.shape_text import SHAPES, daily_curve, read_shape
from dovestorm.load.shapes import Course
from dovestorm.scenario import units
from dovestorm.stream import open_stream

HOST = "tcp://127.0.0.1:9"


def no_curve():
    raise UsageError("no curve here")


def shape(text):
    return read_shape(text, curve=no_curve)


@pytest.mark.parametrize(
    ("text", "rates", "seconds"),
    [
        ("steady:rate=500", {0: 500, 1e6: 500}, math.inf),
        ("steady rate=30000/min for=10s", {9.9: 500, 10: 0}, 10),
        ("ramp:from=0/s,to=1000/s,over=10s", {0: 0, 2.5: 250, 9.9: 990, 10: 0}, 10),
        ("ramp:from=1000,to=200,over=10s,for=1min", {5: 600, 10: 200, 59: 200}, 60),
        ("steps:from=100,to=300,by=100,every=5s", {0: 100, 4.9: 100, 5: 200, 10: 300, 14.9: 300}, 15),
        ("steps:from=300,to=100,by=100,every=5s", {0: 300, 5: 200, 10: 100}, 15),
        ("spike:base=10,peak=90,at=4s,width=2s", {3.9: 10, 4: 90, 5.9: 90, 6: 10, 9: 10}, 10),
        ("spike:base=10,peak=90,at=4s,width=2s,rise=2s,for=1min", {5: 50, 6: 90, 8: 90, 9: 50, 10: 10, 59: 10}, 60),
        ("saw-tooth:from=0,to=100,every=10s", {0: 0, 5: 50, 9.9: 99, 10: 0, 1005: 50}, math.inf),
        ("soak:rate=100,for=100s,rise=10s", {0: 0, 5: 50, 10: 100, 89: 100, 95: 50}, 100),
        ("steady:rate=5,for=2s; ramp:from=5,to=9,over=4s", {1: 5, 2: 5, 4: 7, 6: 0}, 6),
    ],
)
def test_what_a_shape_means(text, rates, seconds):
    found = shape(text)
    assert found.seconds == seconds
    assert {at: found.rate(at) for at in rates} == pytest.approx(rates)


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("ramp:from=0/s,to=1000/s,over=10s", 5000),
        ("steps:from=100,to=300,by=100,every=5s", 3000),
        ("spike:base=10,peak=90,at=4.1s,width=2s,rise=0.3s", 10 * 10.8 + 80 * 2.3),
        ("saw-tooth:from=0,to=100,every=3.3s,for=9.9s", 495),
        ("soak:rate=100,for=100s,rise=10s", 9000),
    ],
)
def test_a_schedule_offers_the_area_below_the_shape(text, area):
    """However often it is extended, and however far."""
    whole, bit_by_bit = Schedule(0.0), Schedule(0.0)
    Course(shape(text), whole).extend(500.0)
    course = Course(shape(text), bit_by_bit)
    for step in range(400):
        course.extend(step * 0.37)
    assert whole.count(1000.0) == pytest.approx(area, rel=2e-3, abs=1)
    assert bit_by_bit.count(1000.0) == pytest.approx(area, rel=2e-3, abs=1)


def test_a_course_tells_every_change_once_and_nothing_when_it_stays():
    schedule = Schedule(0.0)
    course = Course(shape("steady:rate=100,for=60s"), schedule)
    changes = [change for step in range(600) for change in course.extend(step / 4)]
    assert changes == [(0.0, 100.0), (60.0, 0.0)]
    assert schedule.to_list() == [[0.0, 0.0], [0.0, 100.0], [60.0, 0.0]]


def test_a_slope_becomes_stairs_in_order():
    course = Course(shape("ramp:from=0,to=100,over=2s"), Schedule(0.0))
    changes = course.extend(10.0)
    assert [at for at, _ in changes] == [step / 4 for step in range(9)]
    assert all(earlier[1] < later[1] for earlier, later in pairwise(changes[:-1]))


def test_the_scenarios_own_day():
    """Its mean is the rate that was asked for, it begins at the scenario's start, and a squeezed day has the same form."""
    scenario = open_stream("working-day", seed=0).scenario
    curve = daily_curve(scenario.arrivals, scenario.start)
    day = read_shape("daily:rate=1000/s", curve=lambda: curve)
    minute = read_shape("daily:rate=1000/s,day=1min", curve=lambda: curve)
    period = curve[1]
    assert sum(day.rate(period * step / 1440) for step in range(1440)) / 1440 == pytest.approx(1000, rel=0.01)
    assert minute.rate(20) == pytest.approx(day.rate(28800))
    assert day.rate(period + 100) == pytest.approx(day.rate(100))


def test_a_curve_starts_where_the_scenario_does():
    arrivals = SimpleNamespace(curve=((0, 1.0), (units.DAY // 2, 3.0)), period=units.DAY)
    points, period = daily_curve(arrivals, units.DAY * 7 + units.DAY // 2)
    assert period == 86400
    assert [value for point in points for value in point] == pytest.approx([0.0, 1.5, 43200.0, 0.5, 86400.0, 1.5])


def test_a_week_begins_on_monday():
    arrivals = SimpleNamespace(curve=((0, 0.5), (units.DAY * 7 // 2, 1.5)), period=units.WEEK)
    points, period = daily_curve(arrivals, 4 * units.DAY)  # 1970-01-05, a Monday
    assert period == 7 * 86400
    assert [value for point in points for value in point] == pytest.approx([0.0, 0.5, 302400.0, 1.5, 604800.0, 0.5])


def test_a_file_of_stages(tmp_path):
    path = tmp_path / "shape.yaml"
    path.write_text("stages:\n- {shape: ramp, from: 0/s, to: 500/s, over: 10s}\n- {shape: steady, rate: 500/s, for: 1min}\n")
    found = shape(str(path))
    assert (found.seconds, found.rate(5), found.rate(30), found.highest) == (70, 250, 500, 500)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rampe:from=1", "no shape 'rampe', did you mean 'ramp'?"),
        ("ramp:from=1,to=2", "ramp needs over too"),
        ("ramp:from=1,to=2,over=5", "over '5': the unit is missing"),
        ("ramp:from=x,to=2,over=5s", "from 'x': a rate is written like"),
        ("ramp:from=1,from=2,to=2,over=5s", "'from' stands there twice"),
        ("ramp:from=1,to=2,over=0s", "'over' must be above 0"),
        ("ramp:from=1,to=2,over=-5s", "over '-5s': it must be 0 or more"),
        ("ramp:from=1,to=2,ovr=5s", "ramp has no 'ovr', did you mean 'over'?"),
        ("ramp:1,2", "'1' must be NAME=VALUE"),
        ("steady:rate=5;steady:rate=6", "stage 1: it has no end"),
        ("steady:rate=0", "its rate is 0 all the time"),
        ("soak:rate=5,for=10s,rise=6s", "take longer than 'for'"),
        ("steps:from=0,to=1000000,by=1,every=1s", "there may be 10000 at most"),
        (";", "0 stages"),
        ("daily:rate=5", "no curve here"),
        ("nowhere.yaml", "nowhere.yaml: cannot be read as YAML: No such file"),
    ],
)
def test_faults_are_told(text, told):
    with pytest.raises(UsageError) as caught:
        shape(text)
    assert told in str(caught.value)


@pytest.mark.parametrize("content", ["- ramp\n", "stages: 7\n", "[", "- {from: 1}\n"])
def test_a_file_of_something_else(tmp_path, content):
    path = tmp_path / "shape.yml"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"shape\.yml"):
        shape(str(path))


def test_the_plan_has_the_shape_and_ends_with_it():
    plan = read_plan({"shape": "ramp:from=0,to=9,over=8s", "send_for": "10s"}, host=HOST)
    assert (plan.is_open, plan.send_for, plan.rate) == (True, 8.0, None)
    assert read_plan({"shape": "steady:rate=9", "send_for": "10s"}, host=HOST).send_for == 10.0
    assert read_plan({"shape": "steady:rate=9"}, host=HOST).send_for is None


def test_a_worker_needs_no_file_of_its_masters():
    plan = read_plan({"shape": "/nowhere/shape.yaml", "thresholds": "/nowhere/thresholds.yaml"}, host=HOST, check=False)
    assert plan.is_open
    assert (plan.shape, plan.thresholds) == (None, ())


def test_one_pace_is_enough():
    with pytest.raises(UsageError, match="exclude each other"):
        read_plan({"shape": "steady:rate=9", "rate": "5/s"}, host=HOST)
    with pytest.raises(UsageError, match="a recording has no daily curve"):
        read_plan({"shape": "daily:rate=9/s", "recording": __file__}, host=HOST)


def test_every_shape_says_what_it_takes():
    for name, (parameters, _) in SHAPES.items():
        with pytest.raises(UsageError, match=f"{name} needs {parameters.split()[0]}"):
            shape(name)
