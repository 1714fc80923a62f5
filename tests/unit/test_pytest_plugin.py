"""The pytest plugin, as a project that uses it sees it: each test runs pytest on a small project of its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).resolve().parents[2]
DOCS = (ROOT / "docs" / "pytest-plugin.md").read_text(encoding="utf-8")
GUIDE = re.findall(r"^```python\n(.*?)^```", DOCS, flags=re.MULTILINE | re.DOTALL)
SECTION = "dovestorm: the data of this test"


# ---------------------------------------------------------------- loading

HEAVY = ("numpy", "locust", "gevent", "yaml", "click", "faker", "orjson", "zstandard", "dovestorm.api", "dovestorm.receive")
WATCH = f"""
import sys

def pytest_sessionfinish(session):
    print("plugin:", session.config.pluginmanager.has_plugin("dovestorm") or session.config.pluginmanager.has_plugin("dovestorm.pytest_plugin"))
    print("heavy:", [name for name in {HEAVY!r} if name in sys.modules])
"""


def run_pytest(folder: Path, *words: str, **variables: str) -> str:
    """A fresh Python runs pytest; gives what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | variables
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:faker", *words],  # Faker has a plugin of its own, which loads it
        cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False,
    )  # fmt: skip
    return done.stdout


@pytest.mark.parametrize(
    ("words", "variables"),
    [(("-W", "error"), {}), (("-p", "dovestorm.pytest_plugin"), {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"})],
    ids=["entry point", "by name"],
)
def test_it_loads_nothing_heavy(words: tuple[str, ...], variables: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(WATCH, encoding="utf-8")
    output = run_pytest(tmp_path, "--co", "-s", *words, **variables)
    assert "plugin: True" in output
    assert "heavy: []" in output


def test_a_heavy_module_would_be_seen(tmp_path: Path) -> None:
    """The test above can fail."""
    (tmp_path / "conftest.py").write_text(WATCH + "\nimport numpy\n", encoding="utf-8")
    assert "heavy: ['numpy']" in run_pytest(tmp_path, "--co", "-s")


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test(dovestorm_events): pass", encoding="utf-8")
    assert "fixture 'dovestorm_events' not found" in run_pytest(tmp_path, "-p", "no:dovestorm")


# ---------------------------------------------------------------- fixtures


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    """In a process of its own (inside ours it would leave modules behind that are loaded twice), with no other plugin."""
    return pytester.runpytest_subprocess("-p", "dovestorm.pytest_plugin", "-p", "no:cacheprovider", "-W", "error", *words)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


FIXTURES = """
import gzip
import json
import socket
from urllib.parse import urlsplit

import dovestorm
import pytest

@pytest.fixture
def events():
    return dovestorm.generate("imap-login", seed=7, sessions=1)

def test_events(dovestorm_events):
    events = dovestorm_events("imap-login", seed=7, sessions=3, dovecot="2.3.19")
    assert events == dovestorm.generate("imap-login", seed=7, sessions=3, dovecot="2.3.19").to_list()
    assert dovestorm_events("imap-login", events=4, rate=2, users=3, shard=(1, 2), start="2031-01-01T00:00:00Z", duration="1h")

def test_labels(dovestorm_labels):
    labels = dovestorm_labels("login-storm", seed=7, rate=0.002)
    assert {label.label for label in labels} == {"failed-over"}
    assert labels == list(dovestorm.generate("login-storm", seed=7, rate=0.002).labels())

@pytest.mark.parametrize("format", ["json", "tab-text", "msgpack"])
@pytest.mark.parametrize("time_format", ["rfc3339", "unix"])
def test_bytes(dovestorm_bytes, events, format, time_format):
    data = dovestorm_bytes("imap-login", seed=7, sessions=1, format=format, time_format=time_format)
    assert data == events.bytes(format=format, time_format=time_format)
    assert dovestorm_bytes("imap-login", seed=7, sessions=1) == events.bytes()

def test_file(dovestorm_file, events, tmp_path):
    one = dovestorm_file("imap-login", seed=7, sessions=1)
    two = dovestorm_file("imap-login", seed=8, sessions=1)
    assert one == tmp_path / "events.jsonl"
    assert one.read_bytes() == events.bytes() != two.read_bytes()
    packed = dovestorm_file("imap-login", seed=7, sessions=1, name="packed.gz", format="tab-text")
    assert gzip.decompress(packed.read_bytes()) == events.bytes(format="tab-text")
    unix = dovestorm_file("imap-login", seed=7, sessions=1, format="msgpack", time_format="unix")
    assert unix.suffix == ".msgpack"
    assert unix.read_bytes() == events.bytes(format="msgpack", time_format="unix")
    assert len(list(tmp_path.iterdir())) == 4

def test_receiver(dovestorm_receiver, dovestorm_bytes):
    data = dovestorm_bytes("imap-login", sessions=2)
    place = urlsplit(dovestorm_receiver.url)
    assert place.hostname == "127.0.0.1"
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.sendall(data)
    dovestorm_receiver.wait_for(data.count(b"\\n"))
    assert dovestorm_receiver.records() == data.splitlines()
    assert dovestorm_receiver.events() == [json.loads(line) for line in data.splitlines()]

def test_receiver_of_another_test(dovestorm_receiver):
    assert dovestorm_receiver.records() == []
    with pytest.raises(dovestorm.DovestormError, match="0 of 1 events arrived"):
        dovestorm_receiver.wait_for(1, timeout=0.01)

def test_wrong_arguments(dovestorm_events, dovestorm_bytes, dovestorm_file, tmp_path):
    with pytest.raises(dovestorm.UsageError, match="unknown scenario 'imap-logn', did you mean 'imap-login'"):
        dovestorm_events("imap-logn")
    with pytest.raises(dovestorm.UsageError, match="unknown format 'jsn', did you mean 'json'"):
        dovestorm_bytes("imap-login", sessions=1, format="jsn")
    with pytest.raises(dovestorm.UsageError, match="unknown format 'jsn'"):
        dovestorm_file("imap-login", sessions=1, format="jsn")
    with pytest.raises(dovestorm.UsageError, match="sessions: -1"):
        dovestorm_events("imap-login", sessions=-1)
    assert list(tmp_path.iterdir()) == []
"""


def test_the_fixtures(pytester: pytest.Pytester) -> None:
    """Strict settings and warnings as errors do not disturb them."""
    pytester.makepyfile(FIXTURES)
    run(pytester, "--strict-markers", "--strict-config").assert_outcomes(passed=12)


# ---------------------------------------------------------------- the seed

SEED = """
import dovestorm

def test(dovestorm_events, dovestorm_bytes, dovestorm_file):
    wanted = dovestorm.generate("imap-login", seed=%d, sessions=1)
    assert dovestorm_events("imap-login", sessions=1) == wanted.to_list()
    assert dovestorm_bytes("imap-login", sessions=1) == wanted.bytes()
    assert dovestorm_file("imap-login", sessions=1).read_bytes() == wanted.bytes()
    assert dovestorm_events("imap-login", seed=5, sessions=1) == dovestorm.generate("imap-login", seed=5, sessions=1).to_list()
"""


@pytest.mark.parametrize(
    ("ini", "words", "seed"),
    [("", (), 0), ("dovestorm_seed = 42", (), 42), ("dovestorm_seed = 42", ("--dovestorm-seed", "-9"), -9)],
)
def test_the_seed_is_the_option_then_the_ini_value_then_0(pytester: pytest.Pytester, ini: str, words: tuple[str, ...], seed: int) -> None:
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.makepyfile(SEED % seed)
    result = run(pytester, *words)
    result.assert_outcomes(passed=1)
    assert (f"dovestorm: seed {seed}" in result.stdout.str()) == (seed != 0)


@pytest.mark.parametrize("value", ["lucky", "1.5", ""])
def test_a_wrong_ini_value_is_a_usage_error(pytester: pytest.Pytester, value: str) -> None:
    pytester.makeini(f"[pytest]\ndovestorm_seed = {value}\n")
    pytester.makepyfile("def test(): pass")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"dovestorm_seed: '{value}', must be a whole number" in result.stderr.str()
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def test_a_wrong_option_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--dovestorm-seed", "lucky")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--dovestorm-seed: invalid int value: 'lucky'" in result.stderr.str()


# ---------------------------------------------------------------- reports

PROJECT = """
import pytest

def test_three(dovestorm_events, dovestorm_bytes, dovestorm_file):
    dovestorm_events("imap-login", seed=7, sessions=3)
    dovestorm_events("imap-login", seed=7, sessions=3)
    dovestorm_bytes("password-spray", events=5, format="msgpack", time_format="unix")
    dovestorm_file("imap-login", sessions=1, name="my events.jsonl.gz")
    assert OUTCOME

@pytest.fixture
def prepared(dovestorm_events):
    dovestorm_events("imap-login", seed=11, sessions=1)
    assert OUTCOME

def test_prepared(prepared):
    pass

@pytest.fixture
def tidied(dovestorm_events):
    yield
    dovestorm_events("imap-login", seed=12, sessions=1)
    assert OUTCOME

def test_tidied(tidied):
    pass

def test_many(dovestorm_events):
    for number in range(25):
        dovestorm_events("imap-login", seed=100 + number, events=1)
    assert OUTCOME

def test_without():
    assert OUTCOME

@pytest.mark.xfail
def test_expected(dovestorm_events):
    dovestorm_events("imap-login", seed=13, sessions=1)
    assert False
"""


def test_a_failing_test_shows_the_lines_that_make_its_data(pytester: pytest.Pytester) -> None:
    """Each once, whatever phase failed, and not too many; a failure that was expected shows nothing."""
    pytester.makepyfile(PROJECT.replace("OUTCOME", "False"))
    result = run(pytester, "-rA")
    result.assert_outcomes(failed=3, errors=2, passed=1, xfailed=1)
    output = result.stdout.str()
    for lines in (
        [
            "dovestorm generate imap-login --seed 7 --sessions 3",
            "dovestorm generate password-spray --seed 0 --events 5 --format msgpack --time-format unix",
            "dovestorm generate imap-login --seed 0 --sessions 1 --to 'my events.jsonl.gz'",
        ],
        ["dovestorm generate imap-login --seed 11 --sessions 1"],
        ["dovestorm generate imap-login --seed 12 --sessions 1"],
        ["dovestorm generate imap-login --seed 100 --events 1"],
        ["dovestorm generate imap-login --seed 119 --events 1", "... and 5 more"],
    ):
        assert output.count("\n" + "\n".join(lines) + "\n") == 1
    assert output.count(SECTION) == 4
    assert "seed 120" not in output
    assert "generate imap-login --seed 13" not in output


@pytest.mark.parametrize("capture", ["no", "stderr"])
def test_the_lines_are_shown_even_where_captured_output_is_not(pytester: pytest.Pytester, capture: str) -> None:
    pytester.makepyfile("def test(dovestorm_events):\n    assert not dovestorm_events('imap-login', seed=7, sessions=1)")
    output = run(pytester, f"--show-capture={capture}").stdout.str()
    assert output.count("dovestorm generate imap-login --seed 7 --sessions 1\n") == 1
    assert output.count(SECTION) == 1


def test_nothing_is_shown_of_tests_that_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT.replace("OUTCOME", "True"))
    result = run(pytester, "-rA")
    result.assert_outcomes(passed=5, xfailed=1)
    assert "dovestorm generate" not in result.stdout.str()
    assert SECTION not in result.stdout.str()


def test_the_line_makes_the_data(pytester: pytest.Pytester) -> None:
    """What the report says, run in a shell, gives the bytes that the test had. It also survives the way through JSON, as between processes."""
    pytester.makeconftest(
        """
        import json
        import pytest

        def pytest_runtest_logreport(report):
            if report.failed:
                print("SENT", json.dumps(pytest.TestReport._from_json(json.loads(json.dumps(report._to_json()))).sections))
        """
    )
    pytester.makepyfile(
        """
        import pathlib

        def test(dovestorm_bytes):
            data = dovestorm_bytes("imap-login", sessions=2, dovecot="2.3.19", format="tab-text")
            pathlib.Path("data").write_bytes(data)
            assert False
        """
    )
    output = run(pytester, "--dovestorm-seed", "77", "-s").stdout
    (line,) = [line for line in output.lines if line.startswith("dovestorm generate")]
    (sent,) = [line.partition("SENT ")[2] for line in output.lines if "SENT " in line]
    assert [SECTION, line] in json.loads(sent)
    done = subprocess.run([sys.executable, "-m", *shlex.split(line), "--quiet"], capture_output=True, check=True)
    assert done.stdout == (pytester.path / "data").read_bytes()


# ---------------------------------------------------------------- documents


def test_the_guides_examples_pass(pytester: pytest.Pytester) -> None:
    """There is one of every fixture, and the ini example is read too."""
    fixtures = {"dovestorm_events", "dovestorm_bytes", "dovestorm_file", "dovestorm_receiver"}
    assert fixtures <= set(re.findall(r"dovestorm_[a-z]+", "\n".join(GUIDE)))
    (ini,) = re.findall(r"^```ini\n(.*?)^```", DOCS, flags=re.MULTILINE | re.DOTALL)
    pytester.makeini(ini)
    pytester.makepyfile(**{f"test_example_{number}": source for number, source in enumerate(GUIDE)})
    result = run(pytester)
    result.assert_outcomes(passed=len(GUIDE))
    assert "dovestorm: seed 42" in result.stdout.str()


def test_the_guide_names_every_fixture_option() -> None:
    for word in ("dovestorm_seed", "--dovestorm-seed", "-p no:dovestorm", SECTION, ".wait_for(", ".url", ".events()", ".records()"):
        assert word in DOCS
