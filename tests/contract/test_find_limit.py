"""``dovestorm find-limit`` against a web server that takes so many events a second and no more."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

PER_S = 500


@contextmanager
def limited(per_s):
    """Takes one POST after another and answers each when its time is over; what the server itself takes is within that time."""
    turn = threading.Lock()
    free_at = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            nonlocal free_at
            with turn:
                free_at = max(free_at, time.monotonic()) + 1 / per_s
                wait = free_at - time.monotonic()
            time.sleep(max(wait, 0))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def find_limit(url, *options):
    command = [sys.executable, "-P", "-m", "dovestorm", "find-limit", "working-day", "--to", url, "--json", "-", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
def test_a_known_limit_is_found():
    with limited(PER_S) as url:
        options = [
            "--users",
            "8",
            "--from",
            "200/s",
            "--step",
            "1500ms",
            "--confirm",
            "3s",
            "--precision",
            "25",
            "--threshold",
            "p99_lateness < 150ms",
        ]
        done = find_limit(url, *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert 0.7 * PER_S <= found["rate_per_s"] <= PER_S < found["breaks_at_per_s"] <= 2 * PER_S
    assert found["each_second"]["least"] <= found["each_second"]["median"] <= found["each_second"]["most"]
    assert found["probes"][-1]["seconds"] == 3
    assert "holds" in done.stderr
    assert "breaks" in done.stderr


def test_a_consumer_that_is_not_there_has_no_limit():
    done = find_limit("tcp://127.0.0.1:1", "--step", "1s")
    assert done.returncode == 1
    assert "nothing was delivered" in done.stderr
    assert "Traceback" not in done.stderr


def test_misuse_is_told():
    done = find_limit("tcp://127.0.0.1:1", "--threshold", "p99_latenes < 5ms")
    assert done.returncode == 2
    assert "did you mean 'p99_lateness'?" in done.stderr
