"""Every collector whose configuration ``docs/audit.md`` shows is run by a test that reads it there, or is said to be untested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = re.findall(r"(?ms)^### ([^\n]+)\n(.*?)(?=^##)", (ROOT / "docs" / "audit.md").read_text(encoding="utf-8"))


def test_collectors_are_shown() -> None:
    assert {"rsyslog", "syslog-ng", "Fluent Bit"} <= {name for name, _ in SECTIONS}


@pytest.mark.parametrize(("name", "text"), SECTIONS, ids=[name for name, _ in SECTIONS])
def test_a_configuration_is_run_or_called_untested(name: str, text: str) -> None:
    runs = [path for path in re.findall(r"`(tests/contract/\w+\.py)`", text) if f'documented("{name}")' in (ROOT / path).read_text(encoding="utf-8")]
    assert bool(runs) != ("**Untested.**" in text)
