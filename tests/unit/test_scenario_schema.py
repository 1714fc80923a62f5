"""The JSON Schema is valid, takes every scenario that we ship or print, and refuses what the loader refuses."""

from __future__ import annotations

import copy
import re
import textwrap
from pathlib import Path

import jsonschema
import pytest

from dovestorm import resources, scenario
from dovestorm.scenario import nodes
from dovestorm.scenario.faultlist import FaultList
from dovestorm.scenario.grammar import PRIMITIVES
from dovestorm.scenario.values import OPERATIONS

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "scenario-language.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```yaml\n(scenario:.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SHIPPED = sorted(resources.scenarios_dir().rglob("*.yaml"))


@pytest.fixture(scope="module")
def validator():
    found = scenario.schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def data(text):
    return nodes.plain(nodes.parse(text, file="text", faults=FaultList()))


def examples():
    return pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: text.split("\n", 1)[0].removeprefix("scenario: "))


@examples()
@pytest.mark.parametrize("dovecot", [None, "2.3.6", "2.3.19"])
def test_examples_of_the_guide_load(text, dovecot):
    found = scenario.load_text(text, file="docs/scenario-language.md", dovecot=dovecot)
    assert found.flows


@examples()
def test_examples_of_the_guide_match_the_schema(text, validator):
    assert [error.message for error in validator.iter_errors(data(text))] == []


def test_the_guide_shows_every_primitive_and_every_kind_of_value():
    assert GUIDE.count("```yaml") == len(EXAMPLES) >= 25
    shown = "\n".join(EXAMPLES)
    assert [name for name in PRIMITIVES if f"{name}: " not in GUIDE] == []
    assert [name for name in OPERATIONS if f"{{{name}: " not in shown] == []


def test_the_fragment_of_the_guide_holds_together(tmp_path, validator):
    text = textwrap.dedent(re.search(r"^    fragment: named-query\n(    .*\n)+", GUIDE, re.MULTILINE).group())
    (tmp_path / "named-query.yaml").write_text(text, encoding="utf-8")
    assert scenario.check(tmp_path / "named-query.yaml") == "fragment"
    assert validator.is_valid(data(text))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_match_the_schema(path, validator):
    assert [error.message for error in validator.iter_errors(data(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.update(sumary="x"),
        lambda one: one.pop("flows"),
        lambda one: one.update(flows=[]),
        lambda one: one.update(arrivals={"poisson": "1/s", "constant": "1/s"}),
        lambda one: one.update(arrivals={"poisson": 3}),
        lambda one: one["flows"][0].update(steps=[{"wiat": "1s"}]),
        lambda one: one["flows"][0].update(steps=[{"wait": {"lognormall": {}}}]),
        lambda one: one["flows"][0].update(steps=[{"wait": "1s", "repeat": 2, "steps": []}]),
        lambda one: one["flows"][0].update(steps=[{"emit": "no_such_event"}]),
        lambda one: one["flows"][0].update(steps=[{"emit": "imap_command_finished", "fields": {"no_such_field": 1}}]),
        lambda one: one["flows"][0].update(steps=[{"choose": [{"weight": -1, "steps": []}]}]),
        lambda one: one["flows"][0].update(weight="many"),
    ],
)
def test_wrong_scenarios_do_not_match(change, validator):
    one = data(EXAMPLES[0])
    assert validator.is_valid(one)
    changed = copy.deepcopy(one)
    change(changed)
    assert not validator.is_valid(changed)
