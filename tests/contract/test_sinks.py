"""What every sink promises, held against every sink; then what each family promises beyond it."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import re
import resource
import select
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import zstandard
from sink_peers import (
    DatagramPeer,
    StreamPeer,
    WebPeer,
    answer,
    make_block,
    make_certificate,
    numbered,
    server_context,
    tcp_listener,
    unix_listener,
)

from dovestorm import sinks
from dovestorm.clock import FakeClock
from dovestorm.errors import DeliveryError
from dovestorm.sinks import Options, PipeClosed, Stopped
from dovestorm.sinks.stream import StreamSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dovestorm.block import Block

PATIENCE_S = 10
FULL_BACKOFF_S = 0.05 + 0.1 + 0.2 + 0.4 + 0.8

KINDS = ("stdout", "file", "gz", "zst", "fifo", "tcp", "tcp6", "tls", "unix", "udp", "udp6", "unixgram", "http", "batch", "https")
STREAMS = ("tcp", "tls", "unix")


class HookClock(FakeClock):
    """Does something when the sender has slept so often: how a peer comes back during a back-off, without any real waiting."""

    def __init__(self, naps: int, action: Callable[[], object]) -> None:
        super().__init__()
        self._naps = naps
        self._action = action

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if len(self.slept) == self._naps:
            self._action()


class HastyClock(FakeClock):
    """Every look at it takes a second: deadlines pass without waiting."""

    def monotonic(self) -> float:
        self.now += 1
        return self.now


@dataclass
class Place:
    """A target of some kind: its URL, and what has arrived there once the sink is closed."""

    url: str
    records: Callable[[], list[bytes]]
    acknowledges: bool = False
    prepare: Callable[[], None] = lambda: None

    def sink(self, rest: str = "") -> sinks.Sink:
        """A sink for it, not yet opened."""
        self.prepare()
        return sinks.open_url(self.url + rest)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("the openssl program makes the certificate of this test, and it is not installed")
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def cleanup() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def place(request, tmp_path, cleanup, monkeypatch) -> Place:
    """Makes a target of the kind that the test is parametrised with."""
    kind = request.param
    if kind in {"file", "gz", "zst"}:
        return file_place(kind, tmp_path)
    if kind in {"stdout", "fifo"}:
        return pipe_place(kind, tmp_path, cleanup, monkeypatch)
    if kind in {"udp", "udp6", "unixgram"}:
        return datagram_place(kind, tmp_path, cleanup)
    pair = request.getfixturevalue("certificate") if kind in {"tls", "https"} else None
    return web_place(kind, pair, cleanup) if kind in {"http", "batch", "https"} else stream_place(kind, pair, tmp_path, cleanup)


def file_place(kind: str, folder: Path) -> Place:
    path = folder / f"out.{kind}"

    def records() -> list[bytes]:
        opened = {"file": path.read_bytes, "gz": lambda: gzip.decompress(path.read_bytes()), "zst": lambda: unzstd(path)}
        return opened[kind]().splitlines()

    return Place(str(path), records)


def unzstd(path: Path) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(path.read_bytes())


def pipe_place(kind: str, folder: Path, cleanup: contextlib.ExitStack, monkeypatch) -> Place:
    chunks: list[bytes] = []
    if kind == "stdout":
        reader, writer = os.pipe()
        stdout = os.fdopen(writer, "w")
        url = "-"
    else:
        path = folder / "pipe"
        os.mkfifo(path)
        reader, stdout, url = os.open(path, os.O_RDONLY | os.O_NONBLOCK), None, f"file:{path}"
        os.set_blocking(reader, True)

    def drain() -> None:
        wait_for_writer(reader)
        while got := os.read(reader, 65536):
            chunks.append(got)

    thread = threading.Thread(target=drain, daemon=True)
    thread.start()

    def records() -> list[bytes]:
        if stdout:
            stdout.close()
        thread.join(PATIENCE_S)
        return b"".join(chunks).splitlines()

    cleanup.callback(os.close, reader)
    cleanup.callback(records)
    # pytest puts its own standard output in place between a fixture and its test.
    return Place(url, records, prepare=(lambda: monkeypatch.setattr(sys, "stdout", stdout)) if stdout else lambda: None)


def wait_for_writer(reader: int) -> None:
    """A named pipe reads as ended before its first writer comes."""
    poll = select.poll()
    poll.register(reader, select.POLLIN | select.POLLHUP)
    poll.poll(PATIENCE_S * 1000)


def datagram_place(kind: str, folder: Path, cleanup: contextlib.ExitStack) -> Place:
    host = "::1" if kind == "udp6" else "127.0.0.1"
    path = folder / "gram"
    sock = socket.socket({"udp": socket.AF_INET, "udp6": socket.AF_INET6, "unixgram": socket.AF_UNIX}[kind], socket.SOCK_DGRAM)
    sock.bind(str(path) if kind == "unixgram" else (host, 0))
    peer = DatagramPeer(sock)
    cleanup.callback(peer.stop)
    url = {"udp": f"udp://127.0.0.1:{peer_port(sock)}", "udp6": f"udp://[::1]:{peer_port(sock)}", "unixgram": f"unixgram:{path}"}[kind]

    def records() -> list[bytes]:
        peer.stop()
        return peer.received

    return Place(url, records)


def peer_port(sock: socket.socket) -> int | None:
    name = sock.getsockname()
    return None if isinstance(name, str) else name[1]


def stream_peer(kind: str, folder: Path, cleanup: contextlib.ExitStack, pair=None, limits=()) -> tuple[StreamPeer, str]:
    """A receiver for a stream, and the URL of a sink for it."""
    path = folder / "socket"
    listener = unix_listener(path) if kind == "unix" else tcp_listener("::1" if kind == "tcp6" else "127.0.0.1")
    peer = StreamPeer(listener, limits=limits, context=server_context(*pair) if pair else None)
    cleanup.callback(peer.stop)
    if kind == "unix":
        return peer, f"unix:{path}"
    if kind == "tls":
        return peer, f"tls://localhost:{peer.port}?ca={pair[0]}"
    return peer, f"tcp://[::1]:{peer.port}" if kind == "tcp6" else f"tcp://127.0.0.1:{peer.port}"


def stream_place(kind: str, pair, folder: Path, cleanup: contextlib.ExitStack) -> Place:
    peer, url = stream_peer(kind, folder, cleanup, pair)

    def records() -> list[bytes]:
        for number in range(len(peer.received)):
            assert peer.closed[number].wait(PATIENCE_S)
        return b"".join(peer.received).splitlines()

    return Place(url, records)


def web_place(kind: str, pair, cleanup: contextlib.ExitStack) -> Place:
    peer = WebPeer(tcp_listener(), context=server_context(*pair) if pair else None)
    cleanup.callback(peer.stop)
    url = f"https://localhost:{peer.port}/in?ca={pair[0]}" if pair else f"http://127.0.0.1:{peer.port}/in"

    def records() -> list[bytes]:
        return b"\n".join(request.body.removesuffix(b"\n") for request in peer.requests).splitlines()

    return Place(f"{url}?batch=7" if kind == "batch" else url, records, acknowledges=True)


every_kind = pytest.mark.parametrize("place", KINDS, indirect=True)


# --- every sink ---------------------------------------------------------------------------------------------------------------------


@every_kind
def test_what_goes_in_comes_out(place: Place) -> None:
    """All records arrive once, whole and in order, and the counts say so."""
    records = numbered(0, 90)
    sink = place.sink()
    sink.open()
    for first, last in ((0, 1), (1, 40), (40, 40), (40, 90)):
        sink.write(make_block(records[first:last]))
    sink.close()
    assert place.records() == records
    tally = sink.tally
    assert (tally.written, tally.undelivered, tally.retries, tally.reconnects, tally.fault) == (90, 0, 0, 0, "")
    assert tally.acknowledged == (90 if place.acknowledges else None)
    total = sum(map(len, records))
    assert total <= tally.written_bytes <= total + 90


@every_kind
def test_a_part_of_a_block_is_a_block(place: Place) -> None:
    """Slices of a block are sent from the right place."""
    records = numbered(5, 30)
    block = make_block(records)
    sink = place.sink()
    sink.open()
    sink.write(block.part(3, 10))
    sink.write(block.part(10, 30))
    sink.close()
    assert place.records() == records[3:]


@every_kind
def test_nothing_is_made_before_open_and_close_may_come_twice(place: Place) -> None:
    """A sink that was never opened, or that is closed already, closes without a word."""
    place.sink().close()
    sink = place.sink()
    sink.open()
    sink.close()
    sink.close()
    sink.abort()
    assert sink.tally.written == 0


@every_kind
def test_abort_ends_at_once_and_for_good(place: Place) -> None:
    """What was taken before stays counted; what comes afterwards is refused and counted as undelivered."""
    sink = place.sink()
    sink.open()
    sink.write(make_block(numbered(0, 3)))
    sink.abort()
    with pytest.raises(Stopped):
        sink.write(make_block(numbered(3, 2)))
    assert (sink.tally.written, sink.tally.undelivered) == (3, 2)
    sink.abort()
    sink.close()


def write_often(sink: sinks.Sink, *blocks: Block) -> None:
    for block in blocks if len(blocks) > 1 else blocks * 1000:
        sink.write(block)


# --- sinks that can block -----------------------------------------------------------------------------------------------------------


def stalled(kind: str, folder: Path, cleanup: contextlib.ExitStack, request, monkeypatch) -> str:
    """The URL of a receiver that lets a sender in, and then never reads."""
    if kind in {"tcp", "tls", "unix"}:
        pair = request.getfixturevalue("certificate") if kind == "tls" else None
        return stream_peer(kind, folder, cleanup, pair, limits=(0,))[1]
    if kind == "http":
        return f"http://127.0.0.1:{stream_peer('tcp', folder, cleanup, limits=(0,))[0].port}/"
    if kind == "unixgram":
        sock = cleanup.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        sock.bind(str(folder / "gram"))
        return f"unixgram:{folder / 'gram'}"
    if kind == "stdout":
        reader, writer = os.pipe()
        cleanup.callback(os.close, reader)
        monkeypatch.setattr(sys, "stdout", cleanup.enter_context(os.fdopen(writer, "w")))
        return "-"
    path = folder / ("pipe.gz" if kind == "fifo.gz" else "pipe")
    os.mkfifo(path)
    cleanup.callback(os.close, os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    return f"file:{path}"


@pytest.mark.parametrize("kind", [*STREAMS, "http", "unixgram", "stdout", "fifo", "fifo.gz"])
def test_abort_frees_a_blocked_write(kind: str, tmp_path, cleanup, request, monkeypatch) -> None:
    """A receiver that takes nothing holds the sender back; ``abort`` from another thread frees it, and every event is accounted for."""
    sink = sinks.open_url(stalled(kind, tmp_path, cleanup, request, monkeypatch))
    sink.open()
    noise = hashlib.shake_128(b"noise").digest(60_000).replace(b"\n", b" ")
    block = make_block([noise] * 400)
    moments: dict[str, float] = {}

    def abort() -> None:
        moments["abort"] = time.monotonic()
        sink.abort()

    timer = threading.Timer(0.1, abort)  # not for timing: whenever it comes, the write cannot have ended by itself
    timer.start()
    with pytest.raises(Stopped):
        write_often(sink, block)
    assert time.monotonic() - moments["abort"] < 1.0
    timer.join()
    tally = sink.tally
    assert (tally.written + tally.undelivered) % 400 == 0 or kind == "http"
    assert tally.undelivered > 0
    sink.close()


def test_a_named_pipe_without_a_reader_waits_for_one(tmp_path, cleanup) -> None:
    """Opening waits, as a shell's redirection does, and goes on when the reader comes."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    clock = HookClock(3, lambda: cleanup.callback(os.close, os.open(path, os.O_RDONLY | os.O_NONBLOCK)))
    sink = sinks.open_url(str(path), options=Options(clock=clock))
    sink.open()
    assert len(clock.slept) == 3
    sink.close()


