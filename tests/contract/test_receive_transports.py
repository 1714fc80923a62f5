"""One suite over every transport of the reference consumer: what is sent is counted, kept and written, and nothing is left behind."""

from __future__ import annotations

import contextlib
import gc
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from functools import cache
from typing import TYPE_CHECKING, Self

import pytest
import zstandard
from sink_peers import make_block, make_certificate, numbered

from dovestorm import catalog, sinks
from dovestorm.cli import main
from dovestorm.errors import DovestormError, UsageError
from dovestorm.receive import Receiver
from dovestorm.stream import Limits, open_stream
from dovestorm.validate import Validator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMES = ("tcp", "tls", "udp", "unix", "unixgram", "http", "https")
STREAMS = ("tcp", "tls", "unix")
FORMATS = ("json", "tab-text", "msgpack")
PATIENCE_S = 20
MIB = 1 << 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(autouse=True)
def nothing_left() -> Iterator[None]:
    """Law: a consumer that was stopped leaves no thread and no open socket (an unclosed one is a warning, and so an error)."""
    yield
    gc.collect()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("dovestorm-")] == []


@pytest.fixture
def places(tmp_path, certificate) -> Places:
    return Places(tmp_path, certificate)


class Places:
    """Where to listen and where to send, by scheme."""

    def __init__(self, folder: Path, certificate: tuple[Path, Path]) -> None:
        self.socket = folder / "events.sock"
        self.cert, self.key = certificate

    def listen(self, scheme: str) -> str:
        if scheme in {"unix", "unixgram"}:
            return f"{scheme}:{self.socket}"
        secret = f"?cert={self.cert}&key={self.key}" if scheme in {"tls", "https"} else ""
        return f"{scheme}://127.0.0.1:0{secret}"

    def sink(self, receiver: Receiver, options: str = "") -> sinks.Sink:
        parts = [f"ca={self.cert}"] if receiver.url.startswith(("tls", "https")) else []
        query = "&".join([*parts, *([options] if options else [])])
        return sinks.open_url(f"{receiver.url}?{query}" if query else receiver.url)

    def connect(self, receiver: Receiver) -> socket.socket:
        """A plain connection (or, over TLS, one that is ready)."""
        if receiver.url.startswith("unix:"):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(self.socket))
            return client
        client = socket.create_connection(address(receiver), timeout=PATIENCE_S)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not receiver.url.startswith(("tls", "https")):
            return client
        return ssl.create_default_context(cafile=self.cert).wrap_socket(client, server_hostname="localhost")


def address(receiver: Receiver) -> tuple[str, int]:
    host, _, port = receiver.url.split("//")[1].rstrip("/").rpartition(":")
    return host.strip("[]"), int(port)


@cache
def real_blocks(format_name: str) -> tuple[bytes, tuple[int, ...], int]:
    blocks = list(open_stream("imap-login", seed=11, limits=Limits(sessions=4)).blocks(format_name))
    assert len(blocks) == 1
    return bytes(blocks[0].data), tuple(blocks[0].ends.tolist()), blocks[0].terminator


def real_records(format_name: str) -> list[bytes]:
    data, ends, terminator = real_blocks(format_name)
    return [data[begin : end - terminator] for begin, end in zip((0, *ends), ends, strict=False)]


def validator() -> Validator:
    return Validator(catalog.load("2.3.6"), complete=True)


def end_stream(client: socket.socket) -> None:
    """Close our half, and wait until the consumer has closed its own: it has read all."""
    if isinstance(client, ssl.SSLSocket):
        with contextlib.suppress(OSError):
            client.unwrap()
        return
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""


def wait_until(ready, receiver: Receiver) -> None:
    assert receiver.intake.wait(ready, PATIENCE_S), receiver.summary


