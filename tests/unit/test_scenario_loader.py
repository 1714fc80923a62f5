"""What the loader makes of a scenario: the checked data that the compiler reads."""

from __future__ import annotations

import pickle
import re

import pytest

from dovestorm import resources, scenario
from dovestorm.errors import CatalogError, ScenarioError, UsageError
from dovestorm.scenario import model
from dovestorm.scenario.units import instant

HEAD = """\
scenario: test
start: 2026-03-02T06:00:00Z
duration: 1h
arrivals: {poisson: 40/s}
"""


def steps(text, *, head=HEAD, dovecot=None, last=""):
    """The steps of a flow written as a YAML list."""
    body = "flows:\n  - flow: only\n    steps:\n" + "".join(f"      {line}\n" for line in text.strip("\n").split("\n"))
    return scenario.load_text(head + body + last, file="test.yaml", dovecot=dovecot).flows[0].steps


def values(text, **options):
    """The variables set by one ``set`` step."""
    return steps(f"- set: {{{text}}}", **options)[0].values


def faults(text, **options):
    with pytest.raises(ScenarioError) as caught:
        steps(text, **options)
    return [fault.message for fault in caught.value.faults]


def test_the_head():
    found = scenario.load_text(
        """\
scenario: head
summary: One line.
dovecot: 2.3.19
start: 2026-03-02T06:00:00Z
duration: 12h
server: {hostname: mx, address: 192.0.2.7, port: 993}
population:
  users: 100000000
  popularity: {zipf: 1.05}
  domains: [example.com, example.org]
  clients: [10.0.0.0/8, 100.64.0.0/10]
arrivals:
  constant: 30/min
  weekly: {"tue 08:00": 1.0, "mon 08:00": 0.5}
faults:
  - {fault: slow, from: "10:00", to: +5h}
  - {fault: slow, from: "2026-03-02T12:00:00Z", to: "13:00"}
flows:
  - {flow: one, weight: {normal: 2, during: {slow: 0.5}}, steps: [{wait: 1s}], finally: [{wait: 2s}]}
  - {flow: two, steps: [{wait: 1s}]}
""",
        file="head.yaml",
    )
    start = instant("2026-03-02T06:00:00Z")
    hour = 3_600_000_000
    assert (found.name, found.summary, found.dovecot, found.file) == ("head", "One line.", "2.3.19", "head.yaml")
    assert (found.start, found.duration) == (start, 12 * hour)
    assert found.server == model.Server("mx", 0xC0000207, 993)
    assert (found.population.users, found.population.zipf) == (100_000_000, 1.05)
    assert found.population.domains == ("example.com", "example.org")
    assert found.population.clients == ((0x0A000000, 1 << 24), (0x64400000, 1 << 22))
    assert (found.arrivals.process, found.arrivals.rate, found.arrivals.period) == ("constant", 0.5, 168 * hour)
    assert found.arrivals.curve == ((8 * hour, 0.5), (32 * hour, 1.0))
    assert found.faults == (
        model.FaultWindow("slow", start + 4 * hour, start + 5 * hour),
        model.FaultWindow("slow", start + 6 * hour, start + 7 * hour),
    )
    assert found.flows[0].weight == model.Weight(2.0, (("slow", 0.5),))
    assert found.flows[0].finally_[0].time == model.Literal(2_000_000, model.At("head.yaml", 19, 97))
    assert found.flows[1].weight == model.Weight(1.0)


def test_what_is_left_out_has_a_usual_value():
    found = scenario.load_text(HEAD + "flows: [{flow: only, steps: [{wait: 1s}]}]")
    assert found.dovecot == "2.3.6"
    assert found.server == model.Server()
    assert found.population.users == 1000
    assert len(found.population.domains) > 20
    assert len(found.population.first_names) == len(found.population.last_names) == 400


