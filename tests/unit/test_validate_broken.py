"""Broken streams, each made by hand from a valid one: all are rejected, for the reason that is written beside them and for no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from dovestorm.validate import RULES, Report, Severity, validate_file

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "broken"
CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "broken.yaml").read_text(encoding="utf-8"))
ORIGINALS = sorted((FOLDER / "valid").iterdir())


def report_on(path: Path, edition: str) -> Report:
    return validate_file(path, edition, complete=True, max_examples=100)


def findings(report: Report) -> dict[str, list[int]]:
    """Every rule that was broken, notes too, with the positions."""
    return {name: sorted({example.position for example in found.examples}) for name, found in (report.faults | report.notes).items()}


@pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.name)
def test_the_originals_are_valid(path):
    edition = path.stem.rpartition("-")[2]
    report = report_on(path, edition)
    assert findings(report) == {}
    assert report.events > 2
    assert report.skipped == 0


@pytest.mark.parametrize("case", CASES, ids=[case["file"] for case in CASES])
def test_a_broken_stream_is_rejected_for_its_reason_alone(case):
    report = report_on(FOLDER / case["file"], case["edition"])
    assert findings(report) == case["expect"], case["why"]
    assert report.valid == all(RULES[rule].severity is Severity.NOTE for rule in case["expect"])


def test_every_rule_is_broken_at_least_once():
    assert {rule for case in CASES for rule in case["expect"]} == set(RULES)


def test_the_index_tells_of_every_file_and_each_is_another_stream():
    told = [case["file"] for case in CASES]
    assert len(told) >= 100
    assert sorted([*told, "broken.yaml", "valid"]) == sorted(path.name for path in FOLDER.iterdir())
    streams = {(FOLDER / name).read_bytes() for name in told} | {path.read_bytes() for path in ORIGINALS}
    assert len(streams) == len(told) + len(ORIGINALS)
    assert {case["of"] for case in CASES} == {path.name for path in ORIGINALS}