# ------------------------------------------------------------ all transports


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_a_sink_sends_is_counted_kept_and_written_in_order(scheme, places, tmp_path):
    sent = numbered(0, 300)
    written = tmp_path / "written.json"
    with Receiver(places.listen(scheme), keep=True, write=written) as receiver:
        sink = places.sink(receiver)
        sink.open()
        for first in range(0, len(sent), 60):
            sink.write(make_block(sent[first : first + 60]))
            receiver.wait_for(first + 60)  # so that not even UDP has a reason to lose one
        sink.close()
    summary = receiver.stop()
    assert (summary.events, summary.truncated, summary.oversized, summary.sound) == (300, 0, 0, True)
    assert receiver.records() == sent
    assert receiver.events()[299]["n"] == 299
    assert written.read_bytes() == b"".join(record + b"\n" for record in sent)
    assert summary.connections == (0 if scheme in {"udp", "unixgram"} else 1)
    assert summary.bytes in {sum(map(len, sent)), sum(map(len, sent)) + 300}
    assert not places.socket.exists()


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_format_is_recognized_and_valid(scheme, format_name, places, tmp_path):
    records = real_records(format_name)
    end = b"" if format_name == "msgpack" else b"\n"
    written = tmp_path / "written"
    with Receiver(places.listen(scheme), keep=True, write=written, validator=validator()) as receiver:
        sink = places.sink(receiver, "batch=7" if scheme.startswith("http") and format_name != "msgpack" else "")
        sink.open()
        sink.write(make_block(records, newline=format_name != "msgpack"))
        sink.close()
        receiver.wait_for(len(records))
    summary = receiver.stop()
    assert summary.report is not None
    assert (summary.events, summary.invalid, summary.sound) == (len(records), 0, True), summary.to_text()
    assert written.read_bytes() == b"".join(record + end for record in records)
    assert b"".join(receiver.records()) == b"".join(records)
    assert sum(summary.by_event.values()) == len(records)
    assert "auth_client_passdb_lookup_finished" in summary.by_event or len(summary.by_event) > 3