def test_arrivals_in_bursts_and_by_trace():
    burst = scenario.load_text(
        HEAD.replace("{poisson: 40/s}", "{bursts: {rate: 2/min, size: 5, spread: 3s}}") + "flows: [{flow: only, steps: [{wait: 1s}]}]"
    ).arrivals
    assert (burst.process, burst.rate, burst.spread, set(burst.size.quantiles)) == ("bursts", 2 / 60, 3_000_000, {5})
    trace = scenario.load_text(HEAD.replace("{poisson: 40/s}", "{trace: [0s, 1.5s, 1.5s]}") + "flows: [{flow: only, steps: [{wait: 1s}]}]").arrivals
    assert (trace.process, trace.trace) == ("trace", (0, 1_500_000, 1_500_000))


def test_every_step():
    found = steps(
        """
- emit: imap_command_finished
  service: imap
  takes: 3ms
  start: 2026-03-02T06:00:00Z
  fields: {cmd_name: NOOP, bytes_out: 2KiB}
- span: auth_passdb_request
  fields: {passdb: sql}
  started: {passdb_name: a}
  finished: {result: ok}
  takes: 1ms
  steps: [{span: sql_query}]
- inherit: {user: $user}
  steps: [{wait: 1s}]
- choose: [{weight: 3, steps: []}, {steps: [{wait: 1s}]}]
- set: {name: x}
- switch: $name
  when: {x: [{wait: 1s}], 7: []}
  otherwise: [{wait: 2s}]
- repeat: 4
  steps: [{wait: 1s}]
- walk: turns
  start: one
  limit: 9
  time: 1min
  states: {one: {steps: [{wait: 1s}], dwell: 2s, next: {one: 2, stop: 1}}}
- add: {total: 5}
- end: Logged out
"""
    )
    emit, span, inherit, choose, set_, switch, repeat, walk, add, end = found
    assert (emit.event, emit.service, emit.takes.value) == ("imap_command_finished", "imap", 3000)
    assert emit.start.value == instant("2026-03-02T06:00:00Z")
    assert {name: value.value for name, value in emit.fields.items()} == {"cmd_name": "NOOP", "bytes_out": 2048}
    assert (emit.at.line, emit.at.column) == (8, 9)
    assert (span.begins, span.finishes) == ("auth_passdb_request_started", "auth_passdb_request_finished")
    assert [list(fields) for fields in (span.fields, span.started, span.finished)] == [["passdb"], ["passdb_name"], ["result"]]
    assert (span.steps[0].begins, span.steps[0].finishes) == (None, "sql_query_finished")
    assert inherit.fields["user"] == model.Variable("user", model.At("test.yaml", 19, 25))
    assert len(inherit.steps) == 1
    assert [alternative.weight.normal for alternative in choose.alternatives] == [3.0, 1.0]
    assert set_.values["name"].value == "x"
    assert [case for case, _ in switch.cases] == ["x", 7]
    assert len(switch.otherwise) == 1
    assert (repeat.times.value, len(repeat.steps)) == (4, 1)
    assert (walk.start, walk.steps_limit.value, walk.time_limit.value) == ("one", 9, 60_000_000)
    assert walk.states["one"].next == (("one", model.Weight(2.0)), ("stop", model.Weight(1.0)))
    assert walk.states["one"].dwell.value == 2_000_000
    assert add.values["total"].value == 5
    assert end.reason == "Logged out"


