"""The Python API: the same events however they are taken, a command line that makes the same bytes, and files that are whole or not there."""

from __future__ import annotations

import dataclasses
import doctest
import gzip
import itertools
import json
import math
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zstandard

import dovestorm
from dovestorm import api
from dovestorm.errors import CatalogError, DeliveryError, FormatError, InputError, ScenarioError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
GUIDE = re.findall(r"^```python\n(.*?)^```", DOCS, flags=re.MULTILINE | re.DOTALL)

SCENARIO = """\
scenario: mine
summary: One lookup.
dovecot: 2.3.6
start: 2026-03-02T09:00:00Z
duration: 1h
arrivals: {constant: 1/s}
flows:
  - flow: lookup
    steps:
      - use: %s
"""
FRAGMENT = "fragment: own\nsummary: Two waits.\nsteps:\n  - wait: %s\n  - emit: dns_worker_request_finished\n"


def small(**options: Any) -> dovestorm.Events:
    return dovestorm.generate("imap-login", **{"seed": 7, "sessions": 2, **options})


@pytest.fixture
def own_scenario(tmp_path: Path) -> Path:
    """A scenario file with a fragment beside it."""
    path = tmp_path / "mine.yaml"
    path.write_text(SCENARIO % "own", encoding="utf-8")
    (tmp_path / "fragments").mkdir()
    (tmp_path / "fragments" / "own.yaml").write_text(FRAGMENT % "1s", encoding="utf-8")
    return path


# ---------------------------------------------------------------- events


def test_the_doctest_of_the_module_runs() -> None:
    assert doctest.testmod(api).attempted >= 4
    assert doctest.testmod(api).failed == 0


def test_an_event_carries_all_that_its_record_does() -> None:
    events = small()
    records = [json.loads(line) for line in events.bytes().splitlines()]
    assert [event.name for event in events] == [record["event"] for record in records]
    assert [list(event.categories) for event in events] == [record["categories"] for record in records]
    assert {event.hostname for event in events} == {record["hostname"] for record in records}
    for event, record in zip(events, records, strict=True):
        assert event.start == datetime.fromisoformat(record["start_time"])
        assert event.end == datetime.fromisoformat(record["end_time"])
        assert list(event.fields) == list(record["fields"])


@pytest.mark.parametrize("scenario", ["imap-login", "working-day", "password-spray"])
@pytest.mark.parametrize("dovecot", ["2.3.6", "2.3.19"])
def test_the_fields_are_those_of_json(scenario: str, dovecot: str) -> None:
    """Moments too, which are numbers inside."""
    events = dovestorm.generate(scenario, seed=3, events=500, dovecot=dovecot)
    assert [event.fields for event in events] == [json.loads(line)["fields"] for line in events.lines()]
    assert any(event.fields.get("last_run_time", "").endswith("Z") for event in events)