@pytest.mark.parametrize("scheme", SCHEMES)
def test_many_senders_at_once(scheme, places):
    senders, each = 12, 25
    failed: list[BaseException] = []

    def send(number: int) -> None:
        try:
            sink = places.sink(receiver)
            sink.open()
            sink.write(make_block(numbered(number * each, each)))
            sink.close()
        except BaseException as error:
            failed.append(error)

    with Receiver(places.listen(scheme), keep=True) as receiver:
        threads = [threading.Thread(target=send, args=(number,)) for number in range(senders)]
        for thread in threads:
            thread.start()
            if scheme == "udp":
                thread.join()
        for thread in threads:
            thread.join()
        receiver.wait_for(senders * each)
    assert failed == []
    received = [event["n"] for event in receiver.events()]
    assert sorted(received) == list(range(senders * each))
    for number in range(senders):
        own = [n for n in received if n // each == number]
        assert own == sorted(own)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_stop_takes_what_has_arrived_already(scheme, places):
    """Law: what a sender had handed over before ``stop`` is counted, even when nobody waited for it."""
    sent = numbered(0, 60)
    with contextlib.ExitStack() as later, Receiver(places.listen(scheme), keep=True) as receiver:
        if scheme.startswith("http"):
            client = later.enter_context(contextlib.closing(http_client(receiver, places)))
            client.request("POST", "/", b"\n".join(sent))
        elif scheme in {"udp", "unixgram"}:
            sink = places.sink(receiver)
            sink.open()
            sink.write(make_block(sent))
            sink.close()
        else:
            client = later.enter_context(places.connect(receiver))
            client.sendall(b"".join(record + b"\n" for record in sent))
            if scheme != "tls":
                client.close()
    assert receiver.records() == sent


@pytest.mark.parametrize("scheme", SCHEMES)
def test_stop_is_quick_while_senders_hold_on(scheme, places):
    with Receiver(places.listen(scheme)) as receiver, contextlib.ExitStack() as stack:
        if scheme not in {"udp", "unixgram"}:
            for _ in range(3):
                stack.enter_context(places.connect(receiver))
            wait_until(lambda: receiver.intake.open_connections == 3, receiver)
        begin = time.monotonic()
        receiver.stop()
        assert time.monotonic() - begin < 0.9
    assert receiver.summary.sound


@pytest.mark.parametrize("scheme", ["tls", "https"])
def test_stop_does_not_wait_for_a_handshake(scheme, places):
    with Receiver(places.listen(scheme)) as receiver, socket.create_connection(address(receiver)):
        wait_until(lambda: receiver.intake.connections == 1, receiver)
        begin = time.monotonic()
        receiver.stop()
        assert time.monotonic() - begin < 0.9


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("scheme", ["tcp", "udp", "http"])
def test_records_are_one_each_and_events_are_decoded(scheme, format_name, places):
    """Law: whatever the format, as many records and decoded events are kept as were sent."""
    records = real_records(format_name)
    with Receiver(places.listen(scheme), keep=True) as receiver:
        sink = places.sink(receiver, "batch=7" if scheme == "http" and format_name != "msgpack" else "")
        sink.open()
        sink.write(make_block(records, newline=format_name != "msgpack"))
        sink.close()
        receiver.wait_for(len(records))
    assert receiver.records() == records
    expected = [json.loads(record) for record in real_records("json")]
    for event, wanted in zip(receiver.events(), expected, strict=True):
        if format_name == "tab-text":
            wanted["fields"] = {name: str(value) for name, value in wanted["fields"].items()}
        assert event == wanted


# ------------------------------------------------------------ streams


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("scheme", STREAMS)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_records_may_be_split_over_any_number_of_writes(scheme, format_name, size, places, tmp_path):
    data, ends, _ = real_blocks(format_name)
    count = 6 if size == 1 else len(ends)
    data = data[: ends[count - 1]]
    written = tmp_path / "written"
    with Receiver(places.listen(scheme), write=written) as receiver, places.connect(receiver) as client:
        for begin in range(0, len(data), size):
            client.sendall(data[begin : begin + size])
        receiver.wait_for(count)
    assert written.read_bytes() == data
    assert receiver.summary.sound


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("scheme", STREAMS)
def test_a_record_that_a_lost_connection_cuts_is_truncated(scheme, format_name, looks, places):
    data, ends, _ = real_blocks(format_name)
    with Receiver(places.listen(scheme), keep=looks) as receiver:
        for cut in (ends[1] + 1, ends[1] + 30, ends[2] - 1, ends[2]):
            with places.connect(receiver) as client:
                client.sendall(data[:cut])
                end_stream(client)
        wait_until(lambda: receiver.intake.connections == 4 and receiver.intake.open_connections == 0, receiver)
    assert (receiver.summary.events, receiver.summary.truncated, receiver.summary.sound) == (2 + 2 + 2 + 3, 3, False)


def test_a_reset_connection_keeps_what_came_before_it(places):
    with Receiver(places.listen("tcp"), keep=True) as receiver:
        with places.connect(receiver) as client:
            client.sendall(b'{"n":1}\n{"n":')
            receiver.wait_for(1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: receiver.intake.connections == 1 and receiver.intake.open_connections == 0, receiver)
    assert (receiver.records(), receiver.summary.truncated) == ([b'{"n":1}'], 1)


def test_what_our_own_end_cuts_is_not_the_senders_fault(places):
    with Receiver(places.listen("tcp"), wanted=1) as receiver, places.connect(receiver) as client:
        client.sendall(b'{"n":1}\n{"n":')
        receiver.wait_until_done()
        assert receiver.stop().sound


@pytest.mark.parametrize("looks", [False, True])
def test_a_gigantic_line_is_counted_and_passed_over(looks, places):
    """Law: what is beyond 16 MiB takes no memory, and what comes behind it is read."""
    with Receiver(places.listen("unix"), keep=looks) as receiver, places.connect(receiver) as client:
        client.sendall(b'{"n":1}\n')
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(96):
            client.sendall(b"x" * MIB)
        client.sendall(b'\n{"n":2}\n')
        client.sendall(b"y" * (16 * MIB) + b'\n{"n":3}\n')
        receiver.wait_for(4, timeout=PATIENCE_S)
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (receiver.summary.events, receiver.summary.oversized, receiver.summary.truncated) == (4, 1, 0)
    assert not looks or [len(record) for record in receiver.records()] == [7, 7, 16 * MIB, 7]
    assert grown_kib < 120 * 1024
    assert not receiver.summary.sound


def test_a_gigantic_line_that_never_ends_is_oversized_too(places):
    with Receiver(places.listen("unix")) as receiver:
        with places.connect(receiver) as client:
            for _ in range(17):
                client.sendall(b"x" * MIB)
        wait_until(lambda: receiver.intake.oversized == 1, receiver)
    assert receiver.summary.truncated == 0


def test_a_gigantic_packed_record_is_counted(places):
    with Receiver(places.listen("unix")) as receiver:
        with places.connect(receiver) as client:
            client.sendall(b"\x81\xa1n\x01" + b"\x81\xa1n\xc6\x01\x20\x00\x00")
            with contextlib.suppress(OSError):
                for _ in range(19):
                    client.sendall(b"x" * MIB)
        wait_until(lambda: receiver.intake.connections == 1 and receiver.intake.open_connections == 0, receiver)
    assert (receiver.summary.events, receiver.summary.oversized + receiver.summary.truncated) == (1, 1)


@pytest.mark.parametrize("garbage", [b"\x83\xc1\xc1", b"\x81\xa5event\xdd\xff\xff\xff\xff", b"\x91" * 5000, b"\x81\xa1x" * 5000, b"\x80\x01\x02\x03"])
def test_packed_garbage_is_told_and_harms_nobody_else(garbage, places):
    good = b"\x81\xa1n\x01"
    checks = Validator(catalog.load("2.3.6"), format="msgpack")
    receiver = Receiver(places.listen("tcp"), format="msgpack", keep=True, validator=checks)
    with receiver, places.connect(receiver) as other, places.connect(receiver) as client:
        other.sendall(good)
        receiver.wait_for(1)
        client.sendall(garbage + good)
        wait_until(lambda: receiver.intake.truncated == 1, receiver)
        other.sendall(good)
        receiver.wait_for(2)
    assert receiver.summary.truncated == 1
    assert receiver.summary.invalid


@pytest.mark.parametrize("scheme", ["tcp", "udp", "unix"])
def test_text_garbage_is_found_by_the_validator(scheme, places):
    """Law: whatever comes is counted as lines; that they are no events is for ``--validate`` to say."""
    with Receiver(places.listen(scheme), validator=Validator(catalog.load("2.3.6"))) as receiver:
        sink = places.sink(receiver)
        sink.open()
        sink.write(make_block([b"GET / HTTP/1.1\r", b"\xff\xfe\x00", b'{"event":', b"[" * 5000, real_records("json")[0]]))
        sink.close()
        receiver.wait_for(5)
    summary = receiver.stop()
    assert summary.invalid == 4, summary.to_text()
    assert not summary.sound


def test_invalid_events_are_found_and_told(places):
    wrong = json.loads(real_records("json")[0])
    wrong["fields"]["no_such_field"] = 1
    with Receiver(places.listen("tcp"), validator=Validator(catalog.load("2.3.6"))) as receiver, places.connect(receiver) as client:
        client.sendall(json.dumps(wrong).encode() + b"\n")
        receiver.wait_for(1)
    summary = receiver.stop()
    assert summary.invalid == 1
    assert "no_such_field" in summary.to_text()
    assert summary.to_dict()["invalid"] == 1


@pytest.mark.parametrize("scheme", ["tls", "https"])
def test_plain_bytes_to_a_secure_place_are_no_event(scheme, places):
    with Receiver(places.listen(scheme)) as receiver:
        with socket.create_connection(address(receiver)) as client:
            client.sendall(b'{"n":1}\n' * 100)
            with contextlib.suppress(ConnectionError):
                while client.recv(1000):
                    pass
        sink = places.sink(receiver)
        sink.open()
        sink.write(make_block(numbered(0, 3)))
        sink.close()
        receiver.wait_for(3)
    assert (receiver.summary.events, receiver.summary.connections) == (3, 2)


@pytest.mark.parametrize("looks", [False, True])
def test_many_newlines_in_one_read_are_counted_and_written_like_few(looks, places, tmp_path):
    """Law: how much a read brings changes neither the count nor the bytes that are written."""
    data = b"".join(b"x" * (number % 700) + b"\n" for number in range(9000))
    written = tmp_path / "written" if looks else None
    with Receiver(places.listen("unix"), write=written) as receiver:
        with places.connect(receiver) as client:
            client.sendall(data + b"rest")
            end_stream(client)
        wait_until(lambda: receiver.intake.open_connections == 0, receiver)
    assert (receiver.summary.events, receiver.summary.bytes, receiver.summary.truncated) == (9000, len(data), 1)
    assert written is None or written.read_bytes() == data


@pytest.mark.parametrize("scheme", ["udp", "unixgram"])
def test_a_datagram_that_the_system_cuts_is_told(scheme, places, monkeypatch):
    """Law: a datagram larger than our buffer loses its end; that is counted, and no event is made of the beginning."""
    monkeypatch.setattr("dovestorm.receive.servers._BUFFER", 100)
    with Receiver(places.listen(scheme), keep=True) as receiver:
        sink = places.sink(receiver)
        sink.open()
        sink.write(make_block([b"x" * 99, b"y" * 100, b"z" * 101, b"end"]))
        sink.close()
        receiver.wait_for(3)
    assert receiver.records() == [b"x" * 99, b"y" * 100, b"end"]
    assert (receiver.summary.oversized, receiver.summary.sound) == (1, False)


def test_a_connection_that_gets_no_thread_is_closed_and_the_next_served(places, monkeypatch):
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if thread.name != "dovestorm-connection":
            return start(thread)
        monkeypatch.setattr(threading.Thread, "start", start)
        raise RuntimeError("can't start new thread")

    with Receiver(places.listen("tcp")) as receiver:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with socket.create_connection(address(receiver), timeout=PATIENCE_S) as client:
            assert client.recv(1) == b""
        with places.connect(receiver) as client:
            client.sendall(b"{}\n")
            receiver.wait_for(1)
    assert (receiver.summary.events, receiver.summary.connections, receiver.intake.open_connections) == (1, 2, 0)


# ------------------------------------------------------------ HTTP


def http_client(receiver: Receiver, places: Places) -> http.client.HTTPConnection:
    host, port = address(receiver)
    if receiver.url.startswith("https"):
        return http.client.HTTPSConnection(host, port, timeout=PATIENCE_S, context=ssl.create_default_context(cafile=places.cert))
    return http.client.HTTPConnection(host, port, timeout=PATIENCE_S)


def exchange(receiver: Receiver, raw: bytes) -> bytes:
    """Send these bytes, and read to the end of the connection."""
    with socket.create_connection(address(receiver), timeout=PATIENCE_S) as client:
        client.sendall(raw)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
        return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_connection_is_kept_for_many_requests(scheme, places):
    with Receiver(places.listen(scheme), keep=True) as receiver, contextlib.closing(http_client(receiver, places)) as client:
        for number, method in enumerate(("POST", "PUT", "POST", "POST")):
            client.request(method, f"/any/{number}", b'{"n":%d}' % number)
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
    assert [event["n"] for event in receiver.events()] == [0, 1, 2, 3]
    assert receiver.summary.connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_chunked_bodies_are_read(scheme, places):
    with Receiver(places.listen(scheme), keep=True) as receiver, contextlib.closing(http_client(receiver, places)) as client:
        for body in ([b'{"n"', b":1}\n", b'{"n":2}'], [b'{"n":3}\n'], []):
            client.request("POST", "/", iter(body), encode_chunked=True, headers={"Transfer-Encoding": "Chunked"})
            answer = client.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
    assert [event["n"] for event in receiver.events()] == [1, 2, 3]


def test_chunk_extensions_and_trailers_mean_nothing(places):
    head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    body = b'8;a=b\r\n{"n":17}\r\n0;z\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n'
    with Receiver(places.listen("http"), keep=True) as receiver:
        answer = exchange(receiver, head + b"\r\n" + body + head + b"Connection: close\r\n\r\n" + body)
    assert answer.count(b"200 OK") == 2
    assert receiver.records() == [b'{"n":17}'] * 2


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 1x\r\n\r\n{}", 411),
        (b"POST / HTTP/1.1\r\nContent-Length: 67108865\r\n\r\n" + b"x" * 100_000, 413),
        (b"POST / HTTP/1.1\r\nContent-Length: " + b"9" * 6000 + b"\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4000001\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 20_000 + b"\r\n", 400),
        (b"POST / HTTP/9.9\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"nonsense without end\r\n\r\n", 400),
        (b"POST /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"POST / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
    ],
)
def test_a_bad_request_is_refused_and_the_next_connection_served(raw, expected, places):
    with Receiver(places.listen("http"), keep=True) as receiver:
        with socket.create_connection(address(receiver), timeout=PATIENCE_S) as client:
            client.sendall(raw)
            client.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert status(answer) == expected
        assert status(exchange(receiver, b"POST / HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")) == 200
    assert receiver.records() == [b"{}"]
    assert receiver.summary.oversized == (1 if expected == 413 else 0)


@pytest.mark.parametrize("raw", [b"\x16\x03\x01\x02\x00\x01\x00", b"\x00" * 300 + b"\r\n", b"\r\n\r\n", b"POST / HT", b""])
def test_noise_on_the_http_port_is_no_event(raw, places):
    with Receiver(places.listen("http")) as receiver:
        with socket.create_connection(address(receiver), timeout=PATIENCE_S) as client:
            client.sendall(raw)
        wait_until(lambda: receiver.intake.connections == 1 and receiver.intake.open_connections == 0, receiver)
        assert status(exchange(receiver, b"POST / HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")) == 200
    assert receiver.summary.events == 1


@pytest.mark.parametrize(
    "framing",
    [b"Content-Length: 50\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n8\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"],
)
@pytest.mark.parametrize("reset", [False, True])
def test_a_body_that_a_lost_connection_cuts_is_truncated(framing, reset, places):
    with Receiver(places.listen("http")) as receiver:
        with socket.create_connection(address(receiver)) as client:
            client.sendall(b"POST / HTTP/1.1\r\n" + framing)
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        wait_until(lambda: receiver.intake.connections == 1 and receiver.intake.open_connections == 0, receiver)
    # A reset may take the head of the request away too, before it was read: then no event was seen.
    assert (receiver.summary.events, receiver.summary.truncated) in ([(0, 1), (0, 0)] if reset else [(0, 1)])


def test_a_gigantic_line_in_a_body_is_counted(places):
    body = b'{"n":1}\n' + b"x" * (16 * MIB + 1) + b'\n{"n":2}'
    with Receiver(places.listen("http"), keep=True) as receiver, contextlib.closing(http_client(receiver, places)) as client:
        client.request("POST", "/", body)
        assert client.getresponse().status == 200
    assert receiver.records() == [b'{"n":1}', b'{"n":2}']
    assert receiver.summary.oversized == 1


def test_a_client_that_asks_before_it_sends_is_answered(places):
    with Receiver(places.listen("http")) as receiver, socket.create_connection(address(receiver), timeout=PATIENCE_S) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert client.recv(1000).startswith(b"HTTP/1.1 100 ")
        client.sendall(b"{}")
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_full_disk_is_told_to_http_clients(places):
    receiver = Receiver(places.listen("http"), write="/dev/full").start()
    request = b"POST / HTTP/1.1\r\nContent-Length: 20000\r\nConnection: close\r\n\r\n" + b"x" * 20_000
    statuses = [status(exchange(receiver, request)) for _ in range(2)]
    with pytest.raises(DovestormError, match="No space left"):
        receiver.stop()
    assert statuses == [507, 507]


# ------------------------------------------------------------ places


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_taken_place_is_told_and_costs_no_file(scheme, places, tmp_path):
    written = tmp_path / "written.json"
    with Receiver(places.listen(scheme), write=written) as first:
        sink = places.sink(first)
        sink.open()
        url = places.listen(scheme) if places.socket.exists() else places.listen(scheme).replace(":0", f":{address(first)[1]}")
        with pytest.raises(UsageError, match=r"somebody listens there already|Address already in use; choose another port"):
            Receiver(url, write=written).start()
        sink.write(make_block(numbered(0, 5)))
        sink.close()
        first.wait_for(5)
    assert len(written.read_bytes().splitlines()) == 5


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_stale_socket_is_replaced_and_a_live_one_of_any_kind_is_not(scheme, kind, places):
    with socket.socket(socket.AF_UNIX, kind) as old:
        old.bind(str(places.socket))
        if kind == socket.SOCK_STREAM:
            old.listen(0)
        with pytest.raises(UsageError, match=f"{scheme}:.*somebody listens there already"):
            Receiver(places.listen(scheme)).start()
    assert places.socket.exists()
    if kind == (socket.SOCK_STREAM if scheme == "unix" else socket.SOCK_DGRAM):
        with Receiver(places.listen(scheme)) as receiver:
            sink = places.sink(receiver)
            sink.open()
            sink.write(make_block(numbered(0, 1)))
            sink.close()
            receiver.wait_for(1)
        assert not places.socket.exists()


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_a_file_in_the_sockets_way_is_kept(scheme, places):
    places.socket.write_text("mine")
    with pytest.raises(UsageError, match="a file that is no socket is in the way"):
        Receiver(places.listen(scheme)).start()
    assert places.socket.read_text() == "mine"


@pytest.mark.parametrize("scheme", ["unix", "unixgram"])
def test_what_has_taken_our_sockets_path_is_not_ours_to_remove(scheme, places):
    """Law: a consumer removes the socket file that it made, never the one, or the file, that came to its path later."""
    with Receiver(places.listen(scheme)) as first:
        places.socket.unlink()
        with Receiver(places.listen(scheme)) as second:
            first.stop()
            assert places.socket.is_socket()
            sink = places.sink(second)
            sink.open()
            sink.write(make_block(numbered(0, 1)))
            sink.close()
            second.wait_for(1)
            places.socket.unlink()
            places.socket.write_text("mine")
    assert places.socket.read_text() == "mine"


@pytest.mark.parametrize("path", ["/no/such/folder/x.sock", "/tmp/" + "long" * 40])
def test_a_socket_that_cannot_be_made_is_told(path):
    with pytest.raises(UsageError, match="cannot listen there"):
        Receiver(f"unix:{path}").start()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "[::]"])
