"""Locust delivers to every kind of target: what our own consumer received is held against the stream made anew."""

from __future__ import annotations

import gzip
import http.server
import json
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from locust_runs import Member, load, locust
from sink_peers import make_certificate
from stats_batches import expected, from_json, plain
from stats_peer import StatsPeer
from waiting import wait_until

from dovestorm import generate
from dovestorm.audit import audit
from dovestorm.receive import Receiver
from dovestorm.stream import Limits, open_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.skipif(find_spec("locust") is None, reason="the extra 'load' is not installed")

SCENARIO = "imap-login"
SEED = 3
EVENTS = 500
WANTED = "auth_request_finished"
STREAM = ("--scenario", SCENARIO, "--seed", str(SEED))

FILES = ("file", "gz")
DATAGRAMS = ("udp", "unixgram")
KINDS = (*FILES, *DATAGRAMS, "tcp", "tls", "unix", "http", "http-batch", "https", "https-batch")


RUNS = {
    "stream": ("--events", str(EVENTS), "--rate", "2500/s"),
    "sessions": ("-u", "20", "--sessions", "40", "--speed", "200", "--connection", "session"),
    "post": ("-u", "3", "--events", "300", "--rate", "600/s"),
}
WITH_SESSIONS = ("tls", "unixgram", "gz", "https-batch")
WITH_POSTS = ("http", "https")


class Delivery:
    """A run of one of the locustfiles to a kind of target, and what came there."""

    def __init__(self, what: str, kind: str, folder: Path, certificate: tuple[Path, Path]) -> None:
        self.is_acknowledged = kind.startswith("http")
        self.path = folder / ("received.json.gz" if kind == "gz" else "received.json")
        with consumer(kind, self.path, certificate) as url:
            self.done = locust(f"replay_{what}.py", url, *STREAM, *RUNS[what], tmp_path=folder)

    @property
    def data(self) -> bytes:
        return unpacked(self.path)


@contextmanager
def consumer(kind: str, path: Path, certificate: tuple[Path, Path]) -> Iterator[str]:
    """The URL to deliver to; in the end all that came is in the file."""
    scheme, _, batch = kind.partition("-")
    if scheme in FILES:
        yield f"file:{path}"
        return
    cert, key = certificate
    is_secret = scheme in {"tls", "https"}
    place = f"{scheme}:{path.parent}/socket" if scheme.startswith("unix") else f"{scheme}://127.0.0.1:0"
    query = [f"ca={cert}"] * is_secret + ["batch=64"] * bool(batch)
    with Receiver(place + (f"?cert={cert}&key={key}" if is_secret else ""), write=path) as receiver:
        yield f"{receiver.url}?{'&'.join(query)}" if query else receiver.url
        if scheme == "udp":  # the kernel has them, the consumer maybe not yet
            receiver.wait_for(EVENTS)


@pytest.fixture(scope="module")
def deliveries(tmp_path_factory) -> Iterator[Callable[[str, str], Delivery]]:
    """The runs, two at a time: most of a run is the start of its processes."""
    certificate = make_certificate(tmp_path_factory.mktemp("certificate"))
    wanted = [*(("stream", kind) for kind in KINDS), *(("sessions", kind) for kind in WITH_SESSIONS), *(("post", kind) for kind in WITH_POSTS)]
    pool = ThreadPoolExecutor(2)
    running = {(what, kind): pool.submit(Delivery, what, kind, tmp_path_factory.mktemp(f"{what}-{kind}"), certificate) for what, kind in wanted}
    yield lambda what, kind: running[what, kind].result()
    pool.shutdown(cancel_futures=True)


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def stream(**limits):
    return open_stream(SCENARIO, seed=SEED, limits=Limits(**limits))


def assert_whole(report) -> None:
    """Law: all arrived once, and nothing else did."""
    found = (report.missing, report.altered, report.doubled, report.foreign, report.unreadable)
    assert (report.delivered, found) == (report.expected, (0, 0, 0, 0, 0))


