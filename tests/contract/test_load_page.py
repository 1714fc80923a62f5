"""Locust's web page with our Delivery tab, in a real browser: start a run, watch it, stop it, open the report."""

from __future__ import annotations

import json
import os
import signal
import socket
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlencode

import pytest
from browser import chromium
from locust_runs import Discarder, Member, free_port, locust
from waiting import wait_until

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


def asked(port, path, **form):
    """What the page's own scripts would get; with a form, as from its start button."""
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        connection.request("POST" if form else "GET", path, urlencode(form), headers if form else {})
        return json.load(connection.getresponse())


def is_open(port):
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def page(url, *options):
    """Locust's page; gives its port, and the process."""
    port = free_port()
    with Member("--web-host", "127.0.0.1", "--web-port", str(port), "--host", url, *options) as server:
        # Locust says that it begins to listen before it does.
        wait_until(lambda: server.process.poll() is None and is_open(port), lambda: server.output)
        yield port, server


def test_a_start_is_known_while_it_is_prepared():
    """Law: from the click on, nobody who asks hears that nothing runs; else the page would go back to its form, and stay there."""
    with Discarder() as sink, page(sink.url, "--rate", "1000/s", "--ceiling", "500ms") as (port, _):
        assert asked(port, "/stats/requests")["state"] == "ready"
        assert asked(port, "/swarm", user_count=1, spawn_rate=1)["success"]
        states = []
        wait_until(
            lambda: states.append((asked(port, "/delivery/data")["state"], asked(port, "/stats/requests")["state"])) or states[-1][0] == "sending",
            lambda: str(states),
        )
        assert states[0] == ("preparing", "spawning")
        assert {locust for _, locust in states} == {"spawning", "running"}
        assert asked(port, "/stop", now=1)["success"]


def test_a_start_with_wrong_options_is_refused():
    """The form shows why; nothing begins."""
    with Discarder() as sink, page(sink.url) as (port, _):
        told = asked(port, "/swarm", user_count=1, spawn_rate=1, rate="many", scenario="imap-logn")
        assert not told["success"]
        for words in ("--rate 'many'", "did you mean 'imap-login'"):
            assert words in told["message"]
        assert asked(port, "/stats/requests")["state"] == "ready"


@pytest.mark.parametrize(
    ("ceiling", "state", "code", "last"),
    [("1h", "preparing", 1, "stopped before sending began: nothing was delivered"), ("", "sending", 0, "PASS")],
    ids=["while it is prepared", "while it sends"],
)
def test_ctrl_c_ends_a_run(ceiling, state, code, last):
    """Law: with a word on what became of it, below Locust's own tables, and with the exit code that it deserves."""
    options = ("--rate", "1000/s", "--ceiling", ceiling)
    with Discarder() as sink, page(sink.url, *options) as (port, server):
        assert asked(port, "/swarm", user_count=1, spawn_rate=1)["success"]
        wait_until(
            lambda: (shown := asked(port, "/delivery/data"))["state"] == state and (state != "sending" or shown["events"]), lambda: server.output
        )
        server.process.send_signal(signal.SIGINT)
        assert server.wait() == code, server.output
    assert "Traceback" not in server.output
    assert last in server.output
    if state == "sending":
        assert server.output.index("Response time percentiles") < server.output.index(last)


@pytest.mark.real_server
def test_a_run_is_started_watched_stopped_and_reported(tmp_path, require_program, pictures):
    program = require_program("chromium")
    options = ["--shape", "ramp:from=1000/s,to=20000/s,over=3s;steady:rate=20000/s,for=1h", "--threshold", "p99_lateness < 1us"]
    # The consumer stands still for a moment: this must be seen.
    with Discarder() as sink, page(sink.url, *options) as (port, _), chromium(program, tmp_path) as tab:
        home = f"http://127.0.0.1:{port}"
        tab.go(home)
        tab.click("start")
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


@pytest.mark.real_server
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
