"""Labels are the truth about the stream that was made: who took the planted path, when, and nothing about anybody else."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice, zip_longest
from pathlib import Path

import pytest

import dovestorm
from dovestorm import resources, scenario
from dovestorm.engine import machine
from dovestorm.engine.emission import LABEL_EVENT
from dovestorm.labels.collecting import Collection
from dovestorm.stream import Limits, Stream, open_stream

DOCS = Path(__file__).resolve().parents[2] / "docs" / "labels.md"
PLANTING = {name: loaded for name, _ in scenario.shipped() if (loaded := scenario.load(name)).labels}
PROBE = """
scenario: probe
start: 2026-03-02T09:00:00Z
duration: 10min
arrivals: {poisson: 4/s}
faults:
  - {fault: trouble, from: +2min, to: +4min}
  - {fault: later, from: +3min, to: +5min}
labels:
  guessing: {kind: attack, summary: Guesses.}
  guessed: {kind: attack}
  slow: {kind: outage}
flows:
  - flow: guesser
    label: guessing
    steps:
      - set: {client_ip: {address: 203.0.113.0/28}}
      - inherit: {user: $user, session: $session, remote_ip: $client_ip, remote_port: $client_port}
        steps:
          - repeat: {choose: {1: 1, 5: 1}}
            steps:
              - wait: {exponential: {mean: 2s}}
              - choose:
                  - weight: 9
                    steps: [{emit: auth_request_finished, fields: {error: "no"}}]
                  - weight: 1
                    steps:
                      - label: guessed
                      - emit: auth_request_finished
  - flow: ordinary
    weight: 2
    steps:
      - inherit: {user: $user, session: $session, remote_ip: $client_ip, remote_port: $client_port}
        steps:
          - repeat: {uniform: [1, 4]}
            steps:
              - wait: {exponential: {mean: 20s}}
              - label: slow
                during: [trouble]
              - emit: auth_request_finished
                fields: {policy_result: {normal: ok, during: {trouble: delayed}}}
"""
LABEL_STEP = re.compile(r"^ +label: guessing\n| +- label: guessed\n| +- label: slow\n +during: .*\n", re.MULTILINE)


def probe(*, text: str = PROBE, seed: int = 3, dovecot: str = "2.3.19", **options) -> Stream:
    return Stream(scenario=scenario.load_text(text, dovecot=dovecot), seed=seed, **options)


def decoded(stream: Stream, batches=None):
    """The events with everything in them: (event, row's times, fields, session)."""
    for batch in stream.batches() if batches is None else batches:
        for kind, session, row in batch.rows():
            if kind.event != LABEL_EVENT:
                yield kind.event, row[:2], batch.field_values(kind, row), session


def small(name: str, *, dovecot: str | None = None, sessions: float = 700, **options) -> Stream:
    """A shipped scenario with all its phases, and few sessions."""
    loaded = scenario.load(name, dovecot=dovecot)
    return open_stream(loaded, rate=sessions * 1e6 / (loaded.arrivals.rate * loaded.duration), **options)


# ---------------------------------------------------------------- the stream does not change


@pytest.mark.parametrize("dovecot", ["2.3.6", "2.3.19"])
@pytest.mark.parametrize("name", PLANTING)
def test_records_of_labels_change_no_event(name, dovecot):
    stream = small(name, dovecot=dovecot, sessions=40)
    with_labels = stream.machine(program=stream.labelled_program).batches()
    pairs = zip_longest(decoded(stream), decoded(stream, with_labels))
    assert all(event == same for event, same in islice(pairs, 8000))


def test_label_steps_change_no_event():
    bare = LABEL_STEP.sub("", PROBE).replace(re.search(r"labels:\n(  .*\n)+", PROBE).group(), "")
    assert "label" not in bare
    assert list(decoded(probe())) == list(decoded(probe(text=bare)))
    assert list(Collection(probe(text=bare))) == []


# ---------------------------------------------------------------- who is labelled


def test_a_session_is_labelled_when_it_takes_the_path():
    stream = probe()
    events = list(decoded(stream))
    labels = list(Collection(stream))
    took = {
        "guessing": {session for *_, fields, session in events if fields["remote_ip"].startswith("203.0.113.")},
        "guessed": {session for *_, fields, session in events if fields["remote_ip"].startswith("203.0.113.") and "error" not in fields},
        "slow": {session for *_, fields, session in events if fields.get("policy_result") == "delayed"},
    }
    assert all(len(sessions) > 20 for sessions in took.values())
    assert {name: {label.number for label in labels if label.label == name} for name in took} == took
    assert len(labels) == sum(map(len, took.values())), "one line for each session and label"
    assert {(label.label, label.kind) for label in labels} == {("guessing", "attack"), ("guessed", "attack"), ("slow", "outage")}


def test_a_label_says_what_the_events_say():
    stream = probe()
    seen = {}
    for _, (_, end), fields, session in decoded(stream):
        first = seen[session][0] if session in seen else end
        seen[session] = first, end, fields["session"], fields["user"], fields["remote_ip"], fields["remote_port"]
    for label in Collection(stream):
        known = (label.first_us, label.last_us, label.session, label.user, label.remote_ip, label.remote_port)
        assert known == seen[label.number]
        assert label.labelled_us <= label.last_us


def test_the_phase_is_the_first_open_window():
    stream = probe()
    start = stream.scenario.start
    for label in Collection(stream):
        minutes = (label.labelled_us - start) / 60e6
        expected = ("trouble", 2) if 2 <= minutes < 4 else ("later", 3) if 4 <= minutes < 5 else (None, None)
        assert label.phase == expected[0]
        assert label.phase_us == (None if expected[1] is None else label.labelled_us - start - expected[1] * 60_000_000)


def test_what_no_event_says_is_not_known():
    text = PROBE.replace("remote_port: $client_port", "remote_port: 7").replace("session: $session, ", "")
    stream = probe(text=text)
    labels = [label for label in Collection(stream) if label.label == "slow"]
    assert labels
    assert {(label.session, label.remote_port) for label in labels} == {(None, None)}


# ---------------------------------------------------------------- which stream


@pytest.mark.parametrize("window", [100_000, 7_000_000, 3_600_000_000])
def test_labels_do_not_depend_on_the_window(window):
    assert list(Collection(probe(window=window))) == list(Collection(probe()))


def test_labels_do_not_depend_on_the_runner(monkeypatch):
    expected = list(Collection(probe(limits=Limits(sessions=300))))
    monkeypatch.setattr(machine, "interpreter", lambda: None)
    assert list(Collection(probe(limits=Limits(sessions=300)))) == expected


def test_shards_together_are_the_whole():
    parts = [label for first in (1, 2, 3) for label in Collection(probe(shard=(first, 3)))]
    assert sorted(parts, key=lambda label: label.number) == list(Collection(probe()))


@pytest.mark.parametrize("limits", [Limits(events=700), Limits(sessions=300), Limits(duration=150_000_000), Limits(events=0)], ids=str)
def test_only_what_the_stream_holds_is_labelled(limits):
    stream = probe(limits=limits)
    events = list(decoded(stream))
    collection = Collection(stream)
    labels = list(collection)
    last = {session: end for _, (_, end), _, session in events}
    assert {label.number for label in labels} <= last.keys()
    assert all(label.last_us == last[label.number] for label in labels)
    took = {session for *_, fields, session in events if fields["remote_ip"].startswith("203.0.113.")}
    assert {label.number for label in labels if label.label == "guessing"} == took
    assert (collection.events, collection.sessions) == (len(events), len({label.number for label in labels}))


def test_a_stream_cut_short_has_the_labels_of_its_events():
    assert list(Collection(probe(), events=700)) == list(Collection(probe(limits=Limits(events=700))))


# ---------------------------------------------------------------- shipped scenarios


def test_planted_places_are_labelled():
    folder = resources.scenarios_dir()
    planted = {path.stem for path in folder.glob("*.yaml") if "# Planted" in path.read_text(encoding="utf-8")}
    assert planted <= PLANTING.keys()
    for path in folder.glob("fragments/*.yaml"):
        text = path.read_text(encoding="utf-8")
        assert ("# Planted" not in text) or ("- label: " in text), path.name


@pytest.mark.parametrize("name", PLANTING)
def test_every_label_of_a_shipped_scenario_is_given(name):
    labels = Counter(label.label for label in Collection(small(name, sessions=80 if name == "migration" else 800)))
    wanted = {planted.name for planted in PLANTING[name].labels} - ({"takeover"} if name == "brute-force" else set())
    assert wanted <= labels.keys()
    assert f"`{name}`" in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["sql-outage", "dns-trouble", "http-retries"])