def test_others_reach_us_only_when_that_is_asked_for(host):
    with pytest.raises(UsageError, match="--public allows that"):
        Receiver(f"tcp://{host}:0")
    if host == "0.0.0.0":
        with Receiver(f"tcp://{host}:0", public=True) as receiver, socket.create_connection(("127.0.0.1", address(receiver)[1])) as client:
            client.sendall(b"{}\n")
            receiver.wait_for(1)


@pytest.mark.parametrize("host", ["localhost", "", "127.0.0.1", "127.0.0.2"])
def test_the_loopback_has_many_names(host):
    with Receiver(f"tcp://{host}:0") as receiver, socket.create_connection(address(receiver)) as client:
        client.sendall(b"{}\n")
        receiver.wait_for(1)
        assert receiver.url.startswith("tcp://127.0.0.")


def test_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with Receiver("http://[::1]:0") as receiver:
        assert receiver.url.startswith("http://[::1]:")
        assert status(exchange(receiver, b"POST / HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")) == 200


def test_a_certificate_that_cannot_be_used_is_told(tmp_path, certificate):
    other = tmp_path / "nonsense.pem"
    other.write_text("nonsense")
    for cert, key in ((other, other), (tmp_path / "none.pem", certificate[1]), (certificate[0], other)):
        with pytest.raises(UsageError, match="cannot be used"):
            Receiver(f"tls://127.0.0.1:0?cert={cert}&key={key}").start()
    locked = tmp_path / "locked.pem"
    command = ["openssl", "ec", "-in", certificate[1], "-out", locked, "-aes128", "-passout", "pass:secret"]
    subprocess.run(command, check=True, capture_output=True)
    with pytest.raises(UsageError, match="cannot be used"):
        Receiver(f"tls://127.0.0.1:0?cert={certificate[0]}&key={locked}").start()


