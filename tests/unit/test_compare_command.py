"""The command, and what it reads: every format, compressed or not, and input that is no stream of events."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import msgpack
import pytest
from click.testing import CliRunner, Result
from comparing import CAPTURES, event, sessions

from dovestorm.cli.compare_command import command
from dovestorm.compare import Source, compare_files
from dovestorm.errors import DovestormError, InputError, UsageError

RECORDING = str(CAPTURES / "clean_login.jsonl.gz")


def run(*arguments: str, text: bytes = b"") -> Result:
    return CliRunner().invoke(command, arguments, input=text)


def lines(items: list[dict[str, object]]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def tab_text(items: list[dict[str, object]]) -> bytes:
    made = []
    for item in items:
        fields = [f"field:{name}={value}" for name, value in item["fields"].items()]
        head = [
            f"{name}:{item[name]:.6f}" if name.endswith("time") else f"{name}:{item[name]}"
            for name in ("event", "hostname", "start_time", "end_time")
        ]
        made.append("\t".join([*head, *(f"category:{name}" for name in item["categories"]), *fields]))
    return "\n".join(made).encode() + b"\n"


def test_a_recording_against_itself() -> None:
    result = run(RECORDING, RECORDING)
    assert result.exit_code == 0
    assert "A  " + RECORDING in result.output
    assert result.output.splitlines()[-1].startswith("sessions told apart: 0.500 ")


def test_the_report_as_json() -> None:
    result = run(RECORDING, "-", "--json", "--no-classifier", text=gzip.decompress(Path(RECORDING).read_bytes()))
    assert result.exit_code == 0
    report = json.loads(result.output)
    assert (report["a"]["events"], report["a"]["sessions"], report["b"]["name"], report["reason"]) == (160, 10, "-", "the classifier was not asked")
    assert all(row["a"] == row["b"] for row in report["fields"])


def test_top_limits_every_section() -> None:
    result = run(RECORDING, "-", "--top", "0", "--no-classifier", text=lines([event("a", 1)]))
    assert result.exit_code == 0
    assert "only A  ... and" in result.output
    assert "imap_command_finished" not in result.output


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("json", lines(sessions(3, user="ann"))),
        ("gz", gzip.compress(lines(sessions(3, user="ann")))),
        ("crlf", lines(sessions(3, user="ann")).replace(b"\n", b"\r\n\r\n")),
        ("tab-text", tab_text(sessions(3, user="ann"))),
        ("msgpack", b"".join(map(msgpack.packb, sessions(3, user="ann")))),
    ],
)
def test_every_format_gives_the_same_stream(tmp_path: Path, name: str, data: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(data)
    assert len(list(Source(file))) == 9
    assert list(Source(file)) == list(Source(file, format="auto"))
    plain = tmp_path / "plain"
    plain.write_bytes(lines(sessions(3, user="ann")))
    assert [one._replace(end_us=0, start_us=0) for one in Source(file)] == [one._replace(end_us=0, start_us=0) for one in Source(plain)]
    assert all(abs(one.end_us - two.end_us) <= 1 for one, two in zip(Source(file), Source(plain), strict=True))


def test_tab_text_has_the_types_of_the_catalog(tmp_path: Path) -> None:
    """``bytes_in`` is an integer there, a user of digits is a text."""
    file = tmp_path / "tab"
    file.write_bytes(tab_text([event("imap_command_finished", 1, bytes_in=12, cmd_args="12")]))
    (one,) = Source(file)
    assert one.fields == {"bytes_in": 12, "cmd_args": "12"}


def test_what_cannot_be_read_is_counted_and_passed_over(tmp_path: Path) -> None:
    good = lines([event("a", 1)])
    bad = [
        b"{",
        b"[]",
        b"null",
        b'{"event": 3}',
        b"\xff\xfe",
        good.replace(b'"fields": {}', b'"fields": 7'),
        good.replace(b"start_time", b"begin"),
        b"[" * 5_000,
    ]
    file = tmp_path / "mixed.jsonl"
    file.write_bytes(good + b"".join(line.rstrip() + b"\n" for line in bad) + good)
    source = Source(file)
    assert [one.event for one in source] == ["a", "a"]
    assert source.unreadable == len(bad)
    assert source.examples[0].startswith("line 2: no JSON")
    result = run(str(file), str(file), "--no-classifier")
    assert result.exit_code == 0
    assert "8 could not be read and are left out, such as line 2: no JSON" in result.output


def test_compressed_data_that_end_too_early(tmp_path: Path) -> None:
    file = tmp_path / "cut.gz"
    file.write_bytes(gzip.compress(lines(sessions(1_000)))[:-20])
    source = Source(file)
    assert len(list(source)) > 0
    assert source.unreadable >= 1
    assert any("damaged or cut off" in text for text in source.examples)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"%PDF-1.7\n" + bytes(range(256)), "no event in it (line 1: no JSON"),
        (b"\x81\xa1x\x01" * 40, "no event in it (record 1: event"),
        (b"hello, world", "no event"),
    ],
    ids=["document", "other msgpack", "text"],
)
def test_a_file_that_is_something_else(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "other"
    file.write_bytes(data)
    with pytest.raises(InputError) as caught:
        compare_files(file, RECORDING)
    assert reason in str(caught.value)
    assert str(file) in str(caught.value)
    assert caught.value.exit_code == 2


def misuse(*arguments: str) -> DovestormError:
    error = run(*arguments).exception
    assert isinstance(error, DovestormError)
    assert error.exit_code == 2
    return error


def test_misuse() -> None:
    assert "standard input can be read once" in str(misuse("-", "-"))
    assert "/no/such/file: cannot be read (No such file or directory)" in str(misuse("/no/such/file", RECORDING))
    with pytest.raises(UsageError, match="unknown format 'jsno', did you mean 'json'"):
        Source("x", format="jsno")
    assert run(RECORDING).exit_code == 2
    assert run(RECORDING, RECORDING, "--sample", "3").exit_code == 2


def test_an_empty_file_is_an_empty_stream(tmp_path: Path) -> None:
    file = tmp_path / "empty"
    file.touch()
    result = run(str(file), RECORDING)
    assert result.exit_code == 0
    assert "one of the streams is empty" in result.output
    assert result.output.splitlines()[-1].endswith("no figure, 0 sessions of A and 10 of B, must be 10 or more of each")
