"""The Locust entry point, in a process of its own, against the reference consumer."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

from dovestorm.receive import Receiver
from dovestorm.resources import locustfiles_dir

# Only looked for: importing Locust would patch the sockets, threads and pipes of this process, and other tests would hang.
pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="the extra 'load' is not installed")


def run(url, *options):
    command = [sys.executable, "-m", "locust", "-f", str(locustfiles_dir() / "replay_stream.py"), "--headless", "--host", url, *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_replay_delivers_exactly_the_stream():
    from dovestorm import generate

    with Receiver(keep=True) as receiver:
        done = run(receiver.url, "-u", "1", "-t", "60s", "--scenario", "imap-login", "--events", "5000", "--seed", "3")
        assert done.returncode == 0, done.stderr
        receiver.wait_for(5000)
        expected = generate("imap-login", seed=3, events=5000).bytes().splitlines()
        assert receiver.records() == expected
    assert "write" in done.stderr + done.stdout


def test_several_users_share_one_stream():
    with Receiver(keep=True) as receiver:
        done = run(receiver.url, "-u", "3", "-r", "3", "-t", "60s", "--scenario", "working-day", "--events", "60000", "--seed", "3")
        assert done.returncode == 0, done.stderr
        receiver.wait_for(60_000)
    from dovestorm import generate

    assert sorted(receiver.records()) == sorted(generate("working-day", seed=3, events=60_000).bytes().splitlines())


def test_a_target_that_is_not_there_is_a_failure():
    with Receiver() as receiver:
        url = receiver.url
    done = run(url + "?retries=0", "-u", "1", "-t", "3s", "--scenario", "imap-login")
    assert done.returncode == 1
