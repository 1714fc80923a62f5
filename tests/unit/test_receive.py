"""The reference consumer's parts, without a network: cutting, counting, places, summaries, and what its errors say."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovestorm import catalog
from dovestorm.errors import DeliveryError, DovestormError, UsageError
from dovestorm.receive import Receiver, Summary, parse_place
from dovestorm.receive.framing import LARGEST_RECORD, guess_format, make_framer, single_record
from dovestorm.receive.intake import Intake
from dovestorm.receive.newlines import count_newlines
from dovestorm.validate import Validator

if TYPE_CHECKING:
    from pathlib import Path

FORMATS = ("json", "tab-text", "msgpack")


def records_of(format_name: str, count: int) -> list[bytes]:
    if format_name == "msgpack":
        return [msgpack.packb({"event": "x" * (number % 40), "n": number}) for number in range(count)]
    text = '{"event":"x","n":%d}' if format_name == "json" else "event:x\tn:%d"
    return [(text % number).encode() for number in range(count)]


def joined(format_name: str, records: list[bytes]) -> bytes:
    return b"".join(record + (b"" if format_name == "msgpack" else b"\n") for record in records)


def feed(intake: Intake, data: bytes, cuts: list[int], layout: str = "auto") -> None:
    framer = make_framer(layout, intake)
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        # The buffer is larger than its content and is used again, as with a socket.
        buffer = bytearray(data[begin:end] + b"\n\x81\xa1garbage\n")
        framer.feed(buffer, end - begin)
        buffer[:] = b"\xff" * len(buffer)
    framer.finish()


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("format_name", FORMATS)
@given(data=st.data())
def test_records_do_not_depend_on_how_reads_cut_them(format_name, looks, data):
    """Law: whatever the pieces, the same records and bytes come out, and a rest is one truncated record."""
    records = records_of(format_name, data.draw(st.integers(1, 20)))
    whole = joined(format_name, records)
    rest = data.draw(st.integers(0, len(joined(format_name, records[-1:])) - 1))
    sent = whole + whole[len(whole) - len(joined(format_name, records[-1:])) :][:rest]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=8)))
    written = io.BytesIO()
    intake = Intake(keep=looks, write=written if looks else None)
    feed(intake, sent, cuts)
    assert (intake.events, intake.bytes, intake.truncated, intake.oversized) == (len(records), len(whole), int(rest > 0), 0)
    if looks:
        assert written.getvalue() == whole
        assert intake.records == records


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=5), st.sampled_from(["auto", *FORMATS]), st.booleans())
def test_no_bytes_break_a_framer(data, cuts, layout, looks):
    """Law: any bytes become records, truncated ones, or nothing; never an error."""
    intake = Intake(keep=looks, validator=Validator(catalog.load("2.3.6")) if looks else None)
    feed(intake, data, sorted(min(cut, len(data)) for cut in cuts), layout)
    single_record(data, layout, intake)
    assert intake.bytes <= 2 * len(data) + 1


@pytest.mark.parametrize(
    ("beginning", "expected"),
    [
        (b"{", "json"),
        (b"event:", "tab-text"),
        (b"\x86", "msgpack"),
        (b"\xde", "msgpack"),
        (b"\xdf", "msgpack"),
        (b"\n", "tab-text"),
        (b"\x90", "tab-text"),
    ],
)
def test_the_first_byte_tells_the_format(beginning, expected):
    assert guess_format(beginning) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (b"{}", [b"{}"]),
        (b"{}\n", [b"{}"]),
        (b'{"a":1}\n{}', [b'{"a":1}', b"{}"]),
        (b"event:x\tn:1", [b"event:x\tn:1"]),
        (b"\x81\xa1n\x01\x81\xa1n\x02", [b"\x81\xa1n\x01", b"\x81\xa1n\x02"]),
    ],
)
def test_a_datagram_or_body_has_one_record_or_several(data, expected):
    intake = Intake(keep=True)
    single_record(data, "auto", intake)
    assert intake.records == expected
    assert intake.events == len(expected)
    assert intake.truncated == 0


def test_a_cut_datagram_is_truncated():
    intake = Intake()
    single_record(b"\x81\xa1n\x01\x81\xa1n", "auto", intake)
    assert (intake.events, intake.truncated) == (1, 1)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_body_that_is_too_large_is_oversized(end):
    intake = Intake(keep=True)
    single_record(b"x" * (LARGEST_RECORD + 1) + end, "auto", intake)
    assert (intake.events, intake.oversized, intake.records) == (0, 1, [])


@pytest.mark.parametrize("scheme", ["tcp", "tls", "udp", "http", "https"])
def test_a_place_is_read_and_told_again(scheme):
    secret = "?cert=/c.pem&key=/k.pem" if scheme in {"tls", "https"} else ""
    end = "/" if scheme in {"http", "https"} else ""
    for host, shown in (("", "127.0.0.1"), ("localhost", "127.0.0.1"), ("127.0.0.9", "127.0.0.9"), ("[::1]", "[::1]")):
        place = parse_place(f"{scheme}://{host}:0{secret}")
        assert place.url(5170) == f"{scheme}://{shown}:5170{end}"
        assert (place.certificate, place.key) == (("/c.pem", "/k.pem") if secret else ("", ""))
    assert parse_place(f"{scheme.upper()}://:1{secret}").scheme == scheme


@pytest.mark.parametrize("url", ["unix:/run/x.sock", "unix:///run/x.sock", "unixgram:/run/x.sock"])
def test_a_socket_path(url):
    place = parse_place(url)
    assert place.path == "/run/x.sock"
    assert place.url(0) == url.replace("///", "/")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("", "no such place"),
        ("/tmp/x", "known are tcp"),
        ("tpc://:1", "did you mean 'tcp'"),
        ("tcp:127.0.0.1:5170", "'//' is missing"),
        ("tcp://127.0.0.1", "the port is missing"),
        ("tcp://127.0.0.1:99999", "ort out of range"),
        ("tcp://127.0.0.1:x", "x"),
        ("tcp://[::1:5", "tcp://"),
        ("tcp://mail.example.org:1", "no address of this machine"),
        ("tcp://0.0.0.0:1", "--public"),
        ("tcp://:1?cert=x", "unknown option 'cert'"),
        ("tls://:1", "a certificate is needed"),
        ("tls://:1?crt=x", "did you mean 'cert'"),
        ("unix:", "path is missing"),
        ("unix://", "no host"),
        ("unix://host/x", "no host"),
        ("unixgram:/x?retries=1", "no options"),
    ],
)
def test_a_wrong_place_is_told(url, told):
    with pytest.raises(UsageError) as error:
        parse_place(url)
    assert str(error.value).startswith(f"{url}: ")
    assert told in str(error.value)


def test_wait_for_says_how_many_came():
    with Receiver() as receiver:
        receiver.intake.count(3, 30)
        receiver.wait_for(3, timeout=0)
        with pytest.raises(DovestormError) as error:
            receiver.wait_for(5, timeout=0.01)
    assert str(error.value) == f"{receiver.url}: 3 of 5 events arrived within 0.01 s"


def test_a_receiver_says_what_it_cannot_do(tmp_path):
    receiver = Receiver()
    for action in (lambda: receiver.url, receiver.stop, lambda: receiver.summary):
        with pytest.raises(DovestormError, match=r"not started: use it in a with statement, or call start\(\)"):
            action()
    with receiver:
        with pytest.raises(DovestormError, match="started already"):
            receiver.start()
        with pytest.raises(DovestormError, match="keep=True"):
            receiver.events()
    assert receiver.stop() is receiver.stop() is receiver.summary
    with pytest.raises(UsageError, match="unknown format 'jason'"):
        Receiver(format="jason")
    with pytest.raises(UsageError, match="cannot be written"):
        Receiver(write=tmp_path / "none" / "x").start()


def test_a_consumer_loads_nothing_heavy_for_a_few_events():
    """Law: NumPy comes with the first large read at the earliest, MessagePack with the first such record; Locust and gevent never."""
    source = (
        "import sys, socket; from dovestorm.receive import Receiver; receiver = Receiver().start(); "
        "client = socket.create_connection(('127.0.0.1', int(receiver.url.rpartition(':')[2]))); client.sendall(b'{}\\n'); client.close(); "
        "receiver.wait_for(1); receiver.stop(); print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    assert {"numpy", "msgpack", "orjson", "zstandard", "locust", "gevent", "click"} & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    ("layout", "record", "told"),
    [
        ("auto", b"nonsense", "record 2 is no tab-text event: token 'nonsense' stands where event: belongs"),
        ("auto", b"{nonsense", "record 2 is no json event: "),
        ("auto", b"\x81\xa1n", "record 2 is no msgpack event: "),
        ("auto", b"", "record 2 is no json event: "),
        ("json", b"[1]", "record 2 is no json event: it is no map but list"),
        ("json", b"\xff\xfe", "record 2 is no json event: "),
        ("json", b"[" * 100_000, "record 2 is no json event: "),
        ("msgpack", b"\x93\x01\x02\x03", "record 2 is no msgpack event: it is no map but list"),
    ],
)
def test_a_kept_record_that_is_no_event_is_told(layout, record, told):
    good = {"json": b"{}", "msgpack": b"\x80"}.get(layout, b"{}")
    with Receiver(keep=True, format=layout) as receiver:
        receiver.intake.record(good)
        receiver.intake.record(record)
        with pytest.raises(DovestormError) as error:
            receiver.events()
    assert str(error.value).startswith(f"{receiver.url}: {told}")


@given(st.binary(max_size=3000), st.integers(0, 40), st.integers(0, 3000), st.integers(0, 3000))
def test_newlines_are_counted_alike_whatever_the_size(piece, times, begin, end):
    """Law: the two ways of counting agree, at any cut of the buffer."""
    data = bytearray(piece * times + b"\n")
    stop = max(begin, len(data) - end)
    assert count_newlines(data, begin, min(stop, len(data))) == bytes(data[begin:stop]).count(b"\n")
    data.clear()  # and the buffer is left free to be resized


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_disk_that_is_full_is_told_at_the_end(suffix, tmp_path: Path):
    path = tmp_path / f"full{suffix}"
    path.symlink_to("/dev/full")
    receiver = Receiver(write=path).start()
    receiver.intake.lines(b'{"n":1}\n' * 10)
    with pytest.raises(DeliveryError, match="No space left"):
        receiver.stop()
    assert receiver.summary.events == 10


def test_waiting_ends_for_each_reason():
    """Law: enough events, the time, silence after something came, the last connection's end, or a wish."""
    receiver = Receiver(wanted=2)
    with receiver:
        intake = receiver.intake
        begin = time.monotonic()
        receiver.wait_until_done(seconds=0.05)
        assert time.monotonic() - begin >= 0.05
        receiver.wait_until_done(stopped=lambda: True)
        receiver.wait_until_done(idle=0, seconds=0.03)  # nothing came yet: only the time ends it
        intake.connected(1)
        begin = time.monotonic()
        receiver.wait_until_done(idle=0, once=True, seconds=0.03)
        assert time.monotonic() - begin >= 0.03
        intake.connected(-1)
        receiver.wait_until_done(once=True)
        receiver.wait_until_done(idle=0.01)
        intake.count(2, 20)
        receiver.wait_until_done()