def test_moments_are_exact_and_utc() -> None:
    event = next(iter(small()))
    assert event.start.tzinfo is UTC
    assert event.end.tzinfo is UTC
    assert (event.start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == event.start_us
    assert (event.end - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == event.end_us
    assert event.start <= event.end


def test_an_event_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        next(iter(small())).name = "other"  # type: ignore[misc]


def test_it_can_be_iterated_many_times_even_at_once() -> None:
    events = small()
    assert events.to_list() == events.to_list() == list(events)
    assert all(one == other for one, other in zip(events, events, strict=True))


def test_a_fields_list_is_not_shared() -> None:
    events = small()
    for event in events:
        event.fields.clear()
    assert all(event.fields for event in events)


def test_nothing_is_made_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of all the scenario's hours gives its first event as soon as that one is there."""
    from dovestorm.engine.machine import Machine

    made = []
    batches = Machine.batches

    def counted(self: Machine, **options: Any) -> Iterator[Any]:
        for batch in batches(self, **options):
            made.append(len(batch))
            yield batch

    monkeypatch.setattr(Machine, "batches", counted)
    events = dovestorm.generate("working-day", seed=1)
    assert made == []
    assert len(list(itertools.islice(events, 10))) == 10
    assert len(made) <= 3


def test_loading_and_compiling_happen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes the second fixture of a scenario cheap."""
    from dovestorm import scenario as scenarios

    calls = []
    load = scenarios.load

    def counted(*args: Any, **options: Any) -> Any:
        calls.append(args)
        return load(*args, **options)

    monkeypatch.setattr(scenarios, "load", counted)
    api._compiled.cache_clear()
    programs = {id(dovestorm.generate("imap-login", seed=seed, sessions=seed + 1).stream.program) for seed in range(5)}
    assert len(calls) == len(programs) == 1
    dovestorm.generate("imap-login", dovecot="2.3.19")
    assert len(calls) == 2


def test_a_changed_file_is_read_again(own_scenario: Path) -> None:
    one = dovestorm.generate(own_scenario, sessions=1).to_list()
    (own_scenario.parent / "fragments" / "own.yaml").write_text(FRAGMENT % "2s", encoding="utf-8")
    two = dovestorm.generate(own_scenario, sessions=1).to_list()
    assert two[0].end_us - one[0].end_us == pytest.approx(1_000_000, abs=50_000)
    assert one == dovestorm.generate(_written(own_scenario, "1s"), sessions=1).to_list()


def _written(path: Path, wait: str) -> Path:
    (path.parent / "fragments" / "own.yaml").write_text(FRAGMENT % wait, encoding="utf-8")
    return path


# ---------------------------------------------------------------- arguments


def test_the_seed_decides() -> None:
    assert small().to_list() == small(seed=7).to_list()
    assert small().to_list() != small(seed=8).to_list()
    assert small(seed=-1).to_list() == small(seed=-1).to_list()


def test_sessions_and_events() -> None:
    assert {event.session for event in small(sessions=3)} == {0, 1, 2}
    assert small(sessions=0).to_list() == []
    assert small(sessions=None, events=5).to_list() == small(sessions=1).to_list()[:5]
    assert small(events=0).bytes() == b""


@pytest.mark.parametrize("duration", ["2min", "120s", timedelta(minutes=2)])
def test_duration_cuts_the_stream(duration: str | timedelta) -> None:
    events = dovestorm.generate("imap-login", seed=7, duration=duration).to_list()
    begin = dovestorm.generate("imap-login").stream.scenario.start
    assert events
    assert all(begin <= event.end_us <= begin + 121_000_000 for event in events)
    assert events == dovestorm.generate("imap-login", seed=7, duration="2min").to_list()
    assert len(events) < len(dovestorm.generate("imap-login", seed=7, duration="4min").to_list())


def test_the_edition_is_the_scenarios_or_the_given_one() -> None:
    assert all("service:" not in category for event in small() for category in event.categories)
    assert any("service:imap" in event.categories for event in small(dovecot="2.3.19"))


def test_shards_together_are_the_whole() -> None:
    shards = [small(sessions=6, shard=(number, 3)).to_list() for number in (1, 2, 3)]
    whole = small(sessions=6).to_list()
    assert [{event.session % 3 for event in shard} for shard in shards] == [{0}, {1}, {2}]
    assert sorted((event for shard in shards for event in shard), key=repr) == sorted(whole, key=repr)


def test_rate_multiplies_arrivals() -> None:
    def sessions(rate: float) -> int:
        return max(event.session for event in dovestorm.generate("imap-login", duration="5min", rate=rate)) + 1

    assert sessions(4.0) > 2 * sessions(1.0)


def test_only_events_of_the_wanted_sections_are_made() -> None:
    few = small(sections=["imap", "dns"]).to_list()
    assert {event.name for event in few} == {"imap_command_finished"}
    assert few == [event for event in small() if event.name == "imap_command_finished"]


def test_users_replaces_the_number_of_users() -> None:
    def names(users: int) -> set[str]:
        return {event.fields["user"] for event in dovestorm.generate("imap-login", sessions=30, users=users) if "user" in event.fields}

    assert len(names(1)) < len(names(10_000))


@pytest.mark.parametrize(
    "start",
    ["2031-05-01T12:00:00Z", datetime(2031, 5, 1, 12, tzinfo=UTC), datetime(2031, 5, 1, 14, tzinfo=timezone(timedelta(hours=2)))],
)
def test_start_moves_the_scenario(start: str | datetime) -> None:
    event = next(iter(small(start=start)))
    assert timedelta(0) <= event.start - datetime(2031, 5, 1, 12, tzinfo=UTC) < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"seed": "x"}, "seed: 'x', must be a whole number"),
        ({"seed": 1.5}, "seed: 1.5"),
        ({"sessions": -1}, "sessions: -1, must be a whole number from 0 up"),
        ({"events": -5}, "events: -5"),
        ({"events": True}, "events: True"),
        ({"shard": (0, 3)}, "shard: (0, 3), must be (i, n) with 1 <= i <= n"),
        ({"shard": (4, 3)}, "shard: (4, 3)"),
        ({"shard": 3}, "shard: 3"),
        ({"shard": (1, 2, 3)}, "shard: (1, 2, 3)"),
        ({"rate": 0}, "rate: 0, must be a number > 0"),
        ({"rate": -1.0}, "rate: -1.0"),
        ({"rate": math.nan}, "rate: nan"),
        ({"rate": math.inf}, "rate: inf"),
        ({"rate": "2"}, "rate: '2'"),
        ({"duration": "10parsecs"}, "duration: '10parsecs': a duration is written like 300us"),
        ({"duration": "-1s"}, "duration: '-1s', must not be negative"),
        ({"duration": timedelta(-1)}, "must not be negative"),
        ({"duration": 10}, "duration: 10, must be a text such as '10min' or a timedelta"),
        ({"users": 0}, "users: 0, must be a whole number from 1 up"),
        ({"users": 10**15}, "population"),
        ({"start": "tomorrow"}, "start: 'tomorrow': a timestamp is written like"),
        ({"start": 0}, "start: 0, must be a datetime"),
        ({"start": datetime(2026, 3, 2)}, "has no time zone"),  # noqa: DTZ001 - that is the fault
        ({"start": datetime(1969, 3, 2, tzinfo=UTC)}, "1970 or later"),
        ({"dovecot": 2.3}, "dovecot: 2.3, must be a version as text"),
        ({"dovecot": "9.9"}, "unknown Dovecot version '9.9'"),
        ({"sections": ["imap", "htp"]}, "sections: 'htp', Dovecot 2.3.6 has authentication-server, authentication-client, connection, http, imap,"),
        ({"sections": []}, "sections: '', Dovecot 2.3.6 has"),
        ({"sections": "imap"}, "sections: 'imap', must be a list of names"),
        ({"sections": 3}, "sections: 3, must be a list of names"),
        ({"sections": [3]}, "sections: [3], must be a list of names"),
    ],
)
def test_a_value_that_cannot_be_is_told(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=re.escape(text)):
        small(**options)


@pytest.mark.parametrize(
    ("scenario", "kind", "text"),
    [
        ("imap-logn", UsageError, "unknown scenario 'imap-logn', did you mean 'imap-login'?"),
        ("", UsageError, "scenario: ''"),
        (None, UsageError, "scenario: None"),
        ("./missing.yaml", InputError, "missing.yaml: cannot be read"),
        (Path("imap-login"), InputError, "imap-login: cannot be read"),
    ],
)
def test_an_unknown_scenario_is_told(scenario: Any, kind: type[UsageError], text: str) -> None:
    with pytest.raises(kind, match=re.escape(text)):
        dovestorm.generate(scenario)


def test_the_faults_of_a_scenario_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SCENARIO.replace("1h", "soon").replace("1/s", "often") % "nothing", encoding="utf-8")
    with pytest.raises(ScenarioError) as caught:
        dovestorm.generate(path)
    assert len(caught.value.faults) == 3


def test_wrong_formats_are_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown format 'jsn', did you mean 'json'"):
        small().blocks(format="jsn")
    with pytest.raises(UsageError, match="unknown time format 'epoch', known are rfc3339, unix"):
        small().bytes(time_format="epoch")
    with pytest.raises(UsageError, match="unknown format"):
        small().write(tmp_path / "x", format="xml")
    with pytest.raises(UsageError, match="workers: 0"):
        small().blocks(workers=0)
    assert list(tmp_path.iterdir()) == []


# ---------------------------------------------------------------- the command line


def printed_by(command: str, folder: Path) -> bytes:
    """What a command line puts on standard output, in a process of its own."""
    name, *words = shlex.split(command)
    assert name == "dovestorm"
    done = subprocess.run([sys.executable, "-m", "dovestorm", *words], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize(
    ("scenario", "options"),
    [
        ("imap-login", {"seed": 7, "sessions": 1}),
        ("imap-login", {"seed": -3, "events": 30, "dovecot": "2.3.19", "users": 4}),
        ("working-day", {"duration": timedelta(seconds=90, microseconds=7), "rate": 0.25, "shard": (2, 3)}),
        ("imap-login", {"sessions": 3, "sections": ("imap", "authentication-server")}),
        ("password-spray", {"sessions": 20, "start": datetime(2031, 5, 1, 12, 0, 0, 250, tzinfo=UTC)}),
    ],
)
def test_the_command_makes_the_same_bytes(scenario: str, options: dict[str, Any], tmp_path: Path) -> None:
    events = dovestorm.generate(scenario, **options)
    assert events.bytes()
    assert printed_by(events.command, tmp_path) == events.bytes()


def test_the_command_of_a_format_and_a_sink(tmp_path: Path) -> None:
    events = small()
    assert printed_by(events.command_line(format="msgpack", time_format="unix"), tmp_path) == events.bytes(format="msgpack", time_format="unix")
    printed_by(events.command_line(format="tab-text", to="my events.txt"), tmp_path)
    assert (tmp_path / "my events.txt").read_bytes() == events.bytes(format="tab-text")


def test_the_command_of_a_file_in_a_folder_with_blanks(tmp_path: Path) -> None:
    folder = tmp_path / "a b'c"
    folder.mkdir()
    path = folder / "mine.yaml"
    path.write_text(SCENARIO % "noop", encoding="utf-8")
    path.write_text((ROOT / "scenarios" / "imap-login.yaml").read_text(encoding="utf-8").replace("scenario: imap-login", "scenario: mine"), "utf-8")
    events = dovestorm.generate(path, sessions=1)
    assert printed_by(events.command, tmp_path) == events.bytes()


def test_a_path_is_never_taken_for_a_shipped_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imap-login").write_text((SCENARIO % "noop").replace("use: noop", "emit: dns_worker_request_finished"), encoding="utf-8")
    events = dovestorm.generate(Path("imap-login"), sessions=1)
    assert [event.name for event in events] == ["dns_worker_request_finished"]
    assert printed_by(events.command, tmp_path) == events.bytes()


def test_a_file_is_never_taken_for_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (SCENARIO % "noop").replace("use: noop", "emit: dns_worker_request_finished")
    (tmp_path / "-q.yaml").write_text(text, encoding="utf-8")
    events = dovestorm.generate("-q.yaml", sessions=1)
    assert printed_by(events.command, tmp_path) == events.bytes() != b""


def test_repr_is_the_command() -> None:
    assert repr(small()) == "<Events of: dovestorm generate imap-login --seed 7 --sessions 2>"


# ---------------------------------------------------------------- bytes and files


def test_bytes_in_every_format() -> None:
    events = small()
    names = [event.name for event in events]
    assert [json.loads(line)["event"] for line in events.bytes().splitlines()] == names
    assert [record["event"] for record in msgpack.Unpacker(_file(events.bytes(format="msgpack")))] == names
    assert events.bytes(format="tab-text").count(b"\n") == len(names)
    assert isinstance(json.loads(events.bytes(time_format="unix").splitlines()[0])["start_time"], float)


def _file(data: bytes) -> Any:
    import io

    return io.BytesIO(data)


@pytest.mark.parametrize("format_name", ["json", "tab-text"])
def test_lines_are_the_records_without_newlines(format_name: str) -> None:
    events = dovestorm.generate("imap-login", seed=3, events=10_000)
    assert list(events.lines(format=format_name)) == events.bytes(format=format_name).splitlines()
    with pytest.raises(UsageError, match="unknown format"):
        events.lines(format="xml")


def test_lines_of_a_format_without_newlines_are_its_records() -> None:
    records = [msgpack.unpackb(record) for record in small().lines(format="msgpack")]
    assert [record["event"] for record in records] == [event.name for event in small()]


def test_blocks_with_workers_are_the_same_bytes() -> None:
    events = dovestorm.generate("working-day", seed=3, events=20_000)
    assert b"".join(bytes(block.data) for block in events.blocks(workers=2)) == events.bytes()


@pytest.mark.parametrize(
    ("name", "read"), [("e.jsonl", bytes), ("e.jsonl.gz", gzip.decompress), ("e.zst", None), ("a b;c?d%20#e.jsonl", bytes), ("x" * 255, bytes)]
)
def test_write_makes_a_whole_file(name: str, read: Any, tmp_path: Path) -> None:
    events = small()
    path = tmp_path / name
    assert events.write(path) == len(events.to_list())
    unpack = read or (lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data))
    assert unpack(path.read_bytes()) == events.bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_write_takes_a_text_and_a_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small().write("here.msgpack", format="msgpack", time_format="unix")
    assert (tmp_path / "here.msgpack").read_bytes() == small().bytes(format="msgpack", time_format="unix")
    small(sessions=0).write("empty")
    assert (tmp_path / "empty").read_bytes() == b""


def test_write_replaces_a_file_and_follows_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "file", tmp_path / "link"
    file.write_text("old", encoding="utf-8")
    link.symlink_to(file)
    small().write(link)
    assert link.is_symlink()
    assert file.read_bytes() == small().bytes()


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=r"the folder .*missing, make it first"):
        small().write(tmp_path / "missing" / "events.jsonl")
    with pytest.raises(UsageError, match="a folder"):
        small().write(tmp_path)
    with pytest.raises(UsageError, match="/dev/null: not a regular file"):
        small().write("/dev/null")
    with pytest.raises(DeliveryError, match="cannot be written"):
        small().write(tmp_path / "a\0b")
    with pytest.raises(DeliveryError, match=r"x{300}: cannot be written: File name too long"):
        small().write(tmp_path / ("x" * 300))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [FormatError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz", "events.zst"])
def test_what_stops_half_way_leaves_nothing(kind: type[BaseException], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = small()
    blocks = events.stream.blocks

    def broken(*args: Any, **options: Any) -> Iterator[Any]:
        yield from blocks(*args, **options)
        raise kind("half way")

    monkeypatch.setattr(type(events.stream), "blocks", lambda _, *args, **options: broken(*args, **options))
    path = tmp_path / name
    path.write_text("what was there", encoding="utf-8")
    with pytest.raises(kind, match="half way"):
        events.write(path)
    assert path.read_text(encoding="utf-8") == "what was there"
    assert list(tmp_path.iterdir()) == [path]


# ---------------------------------------------------------------- documents


def test_the_guide_has_examples() -> None:
    assert len(GUIDE) >= 5


@pytest.mark.parametrize("source", GUIDE, ids=lambda source: source.splitlines()[0])
def test_the_guides_examples_run(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(source, "docs/python-api.md", "exec"), {"__name__": "example"})  # noqa: S102 - our own document


def test_the_guide_names_every_argument_and_method() -> None:
    import inspect

    arguments = list(inspect.signature(dovestorm.generate).parameters)
    methods = [name for name in vars(dovestorm.Events) if not name.startswith("_")]
    attributes = [field.name for field in dataclasses.fields(dovestorm.Event)] + ["start", "end"]
    errors = [name for name in dovestorm.__all__ if name.endswith("Error")]
    assert [name for name in [*arguments, *methods, *attributes, *errors] if not re.search(rf"`\.?{name}\b", DOCS)] == []


def test_errors_are_one_family() -> None:
    for name in ("CatalogError", "DeliveryError", "FormatError", "InputError", "ScenarioError", "UsageError"):
        assert issubclass(getattr(dovestorm, name), dovestorm.DovestormError)
    assert issubclass(CatalogError, UsageError)
