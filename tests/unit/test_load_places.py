"""Where metrics go: a port of the loopback, an address, or a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from dovestorm.load.places import Listening, read_place


@pytest.mark.parametrize(
    ("text", "place", "shown"),
    [
        ("9464", Listening("127.0.0.1", 9464), "127.0.0.1:9464"),
        (":9464", Listening("127.0.0.1", 9464), "127.0.0.1:9464"),
        ("0.0.0.0:0", Listening("0.0.0.0", 0), "0.0.0.0:0"),
        ("[::1]:80", Listening("::1", 80), "[::1]:80"),
        ("metrics.example:80", Listening("metrics.example", 80), "metrics.example:80"),
    ],
)
def test_addresses(text, place, shown):
    assert read_place(text) == place
    assert place.to_text() == shown


def test_a_file(tmp_path):
    assert read_place(f"{tmp_path}/run.txt") == tmp_path / "run.txt"
    assert read_place("run.txt") == Path("run.txt")


@pytest.mark.parametrize("text", ["70000", "127.0.0.1:70000", "/nowhere/at/all.txt", "."])
def test_what_cannot_be_one(text):
    with pytest.raises(ValueError, match="must be"):
        read_place(text)