def test_every_value():
    found = values(
        """
number: 12, text: "12", word: yes, nothing: null, list: [a, 1], variable: $user, dollars: $$Junk,
short: {choose: {a: 1, 2: 3}}, long: {choose: [{value: $user, weight: 2}, {value: null}]},
drawn: {uniform: [1, 3]}, pool: {pool: [a, b], zipf: 1.5}, counter: {counter: tag, from: 7},
hole: "<${user}> $${x}", template: {text: "${a}:${user}", a: {counter: n}}, plain: {text: "no hole"},
sum: {sum: [1, $now]}, scale: {scale: 1s, by: 0.8}, least: {least: [1, 2]}, greatest: {greatest: [1, 2]},
address: {address: [203.0.113.0/28, 192.0.2.1]}, during: {normal: 1, during: {slow: 2}}
""".replace("\n", " "),
        head=HEAD + 'faults: [{fault: slow, from: "06:10", to: "06:20"}]\n',
    )
    at = {name: value.at for name, value in found.items()}
    assert [found[name].value for name in ("number", "text", "word", "nothing", "list", "dollars")] == [12, "12", "yes", None, ("a", "1"), "$Junk"]
    assert found["variable"] == model.Variable("user", at["variable"])
    assert [(value.value, weight.normal) for value, weight in found["short"].options] == [("a", 1.0), (2, 3.0)]
    assert [weight.normal for _, weight in found["long"].options] == [2.0, 1.0]
    assert (found["drawn"].kind, found["drawn"].quantiles[0], found["drawn"].quantiles[512]) == ("uniform", 1, 2)
    assert found["pool"] == model.Pool(("a", "b"), 1.5, at["pool"])
    assert found["counter"] == model.Counter("tag", 7, at["counter"])
    assert found["hole"].parts == ("<", model.Variable("user", at["hole"]), "> ${x}")
    assert [type(part) for part in found["template"].parts] == [model.Counter, str, model.Variable]
    assert found["plain"].value == "no hole"
    assert [type(term) for term in found["sum"].terms] == [model.Literal, model.Variable]
    assert (found["scale"].of.value, found["scale"].by.value) == (1_000_000, 800_000)
    assert [found[name].largest for name in ("least", "greatest")] == [False, True]
    assert found["address"].networks == ((0xCB007100, 16), (0xC0000201, 1))
    assert (found["during"].normal.value, [(name, value.value) for name, value in found["during"].faults]) == (1, [("slow", 2)])


def test_user_can_be_drawn_anew():
    assert values("user: {user: {zipf: 1.1}}")["user"].zipf == 1.1
    assert values("user: {user: uniform}")["user"].zipf == 0.0


def test_factors_count_in_millionths():
    scale = values("x: {scale: $now, by: {uniform: [0.5, 1.0]}}")["x"]
    assert (scale.by.quantiles[0], scale.by.quantiles[1024]) == (500_000, 1_000_000)


def test_units_follow_the_field():
    emit = steps(
        """
- emit: auth_request_finished
  fields: {policy_penalty: 5s}
- emit: imap_command_finished
  fields: {running_usecs: 5s, bytes_in: 5, cmd_tag: 5, last_run_time: 2026-03-02T06:00:00Z}
- emit: auth_request_finished
  fields: {policy_penalty: {uniform: [1s, 15s]}}
"""
    )
    assert emit[0].fields["policy_penalty"].value == 5
    assert [value.value for value in emit[1].fields.values()] == [5_000_000, 5, "5", instant("2026-03-02T06:00:00Z")]
    assert emit[2].fields["policy_penalty"].quantiles[1024] == 15


def test_texts_in_variables_become_numbers_where_one_is_needed():
    found = steps(
        """
- set: {pause: 2ms, note: 2ms, chained: 3s, chosen: {choose: {1s: 1, 2s: 1}}}
- set: {through: $chained}
- wait: $pause
- wait: $through
- wait: $chosen
- emit: imap_command_finished
  fields: {cmd_args: $note}
"""
    )
    assert {name: getattr(value, "value", None) for name, value in found[0].values.items()} == {
        "pause": 2000,
        "note": "2ms",
        "chained": 3_000_000,
        "chosen": None,
    }
    assert [value.value for value, _ in found[0].values["chosen"].options] == [1_000_000, 2_000_000]


def test_guards_drop_steps_of_other_editions_but_check_them():
    text = """
- dovecot: 2.3.6
  wait: 1s
- dovecot: ">=2.3.9"
  wait: 2s
- repeat: 1
  steps:
    - dovecot: "<2.3.9"
      wait: 3s
"""
    assert [getattr(step, "time", step).value for step in steps(text)[:1]] == [1_000_000]
    assert len(steps(text)[1].steps) == 1
    later = steps(text, dovecot="2.3.19")
    assert later[0].time.value == 2_000_000
    assert later[1].steps == ()
    assert faults('- dovecot: ">=2.4"\n  emit: no_such_event\n- wait: 1s') == ["unknown event 'no_such_event'"]