def assert_named(delivery: Delivery) -> None:
    """Law: what the times run to is said, and it is no acknowledgement where there is none."""
    output, is_acknowledged = delivery.done.output, delivery.is_acknowledged
    assert ("due to acknowledgement" in output, "due to end of write" in output) == (is_acknowledged, not is_acknowledged)


# ------------------------------------------------------------ the three locustfiles


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_arrives_byte_for_byte(kind, deliveries):
    """Law: with one user also the order is that of the stream, and the figures are those of the stream."""
    delivery = deliveries("stream", kind)
    assert delivery.done.code == 0, delivery.done.output
    sent = generate(SCENARIO, seed=SEED, events=EVENTS).bytes()
    assert delivery.data == sent
    assert_named(delivery)
    report = delivery.done.report
    assert (report["events"], report["offered"], report["unsent"], report["undelivered"], report["failures"]) == (EVENTS, EVENTS, 0, 0, 0)
    has_no_ends = kind in {*DATAGRAMS, "http", "https"}
    assert report["bytes"] == len(sent) - EVENTS * has_no_ends
    assert (report["deliveries"] > 1, report["verdict"]) == (True, "PASS")
    assert report["lateness_ms"]["max"] > 0


@pytest.mark.parametrize("kind", WITH_SESSIONS)
def test_sessions_arrive_whole(kind, deliveries):
    """Law: nothing is missing, altered or doubled, each with a connection of its own where there are connections."""
    delivery = deliveries("sessions", kind)
    assert delivery.done.code == 0, delivery.done.output
    report = audit(stream(sessions=40), [delivery.path])
    assert_whole(report)
    assert_named(delivery)
    assert delivery.done.report["events"] == delivery.done.report["deliveries"] == report.expected


@pytest.mark.parametrize("kind", WITH_POSTS)
def test_posts_arrive_whole(kind, deliveries):
    """Law: over TLS too, where the authority that the URL names vouches for the consumer."""
    delivery = deliveries("post", kind)
    assert delivery.done.code == 0, delivery.done.output
    assert_whole(audit(stream(events=300), [delivery.path]))
    assert_named(delivery)
    assert (delivery.done.report["events"], delivery.done.report["bytes"]) == (300, len(delivery.data) - 300)


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("tcp://127.0.0.1:9", "http:// and https:// only"),
        ("http://127.0.0.1:9/?batch=9", "replay_stream.py sends batches"),
        ("http://127.0.0.1:9/?retries=2", "replay_stream.py tries again"),
        ("https://127.0.0.1:9/?ca=/no/such/file", "no such file"),
    ],
)
def test_what_single_posts_cannot_do_is_refused(target, told, tmp_path):
    done = load(target, SCENARIO, "--as", "post", tmp_path=tmp_path)
    assert (done.code, told in done.output) == (2, True), done.output


def test_a_certificate_that_nobody_vouches_for_is_refused(tmp_path):
    """Law: by single posts as by every sink, unless the URL says otherwise."""
    cert, key = make_certificate(tmp_path)
    with Receiver(f"https://127.0.0.1:0?cert={cert}&key={key}") as receiver:
        done = locust("replay_post.py", receiver.url, *STREAM, "--events", "3", tmp_path=tmp_path)
    assert (done.code, done.report["events"], done.report["undelivered"]) == (1, 0, 3)
    assert "certificate verify failed" in done.output


# ------------------------------------------------------------ files


def test_every_worker_writes_a_file_of_its_own(tmp_path):
    """Law: together they are the stream, and what the compressors held when the last event came is in the files and in the figures."""
    options = ("--processes", "2", "-u", "4", "--events", "9000")
    done = locust("replay_stream.py", f"file:{tmp_path}/part-{{worker}}.gz", *STREAM, *options, tmp_path=tmp_path)
    assert done.code == 0, done.output
    parts = sorted(tmp_path.glob("part-*.gz"))
    assert_whole(audit(stream(events=9000), parts))
    assert (len(parts), done.report["events"]) == (2, 9000)


