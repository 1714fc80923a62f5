"""``generate --labels``: the file is whole or does not look so, and says whose labels it holds."""

from __future__ import annotations

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from dovestorm.api import generate
from dovestorm.errors import DeliveryError
from dovestorm.labels.file import LabelFile
from dovestorm.stream import Limits, open_stream

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 60
SPRAY = ("password-spray", "--scale", "0.02", "--seed", "5", "--dovecot", "2.3.19")
COLUMNS = ["session", "number", "user", "remote_ip", "remote_port", "first", "last", "label", "kind", "labelled", "phase", "phase_us"]


def run(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dovestorm", "generate", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
    return done


def content(path: Path) -> tuple[dict, list[dict], dict]:
    """The first line, the labels, the last line."""
    first, *labels, last = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return first["about"], labels, last["end"]


def test_the_file_lies_beside_the_same_stream(tmp_path):
    plain = run(*SPRAY).stdout
    done = run(*SPRAY, "--workers", "2", "--labels", tmp_path / "labels.jsonl")
    assert done.stdout == plain
    about, labels, end = content(tmp_path / "labels.jsonl")
    assert f"labels: {len(labels):,}\n" in done.stderr
    expected = list(generate("password-spray", rate=0.02, seed=5, dovecot="2.3.19").labels())
    assert [(label["session"], label["number"], label["label"], label["phase_us"]) for label in labels] == [
        (label.session, label.number, label.label, label.phase_us) for label in expected
    ]
    assert all(list(label) == COLUMNS for label in labels)
    events = [json.loads(line) for line in plain.splitlines()]
    sessions, moments = {event["fields"].get("session") for event in events}, {event["end_time"] for event in events}
    assert len(labels) > 100
    assert {label["session"] for label in labels} <= sessions
    assert {label[end] for label in labels for end in ("first", "last")} <= moments
    assert end == {"labels": len(labels), "sessions": len(labels), "stream_complete": True}
    assert (about["labels_of"], about["dovecot"], about["seed"], about["scale"], about["shard"]) == ("password-spray", "2.3.19", 5, 0.02, "1/1")
    assert about["labels"]["spraying"]["kind"] == "attack"


def test_csv_holds_the_same(tmp_path):
    run(*SPRAY, "--to", "file:/dev/null", "--labels", tmp_path / "labels.jsonl")
    run(*SPRAY, "--to", "file:/dev/null", "--labels", tmp_path / "labels.csv.gz")
    lines = gzip.decompress((tmp_path / "labels.csv.gz").read_bytes()).decode().splitlines()
    about, labels, end = content(tmp_path / "labels.jsonl")
    assert (json.loads(lines[0].removeprefix("# ")), json.loads(lines[-1].removeprefix("# "))) == ({"about": about}, {"end": end})
    rows = list(csv.DictReader(lines[1:-1]))
    assert rows == [{key: "" if value is None else str(value) for key, value in label.items()} for label in labels]


def test_labels_go_to_standard_output_when_events_do_not():
    first, *_, last = run(*SPRAY, "--to", "file:/dev/null", "--labels", "-").stdout.splitlines()
    assert "about" in json.loads(first)
    assert json.loads(last)["end"]["labels"] > 100


def test_a_scenario_that_plants_nothing_says_so(tmp_path):
    done = run("imap-login", "--sessions", "3", "--labels", tmp_path / "none.jsonl")
    assert "the scenario 'imap-login' plants nothing" in done.stderr
    about, labels, end = content(tmp_path / "none.jsonl")
    assert (about["labels"], labels, end["labels"]) == ({}, [], 0)


@pytest.mark.parametrize("targets", [("--labels", "-"), ("--to", "same.jsonl", "--labels", "same.jsonl"), ("--to", "-", "--labels", "/dev/stdout")])
def test_events_and_labels_do_not_share_a_file(targets, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "name another file" in run(*SPRAY, *targets, code=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_is_told_before_anything_is_made(tmp_path):
    done = run(*SPRAY, "--labels", tmp_path / "missing" / "labels.jsonl", code=1)
    assert "missing/labels.jsonl: cannot open" in done.stderr
    assert done.stdout == ""


def test_a_full_disk_is_told(tmp_path):
    done = run(*SPRAY, "--to", tmp_path / "events.jsonl", "--labels", "/dev/full", code=1)
    assert "/dev/full" in done.stderr


def test_an_interrupted_stream_has_the_labels_of_what_was_made(tmp_path):
    """Sprayers come after the first twenty minutes, so that the run is interrupted when it has made some of them."""
    events, labels = tmp_path / "events.jsonl", tmp_path / "labels.jsonl"
    os.mkfifo(events)
    command = [sys.executable, "-m", "dovestorm", "generate", *SPRAY, "--rate", "4000/s", "--to", events, "--labels", labels]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        with events.open("rb") as lines:
            made = b""
            while b'"198.51.100.' not in made and b'"203.0.113.' not in made:
                made = lines.readline()
                assert made, "the stream ended before anything was planted in it"
            process.send_signal(signal.SIGINT)
            lines.read()
        assert process.wait(timeout=PATIENCE_S) == 130
        process.stderr.read()
    _, found, end = content(labels)
    assert end["stream_complete"] is False
    assert 0 < len(found) < len(list(generate("password-spray", rate=0.02, seed=5, dovecot="2.3.19").labels()))


def test_a_file_without_its_last_line_is_not_complete(tmp_path):
    stream = open_stream("password-spray", limits=Limits(sessions=5))
    file = LabelFile(str(tmp_path / "labels.jsonl"))
    file.open(stream)
    file.abort()
    assert "end" not in (tmp_path / "labels.jsonl").read_text(encoding="utf-8")
    with pytest.raises(DeliveryError):
        file.fill(stream)
