"""A run's figures for a scraper, where Locust shows no page."""

from __future__ import annotations

import re
from contextlib import closing
from http.client import HTTPConnection
from importlib.util import find_spec

import pytest
from locust_runs import Discarder, Member, free_port, locust
from waiting import wait_until

pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="the extra 'load' is not installed")


def scraped(port, path="/metrics"):
    with closing(HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read().decode()


def value(text, name):
    return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])


def test_a_master_without_a_page_is_scraped():
    """Law: one address, on the loopback, tells what all workers did."""
    port = str(free_port())
    members = ("--headless", "--processes", "2", "--master-bind-port", port, "--master-port", port, "-u", "2", "-r", "9")
    with Discarder() as sink, Member(*members, "--host", sink.url, "--rate", "5000/s", "--send-for", "1h", "--openmetrics", "0") as master:
        wait_until(lambda: master.process.poll() is not None or "OpenMetrics at" in master.output, lambda: master.output)
        place = re.search(r"OpenMetrics at http://127\.0\.0\.1:(\d+)/metrics", master.output)
        port = int(place[1])
        texts = []
        wait_until(
            lambda: texts.append(scraped(port)[2]) or value(texts[-1], "dovestorm_events_delivered_total") > 1000,
            lambda: f"{texts[-1]}\n{master.output}",
        )
        assert value(texts[-1], "dovestorm_workers") == 2
        assert value(texts[-1], "dovestorm_lateness_seconds_count") == value(texts[-1], "dovestorm_events_delivered_total")
        assert texts[-1].endswith("# EOF\n")
        status, kind, _ = scraped(port)
        assert (status, kind.split(";")[0]) == (200, "application/openmetrics-text")
        assert scraped(port, "/")[0] == 404
        master.process.terminate()
        assert master.wait() == 0, master.output


def test_a_file_keeps_the_last_figures(tmp_path):
    path = tmp_path / "run.txt"
    with Discarder() as sink:
        done = locust("replay_stream.py", sink.url, "--rate", "4000/s", "--send-for", "500ms", "--openmetrics", str(path), tmp_path=tmp_path)
    assert done.code == 0, done.output
    assert value(path.read_text(), "dovestorm_events_delivered_total") == done.report["events"] == 2000
    assert {entry.name for entry in tmp_path.iterdir()} == {"report.json", "run.txt"}


def test_an_address_that_is_taken_is_misuse(tmp_path):
    with Discarder() as sink:
        place = sink.url.removeprefix("tcp://")
        done = locust("replay_stream.py", sink.url, "--openmetrics", place, tmp_path=tmp_path)
    assert (done.code, f"--openmetrics '{place}': Address already in use" in done.output) == (2, True), done.output