# --- streams ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STREAMS)
def test_a_receiver_that_comes_back_gets_the_rest(kind: str, tmp_path, cleanup, request) -> None:
    """A connection closed between blocks is noticed before anything is lost to it: two connections together hold every record once."""
    pair = request.getfixturevalue("certificate") if kind == "tls" else None
    records = numbered(0, 50)
    first, second = make_block(records[:20]), make_block(records[20:])
    peer, url = stream_peer(kind, tmp_path, cleanup, pair, limits=(len(first.data),))
    clock = FakeClock()
    sink = sinks.open_url(url, options=Options(clock=clock))
    sink.open()
    sink.write(first)
    assert peer.closed[0].wait(PATIENCE_S)
    sink.write(second)
    sink.close()
    assert peer.closed[1].wait(PATIENCE_S)
    assert peer.received == [bytes(first.data), bytes(second.data)]
    assert (sink.tally.written, sink.tally.undelivered, sink.tally.reconnects, sink.tally.retries) == (50, 0, 1, 0)
    assert sum(clock.slept) == pytest.approx(0.05)


@pytest.mark.parametrize("taken", [1, 5_000, 33_333, 100_000])
def test_a_loss_within_a_block_resends_from_a_whole_record(taken: int) -> None:
    """The second connection starts with the first record that the first one did not take whole; ``written`` is exact."""
    records = numbered(0, 3000, size=700)
    block = make_block(records)
    connections: list[socket.socket] = []
    got: list[bytes] = []
    threads = []

    def read(sock: socket.socket, limit: int | None) -> None:
        with sock:
            data = b""
            while limit is None or len(data) < limit:
                more = sock.recv(65536 if limit is None else limit - len(data))
                if not more:
                    break
                data += more
            got.append(data)  # before the socket closes, so that the next connection's comes later

    def dial(_hold) -> socket.socket:
        ours, theirs = socket.socketpair()
        thread = threading.Thread(target=read, args=(theirs, None if connections else taken))
        connections.append(ours)
        threads.append(thread)
        thread.start()
        return ours

    sink = StreamSink("test:", dial, options=Options(clock=FakeClock()))
    sink.open()
    sink.write(block)
    sink.close()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert got[0] == bytes(block.data[:taken])
    begin = len(block.data) - len(got[1])
    assert got[1] == bytes(block.data[begin:])
    assert begin == 0 or block.data[begin - 1] == ord("\n")
    assert (sink.tally.written, sink.tally.undelivered, sink.tally.reconnects) == (3000, 0, 1)
    assert sink.tally.retries <= 1


