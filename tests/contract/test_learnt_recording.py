"""Sessions of a scenario that was learnt from half of a recording are not told from those of the other half."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dovestorm import catalog, scenario
from dovestorm.compare import Grouping, Record, Source, compare, records
from dovestorm.hashing import derive
from dovestorm.learn import learn
from dovestorm.stream import Stream
from dovestorm.validate import Validator

if TYPE_CHECKING:
    from dovestorm.compare.sessions import Place

RECORDING = Path(__file__).resolve().parents[2] / "seeds" / "captures" / "load_mix_half_a.jsonl.gz"
LARGEST_AREA = 0.65


@cache
def halves(seed: int) -> tuple[list[Record], list[Record]]:
    """The recording's events, its sessions dealt out at random."""
    grouping = Grouping()
    side: dict[Place, int] = {}
    split: tuple[list[Record], list[Record]] = ([], [])
    for record in Source(RECORDING):
        split[side.setdefault(grouping.place(record), derive(seed, len(side)) % 2)].append(record)
    return split


@cache
def generated(seed: int) -> bytes:
    text = learn(halves(seed)[0], "learnt", seed=seed)
    stream = Stream(scenario=scenario.load_text(text), seed=seed)
    return b"".join(bytes(block.data) for block in stream.blocks("json"))


@pytest.mark.parametrize("seed", [1, 2])
def test_what_was_learnt_from_one_half_is_not_told_from_the_other(seed):
    found = compare(records(map(json.loads, generated(seed).splitlines())), halves(seed)[1]).separability
    assert found is not None
    assert min(found.sessions) > 150
    assert found.auc <= LARGEST_AREA, found


def test_two_halves_of_the_recording_are_not_told_apart():
    found = compare(*halves(2)).separability
    assert found is not None
    assert 0.4 < found.auc < 0.6


def test_what_was_learnt_is_valid():
    validator = Validator(catalog.load("2.3.19"))
    validator.feed(generated(1))
    report = validator.finish()
    assert report.valid, report.to_text()
    assert report.events > 5_000
