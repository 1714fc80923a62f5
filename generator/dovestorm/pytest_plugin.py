"""The pytest plugin: reproducible mail-server events as fixtures. It imports nothing heavy before a fixture is used.

Every fixture that makes data is a factory with the options of ``dovestorm.generate``; the seed is ``--dovestorm-seed`` (or the ini value
``dovestorm_seed``) unless given. When a test fails, its report names the command lines that make its data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from dovestorm.api import Event, Events
    from dovestorm.receive import Receiver

__all__ = ["dovestorm_bytes", "dovestorm_events", "dovestorm_file", "dovestorm_receiver"]

_MADE = pytest.StashKey[list[str]]()
_SUFFIXES = {"json": ".jsonl", "tab-text": ".txt", "msgpack": ".msgpack"}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options all begin with ``--dovestorm-``."""
    group = parser.getgroup("dovestorm", "synthetic Dovecot events")
    group.addoption("--dovestorm-seed", type=int, default=None, help="seed of fixtures that name none (default: the ini value, else 0)")
    parser.addini("dovestorm_seed", "seed of dovestorm fixtures that name none", default="0")


@pytest.fixture
def _dovestorm_generate(request: pytest.FixtureRequest) -> Callable[..., Events]:
    """``dovestorm.generate`` with the run's seed; notes each command line for the report."""
    chosen = request.config.getoption("--dovestorm-seed")
    try:
        default = int(request.config.getini("dovestorm_seed")) if chosen is None else chosen
    except ValueError:
        raise pytest.UsageError(f"dovestorm_seed: '{request.config.getini('dovestorm_seed')}' must be an integer") from None
    made = request.node.stash.setdefault(_MADE, [])

    def make(scenario: str | Path, *, seed: int | None = None, **options: Any) -> Events:
        from dovestorm.api import generate

        events = generate(scenario, seed=default if seed is None else seed, **options)
        made.append(events.command)
        return events

    return make


@pytest.fixture
def dovestorm_events(_dovestorm_generate: Callable[..., Events]) -> Callable[..., list[Event]]:
    """A factory: ``dovestorm_events("imap-login", seed=7, sessions=3, dovecot="2.3.19")`` gives a list of events."""

    def make(scenario: str | Path, **options: Any) -> list[Event]:
        return _dovestorm_generate(scenario, **options).to_list()

    return make


@pytest.fixture
def dovestorm_bytes(_dovestorm_generate: Callable[..., Events]) -> Callable[..., bytes]:
    """A factory: the events rendered, ``format`` json (default), tab-text or msgpack."""

    def make(scenario: str | Path, *, format: str = "json", time_format: str = "rfc3339", **options: Any) -> bytes:  # noqa: A002
        return _dovestorm_generate(scenario, **options).bytes(format=format, time_format=time_format)

    return make


@pytest.fixture
def dovestorm_file(_dovestorm_generate: Callable[..., Events], tmp_path: Path) -> Callable[..., Path]:
    """A factory: the path of a file with the events, in the test's ``tmp_path``; ``name`` may end in .gz or .zst."""

    def make(
        scenario: str | Path,
        *,
        format: str = "json",  # noqa: A002
        time_format: str = "rfc3339",
        name: str | None = None,
        **options: Any,
    ) -> Path:
        path = tmp_path / (name or f"events{_SUFFIXES.get(format, '')}")
        _dovestorm_generate(scenario, **options).write(path, format=format, time_format=time_format)
        return path

    return make


@pytest.fixture
def dovestorm_receiver() -> Iterator[Receiver]:
    """A consumer on a free loopback port: ``.url`` to send to, ``.wait_for(n)``, then ``.events()`` or ``.records()``."""
    from dovestorm.receive import Receiver

    with Receiver("tcp://127.0.0.1:0", keep=True) as receiver:
        yield receiver


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Say how to make the data of a test that failed."""
    report = yield
    made = item.stash.get(_MADE, [])
    if made and report.failed:
        report.sections.append(("dovestorm: the data of this test", "\n".join(made)))
    return report