# ------------------------------------------------------------ the command


class Command:
    """``dovestorm receive`` in a process of its own; ready when made."""

    def __init__(self, url: str, *options: str, folder: Path, env: dict[str, str] | None = None) -> None:
        self.ready = folder / "ready"
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "error", "-m", "dovestorm", "receive", url, "--ready-file", str(self.ready), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        end = time.monotonic() + PATIENCE_S
        while not self.ready.exists() and self.process.poll() is None and time.monotonic() < end:
            threading.Event().wait(0.01)
        self.url = self.ready.read_text().strip() if self.ready.exists() else ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def end(self) -> tuple[int, str, str]:
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert "Traceback" not in err
        return self.process.returncode, out, err

    def connect(self) -> socket.socket:
        host, _, port = self.url.split("//")[1].rpartition(":")
        return socket.create_connection((host, int(port)), timeout=PATIENCE_S)


def test_command_ends_with_the_last_connection_and_sums_up(tmp_path):
    data, ends, _ = real_blocks("json")
    written = tmp_path / "written.json.zst"
    options = ("--once", "--json", "--validate", "--write", str(written))
    with Command("tcp://localhost:0", *options, folder=tmp_path) as command:
        with command.connect() as client:
            client.sendall(data)
        code, out, err = command.end()
    summary = json.loads(out)
    assert (code, summary["events"], summary["invalid"], summary["truncated"], summary["connections"]) == (0, len(ends), 0, 0, 1), err
    assert summary["validation"]
    assert err == f"listening on {command.url}\n"
    with zstandard.open(written, "rb") as file:
        assert file.read() == data