def test_outages_are_labelled_in_their_windows_only(name):
    stream = small(name)
    labels = list(Collection(stream))
    assert {label.phase for label in labels} == {window.name for window in stream.scenario.faults}
    sessions = {session for *_, session in decoded(stream)}
    assert 0.02 * len(sessions) < len({label.number for label in labels}) < 0.7 * len(sessions)


def test_failed_logins_of_the_outage_are_labelled():
    """Internal failures have no other cause in this scenario, so a detector that looks for them is never wrong."""
    stream = small("sql-outage", dovecot="2.3.19")
    failed = {session for *_, fields, session in decoded(stream) if fields.get("result") == "internal_failure"}
    labelled = {label.number for label in Collection(stream)}
    assert len(failed) > 50
    assert failed <= labelled


# ---------------------------------------------------------------- scoring


def test_a_simple_detector_is_scored():
    """Sources with many wrong passwords are the botnet; sources with one are the botnet and people who mistype."""
    stream = dovestorm.generate("brute-force", seed=7, rate=0.02, dovecot="2.3.19")
    wrong = Counter(event.fields["remote_ip"] for event in stream if event.fields.get("result") in {"password_mismatch", "user_unknown"})
    guilty = {label.remote_ip for label in stream.labels() if label.label == "guessing"}
    assert len(guilty) == 192, "the scenario's botnet has a /25 and a /26"

    def score(flagged: set[str]) -> tuple[float, float]:
        return len(flagged & guilty) / len(flagged), len(flagged & guilty) / len(guilty)

    assert score({source for source, count in wrong.items() if count > 5}) == (1.0, 1.0)
    precision, recall = score(set(wrong))
    assert recall == 1.0
    assert 0.7 < precision < 0.95
    precision, recall = score({source for source, count in wrong.items() if count > 45})
    assert precision == 1.0
    assert 0.1 < recall < 0.9


def test_the_examples_of_the_guide_run():
    blocks = re.findall(r"^```python\n(.*?)^```", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/labels.md", "exec"), {})  # noqa: S102 - our own document
