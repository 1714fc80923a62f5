"""What all tests share: Hypothesis settings, and real servers that are skipped where they lack, except where they must not be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).resolve().parent.parent
REQUIRE_SERVERS = "DOVESTORM_REQUIRE_SERVERS"

settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Gives the path of a program that is not ours, or skips the test (marked ``real_server``)."""

    def find(name: str) -> str:
        places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", str(ROOT / ".cache" / name)])
        path = shutil.which(name, path=places)
        if path is None:
            pytest.skip(f"{name} is not installed (scripts/install-servers)")
        return path

    return find


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI, where ``DOVESTORM_REQUIRE_SERVERS`` is set, a real-server test that skips has failed."""
    report = yield
    if report.skipped and os.environ.get(REQUIRE_SERVERS) and item.get_closest_marker("real_server"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{reason}, and {REQUIRE_SERVERS} is set: here it must run"
    return report