@pytest.mark.parametrize("kind", [*STREAMS, "http"])
def test_nobody_listens(kind: str, tmp_path, certificate) -> None:
    """Attempts become rarer up to the limit; then the error names the target and what to do."""
    with tcp_listener() as listener:
        port = listener.getsockname()[1]
    url = {
        "tcp": f"tcp://127.0.0.1:{port}",
        "tls": f"tls://127.0.0.1:{port}?ca={certificate[0]}",
        "unix": f"unix:{tmp_path / 'nothing'}",
        "http": f"http://127.0.0.1:{port}/",
    }[kind]
    clock = FakeClock()
    sink = sinks.open_url(url, options=Options(clock=clock))
    with pytest.raises(DeliveryError, match="cannot connect") as caught:
        sink.open()
    assert str(caught.value).startswith(sink.url)
    assert sum(clock.slept) == pytest.approx(FULL_BACKOFF_S)
    with pytest.raises(DeliveryError):
        sink.write(make_block(numbered(0, 4)))
    assert (sink.tally.written, sink.tally.undelivered) == (0, 4)
    sink.abort()


def test_no_retries_means_one_attempt() -> None:
    """``?retries=0`` fails at the first refusal, without waiting."""
    with tcp_listener() as listener:
        port = listener.getsockname()[1]
    clock = FakeClock()
    with pytest.raises(DeliveryError, match="connection refused: nothing accepts connections there"):
        sinks.open_url(f"tcp://127.0.0.1:{port}?retries=0", options=Options(clock=clock)).open()
    assert clock.slept == []


