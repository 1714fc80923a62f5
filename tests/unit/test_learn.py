"""What is learnt from a recording: an ordinary, valid scenario with nothing of a client's in it, from hostile recordings too."""

from __future__ import annotations

import gzip
import itertools
import json
import re
from collections import Counter
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from comparing import CAPTURES, event

from dovestorm import catalog, scenario
from dovestorm.cli.learn_command import command
from dovestorm.compare import Source
from dovestorm.errors import InputError, UsageError
from dovestorm.learn import learn
from dovestorm.stream import Limits, Stream
from dovestorm.validate import Validator

RECORDINGS = ["clean_login", "failed_auth", "imap_mix", "lmtp", "pop3", "policy", "proxy_dns", "sieve", "doveadm", "sql"]
SOMEBODYS = (
    "user",
    "original_user",
    "remote_ip",
    "session",
    "mailbox",
    "message_id",
    "rcpt_to",
    "mail_from",
    "cmd_args",
    "cmd_human_args",
    "tagged_reply",
    "host",
    "local_name",
    "script_location",
)
"""Fields that hold what a client or an operator chose."""


def learnt(name: str, **options: Any) -> str:
    return learn(Source(CAPTURES / f"{name}.jsonl.gz"), "learnt", **options)


def generated(text: str, *, sessions: int = 400, seed: int = 1) -> bytes:
    stream = Stream(scenario=scenario.load_text(text, file="learnt.yaml"), seed=seed, limits=Limits(sessions=sessions))
    return b"".join(bytes(block.data) for block in stream.blocks("json"))


