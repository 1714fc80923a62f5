"""Broken streams, each made by hand from a valid one: all are rejected, for the reason that is written beside them and for no other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dovestorm import catalog
from dovestorm.validate import RULES, Severity, Validator

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "broken"
CASES: list[dict[str, Any]] = yaml.safe_load((FOLDER / "broken.yaml").read_text(encoding="utf-8"))
ORIGINALS = sorted(FOLDER.glob("*.jsonl"))
ELSEWHERE = {"escape-case", "too-long", "dns-cached", "slow-query", "refused-without-passdb", "session-user-renamed", "field-order"}
"""Rules that break in test_validate_hostile.py, test_validate_list.py and test_validate_rules.py; the last three are notes."""


def changed(lines: list[bytes], change: dict[str, Any]) -> list[bytes]:
    """The lines after one change."""
    at = change.get("line", 0) - 1
    match next(key for key in change if key != "line"):
        case "set" | "remove" | "rename":
            lines[at] = _edited(lines[at], change)
            if "text" in change:
                lines = changed(lines, {"line": change["line"], "text": change["text"]})
        case "text":
            old, new = (text.encode() for text in change["text"])
            assert old in lines[at]
            lines[at] = lines[at].replace(old, new)
        case "twice":
            lines[at] += lines[at]
        case "drop":
            del lines[change["drop"] - 1]
        case "repeat":
            lines.insert(change["repeat"], lines[change["repeat"] - 1])
        case "move":
            lines.insert(change["to"] - 1, lines.pop(change["move"] - 1))
        case "swap":
            first, second = (number - 1 for number in change["swap"])
            lines[first], lines[second] = lines[second], lines[first]
        case "cut":
            lines[-1] = lines[-1][: -change["cut"]]
        case "insert":
            lines.insert(change["insert"] - 1, _inserted(change))
        case other:
            pytest.fail(f"unknown change '{other}'")
    return lines


def _inserted(change: dict[str, Any]) -> bytes:
    if "hex" in change:
        return bytes.fromhex(change["hex"])
    if "nested" in change:
        return b'{"event":' * change["nested"]
    return str(change["raw"]).encode()


def _edited(line: bytes, change: dict[str, Any]) -> bytes:
    record = json.loads(line)
    for path, value in change.get("set", {}).items():
        holder, key = _place(record, path)
        holder[key] = value
    if "remove" in change:
        holder, key = _place(record, change["remove"])
        del holder[key]
    if "rename" in change:
        path, name = change["rename"]
        holder, key = _place(record, path)
        renamed = {name if one == key else one: value for one, value in holder.items()}
        holder.clear()
        holder.update(renamed)
    return json.dumps(record, separators=(",", ":")).encode()


def _place(record: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    *holders, key = path.split(".")
    for name in holders:
        record = record[name]
    return record, key


def findings(lines: list[bytes], stream: str) -> dict[str, list[int]]:
    """Rule to positions, of everything that a report finds apart from the order of fields."""
    validator = Validator(catalog.load(stream.rpartition("-")[2]), complete=True, max_examples=100)
    for line in lines:
        validator.feed_line(line)
    report = validator.finish()
    return {
        name: sorted({example.position for example in found.examples})
        for name, found in (report.faults | report.notes).items()
        if name != "field-order"
    }


@pytest.mark.parametrize("path", ORIGINALS, ids=lambda path: path.stem)
def test_the_originals_are_valid(path):
    assert findings(path.read_bytes().splitlines(), path.stem) == {}


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_a_broken_stream_is_rejected_for_its_reason_alone(case):
    lines = (FOLDER / f"{case['of']}.jsonl").read_bytes().splitlines()
    for change in case["change"]:
        lines = changed(lines, change)
    assert findings(lines, case["of"]) == case["expect"]


def test_there_are_many_and_no_rule_is_left_out():
    assert len(CASES) >= 100
    assert len({case["why"] for case in CASES}) == len(CASES)
    assert {rule for case in CASES for rule in case["expect"]} | ELSEWHERE == set(RULES)
    assert all(RULES[rule].severity is Severity.FAULT for case in CASES for rule in case["expect"])