def test_back_off_stops_growing() -> None:
    """Waits double from 50 ms and stay at 5 s."""
    clock = FakeClock()
    with tcp_listener() as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DeliveryError):
        sinks.open_url(f"tcp://127.0.0.1:{port}?retries=9", options=Options(clock=clock)).open()
    assert clock.now == pytest.approx(0.05 + 0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 3.2 + 5 + 5)


def test_a_receiver_that_starts_late_is_waited_for(cleanup) -> None:
    """The receiver comes up during the back-off, and nothing is lost."""
    with tcp_listener() as listener:
        port = listener.getsockname()[1]
    peers: list[StreamPeer] = []

    def start() -> None:
        peers.append(StreamPeer(tcp_listener(port=port)))
        cleanup.callback(peers[0].stop)

    sink = sinks.open_url(f"tcp://127.0.0.1:{port}", options=Options(clock=HookClock(4, start)))
    sink.open()
    block = make_block(numbered(0, 10))
    sink.write(block)
    sink.close()
    assert peers[0].closed[0].wait(PATIENCE_S)
    assert peers[0].received == [bytes(block.data)]
    assert (sink.tally.written, sink.tally.reconnects) == (10, 0)


def test_a_receiver_that_closes_every_connection_is_given_up(tmp_path, cleanup) -> None:
    """Being let in is no success: connections that end at once count as failures in a row."""
    listener = tcp_listener()
    over = threading.Event()

    def slam() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                listener.accept()[0].close()

    thread = threading.Thread(target=slam, daemon=True)
    thread.start()

    def stop() -> None:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(PATIENCE_S)

    cleanup.callback(stop)
    sink = sinks.open_url(f"tcp://127.0.0.1:{listener.getsockname()[1]}", options=Options(clock=FakeClock()))
    sink.open()
    block = make_block([b"x" * 1_000_000] * 40)
    with pytest.raises(DeliveryError, match="connection lost"):
        write_often(sink, block)
    assert (sink.tally.written + sink.tally.undelivered) % 40 == 0
    assert sink.tally.undelivered > 0
    sink.abort()