@pytest.mark.parametrize("name", ["received.json", "received.json.gz"])
def test_a_disk_that_fills_up(name, tmp_path):
    """Law: the file is not opened anew, which would empty it: what counts as delivered is there, all else is counted as undelivered."""
    path, told = tmp_path / name, tmp_path / "report.json"
    options = ("-u", "2", "--events", "16000", "--rate", "16000/s", "--load-json", str(told))
    with Member("--headless", "--host", f"file:{path}", *STREAM, *options) as run:
        wait_until(lambda: (path.exists() and path.stat().st_size) or run.process.poll() is not None, lambda: run.output)
        most = path.stat().st_size + 250_000  # a compressor's first checkpoint is in it, and its last is not
        resource.prlimit(run.process.pid, resource.RLIMIT_FSIZE, (most, most))
        assert run.wait() == 1, run.output
    report, data = json.loads(told.read_text()), unpacked(path)
    assert report["events"] + report["undelivered"] == 16_000
    assert (report["events"], report["bytes"]) == (data.count(b"\n"), len(data))
    found = audit(stream(events=16_000), [path])
    assert (found.delivered, found.missing) == (report["events"], report["undelivered"])
    assert (found.delivered > 0, found.altered, found.doubled, found.foreign, found.unreadable) == (True, 0, 0, 0, 0)
    assert "cannot write: file too large" in run.output


# ------------------------------------------------------------ a stats process


def test_the_format_goes_by_the_target(tmp_path):
    """Law: as ``generate`` does; nobody has to name the only format that a stats process takes. What its filter leaves out is no loss."""
    with StatsPeer(tmp_path / "stats-writer", greeting=b'VERSION\tstats-server\t4\t0\nFILTER\t(event="%s")\n' % WANTED.encode()) as peer:
        done = load(peer.url, SCENARIO, "--seed", str(SEED), "--events", "300", "--no-ceiling", tmp_path=tmp_path)
    assert done.code == 0, done.output
    assert peer.complaints == []
    wanted = [record for record in from_json(stream(events=300).blocks("json", time_format="unix")) if record["event"] == WANTED]
    assert 0 < len(wanted) < 300
    assert [plain(event) for event in peer.events] == [expected(record) for record in wanted]
    assert (done.report["events"], done.report["unasked"], done.report["unsent"]) == (len(wanted), 300 - len(wanted), 0)
    assert "begin to end of write" in done.output


# ------------------------------------------------------------ posts whose consumer is slow


class Slow(http.server.BaseHTTPRequestHandler):
    """Answers at once, but for one request, which waits for as long as the server says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.server.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        if len(self.server.bodies) == self.server.stalls_at:
            threading.Event().wait(self.server.stall_s)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def slow_consumer(*, stalls_at: int, stall_s: float) -> Iterator[http.server.ThreadingHTTPServer]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        server.daemon_threads = True
        server.bodies, server.stalls_at, server.stall_s = [], stalls_at, stall_s
        server.url = f"http://127.0.0.1:{server.server_port}/events"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def test_a_late_user_catches_up_with_the_schedule(tmp_path):
    """Law: one answer takes a second of a two-second schedule. What was due meanwhile is late from its due moment, and leaves at once then."""
    with slow_consumer(stalls_at=50, stall_s=1.0) as consumer:
        done = locust("replay_post.py", consumer.url, *STREAM, "--events", "200", "--rate", "100/s", tmp_path=tmp_path)
    assert done.code == 0, done.output
    assert consumer.bodies == generate(SCENARIO, seed=SEED, events=200).bytes().splitlines()
    assert done.report["seconds"] == pytest.approx(2.0, abs=0.4), "a user that went on at its own pace would need three seconds"
    late, service = done.report["lateness_ms"], done.report["service_ms"]
    # The 50 % of the events that are due in the second of the stall are late by 0 to 1 s: the latest tenth of all by more than 0.8 s.
    assert (late["p90"] > 700, late["p99"] > 900, late["max"] >= service["max"] > 950) == (True, True, True), late
    assert service["p90"] < 100, "only one answer was slow"