def test_closed_sets_are_those_of_the_chosen_edition():
    text = "- emit: auth_passdb_request_finished\n  fields: {cache: warm}"
    assert steps(text)[0].fields["cache"].value == "warm"  # 2.3.6 has no such field, the compiler leaves it out
    assert faults(text, dovecot="2.3.19") == ["field 'cache' cannot be 'warm' in Dovecot 2.3.19, known are hit, miss"]


def test_the_edition_comes_from_the_caller_then_the_file():
    text = HEAD + "dovecot: 2.3.19\nflows: [{flow: only, steps: [{wait: 1s}]}]"
    assert scenario.load_text(text).dovecot == "2.3.19"
    assert scenario.load_text(text, dovecot="2.3.6").dovecot == "2.3.6"
    with pytest.raises(CatalogError, match=r"9\.9"):
        scenario.load_text(text, dovecot="9.9")


# ---------------------------------------------------------------- fragments


@pytest.fixture
def folder(tmp_path):
    """A folder with a scenario ``here.yaml`` that has these steps, and fragments."""
    (tmp_path / "fragments").mkdir()

    def fill(text, **fragments):
        for name, body in fragments.items():
            (tmp_path / "fragments" / f"{name}.yaml").write_text(f"fragment: {name}\n{body}", encoding="utf-8")
        lines = "".join(f"      {line}\n" for line in text.strip("\n").split("\n"))
        path = tmp_path / "here.yaml"
        path.write_text(HEAD + "flows:\n  - flow: only\n    steps:\n" + lines, encoding="utf-8")
        return path

    return fill


def messages(path):
    with pytest.raises(ScenarioError) as caught:
        scenario.load(path)
    return [fault.message for fault in caught.value.faults]


def test_a_fragment_gets_arguments_defaults_and_inner_steps(folder):
    path = folder(
        "- use: pause\n  with: {time: 2s}\n  steps: [{wait: 9s}]\n- use: pause",
        pause=(
            "parameters: {time: 1s, name: NOOP}\n"
            "steps:\n  - wait: $time\n  - inner: {}\n  - emit: imap_command_finished\n    fields: {cmd_name: $name}\n"
        ),
    )
    first, second = scenario.load(path).flows[0].steps
    assert [(name, value.value) for name, value in first.arguments.items()] == [("time", 2_000_000), ("name", "NOOP")]
    assert second.arguments["time"].value == 1_000_000
    assert [type(step) for step in first.steps] == [model.Wait, model.Inner, model.Emit]
    assert first.steps is second.steps
    assert first.inner[0].time.value == 9_000_000
    assert second.inner == ()
    assert first.steps[0].time.at.file.endswith("fragments/pause.yaml")


def test_fragments_are_read_again_as_long_as_variables_turn_out_to_be_numbers(folder):
    """The wait tells that ``pause`` is a number, and only that tells it of ``early``; what holds neither is read once."""
    path = folder(
        "- use: outer\n- use: later\n- use: apart\n- wait: $pause",
        outer="steps: [{use: first}]\n",
        first="steps: [{set: {early: 2s}}]\n",
        later="steps: [{set: {pause: $early}}]\n",
        apart="steps: [{set: {other: 2s}}]\n",
    )
    outer, later, apart, _ = scenario.load(path).flows[0].steps
    assert outer.steps[0].steps[0].values["early"].value == 2_000_000
    assert later.steps[0].values["pause"].name == "early"
    assert apart.steps[0].values["other"].value == "2s"


def test_a_fault_in_a_fragment_is_told_once_however_often_it_is_read(folder):
    path = folder(
        "- use: first\n- use: wrong\n- wait: $pause",
        first="steps: [{set: {pause: 2s}}]\n",
        wrong="steps: [{wait: soon}]\n",
    )
    (told,) = messages(path)
    assert "soon" in told