def test_what_a_receiver_says_is_thrown_away(cleanup) -> None:
    """A chatty receiver is no reason to reconnect, nor to lose what is under way when the connection ends."""
    listener = tcp_listener()
    got: list[bytes] = []
    said = threading.Event()

    def serve() -> None:
        sock, _ = listener.accept()
        with sock:
            sock.sendall(b"hello\n")
            said.set()
            with contextlib.suppress(OSError):
                while more := sock.recv(65536):
                    got.append(more)

    thread = threading.Thread(target=serve)
    thread.start()
    cleanup.callback(listener.close)
    sink = sinks.open_url(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    sink.open()
    assert said.wait(PATIENCE_S)
    block = make_block(numbered(0, 5))
    sink.write(block)
    sink.close()
    thread.join(PATIENCE_S)
    assert b"".join(got) == bytes(block.data)
    assert sink.tally.reconnects == 0


def test_a_receiver_that_leaves_data_unread_is_told_of(cleanup) -> None:
    """A reset in place of a farewell means that the last events may be lost, and that is an error."""
    ours, theirs = socket.socketpair()
    sink = StreamSink("test:", lambda _hold: ours, options=Options())
    sink.open()
    sink.write(make_block(numbered(0, 5)))
    theirs.close()
    with pytest.raises(DeliveryError, match="closed before all was read"):
        sink.close()


def test_tls_is_refused_without_the_authority(certificate, cleanup, tmp_path) -> None:
    """A certificate that nobody vouches for ends the attempt at once, with the two ways out; ``verify=no`` is one of them."""
    peer, url = stream_peer("tls", tmp_path, cleanup, certificate)
    clock = FakeClock()
    plain = url.partition("?")[0]
    with pytest.raises(DeliveryError, match=r"the certificate is not trusted .*\?ca=FILE.*\?verify=no"):
        sinks.open_url(plain, options=Options(clock=clock)).open()
    assert clock.slept == []
    sink = sinks.open_url(f"{plain}?verify=no")
    sink.open()
    block = make_block(numbered(0, 5))
    sink.write(block)
    sink.close()
    assert peer.closed[1].wait(PATIENCE_S)
    assert peer.received[-1] == bytes(block.data)


def test_tls_checks_the_host_name(certificate, cleanup, tmp_path) -> None:
    """A trusted certificate for another name is refused."""
    listener = tcp_listener("::1")
    peer = StreamPeer(listener, context=server_context(*certificate))
    cleanup.callback(peer.stop)
    with pytest.raises(DeliveryError, match="the certificate is not trusted"):
        sinks.open_url(f"tls://[::1]:{peer.port}?ca={certificate[0]}").open()


def test_tls_against_a_receiver_that_does_not_speak_it(cleanup) -> None:
    """The error asks the right question."""
    listener = cleanup.enter_context(tcp_listener())

    def greet() -> None:
        with listener.accept()[0] as sock:
            sock.sendall(b"220 mail.example ESMTP\r\n")
            with contextlib.suppress(OSError):
                sock.recv(1000)

    thread = threading.Thread(target=greet)
    thread.start()
    with pytest.raises(DeliveryError, match="does the receiver speak TLS on this port"):
        sinks.open_url(f"tls://127.0.0.1:{listener.getsockname()[1]}?retries=0").open()
    thread.join(PATIENCE_S)


# --- datagrams ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["udp", "unixgram"], indirect=True)
def test_a_record_above_the_limit_is_counted_and_told(place: Place) -> None:
    """It is neither cut nor split; the others go on, in order."""
    records = [b"a" * 50, b"b" * 51, b"c" * 10, b"d" * 200]
    sink = place.sink("?max=50")
    sink.open()
    sink.write(make_block(records))
    sink.close()
    assert place.records() == [records[0], records[2]]
    assert (sink.tally.written, sink.tally.undelivered, sink.tally.written_bytes) == (2, 2, 60)
    assert "an event of 200 bytes does not fit into one datagram" in sink.tally.fault


@pytest.mark.parametrize("place", ["udp", "unixgram"], indirect=True)
def test_the_largest_datagram(place: Place) -> None:
    """UDP carries 65,507 bytes and not one more; the default limit knows."""
    records = [b"a" * 65_507, b"b" * 65_508, b"c" * 300_000, b"d"]
    sink = place.sink()
    sink.open()
    sink.write(make_block(records))
    sink.close()
    fits = [record for record in records if len(record) <= (65_507 if place.url.startswith("udp") else 100_000)]
    assert [len(record) for record in place.records()] == [len(record) for record in fits]
    assert (sink.tally.written, sink.tally.undelivered) == (len(fits), 4 - len(fits))


@pytest.mark.parametrize("place", ["udp"], indirect=True)
def test_records_without_terminator_stay_whole(place: Place) -> None:
    """A format without terminator loses no byte."""
    sink = place.sink()
    sink.open()
    sink.write(make_block([b"\x81\xa1a\x01", b"\x80"], newline=False))
    sink.close()
    assert place.records() == [b"\x81\xa1a\x01", b"\x80"]


def test_udp_that_nobody_takes_is_undelivered() -> None:
    """On one machine the refusal of each datagram comes back, so that not one is counted as written."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    clock = FakeClock()
    sink = sinks.open_url(f"udp://127.0.0.1:{port}", options=Options(clock=clock))
    sink.open()
    with pytest.raises(DeliveryError, match="nothing accepts connections there"):
        sink.write(make_block(numbered(0, 8)))
    assert (sink.tally.written, sink.tally.undelivered) == (0, 8)
    assert clock.now == pytest.approx(FULL_BACKOFF_S)
    sink.abort()


@pytest.mark.parametrize("kind", ["udp", "unixgram"])
def test_a_datagram_receiver_that_comes_back_gets_all(kind: str, tmp_path, cleanup) -> None:
    """It leaves between blocks and comes back during the back-off: every record arrives once, in order."""
    path = tmp_path / "gram"

    def bind(port: int = 0) -> socket.socket:
        sock = socket.socket(socket.AF_INET if kind == "udp" else socket.AF_UNIX, socket.SOCK_DGRAM)
        cleanup.callback(sock.close)
        sock.bind(("127.0.0.1", port) if kind == "udp" else str(path))
        return sock

    first = bind()
    port = first.getsockname()[1] if kind == "udp" else 0
    url = f"udp://127.0.0.1:{port}" if kind == "udp" else f"unixgram:{path}"
    later: list[socket.socket] = []

    def come_back() -> None:
        path.unlink(missing_ok=True)
        later.append(bind(port))

    records = numbered(0, 30)
    sink = sinks.open_url(url, options=Options(clock=HookClock(3, come_back)))
    sink.open()
    sink.write(make_block(records[:5]))
    assert [first.recv(1000) for _ in range(5)] == records[:5]
    first.close()

    writer = threading.Thread(target=sink.write, args=(make_block(records[5:]),))
    writer.start()
    while not later:
        writer.join(0.01)
    later[0].settimeout(PATIENCE_S)
    got = [later[0].recv(1000) for _ in range(25)]
    writer.join(PATIENCE_S)
    sink.close()
    assert got == records[5:]
    assert (sink.tally.written, sink.tally.undelivered) == (30, 0)


def test_unix_sockets_of_the_wrong_type(tmp_path, cleanup) -> None:
    """The error says which of the two schemes is right."""
    with unix_listener(tmp_path / "s"), pytest.raises(DeliveryError, match="unixgram: for datagrams"):
        sinks.open_url(f"unixgram:{tmp_path / 's'}?retries=0").open()


# --- web ----------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def web(cleanup) -> WebPeer:
    peer = WebPeer(tcp_listener())
    cleanup.callback(peer.stop)
    return peer


def post(web: WebPeer, count: int, *, rest: str = "/", options: Options | None = None) -> sinks.Sink:
    sink = sinks.open_url(f"http://127.0.0.1:{web.port}{rest}", options=options or Options(clock=FakeClock()))
    sink.open()
    try:
        sink.write(make_block(numbered(0, count)))
    finally:
        sink.close()
    return sink


def test_a_request_looks_like_dovecots(web: WebPeer) -> None:
    """One event a request, without newline, over one connection, with the exporter's headers in its order."""
    post(web, 3, rest="/in?key=v&retries=1")
    assert [request.body for request in web.requests] == numbered(0, 3)
    assert {request.connection for request in web.requests} == {1}
    request = web.requests[0]
    assert request.line == "POST /in?key=v HTTP/1.1"
    assert [name for name, _ in request.headers] == ["Host", "Date", "Content-Length", "Connection", "Content-Type"]
    values = dict(request.headers)
    assert values["Host"] == f"127.0.0.1:{web.port}"
    assert (values["Connection"], values["Content-Type"]) == ("Keep-Alive", "application/json")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", values["Date"])


def test_batches_are_lines(web: WebPeer) -> None:
    """Up to N records a request, each with its newline, as NDJSON."""
    post(web, 7, rest="/?batch=3")
    assert [request.body for request in web.requests] == [b"".join(r + b"\n" for r in numbered(0, 7)[i : i + 3]) for i in (0, 3, 6)]
    assert dict(web.requests[0].headers)["Content-Type"] == "application/x-ndjson"


def test_user_and_password_become_a_header(web: WebPeer) -> None:
    """They are sent, and shown nowhere."""
    sink = sinks.open_url(f"http://me:s3cret@127.0.0.1:{web.port}")
    sink.open()
    sink.write(make_block(numbered(0, 1)))
    sink.close()
    assert dict(web.requests[0].headers)["Authorization"] == "Basic bWU6czNjcmV0"
    assert web.requests[0].line == "POST / HTTP/1.1"
    assert "s3cret" not in sink.url


@pytest.mark.parametrize(
    ("kind", "connections"),
    [
        (answer("204 No Content").partition(b"Content-Length")[0] + b"\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nTrailer: 1\r\n\r\n", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + answer("201 Created"), 1),
        (b"HTTP/1.1 202\nContent-Length: 0\n\n", 1),
        (answer("200 OK", "Connection: close\r\n"), 2),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 2),
    ],
    ids=["no-body", "chunked", "continue", "bare-newlines", "close", "old"],
)
def test_answers_of_every_shape(web: WebPeer, kind: bytes, connections: int) -> None:
    """However an answer is framed, the next one is found, and a connection that ends is replaced without counting a failure."""
    web.answers = [kind]
    sink = post(web, 3)
    assert (sink.tally.acknowledged, sink.tally.retries, sink.tally.undelivered) == (3, 0, 0)
    assert [request.body for request in web.requests] == numbered(0, 3)
    assert web.connections == connections


