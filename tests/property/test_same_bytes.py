"""Same seed, same bytes: whatever the window, the workers, the shard, the process."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from dovestorm import catalog
from dovestorm.errors import DovestormError
from dovestorm.stream import Limits, Stream, open_stream

SCENARIOS = ["imap-login", "working-day", "password-spray"]


def stream(name: str, *, events: int | None = 3000, **options) -> Stream:
    limits = options.pop("limits", Limits(events=events))
    return open_stream(name, seed=options.pop("seed", 11), limits=limits, **options)


def rendered(source: Stream, *, workers: int = 1) -> bytes:
    return b"".join(bytes(block.data) for block in source.blocks("json", workers=workers))


def by_the_reference(name: str, *, events: int) -> bytes:
    """The stream as a process without the compiled kernel makes it."""
    code = (
        "import sys; from dovestorm.stream import *;"
        f"s = open_stream({name!r}, seed=11, limits=Limits(events={events}));"
        "[sys.stdout.buffer.write(b.data) for b in s.blocks('json')]"
    )
    environment = {**os.environ, "DOVESTORM_KERNEL": "reference"}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=environment).stdout


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("window", [200_000, 7_000_001, 3_600_000_000])
def test_the_window_does_not_matter(name, window):
    assert rendered(stream(name)) == rendered(stream(name, window=window))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_window_may_be_longer_than_the_stream(workers):
    """Weeks in one window: records' moments lie too far apart for the compiled sort's keys."""
    sparse = {"limits": Limits(sessions=60), "rate": 0.00001}
    assert rendered(stream("imap-login", **sparse)) == rendered(stream("imap-login", window=40 * 86_400_000_000, **sparse), workers=workers)


@pytest.mark.parametrize("workers", [1, 2])
def test_who_keeps_many_blocks_or_wants_no_times_gets_the_same(workers):
    source = stream("imap-login", events=400_000)
    held = list(source.blocks("json", workers=workers, keep=80, timed=False))
    assert {block.due is None for block in held} == {True}
    assert b"".join(bytes(block.data) for block in held) == rendered(source)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_does_not_matter(name, workers):
    assert rendered(stream(name, events=20_000)) == rendered(stream(name, events=20_000), workers=workers)


def test_workers_and_windows_together():
    name = "imap-login"
    expected = rendered(stream(name, events=None, limits=Limits(duration=120_000_000)))
    assert expected.count(b"\n") > 2000
    assert rendered(stream(name, events=None, limits=Limits(duration=120_000_000), window=1_500_000), workers=2) == expected


@pytest.mark.parametrize("count", [2, 5])
def test_the_shards_together_are_exactly_the_whole(count):
    limits = Limits(sessions=60)
    whole = rendered(stream("working-day", limits=limits)).splitlines()
    parts = [rendered(stream("working-day", limits=limits, shard=(i + 1, count))).splitlines() for i in range(count)]
    assert sorted(whole) == sorted(line for part in parts for line in part)
    assert all(parts)
    for part in parts:
        remaining = iter(whole)
        assert all(line in remaining for line in part), "a shard keeps the order of the whole"


@pytest.mark.parametrize("dovecot", ["2.3.6", "2.3.19"])
def test_the_sections_leave_exactly_their_events_of_the_whole(dovecot):
    """Taken apart by section, a stream can be put together again: no value of an event depends on which others leave."""
    options = {"dovecot": dovecot, "limits": Limits(sessions=40)}
    whole = rendered(stream("working-day", **options)).splitlines()
    parts = {name: rendered(stream("working-day", sections={name}, **options)).splitlines() for name in catalog.sections_of(dovecot)}
    assert sorted(whole) == sorted(line for part in parts.values() for line in part)
    assert len([part for part in parts.values() if part]) > 3
    two = rendered(stream("working-day", sections={"imap", "connection"}, **options)).splitlines()
    assert two == [line for line in whole if line in set(parts["imap"] + parts["connection"])]


def test_sections_in_shards_and_with_workers():
    options = {"sections": {"imap", "http"}, "limits": Limits(sessions=90)}
    alone = rendered(stream("working-day", **options))
    assert rendered(stream("working-day", window=1_500_000, **options), workers=2) == alone
    shards = [rendered(stream("working-day", shard=(i + 1, 3), **options)).splitlines() for i in range(3)]
    assert sorted(alone.splitlines()) == sorted(line for shard in shards for line in shard)


def test_shards_of_a_shared_out_run():
    limits = Limits(sessions=200)
    alone = rendered(stream("imap-login", limits=limits, shard=(2, 3)))
    assert rendered(stream("imap-login", limits=limits, shard=(2, 3)), workers=2) == alone


def test_another_process_makes_the_same_bytes():
    code = (
        "import hashlib; from dovestorm.stream import *;"
        "s = open_stream('working-day', seed=11, limits=Limits(events=3000));"
        "print(hashlib.sha256(b''.join(bytes(b.data) for b in s.blocks('json'))).hexdigest())"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
        for seed in ("1", "2")
    ]
    assert {run.stdout.strip() for run in runs} == {hashlib.sha256(rendered(stream("working-day"))).hexdigest()}


def test_another_seed_makes_another_stream():
    assert rendered(stream("imap-login", seed=1)) != rendered(stream("imap-login", seed=2))


def test_a_shorter_run_is_the_beginning_of_a_longer_one():
    short = rendered(stream("working-day", events=1000))
    assert rendered(stream("working-day", events=4000)).startswith(short)


def test_the_reference_kernel_makes_the_same_stream():
    assert by_the_reference("password-spray", events=3000) == rendered(stream("password-spray"))


def test_records_too_many_for_the_shared_memory_take_the_long_way(monkeypatch):
    from dovestorm.parallel import board

    expected = rendered(stream("working-day", events=20_000))
    monkeypatch.setattr(board, "_EVENTS", 256)
    monkeypatch.setattr(board, "_INTEGERS", 2048)
    assert rendered(stream("working-day", events=20_000), workers=2) == expected


def test_a_worker_that_is_killed_is_an_error():
    blocks = stream("working-day", events=None, limits=Limits(duration=3_600_000_000)).blocks("json", workers=2)
    next(blocks)
    children = {child.pid for child in multiprocessing.active_children()}
    assert children
    os.kill(max(children), signal.SIGKILL)
    with pytest.raises(DovestormError, match="worker process is gone"):
        for _ in blocks:
            pass


RECORDED = """
scenario: recorded
start: 2026-03-02T09:00:00Z
duration: 1h
arrivals: {poisson: 200/s}
tables:
  visits:
    columns: [wait, lag]
    rows:
      - [3ms, 900ms]
      - [7s, 0us]
      - [40ms, 12s]
flows:
  - flow: only
    steps:
      - wait: {table: visits, column: wait, row: $session_number}
      - emit: imap_command_finished
        exported: {sum: [$now, {table: visits, column: lag, row: $session_number}]}
        fields: {user: $user}
      - emit: imap_command_finished
        fields: {cmd_name: NOOP}
"""


def test_events_that_say_when_they_are_exported_are_the_same_too(tmp_path):
    path = tmp_path / "recorded.yaml"
    path.write_text(RECORDED, encoding="utf-8")
    expected = rendered(stream(str(path), events=20_000))
    assert rendered(stream(str(path), events=20_000), workers=3) == expected
    assert {rendered(stream(str(path), events=20_000, window=window)) for window in (250_000, 60_000_000)} == {expected}
    assert by_the_reference(str(path), events=20_000) == expected