def test_fragments_beside_the_scenario_win_over_shipped_ones(folder):
    path = folder("- use: connect", connect="steps: [{wait: 7s}]\n")
    assert scenario.load(path).flows[0].steps[0].steps[0].time.value == 7_000_000


def test_parameter_types_go_through_fragments(folder):
    path = folder(
        "- use: outer\n  with: {pause: 5s, size: big}",
        outer="parameters: {pause: 1s, size: 1}\nsteps:\n  - use: deep\n    with: {time: $pause, amount: $size}\n",
        deep=(
            "parameters: {time: {required: true}, amount: 0}\n"
            "steps:\n  - wait: $time\n  - emit: imap_command_finished\n    fields: {bytes_in: $amount}\n"
        ),
    )
    found = messages(path)
    assert len(found) == 1
    assert found[0].startswith("parameter 'size' of fragment 'outer' (big): a size is written like")


def test_a_parameter_that_a_switch_goes_by_is_not_held_to_one_branch(folder):
    path = folder(
        "- use: reply\n  with: {state: NONE}",
        reply=(
            "parameters: {state: OK}\n"
            "steps:\n  - switch: $state\n    when: {NONE: []}\n    otherwise:\n"
            "      - emit: imap_command_finished\n        fields: {tagged_reply_state: $state}\n"
        ),
    )
    assert scenario.load(path).flows[0].steps[0].arguments["state"].value == "NONE"


def test_variables_cross_between_flow_and_fragments(folder):
    path = folder(
        "- use: measure\n- wait: $measured\n- set: {known: 1}\n- use: reader",
        measure="steps: [{set: {measured: 3s}}]\n",
        reader="steps: [{wait: $known}]\n",
    )
    assert scenario.load(path).flows[0].steps[0].steps[0].values["measured"].value == 3_000_000


def test_end_reason_in_a_fragment_belongs_to_finally(folder):
    reason = "steps:\n  - emit: server_connection_disconnected\n    fields: {reason: $end_reason}\n"
    path = folder("- wait: 1s\n", closing=reason)
    path.write_text(path.read_text(encoding="utf-8") + "    finally: [{use: closing}]\n", encoding="utf-8")
    assert scenario.load(path).flows[0].finally_
    assert messages(folder("- use: closing")) == ["'$end_reason' means something only in 'finally'"]


def test_fragments_may_know_fault_windows_that_the_scenario_lacks(folder):
    path = folder("- use: slow", slow="steps:\n  - wait: {normal: 1s, during: {sql-down: 9s}}\n")
    assert scenario.load(path).flows[0].steps[0].steps[0].time.value == 1_000_000
    head = HEAD + 'faults: [{fault: sql-down, from: "06:10", to: "06:20"}]\n'
    path.write_text(head + "flows: [{flow: only, steps: [{use: slow}]}]", encoding="utf-8")
    assert scenario.load(path).flows[0].steps[0].steps[0].time.faults[0][0] == "sql-down"


def test_fragments_that_multiply_are_refused_quickly(folder):
    chain = {f"f{i}": f"steps: [{{use: f{i + 1}}}, {{use: f{i + 1}}}]\n" for i in range(30)}
    path = folder("- use: f0", **chain, f30="steps: [{wait: 1s}]\n")
    assert messages(path) == ["more than 100,000 steps once its fragments are written out, which no flow needs"]


def test_fragments_that_nest_without_end_are_refused(folder):
    chain = {f"f{i}": f"steps: [{{use: f{i + 1}}}]\n" for i in range(400)}
    assert messages(folder("- use: f0", **chain, f400="steps: [{wait: 1s}]\n")) == ["fragments nest deeper than 32"]


def test_a_changed_fragment_is_read_again(folder):
    path = folder("- use: pause", pause="steps: [{wait: 1s}]\n")
    assert scenario.load(path).flows[0].steps[0].steps[0].time.value == 1_000_000
    folder("- use: pause", pause="steps: [{wait: 25s}]\n")
    assert scenario.load(path).flows[0].steps[0].steps[0].time.value == 25_000_000