def test_an_error_that_passes_is_tried_again(web: WebPeer) -> None:
    """Two 500s and a 429 are overcome; written counts each event once, retries tell the repeats."""
    web.answers = [answer("500 Oops"), answer("500 Oops"), answer("200 OK"), answer("429 Too Many")]
    sink = post(web, 2)
    assert (sink.tally.written, sink.tally.acknowledged, sink.tally.undelivered, sink.tally.retries) == (2, 2, 0, 3)
    assert [request.body for request in web.requests] == [numbered(0, 1)[0]] * 3 + [numbered(1, 1)[0]] * 2


def test_an_error_that_stays_ends_the_delivery(web: WebPeer) -> None:
    """After the limit the event and all that follow are undelivered, and none is acknowledged."""
    web.answers = [answer("503 Busy")] * 20
    sink = sinks.open_url(f"http://127.0.0.1:{web.port}/?retries=3", options=Options(clock=FakeClock()))
    sink.open()
    with pytest.raises(DeliveryError, match="not accepted: it answered 503 Busy again and again"):
        sink.write(make_block(numbered(0, 5)))
    sink.close()
    assert (sink.tally.written, sink.tally.acknowledged, sink.tally.undelivered, sink.tally.retries) == (1, 0, 5, 3)
    assert len(web.requests) == 4