def events(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def run(*arguments: str, text: bytes = b"") -> Result:
    return CliRunner().invoke(command, arguments, input=text)


def lines(items: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def commands(names: list[str], *, session: str, at: int = 0, **fields: Any) -> list[dict[str, Any]]:
    """A session of IMAP commands, one each millisecond."""
    return [
        event("imap_command_finished", at + 1_000 * number, session=session, cmd_name=name, duration=200, **fields)
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize("cross", [0.0, 1.0])
@pytest.mark.parametrize("name", RECORDINGS)
def test_what_is_generated_is_valid(name, cross):
    validator = Validator(catalog.load("2.3.19"))
    validator.feed(generated(learnt(name, cross=cross), sessions=150))
    report = validator.finish()
    assert report.valid, report.to_text()
    assert report.events > 10


@pytest.mark.parametrize("quantiles", [False, True])
@pytest.mark.parametrize("name", RECORDINGS)
def test_nothing_of_a_client_is_in_the_scenario(name, quantiles):
    text = learnt(name, quantiles=quantiles)
    with gzip.open(CAPTURES / f"{name}.jsonl.gz") as file:
        fields = [json.loads(line)["fields"] for line in file]
    theirs = {str(value) for item in fields for key in SOMEBODYS if isinstance(value := item.get(key), str) and len(value) > 3 and value != "INBOX"}
    ours = set(catalog.load("2.3.19").events) | {"example.com", "backend.example.com", "mail01", "unknown"}
    found = [value for value in theirs - ours if re.search(rf"(?<![\w.@-]){re.escape(value)}(?![\w.@-])", text)]
    assert found == []


def test_without_crossing_each_session_does_what_a_recorded_one_did():
    with gzip.open(CAPTURES / "imap_mix.jsonl.gz") as file:
        recorded = walks(map(json.loads, file))
    made = walks(events(generated(learnt("imap_mix", cross=0.0), sessions=1_000)))
    assert set(made) <= set(recorded)
    assert len(made) > 5
    assert set(walks(events(generated(learnt("imap_mix", cross=1.0), sessions=1_000)))) - set(recorded)


def walks(found: Any) -> Counter[tuple[str, ...]]:
    """How often each order of commands was met, by session."""
    sessions: dict[str, list[str]] = {}
    for item in found:
        if item["event"] == "imap_command_finished":
            sessions.setdefault(item["fields"]["session"], []).append(item["fields"].get("cmd_name", ""))
    return Counter(map(tuple, sessions.values()))


def test_numbers_of_an_event_stay_together():
    recorded = list(
        itertools.chain.from_iterable(commands(["NOOP"], session=f"s{n}", at=1_000_000 * n, bytes_in=n, bytes_out=1_000 + n) for n in range(40))
    )
    result = run("-", "--name", "pairs", text=lines(recorded))
    assert result.exit_code == 0
    made = [item["fields"] for item in events(generated(result.stdout, sessions=200))]
    assert {fields["bytes_out"] - fields["bytes_in"] for fields in made} == {1_000}
    alone = run("-", "--name", "pairs", "--quantiles", text=lines(recorded))
    made = [item["fields"] for item in events(generated(alone.stdout, sessions=200))]
    assert len({fields["bytes_out"] - fields["bytes_in"] for fields in made}) > 20


def test_recorded_sessions_are_taken_up_equally_often():
    recorded = list(itertools.chain.from_iterable(commands(["NOOP"], session=f"s{n}", at=1_000_000 * n, bytes_in=n) for n in range(20)))
    text = run("-", "--name", "even", text=lines(recorded)).stdout
    stream = Stream(scenario=scenario.load_text(text, overrides={"duration": "1h"}), seed=3, limits=Limits(sessions=100))
    made = [json.loads(line) for block in stream.blocks("json") for line in bytes(block.data).splitlines()]
    assert Counter(item["fields"]["bytes_in"] for item in made) == dict.fromkeys(range(20), 5)


def test_fields_are_kept_when_asked_for():
    recorded = commands(["NOOP", "CHECK", "NOOP"], session="s1", cmd_args="$user ${hole} 'quoted' \\ \u00e9") + commands(["NOOP"], session="s2")
    text = run("-", "--name", "kept", "--keep", "cmd_args", text=lines(recorded)).stdout
    assert {item["fields"].get("cmd_args") for item in events(generated(text))} == {"$user ${hole} 'quoted' \\ \u00e9", None}
    without = run("-", "--name", "kept", text=lines(recorded)).stdout
    assert "quoted" not in without


def test_a_command_that_no_protocol_knows_is_none():
    text = run("-", "--name", "typo", text=lines(commands(["NOOP", "HUNTER2SECRET"], session="s"))).stdout
    assert "hunter2" not in text.lower()
    assert {item["fields"]["cmd_name"] for item in events(generated(text))} == {"NOOP", "unknown"}


def test_the_same_recording_gives_the_same_scenario():
    assert learnt("lmtp", seed=4) == learnt("lmtp", seed=4)
    assert learnt("lmtp", seed=4) != learnt("lmtp", seed=5)


@pytest.mark.parametrize(
    "strange",
    [
        {"bytes_in": 1 << 70},
        {"bytes_in": -(1 << 62)},
        {"bytes_in": "many"},
        {"cmd_name": "A" * 100_000},
        {"cmd_name": "\x00\n: {"},
        {"user": {"deep": []}},
        {"tagged_reply_state": ["OK"]},
        {"mailbox": "[, ]: $user ${x}"},
        {"mechanism": "PLAIN: {evil}", "service": "$user"},
        {"duration": -5},
        {"duration": 1 << 62},
    ],
    ids=lambda strange: f"{next(iter(strange))}-{str(next(iter(strange.values())))[:12]}",
)
@pytest.mark.parametrize("quantiles", [False, True])
def test_a_strange_recording_still_gives_a_scenario(strange, quantiles):
    recorded = [
        *commands(["NOOP", "CHECK"], session="s1"),
        event("imap_command_finished", 5_000, session="s1", **({"cmd_name": "NOOP", "duration": 3} | strange)),
        event("imap_command_finished", 1 << 52, session="s2", cmd_name="NOOP"),
    ]
    result = run("-", "--name", "strange", *(["--quantiles"] if quantiles else []), text=lines(recorded))
    assert result.exit_code == 0, result.stdout
    assert events(generated(result.stdout))


def test_a_large_recording_is_sampled_by_whole_sessions(monkeypatch):
    monkeypatch.setattr("dovestorm.learn._MOST_ROWS", 30)
    recorded = list(itertools.chain.from_iterable(commands(["NOOP"] * 7, session=f"s{n}", at=1_000_000 * n) for n in range(50)))
    text = run("-", "--name", "large", text=lines(recorded)).stdout
    assert text.startswith("# Learnt from 4 sessions")
    assert len(yaml.safe_load(text)["tables"]["sessions"]["rows"]) == 4


def test_the_file_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "Our Office.yaml"
    assert run(str(CAPTURES / "pop3.jsonl.gz"), "-o", str(target)).exit_code == 0
    assert target.read_text(encoding="utf-8").splitlines()[1] == "scenario: our-office"
    assert [path.name for path in tmp_path.iterdir()] == [target.name]
    result = run(str(CAPTURES / "pop3.jsonl.gz"), "-o", str(tmp_path / "nowhere" / "x.yaml"))
    assert isinstance(result.exception, InputError)
    assert "cannot be written" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("-", "--keep", "usr"), "unknown field 'usr', did you mean"),
        (("-", "--name", "No Name"), "must be small letters"),
        (("-", "--dovecot", "2.3.6"), None),
    ],
)
def test_what_is_refused_is_told(arguments, told):
    result = run(*arguments, text=lines(commands(["NOOP"], session="s")))
    if told is None:
        assert result.exit_code == 0
        return
    assert isinstance(result.exception, UsageError)
    assert told in str(result.exception)


def test_a_recording_without_a_known_event_is_refused():
    result = run("-", text=lines([event("no_such_event", 5)]))
    assert isinstance(result.exception, InputError)
    assert "nothing to learn from" in str(result.exception)


def test_a_scenario_too_large_to_be_read_is_refused(monkeypatch):
    monkeypatch.setattr("dovestorm.scenario.nodes.LARGEST_FILE", 2_000)
    result = run("-", "--name", "large", text=lines(commands(["NOOP", "CHECK"] * 300, session="s")))
    assert isinstance(result.exception, InputError)
    assert "could not be read: keep fewer fields" in str(result.exception)
