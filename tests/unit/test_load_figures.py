"""A run in figures: what charts, CSV and OpenMetrics say of it."""

from __future__ import annotations

import csv
import io
import re
from types import SimpleNamespace

import pytest

from dovestorm.load.figures import figures, to_csv, to_openmetrics
from dovestorm.load.plan import read_plan
from dovestorm.load.report import LoadReport
from dovestorm.load.statistics import DeliveryStatistics

HOST = "tcp://127.0.0.1:9"


def run(seconds, *, per_s=100, part=0.0, ended=False, stalled=()):
    """A run of so many whole seconds and a part of one; in stalled seconds nothing is delivered, in the one after them all is."""
    statistics, waiting = DeliveryStatistics(), 0
    for second in range(seconds + bool(part)):
        due = round(per_s * (1.0 if second < seconds else part))
        statistics.offer(second, due)
        waiting += due
        if second not in stalled:
            statistics.deliver(second, waiting, waiting * 10, lateness_us=900_000 if waiting > due else 2000, service_us=300)
            waiting = 0
    length = seconds + part
    whole = statistics.whole
    facts = {"target": HOST, "scenario": "s", "workers": 2, "shards": 2, "is_open": True, "is_acknowledged": False, "whole": True}
    report = LoadReport(**facts, seconds=length, offered=whole.offered, statistics=statistics) if ended else None
    table = SimpleNamespace(workers={"a": 0, "b": 1}, shards=[1, 2], takeovers=[])
    return SimpleNamespace(
        plan=read_plan({"rate": "100/s"}, host=HOST), statistics=statistics, table=table, elapsed=length, offered=whole.offered, report=report
    )


def column(found, name):
    place = found["columns"].index(name)
    return [row[place] for row in found["rows"]]


def test_before_the_first_run():
    assert figures(None)["state"] == "none"
    assert to_openmetrics(None) == "# EOF\n"


def test_a_running_second_is_not_shown_until_every_worker_has_told_of_it():
    found = figures(run(5, part=0.5))
    assert found["state"] == "sending"
    assert column(found, "second") == [0, 1, 2, 3]
    assert column(found, "offered") == column(found, "events") == [100] * 4


def test_the_rest_of_a_second_at_the_end_is_no_dip_and_not_lost():
    found = figures(run(5, part=0.25, ended=True))
    assert column(found, "second") == [0, 1, 2, 3, 4]
    assert column(found, "events") == pytest.approx([100] * 5)


def test_half_a_second_at_the_end_is_a_point_of_its_own():
    """What waited and came in it is not shown as waiting still."""
    found = figures(run(5, part=0.5, ended=True, stalled=(3, 4)))
    assert column(found, "second") == [0, 1, 2, 3, 4, 5]
    assert column(found, "backlog") == [0, 0, 0, 100, 200, 0]


def test_what_arrives_in_the_last_part_of_a_second_is_seen():
    """The consumer stood still, and what waited came when the run was nearly over."""
    found = figures(run(5, part=0.25, ended=True, stalled=(3, 4)))
    assert column(found, "lateness_p99_ms")[-1] == pytest.approx(900, rel=0.01)
    assert column(found, "backlog") == [0, 0, 0, 100, 200]
    assert column(found, "events")[-1] == pytest.approx(225 / 1.25)


def test_a_long_run_is_thinned_and_keeps_its_peaks():
    found = figures(run(1000, ended=True, stalled=(500,)))
    assert 300 < len(found["rows"]) <= 400
    assert column(found, "events") == pytest.approx([100] * len(found["rows"]), rel=1)
    assert max(column(found, "lateness_p99_ms")) == pytest.approx(900, rel=0.01)
    assert max(column(found, "backlog")) == 100
    assert sum(column(found, "offered")) * 3 == pytest.approx(100_000, rel=0.01)


def test_only_the_last_seconds():
    assert column(figures(run(50), last_s=10), "second") == list(range(40, 49))


def test_csv_has_every_second():
    rows = list(csv.DictReader(io.StringIO(to_csv(run(3, part=0.5).statistics))))
    assert [row["second"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["events"] for row in rows] == ["100", "100", "100", "50"]


def test_openmetrics_is_what_the_format_asks_for():
    """Metadata before samples, one block for each family, suffixes by type, units in names, the end marked."""
    lines = to_openmetrics(run(3)).splitlines()
    assert lines[-1] == "# EOF"
    families, family, kind = {}, "", ""
    for line in lines[:-1]:
        if line.startswith("# TYPE "):
            family, kind = line.split()[2:]
            assert family not in families
            families[family] = {}
            continue
        if line.startswith("#"):
            assert line.split()[1] in {"UNIT", "HELP"}
            assert line.split()[2] == family
            assert not families[family]
            if line.split()[1] == "UNIT":
                assert family.endswith(f"_{line.split()[3]}")
            continue
        name, labels, value = re.fullmatch(r'([a-z_]+)(\{quantile="[0-9.]+"\})? ([0-9.e+-]+)', line).groups()
        suffixes = {"counter": {"_total"}, "gauge": {""}, "summary": {"", "_sum", "_count"}}[kind]
        assert name.removeprefix(family) in suffixes
        assert bool(labels) == (kind == "summary" and name == family)
        families[family][name + (labels or "")] = float(value)
    assert families["dovestorm_events_delivered"] == {"dovestorm_events_delivered_total": 300}
    assert families["dovestorm_lateness_seconds"]["dovestorm_lateness_seconds_count"] == 300
    assert families["dovestorm_lateness_seconds"]['dovestorm_lateness_seconds{quantile="0.99"}'] == pytest.approx(0.002)
    assert families["dovestorm_workers"] == {"dovestorm_workers": 2}