def test_an_event_that_the_server_refuses_is_counted(web: WebPeer) -> None:
    """400 speaks of one event; the others are delivered, and the loss is told."""
    web.answers = [answer("200 OK"), answer("400 Bad Request")]
    sink = post(web, 4)
    assert (sink.tally.written, sink.tally.acknowledged, sink.tally.undelivered) == (4, 3, 1)
    assert "it answered 400 Bad Request" in sink.tally.fault


def test_an_address_that_is_wrong_ends_the_delivery_at_once(web: WebPeer) -> None:
    """404 is not tried again."""
    web.answers = [answer("404 Not Found")]
    with pytest.raises(DeliveryError, match="it answered 404 Not Found; correct the address"):
        post(web, 4)
    assert len(web.requests) == 1


def test_a_request_without_answer_is_sent_again(web: WebPeer) -> None:
    """The server closes in place of an answer: the request is repeated, and counted as a possible double."""
    web.answers = [answer("200 OK"), b""]
    sink = post(web, 3)
    assert (sink.tally.acknowledged, sink.tally.retries, sink.tally.reconnects) == (3, 1, 1)
    assert [request.body for request in web.requests] == [numbered(i, 1)[0] for i in (0, 1, 1, 2)]


def test_a_server_that_never_answers_times_out(tmp_path, cleanup) -> None:
    """The wait for an answer has a limit, and so has its repetition."""
    peer, _ = stream_peer("tcp", tmp_path, cleanup, limits=(0,))
    sink = sinks.open_url(f"http://127.0.0.1:{peer.port}/?retries=1&timeout=1", options=Options(clock=HastyClock()))
    sink.open()
    with pytest.raises(DeliveryError, match="no answer: no answer in time"):
        sink.write(make_block(numbered(0, 2)))
    assert (sink.tally.acknowledged, sink.tally.undelivered) == (0, 2)
    sink.abort()


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", b"x" * 70_000])
def test_an_answer_that_is_not_http(web: WebPeer, nonsense: bytes) -> None:
    """It ends the delivery with a question, not with a hang."""
    web.answers = [nonsense]
    with pytest.raises(DeliveryError, match="answer"):
        post(web, 1)


# --- files --------------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Stands for a full disk: writes beyond fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_leaves_whole_records(tmp_path) -> None:
    """The part of a record that still fitted is cut off again; the counts agree with the file."""
    path = tmp_path / "out"
    records = numbered(0, 100)
    sink = sinks.open_url(str(path))
    sink.open()
    sink.write(make_block(records[:10]))
    with file_size_limit(1000), pytest.raises(DeliveryError, match="cannot write: file too large"):
        sink.write(make_block(records[10:]))
    sink.abort()
    kept = path.read_bytes()
    assert kept.endswith(b"\n")
    assert kept.splitlines() == records[: len(kept.splitlines())]
    assert 900 < len(kept) <= 1000
    assert (sink.tally.written, sink.tally.undelivered) == (len(kept.splitlines()), 100 - len(kept.splitlines()))
    assert sink.tally.written_bytes == len(kept)


def test_a_disk_that_has_room_again(tmp_path) -> None:
    """What is written after two failures follows whole records; the counts agree with the file."""
    path = tmp_path / "out"
    sink = sinks.open_url(str(path))
    sink.open()
    with file_size_limit(1000):
        for first in (0, 100):
            with pytest.raises(DeliveryError, match="cannot write"):
                sink.write(make_block(numbered(first, 100)))
    sink.write(make_block(numbered(200, 10)))
    sink.close()
    kept = path.read_bytes().splitlines()
    assert kept == [*numbered(0, len(kept) - 10), *numbered(200, 10)]
    assert (sink.tally.written, sink.tally.undelivered, sink.tally.written_bytes) == (len(kept), 210 - len(kept), path.stat().st_size)


@pytest.mark.parametrize("suffix", ["gz", "zst"])
@pytest.mark.parametrize("limit", [100_000, 1_200_000])
def test_a_full_disk_leaves_a_compressed_file_that_opens(suffix: str, limit: int, tmp_path) -> None:
    """It is cut back to a checkpoint and ended there: decompressing gives exactly the records that are counted as written."""
    path = tmp_path / f"out.{suffix}"
    records = [hashlib.shake_128(b"%d" % number).hexdigest(250).encode() for number in range(8000)]
    sink = sinks.open_url(str(path))
    sink.open()
    with file_size_limit(limit), pytest.raises(DeliveryError, match="cannot write"):
        write_often(sink, *(make_block(records[first : first + 400]) for first in range(0, 8000, 400)))
    sink.abort()
    kept = (gzip.decompress(path.read_bytes()) if suffix == "gz" else unzstd(path)).splitlines()
    assert kept == records[: len(kept)]
    assert len(kept) == sink.tally.written
    assert (len(kept) > 0) == (limit > 1_000_000)
    assert path.stat().st_size <= limit
    assert (sink.tally.written + sink.tally.undelivered) % 400 == 0