def test_command_counts_what_is_short(tmp_path):
    with Command("tcp://:0", "--once", "--events", "5", folder=tmp_path) as command:
        with command.connect() as client:
            client.sendall(b'{"n":1}\n{"n":2}\n')
        code, out, err = command.end()
    assert code == 1
    assert "2 events" in out
    assert "only 2 of 5 events came" in err


@pytest.mark.parametrize("data", [b'{"n":1}\n', b'{"n":1}\n{"n'])
def test_command_quiet_still_gives_the_json_that_was_asked_for(data, tmp_path):
    with Command("tcp://:0", "--once", "--quiet", "--json", folder=tmp_path) as command:
        with command.connect() as client:
            client.sendall(data)
        code, out, err = command.end()
    summary = json.loads(out)
    assert (code, summary["events"], err) == (summary["truncated"], 1, "")


def test_command_quiet_says_why_it_fails(tmp_path):
    with Command("tcp://:0", "--once", "--quiet", folder=tmp_path) as command:
        with command.connect() as client:
            client.sendall(b'{"n":1}\n{"n')
        code, out, err = command.end()
    assert (code, out) == (1, "")
    assert "truncated 1" in err


def test_command_ends_with_enough_events_though_more_would_come(tmp_path):
    with Command("tcp://:0", "--events", "3", "--quiet", folder=tmp_path) as command, command.connect() as client:
        client.sendall(b'{"n":1}\n{"n":2}\n{"n":3}\n{"n":')
        assert command.end() == (0, "", "")


