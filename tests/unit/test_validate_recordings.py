"""The rules are true of reality: every recording of a real server passes without a fault."""

from __future__ import annotations

import gzip

import pytest
from validation import CAPTURES

from dovestorm.validate import validate_file

RECORDINGS = sorted(path.name for path in CAPTURES.glob("*.jsonl.gz"))


def test_the_recordings_are_there() -> None:
    assert len(RECORDINGS) >= 22


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_has_no_fault(name: str) -> None:
    """If this fails, the recording is right and the rule is wrong."""
    report = validate_file(CAPTURES / name, "2.3.19")
    assert report.valid, report.to_text()
    assert report.events > 0
    assert report.skipped == 0
    assert set(report.notes) <= {"field-order"}, report.to_text()


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_cut_at_both_ends_has_no_fault(name: str) -> None:
    """A stream may be joined and left at any moment; what lies before and after is not held against it."""
    with gzip.open(CAPTURES / name) as file:
        lines = file.readlines()
    from dovestorm import catalog
    from dovestorm.validate import Validator

    for begin, end in ((len(lines) // 3, len(lines)), (0, 2 * len(lines) // 3), (len(lines) // 2, len(lines) // 2 + 200)):
        validator = Validator(catalog.load("2.3.19"))
        validator.feed(b"".join(lines[begin:end]))
        report = validator.finish()
        assert report.valid, report.to_text()


def test_tab_text_as_the_server_wrote_it() -> None:
    report = validate_file(CAPTURES / "wire" / "post_tab.txt.gz", "2.3.19", unordered=True)
    assert report.valid, report.to_text()
    assert report.events > 5


def test_json_with_unix_times_as_the_server_wrote_it() -> None:
    report = validate_file(CAPTURES / "wire" / "post_jsonunix.jsonl.gz", "2.3.19", unordered=True)
    assert report.valid, report.to_text()
    assert report.events > 5