@pytest.mark.parametrize("suffix", ["gz", "zst"])
def test_an_aborted_compressed_file_opens(suffix: str, tmp_path) -> None:
    """Abort ends the stream properly: all that was taken is in it."""
    path = tmp_path / f"out.{suffix}"
    sink = sinks.open_url(str(path))
    sink.open()
    sink.write(make_block(numbered(0, 500)))
    sink.abort()
    kept = gzip.decompress(path.read_bytes()) if suffix == "gz" else unzstd(path)
    assert kept.splitlines() == numbered(0, 500)
    assert sink.tally.written == 500


def test_a_file_is_overwritten(tmp_path) -> None:
    """As ``>`` does in a shell."""
    path = tmp_path / "out"
    path.write_bytes(b"old " * 1000)
    sink = sinks.open_url(f"file://{path}")
    sink.open()
    sink.write(make_block([b"new"]))
    sink.close()
    assert path.read_bytes() == b"new\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("", "is a directory: it is a directory; name a file in it"),
        ("a/b/c", "no such file or directory: it does not exist"),
        ("file/x", "not a directory"),
    ],
)
def test_files_that_cannot_be(name: str, expected: str, tmp_path) -> None:
    """The error says what is wrong with the path."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DeliveryError, match=expected):
        sinks.open_url(f"{tmp_path}/{name}").open()


def test_devices_are_fine() -> None:
    """The null device takes all; the full one says so."""
    sink = sinks.open_url("file:/dev/null")
    sink.open()
    sink.write(make_block(numbered(0, 5)))
    sink.close()
    assert sink.tally.written == 5
    sink = sinks.open_url("/dev/full")
    sink.open()
    with pytest.raises(DeliveryError, match="the disk is full"):
        sink.write(make_block(numbered(0, 5)))
    assert (sink.tally.written, sink.tally.undelivered) == (0, 5)
    sink.close()


def test_a_reader_that_leaves_ends_quietly(cleanup, monkeypatch) -> None:
    """A closed pipe is its own kind of end; what it took is counted."""
    reader, writer = os.pipe()
    monkeypatch.setattr(sys, "stdout", cleanup.enter_context(os.fdopen(writer, "w")))
    sink = sinks.open_url("-")
    sink.open()
    sink.write(make_block(numbered(0, 5)))
    assert os.read(reader, 1000).splitlines() == numbered(0, 5)
    os.close(reader)
    with pytest.raises(PipeClosed):
        sink.write(make_block(numbered(5, 5)))
    sink.close()
    assert (sink.tally.written, sink.tally.undelivered) == (5, 5)


def test_standard_output_that_others_share_keeps_blocking(cleanup, monkeypatch) -> None:
    """Our own writes can be stopped, theirs still wait: the inherited descriptor is not made non-blocking, and stays open."""
    reader, writer = os.pipe()
    cleanup.callback(os.close, reader)
    monkeypatch.setattr(sys, "stdout", cleanup.enter_context(os.fdopen(writer, "w")))
    sink = sinks.open_url("-")
    sink.open()
    assert os.get_blocking(writer)
    sink.close()
    assert os.write(writer, b"still open") == 10


def test_standard_output_that_is_an_object(monkeypatch) -> None:
    """Test runners and notebooks put one in its place."""
    stream = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stream)
    sink = sinks.open_url("-")
    sink.open()
    sink.write(make_block(numbered(0, 5)))
    sink.close()
    assert stream.buffer.getvalue().splitlines() == numbered(0, 5)


PROGRAM = """
import sys
sys.path[:0] = {path!r}
from dovestorm import sinks
from sink_peers import make_block, numbered
sink = sinks.open_url("-")
sink.open()
sink.write(make_block(numbered(0, 1000)))
sink.close()
assert sink.tally.written == 1000
"""


@pytest.mark.parametrize("append", [False, True])
def test_standard_output_that_is_a_file(append: bool, tmp_path) -> None:  # noqa: FBT001
    """``>`` and ``>>`` of a shell both work: nothing that stood there before is touched."""
    path = tmp_path / "out"
    path.write_bytes(b"before\n")
    with path.open("ab" if append else "wb") as stream:
        subprocess.run([sys.executable, "-c", PROGRAM.format(path=sys.path)], stdout=stream, check=True)
    assert path.read_bytes().splitlines() == ([b"before"] if append else []) + numbered(0, 1000)


def test_standard_output_that_is_a_socket() -> None:
    """Service managers connect it to one."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM.format(path=sys.path)], stdout=theirs)
        theirs.close()
        got = b""
        while more := ours.recv(65536):
            got += more
        assert process.wait(PATIENCE_S) == 0
    assert got.splitlines() == numbered(0, 1000)


def test_a_tls_socket_is_a_socket() -> None:
    """``abort`` relies on it: the plain shutdown of a socket can be called for a TLS socket."""
    assert issubclass(ssl.SSLSocket, socket.socket)
