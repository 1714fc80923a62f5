"""Write the expected error texts of tests/golden/faults anew: ``python tests/golden/renew_faults.py``. Read the difference before you keep it."""

from __future__ import annotations

import os
from pathlib import Path

from dovestorm import scenario
from dovestorm.errors import ScenarioError

FAULTS = Path(__file__).parent / "faults"


def found(path: Path) -> str:
    """Give the error text of a wrong scenario, as seen from its own folder."""
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        scenario.load(Path(path.name))
    except ScenarioError as error:
        return f"{error}\n"
    finally:
        os.chdir(before)
    return "no faults\n"


if __name__ == "__main__":
    for each in sorted(FAULTS.glob("*.yaml")):
        each.with_suffix(".txt").write_text(found(each), encoding="utf-8")