@pytest.mark.parametrize("data", [b'{"n":1}\n{"n', b"x" * (17 * MIB)])
def test_command_tells_truncated_and_oversized_by_its_exit_code(data, tmp_path):
    with Command("tcp://:0", "--once", folder=tmp_path) as command:
        with command.connect() as client:
            client.sendall(data)
        assert command.end()[0] == 1


def test_command_tells_invalid_events_by_its_exit_code(tmp_path):
    with Command("tcp://:0", "--once", "--validate", folder=tmp_path) as command:
        with command.connect() as client:
            client.sendall(b'{"event":"nonsense"}\n')
        code, out, _ = command.end()
    assert code == 1
    assert "missing" in out


def test_command_ends_when_idle_but_not_before_anything_came(tmp_path):
    with Command("udp://:0", "--idle", "100ms", folder=tmp_path) as command:
        host, _, port = command.url.split("//")[1].rpartition(":")
        with pytest.raises(subprocess.TimeoutExpired):
            command.process.wait(0.4)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.sendto(b"{}", (host, int(port)))
        code, out, _ = command.end()
    assert (code, "1 events" in out) == (0, True)


def test_command_ends_when_the_time_is_up(tmp_path):
    with Command(f"unix:{tmp_path / 'x.sock'}", "--for", "50ms", "--json", "--progress", folder=tmp_path) as command:
        code, out, _ = command.end()
    assert (code, json.loads(out)["events"]) == (0, 0)
    assert not (tmp_path / "x.sock").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_ends_at_once_when_interrupted(number, tmp_path):
    """Law: while a sender never pauses, a signal ends the command in under a second, with the summary."""
    place = f"unix:{tmp_path / 'x.sock'}"
    over = threading.Event()
    line = b'{"n":1}\n' * 10_000

    def flood() -> None:
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(str(tmp_path / "x.sock"))
            while not over.is_set():
                client.sendall(line)

    with Command(place, "--json", "--validate", folder=tmp_path) as command:
        sender = threading.Thread(target=flood)
        sender.start()
        wait_for_traffic(tmp_path / "x.sock", command)
        begin = time.monotonic()
        command.process.send_signal(number)
        code, out, _ = command.end()
        seconds = time.monotonic() - begin
        over.set()
        sender.join()
    assert code == 130
    assert json.loads(out)["events"] > 0
    assert seconds < 1
    assert not (tmp_path / "x.sock").exists()


