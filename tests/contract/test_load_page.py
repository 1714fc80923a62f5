"""Locust's web page with our Delivery tab, in a real browser: start a run, watch it, stop it, open the report."""

from __future__ import annotations

import os
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

import pytest
from browser import chromium
from locust_runs import Discarder, Member, free_port, locust
from waiting import wait_until

pytestmark = pytest.mark.real_server

PANEL = "document.querySelector('#dovestorm-delivery')"


@pytest.fixture
def pictures(tmp_path):
    """Where pictures are kept; DOVESTORM_PICTURES names a folder for those who want to look at them."""
    folder = Path(os.environ.get("DOVESTORM_PICTURES") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetched(port, path):
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.headers["Content-Type"], answer.read().decode()


def numbers(tab):
    return int(tab.run(f"{PANEL}.dataset.events"))


def test_a_run_is_started_watched_stopped_and_reported(tmp_path, require_program, pictures):
    program, port = require_program("chromium"), free_port()
    home = f"http://127.0.0.1:{port}"
    options = ["--web-host", "127.0.0.1", "--web-port", str(port), "--shape", "ramp:from=1000/s,to=20000/s,over=3s;steady:rate=20000/s,for=1h"]
    # The consumer stands still for a moment: this must be seen.
    with Discarder() as sink, Member(*options, "--host", sink.url, "--threshold", "p99_lateness < 1us") as server, chromium(program, tmp_path) as tab:
        wait_until(lambda: "Starting web interface" in server.output, lambda: server.output)
        tab.go(home)
        tab.click("start", until="document.querySelector('[role=tab]')")
        tab.click("delivery")
        tab.wait(f"{PANEL}?.dataset.events > 0", "events on the Delivery tab")
        before = numbers(tab)
        tab.wait(f"{PANEL}.dataset.events > {before}", "more events on the Delivery tab")
        tab.wait(f"{PANEL}.querySelectorAll('path[data-line=events]').length === 1", "the rate's line")
        sink.goes_on.clear()
        tab.wait(f"{PANEL}.querySelector('path[data-line=backlog]')?.getAttribute('d').split('L').length > 4", "the line of what waits")
        sink.goes_on.set()
        tab.shoot(pictures / "delivery.png")
        assert "lateness p99" in tab.run(f"{PANEL}.innerText")
        tab.click("statistics")
        tab.wait(f"!{PANEL}", "the Delivery tab to make room")
        tab.click("delivery")
        tab.wait(f"{PANEL}", "the Delivery tab again")

        kind, metrics = fetched(port, "/delivery/metrics")
        assert kind.startswith("application/openmetrics-text; version=1.0.0")
        assert "dovestorm_workers 1" in metrics
        assert metrics.endswith("# EOF\n")

        tab.click("stop")
        tab.wait(f"{PANEL}.dataset.state === 'ended'", "the run's end")
        assert "FAIL: a threshold is broken" in tab.run(f"{PANEL}.innerText")
        tab.shoot(pictures / "delivery-ended.png")
        assert fetched(port, "/delivery/csv")[1].startswith("second,offered,events,")
        delivered = numbers(tab)

        tab.go(f"{home}/stats/report?theme=dark")
        tab.wait(f"{PANEL}?.dataset.events == {delivered}", "the report's Delivery section")
        tab.wait(f"{PANEL}.classList.contains('dark')", "the report's colours")
        tab.run(f"{PANEL}.scrollIntoView()")
        tab.shoot(pictures / "report.png")
        assert tab.faults == []


def test_a_headless_runs_report_stands_alone(tmp_path, require_program, pictures):
    """Opened from a file, with no server behind it."""
    program, report = require_program("chromium"), tmp_path / "report.html"
    with Discarder() as sink:
        done = locust(
            "replay_stream.py",
            sink.url,
            "--rate",
            "5000/s",
            "--send-for",
            "3s",
            "--html",
            str(report),
            "--csv",
            str(tmp_path / "run"),
            tmp_path=tmp_path,
        )
    assert done.code == 0, done.output
    lines = (tmp_path / "run_delivery.csv").read_text().splitlines()
    assert sum(int(line.split(",")[2]) for line in lines[1:]) == done.report["events"]
    with chromium(program, tmp_path) as tab:
        tab.go(report.as_uri())
        tab.wait(f"{PANEL}?.dataset.events == {done.report['events']}", "the Delivery section")
        assert "PASS" in tab.run(f"{PANEL}.innerText")
        tab.run(f"{PANEL}.scrollIntoView()")
        tab.shoot(pictures / "report-file.png")
        assert tab.faults == []
