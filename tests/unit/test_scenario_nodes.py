"""Reading YAML: hostile files end in faults, never in a crash, an endless wait or full memory."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovestorm import scenario
from dovestorm.errors import InputError, ScenarioError
from dovestorm.scenario import nodes
from dovestorm.scenario.faultlist import FaultList

SMALL = """\
scenario: small
start: 2026-03-02T06:00:00Z
duration: 10s
arrivals: {constant: 1/s}
flows:
  - flow: only
    steps:
      - emit: imap_command_finished
        fields: {cmd_tag: {text: "A${n}", n: {counter: tag}}, bytes_in: {uniform: [1, 2KiB]}}
      - walk: turns
        start: one
        limit: 3
        states: {one: {next: {one: 1, stop: 1}}}
"""


def parsed(text):
    faults = FaultList()
    return nodes.parse(text, file="text", faults=faults), [fault.message for fault in faults.found]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("10:00", "10:00"),
        ("2.3.6", "2.3.6"),
        ("2026-03-02", "2026-03-02"),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("12", 12),
        ("-1", -1),
        ("1.5", 1.5),
        ('"12"', "12"),
        ("null", None),
        ("~", None),
        ("true", True),
        ("'true'", "true"),
        ("", None),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    node, faults = parsed(f"key: {text}\n")
    assert faults == []
    assert nodes.plain(node) == {"key": value}


def test_nodes_know_their_line_and_column():
    node, _ = parsed("a:\n  - b\n  -   {c: d}\n")
    inner = node.entries["a"].items[1]
    assert (inner.at.line, inner.at.column) == (3, 7)
    assert (inner.entries["c"].at.line, inner.entries["c"].at.column) == (3, 11)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x\n", "an alias"),
        ("a: !!python/object/apply:os.system ['true']\n", "a tag"),
        ("a: 1\n---\nb: 2\n", "a second document"),
        ("a: 1\na: 2\n", "stands twice"),
        ("? [a, b]\n: 1\n", "a key that is not text"),
        ("[" * 101 + "]" * 101, "nested deeper"),
        ("{a: " * 101 + "1" + "}" * 101, "nested deeper"),
        ("a: \x00\n", "a character that YAML does not allow"),
        ("a: \ud800\n", "a character that YAML does not allow"),
        ("a: [1\n", "not YAML"),
        ("a: '\n", "not YAML"),
        ("%YAML 9.9\n---\na: 1", "not YAML"),
        ("#" * (nodes.LARGEST_FILE + 1), "more than 4 MiB"),
    ],
)
def test_what_a_scenario_may_not_hold(text, message):
    _, faults = parsed(text)
    assert any(fault.startswith(message) or message in fault for fault in faults), faults


def test_too_many_values_are_refused(monkeypatch):
    monkeypatch.setattr(nodes, "MOST_NODES", 50)
    node, faults = parsed("[" + "1, " * 200 + "1]")
    assert node is None
    assert faults[0].startswith("more than 50 values")


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n" * 3,
        "[" * 100_000,
        "{" * 100_000,
        "- " * 50_000,
        "? " * 50_000,
        "flows: [{flow: x, steps: [" + "{wait: '" + "${" * 100_000 + "'}]}]",
        "flows: [" + "{zzzz: 1}, " * 20_000 + "]",
        "x: " + "9" * 100_000,
        "x: 1e" + "9" * 1000,
        "flows:\n" + "".join(f"{' ' * depth}- steps:\n" for depth in range(1, 3000)),
    ],
)
def test_hostile_files_are_answered_quickly(text):
    """Ten seconds are far above what any of these needs (well below one each), and far below what a quadratic reader would take."""
    began = time.monotonic()
    with pytest.raises(ScenarioError):
        scenario.load_text(text)
    assert time.monotonic() - began < 10


def test_steps_that_nest_to_the_limit_are_read():
    steps = "[" + "{repeat: 1, steps: [" * 40 + "{wait: 1s}" + "]}" * 40 + "]"
    loaded = scenario.load_text(SMALL.partition("flows:")[0] + "flows: [{flow: only, steps: " + steps + "}]")
    assert loaded.flows[0].steps


@given(st.binary(max_size=300))
def test_any_bytes_end_in_faults(data):
    with pytest.raises(ScenarioError):
        scenario.load_text(data.decode("latin-1"))


@given(st.integers(0, len(SMALL) - 1), st.integers(0, 12), st.text(alphabet="{}[]:,-&*!|>'\"%@`$# \n0aé\x00", max_size=6))
def test_any_damage_to_a_scenario_is_a_fault_or_another_scenario(position, length, insertion):
    text = SMALL[:position] + insertion + SMALL[position + length :]
    try:
        scenario.load_text(text)
    except ScenarioError as error:
        assert error.faults  # noqa: PT017
        assert all(fault.line >= 1 and fault.column >= 1 for fault in error.faults)  # noqa: PT017


def test_files_that_cannot_be_read(tmp_path):
    for path, message in ((tmp_path / "missing.yaml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError, match=message):
            scenario.load(path)
    (tmp_path / "latin.yaml").write_bytes(b"scenario: caf\xe9\n")
    with pytest.raises(InputError, match="not UTF-8"):
        scenario.load(tmp_path / "latin.yaml")
    with (tmp_path / "large.yaml").open("wb") as file:
        os.truncate(file.fileno(), nodes.LARGEST_FILE + 1)
    with pytest.raises(InputError, match="more than 4 MiB"):
        scenario.load(tmp_path / "large.yaml")