def test_names_are_counted_but_not_without_end():
    intake = Intake(validator=Validator(catalog.load("2.3.6"), max_examples=0))
    intake.record(b"event:imap_command_finished\thostname:x")
    intake.record(b'{"event":"' + b"n" * 5000 + b'"}')
    intake.packed(b"", [{"event": 5}, {}], [0, 0])
    assert sorted(intake.by_event.values()) == [1, 1, 1, 1]
    assert max(map(len, intake.by_event)) == 120
    for number in range(10_100):
        intake.packed(b"", [{"event": f"made-up-{number}"}], [0])
    assert len(intake.by_event) <= 10_001
    assert sum(intake.by_event.values()) == 10_104


def test_a_summary_for_people_and_for_programs():
    summary = Summary(url="tcp://x", events=12_345, bytes=6_000_000, seconds=1.5, connections=2, truncated=1, oversized=0, by_event={"b": 1, "a": 2})
    assert summary.to_text().splitlines() == [
        "tcp://x: 12,345 events (6.0 MB) in 1.50 s, 8,230 events/s",
        "  connections 2, truncated 1, oversized 0, invalid not checked",
        "             2 a",
        "             1 b",
    ]
    told = json.loads(json.dumps(summary.to_dict()))
    assert (told["events"], told["events_per_s"], told["invalid"], told["validation"]) == (12_345, 8230.0, None, None)
    assert not summary.sound