def wait_for_traffic(path: Path, command: Command) -> None:
    """Until the consumer has taken one connection of ours to its end, it has been reading."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b'{"n":0}\n')
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b"", command.process.poll()


def test_command_takes_a_second_signal(tmp_path):
    """Law: a second signal, whenever it comes, ends it too: quickly, with 130 and without a traceback."""
    with Command(f"unix:{tmp_path / 'x.sock'}", folder=tmp_path) as command:
        begin = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            command.process.send_signal(signal.SIGINT)
            command.process.send_signal(signal.SIGTERM)
            command.process.send_signal(signal.SIGINT)
        code, _, _ = command.end()
    assert code == 130
    assert time.monotonic() - begin < 1
    assert not (tmp_path / "x.sock").exists()


def test_command_a_second_signal_helps_when_the_file_blocks(tmp_path):
    """A named pipe that nobody reads holds the consumer up for good; two signals end it all the same."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with Command(f"unix:{tmp_path / 'x.sock'}", "--write", str(pipe), folder=tmp_path) as command:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "x.sock"))
                client.settimeout(1)
                with contextlib.suppress(TimeoutError):
                    while True:
                        client.sendall(b'{"n":1}\n' * 10_000)
            command.process.send_signal(signal.SIGINT)
            with pytest.raises(subprocess.TimeoutExpired):
                command.process.wait(0.6)
            command.process.send_signal(signal.SIGINT)
            assert command.process.wait(1) == 130
    finally:
        os.close(reader)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tpc://:0",), "did you mean 'tcp'"),
        (("tcp://:0", "--format", "jason"), "did you mean 'json'"),
        (("tcp://:0", "--for", "10parsecs"), "10parsecs"),
        (("tcp://:0", "--idle", "-1s"), "0 or more"),
        (("tcp://0.0.0.0:0",), "--public"),
        (("tcp://:0", "--write", "/no/such/folder/file"), "cannot be written"),
        (("tcp://:0", "--validate", "--dovecot", "2.5.0"), "did you mean '2.4.4'"),
        (("udp://:0", "--once"), "--idle"),
        (("tcp://:0", "--ready-file", "/no/such/folder/file"), "cannot be written there"),
        (("unix:/no/such/folder/x.sock",), "cannot listen there"),
    ],
)
def test_command_misuse(arguments, told, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["dovestorm", "receive", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    out, error = capfd.readouterr()
    assert (end.value.code, out) == (2, "")
    assert told in error


def test_command_full_disk(tmp_path):
    with Command("tcp://:0", "--write", "/dev/full", "--once", folder=tmp_path) as command:
        with command.connect() as client:
            client.sendall(b'{"n":1}\n' * 10)
        code, out, err = command.end()
    assert code == 1
    assert "10 events" in out
    assert "No space left" in err
