"""The pytest plugin: reproducible mail-server events as fixtures. It imports nothing heavy before a fixture is used.

Every fixture that makes data is a factory with the options of ``dovestorm.generate``; the seed is ``--dovestorm-seed`` (or the ini value
``dovestorm_seed``) unless given. When a test fails, its report names the command lines that make its data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from dovestorm.api import Event, Events
    from dovestorm.labels import Label
    from dovestorm.receive import Receiver

__all__ = ["dovestorm_bytes", "dovestorm_events", "dovestorm_file", "dovestorm_labels", "dovestorm_receiver"]

_SEED = pytest.StashKey[int]()
_MADE = pytest.StashKey[dict[str, None]]()
_SUFFIXES = {"json": ".jsonl", "tab-text": ".txt", "msgpack": ".msgpack"}
_MOST_SHOWN = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    """Our options all begin with ``--dovestorm-``."""
    group = parser.getgroup("dovestorm", "synthetic Dovecot events")
    group.addoption(
        "--dovestorm-seed", type=int, default=None, metavar="N", help="seed of fixtures that are given none (default: dovestorm_seed, else 0)"
    )
    parser.addini("dovestorm_seed", "seed of dovestorm fixtures that are given none", default="0")


def pytest_configure(config: pytest.Config) -> None:
    """Settle the seed, so that a wrong one ends the run before it begins."""
    chosen = config.getoption("--dovestorm-seed")
    written = str(config.getini("dovestorm_seed")).strip()
    try:
        config.stash[_SEED] = int(written) if chosen is None else chosen
    except ValueError:
        raise pytest.UsageError(f"{config.inipath}: dovestorm_seed: '{written}', must be a whole number") from None


def pytest_report_header(config: pytest.Config) -> str | None:
    """Tell a seed that someone chose."""
    seed = config.stash[_SEED]
    return f"dovestorm: seed {seed}" if seed else None


class _Maker:
    """``dovestorm.generate`` with the run's seed, for one test; notes each command line for the report."""

    def __init__(self, seed: int, made: dict[str, None]) -> None:
        self._seed = seed
        self._made = made

    def events(self, scenario: str | Path, *, seed: int | None, options: dict[str, Any], **rendered: Any) -> Events:
        from dovestorm.api import generate

        events = generate(scenario, seed=self._seed if seed is None else seed, **options)
        self._made[events.command_line(**rendered)] = None
        return events


@pytest.fixture
def _dovestorm_maker(request: pytest.FixtureRequest) -> _Maker:
    return _Maker(request.config.stash[_SEED], request.node.stash.setdefault(_MADE, {}))


@pytest.fixture
def dovestorm_events(_dovestorm_maker: _Maker) -> Callable[..., list[Event]]:
    """A factory: ``dovestorm_events("imap-login", seed=7, sessions=3, dovecot="2.3.19")`` gives a list of events."""

    def make(scenario: str | Path, *, seed: int | None = None, **options: Any) -> list[Event]:
        return _dovestorm_maker.events(scenario, seed=seed, options=options).to_list()

    return make


@pytest.fixture
def dovestorm_labels(_dovestorm_maker: _Maker) -> Callable[..., list[Label]]:
    """A factory: which sessions of the stream that ``dovestorm_events`` would give belong to what its scenario planted."""

    def make(scenario: str | Path, *, seed: int | None = None, **options: Any) -> list[Label]:
        return list(_dovestorm_maker.events(scenario, seed=seed, options=options).labels())

    return make


@pytest.fixture
def dovestorm_bytes(_dovestorm_maker: _Maker) -> Callable[..., bytes]:
    """A factory: the events rendered, ``format`` json (default), tab-text or msgpack, ``time_format`` rfc3339 (default) or unix."""

    def make(
        scenario: str | Path,
        *,
        format: str = "json",  # noqa: A002 - the word that users look for
        time_format: str = "rfc3339",
        seed: int | None = None,
        **options: Any,
    ) -> bytes:
        events = _dovestorm_maker.events(scenario, seed=seed, options=options, format=format, time_format=time_format)
        return events.bytes(format=format, time_format=time_format)

    return make


@pytest.fixture
def dovestorm_file(_dovestorm_maker: _Maker, tmp_path: Path) -> Callable[..., Path]:
    """A factory: the path of a file with the events, in the test's ``tmp_path``; its ``name`` may end in .gz or .zst."""

    def make(
        scenario: str | Path,
        *,
        format: str = "json",  # noqa: A002
        time_format: str = "rfc3339",
        name: str | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> Path:
        path = tmp_path / name if name else _free(tmp_path, _SUFFIXES.get(format, ""))
        events = _dovestorm_maker.events(scenario, seed=seed, options=options, format=format, time_format=time_format, to=path.name)
        events.write(path, format=format, time_format=time_format)
        return path

    return make


def _free(folder: Path, suffix: str) -> Path:
    """``events.jsonl``, then ``events-2.jsonl``: a second file of a test is another one."""
    path, number = folder / f"events{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"events-{number}{suffix}"
    return path


@pytest.fixture
def dovestorm_receiver() -> Iterator[Receiver]:
    """A consumer on a free loopback port: ``.url`` to send to, ``.wait_for(n)``, then ``.events()`` or ``.records()``."""
    from dovestorm.receive import Receiver

    with Receiver("tcp://127.0.0.1:0", keep=True) as receiver:
        yield receiver


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say how to make the data of a test that failed."""
    report = yield
    if report.failed and (noted := item.stash.get(_MADE, None)):
        made = list(noted)
        more = [f"... and {len(made) - _MOST_SHOWN} more"] if len(made) > _MOST_SHOWN else []
        title, text = "dovestorm: the data of this test", "\n".join([*made[:_MOST_SHOWN], *more])
        # With --show-capture=no pytest hides all sections but those of the failure itself.
        add = getattr(report.longrepr, "addsection", None)
        if add is not None and item.config.getoption("showcapture", "all") != "all":
            add(title, text)
        else:
            report.sections.append((title, text))
    return report
