"""Every check has a wrong scenario in tests/golden/faults and the exact text that it must be answered with."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from dovestorm import scenario
from dovestorm.errors import ScenarioError

FAULTS = Path(__file__).parents[1] / "golden" / "faults"
WRONG = sorted(FAULTS.glob("*.yaml"))


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_faults_are_named_exactly(path, monkeypatch):
    monkeypatch.chdir(FAULTS)
    with pytest.raises(ScenarioError) as caught:
        scenario.load(Path(path.name))
    expected = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert f"{caught.value}\n" == expected, "renew with: python tests/golden/renew_faults.py, and read the difference"


def test_every_expected_text_has_its_scenario():
    assert {path.stem for path in FAULTS.glob("*.txt")} == {path.stem for path in WRONG}
    assert len(WRONG) >= 25


def test_renewing_changes_nothing(tmp_path):
    """The command that a failure names is the one that wrote the files."""
    code = "import sys, pathlib; sys.path.insert(0, sys.argv[1]); import renew_faults; print(renew_faults.found(pathlib.Path(sys.argv[2])), end='')"
    done = subprocess.run(
        [sys.executable, "-c", code, FAULTS.parent, FAULTS / "walks.yaml"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == (FAULTS / "walks.txt").read_text(encoding="utf-8")


def test_a_scenario_error_crosses_processes():
    with pytest.raises(ScenarioError) as caught:
        scenario.load(FAULTS / "walks.yaml")
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
    assert copy.faults == caught.value.faults
