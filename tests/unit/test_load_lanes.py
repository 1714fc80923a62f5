"""A shard on its worker: made by another process, cut into batches, from any position on."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import threading

import pytest

from dovestorm import generate
from dovestorm.errors import InputError
from dovestorm.load.beforehand import count_shares
from dovestorm.load.gathering import FIRST, session_blocks
from dovestorm.load.lane import Cut, Lane
from dovestorm.load.recording import recorded_blocks, recorded_shares
from dovestorm.load.schedule import Schedule
from dovestorm.load.source import Source
from dovestorm.stream import Limits, open_stream

WAIT_S = 60


def drain(source, cut=None, **options):
    """All batches of a shard, each as (due, lines)."""
    news = threading.Event()
    lane = Lane(source, cut or Cut(most_events=1000, most_bytes=1 << 18), wake=news.set, **options)
    lane.start()
    batches = []
    try:
        while not lane.is_over:
            assert not lane.error, lane.error
            if lane.due() is None:
                assert news.wait(WAIT_S)
                news.clear()
                continue
            batch = lane.cut()
            batches.append((batch.due, bytes(batch.block.data).splitlines(keepends=True)))
            lane.settle(batch)
    finally:
        lane.close()
    return batches, lane


def lines(batches):
    return [line for _, part in batches for line in part]


def whole(**options):
    return generate("working-day", **options).bytes().splitlines(keepends=True)


def test_a_lane_gives_the_stream():
    batches, lane = drain(Source(scenario="working-day", seed=5, events=30_000), Cut(most_events=500, most_bytes=1 << 18))
    assert lines(batches) == whole(seed=5, events=30_000)
    assert max(len(part) for _, part in batches) <= 500
    assert sum(len(part) == 500 for _, part in batches) > 40
    assert max(sum(map(len, part)) for _, part in batches) <= 1 << 18
    assert lane.ledger.position == lane.total == 30_000


def test_prebuilt_is_the_same():
    batches, lane = drain(Source(scenario="working-day", seed=5, events=30_000), prebuild=50_000_000)
    assert lines(batches) == whole(seed=5, events=30_000)
    assert lane.is_ready


def test_a_lane_goes_on_where_another_stopped():
    batches, lane = drain(Source(scenario="working-day", seed=5, events=20_000, skip=12_345))
    assert lines(batches) == whole(seed=5, events=20_000)[12_345:]
    assert lane.ledger.position == 20_000


def test_a_schedule_cuts_what_is_due_together():
    """Law: event k is due at k / rate; events of one batch are due within 10 ms of its first."""
    batches, _ = drain(Source(scenario="working-day", events=3000), schedule=Schedule(10_000))
    first = 0
    for due, part in batches:
        assert due == pytest.approx(first / 10_000)
        assert len(part) <= 101
        first += len(part)


def test_a_speed_follows_the_events_own_times():
    batches, _ = drain(Source(scenario="working-day", events=3000, timed=True), Cut(most_events=1000, most_bytes=1 << 18, speed=10))
    dues = [due for due, _ in batches]
    assert dues == sorted(dues)
    assert dues[0] >= 0
    assert dues[-1] - dues[0] > 0.1


def test_what_the_feeder_says_is_told():
    news = threading.Event()
    lane = Lane(Source(scenario="no-such"), Cut(most_events=1, most_bytes=1), wake=news.set)
    lane.start()
    while not lane.error:
        assert news.wait(WAIT_S)
        news.clear()
    assert "no-such" in lane.error
    lane.close()


def test_the_first_events_are_shared_out_as_the_shards_hold_them():
    """Law: the first n events of the stream are exactly the first n_i of each shard i."""
    counts = count_shares(Source(scenario="working-day", seed=2), 20_000, 3)
    assert sum(counts) == 20_000
    parts = []
    for number, count in enumerate(counts, 1):
        stream = open_stream("working-day", seed=2, shard=(number, 3), limits=Limits(events=count))
        parts += [bytes(block.data) for block in stream.blocks("json", keep=100)]
    assert sorted(b"".join(parts).splitlines(keepends=True)) == sorted(whole(seed=2, events=20_000))


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "day.jsonl"
    path.write_bytes(generate("working-day", seed=1, events=15_000).bytes())
    return path


@pytest.mark.parametrize("of", [1, 2, 3])
def test_a_recordings_shards_are_the_file(recording, of):
    found = [bytes(block.data) for number in range(1, of + 1) for block in recorded_blocks(str(recording), shard=(number, of))]
    assert sorted(b"".join(found).splitlines()) == sorted(recording.read_bytes().splitlines())
    shares = recorded_shares(str(recording), events=9000, shards=of)
    assert sum(shares) == 9000
    assert all(sum(len(b) for b in recorded_blocks(str(recording), shard=(n, of), events=c)) == c for n, c in enumerate(shares, 1))


def test_compressed_and_unended_recordings(recording, tmp_path):
    packed = tmp_path / "day.jsonl.gz"
    packed.write_bytes(gzip.compress(recording.read_bytes().removesuffix(b"\n")))
    assert b"".join(bytes(block.data) for block in recorded_blocks(str(packed))) == recording.read_bytes()


def test_a_recording_has_times(recording):
    blocks = list(recorded_blocks(str(recording), timed=True))
    stream = open_stream("working-day", seed=1, limits=Limits(events=15_000))
    expected = [due for block in stream.blocks("json", keep=100) for due in block.due.tolist()]
    assert [due for block in blocks for due in block.due.tolist()] == expected


def test_hostile_recordings(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b'{"event":"a"}\n')
    with pytest.raises(InputError, match="pace this recording by --rate"):
        list(recorded_blocks(str(path), timed=True))
    path.write_bytes(b"\x81\xa1a\x01")
    with pytest.raises(InputError, match="msgpack"):
        list(recorded_blocks(str(path)))
    path.write_bytes(b"{" * (6 << 20))
    with pytest.raises(InputError, match="one event a line"):
        list(recorded_blocks(str(path)))


def test_sessions_come_whole():
    """Law: the same events as the stream's, each session together, in its own order, with the times between its events."""
    stream = open_stream("imap-login", seed=4, limits=Limits(sessions=200))
    blocks = list(session_blocks(stream, "json"))
    gathered = [line for block in blocks for line in bytes(block.data).splitlines()]
    assert sorted(gathered) == sorted(b"".join(bytes(block.data) for block in stream.blocks("json", keep=100)).splitlines())
    firsts = sum(int((block.due == FIRST).sum()) for block in blocks)
    assert firsts == 200
    batches, _ = drain(Source(scenario="imap-login", seed=4, sessions=200, by_session=True), Cut(most_events=1, most_bytes=1, by_session=True))
    assert len(batches) == 200
    assert lines(batches) == [line + b"\n" for line in gathered]


def test_a_measurement_ends_when_who_asked_is_gone() -> None:
    spec = {"source": Source(scenario="working-day").to_dict(), "seconds": 3600}
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "dovestorm.load.beforehand", "ceiling", json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(timeout=30) == 1
        finally:
            process.kill()