def test_pools_beside_the_scenario_win_over_shipped_ones(folder, tmp_path):
    path = folder("- set: {box: {pool: mailboxes}, other: {pool: colours}}")
    (tmp_path / "pools").mkdir()
    (tmp_path / "pools" / "mailboxes.txt").write_text("# A comment.\n\nOnly One\n#shared\n", encoding="utf-8")
    (tmp_path / "pools" / "colours.txt").write_text("red\n", encoding="utf-8")
    found = scenario.load(path).flows[0].steps[0].values
    assert found["box"].entries == ("Only One", "#shared")
    assert found["other"].entries == ("red",)


def test_a_fragment_can_be_checked_alone(folder, tmp_path):
    folder("- wait: 1s", good="steps: [{wait: $set_elsewhere}]\n", bad="steps: [{wiat: 1s}]\n")
    assert scenario.check(tmp_path / "fragments" / "good.yaml") == "fragment"
    with pytest.raises(ScenarioError, match="unknown step 'wiat'"):
        scenario.check(tmp_path / "fragments" / "bad.yaml")


# ---------------------------------------------------------------- overrides and names


def test_overrides_replace_the_head():
    text = HEAD + "flows: [{flow: only, steps: [{wait: 1s}]}]"
    found = scenario.load_text(
        text,
        overrides={"duration": "2min", "population.users": 7, "server.port": 110, "arrivals.rate": "3/s", "population.popularity": {"zipf": 2}},
    )
    assert (found.duration, found.population.users, found.server.port, found.arrivals.rate) == (120_000_000, 7, 110, 3.0)
    assert found.population.zipf == 2.0
    assert scenario.load_text(text, overrides={"arrivals": {"trace": ["1s"]}}).arrivals.trace == (1_000_000,)


def test_overrides_are_checked_like_what_is_written():
    text = HEAD + "flows: [{flow: only, steps: [{wait: 1s}]}]"
    with pytest.raises(ScenarioError, match=r"<population\.users>:1:1: users \(-3\) must be"):
        scenario.load_text(text, overrides={"population.users": -3})
    with pytest.raises(UsageError, match=r"unknown override 'population\.user', did you mean 'population\.users'"):
        scenario.load_text(text, overrides={"population.user": 3})


def test_unknown_names_offer_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'working-day'"):
        scenario.load("working-dya")
    with pytest.raises(UsageError, match="unknown scenario"):
        scenario.load("")


@pytest.mark.parametrize("path", sorted(resources.scenarios_dir().glob("*.yaml")), ids=lambda path: path.stem)
@pytest.mark.parametrize("dovecot", ["2.3.6", "2.3.19"])
def test_shipped_scenarios_load_for_every_edition(path, dovecot):
    found = scenario.load(path.stem, dovecot=dovecot)
    assert found.name == path.stem
    assert found.summary
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - worker processes get them so


@pytest.mark.parametrize("path", sorted((resources.scenarios_dir() / "fragments").glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_fragments_hold_together(path):
    assert scenario.check(path) == "fragment"


def test_the_list_of_shipped_scenarios_comes_from_their_heads():
    found = dict(scenario.shipped())
    assert found == {name: scenario.load(name).summary for name in found}
    assert "working-day" in found


def test_name_pools_are_plain_and_different():
    for name in ("first_names", "last_names"):
        lines = (resources.pools_dir() / f"{name}.txt").read_text(encoding="ascii").splitlines()
        assert lines[0].startswith("# ")
        assert len(set(lines[1:])) == len(lines[1:]) == 400
        assert all(re.fullmatch("[a-z]{2,}", line) for line in lines[1:])


def test_domain_pool_holds_only_reserved_names():
    lines = (resources.pools_dir() / "domains.txt").read_text(encoding="ascii").splitlines()
    assert all(re.fullmatch(r"([a-z0-9-]+\.)*(example\.(com|org|net)|[a-z-]+\.example|[a-z-]+\.test)", line) for line in lines[1:])
