"""What each primitive of the scenario language does when it runs."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from pathlib import Path

import pytest

from dovestorm import catalog, scenario
from dovestorm.engine import program
from dovestorm.errors import ScenarioError
from dovestorm.stream import Limits, Stream

HEAD = """
scenario: probe
summary: a probe
dovecot: {dovecot}
start: 2026-03-02T09:00:00Z
duration: 1h
population: {{users: 1000, domains: [example.com, example.org]}}
arrivals: {{constant: 10/s}}
faults:
  - {{fault: trouble, from: "09:00:20", to: "09:00:40"}}
flows:
  - flow: only
    weight: 1
    steps:
"""
GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "scenario-language.md").read_text(encoding="utf-8")


def run(steps: str, *, sessions: int = 200, dovecot: str = "2.3.6", seed: int = 1, head: str = HEAD):
    """The events of a flow: (event, start, end, fields, session), in export order."""
    body = "\n".join("      " + line for line in steps.strip("\n").splitlines())
    loaded = scenario.load_text(head.format(dovecot=dovecot) + body + "\n", file="probe.yaml")
    stream = Stream(scenario=loaded, seed=seed, limits=Limits(sessions=sessions))
    return [(kind.event, row[0], row[1], batch.field_values(kind, row), session) for batch in stream.batches() for kind, session, row in batch.rows()]


def by_session(events):
    sessions: dict[int, list] = {}
    for event in events:
        sessions.setdefault(event[4], []).append(event)
    return sessions


@pytest.mark.parametrize("dovecot", ["2.3.6", "2.3.19"])
@pytest.mark.parametrize("text", re.findall(r"^```yaml\n(scenario:.*?)^```", GUIDE, flags=re.MULTILINE | re.DOTALL), ids=lambda t: t.split()[1])
def test_every_example_of_the_guide_runs(text, dovecot):
    loaded = scenario.load_text(text, file="guide.yaml", dovecot=dovecot)
    stream = Stream(scenario=loaded, seed=1, limits=Limits(events=300))
    assert sum(len(batch) for batch in stream.batches()) > 0


def test_takes_is_the_duration_and_moves_the_clock():
    events = run("""
- emit: imap_command_finished
  takes: 250ms
  fields: {cmd_tag: a, cmd_name: NOOP, running_usecs: $duration, last_run_time: $start}
- emit: imap_command_finished
  takes: 1s
  fields: {cmd_tag: b, cmd_name: NOOP, running_usecs: {scale: $duration, by: 0.5}, last_run_time: $start}
""")
    for first, second in by_session(events).values():
        assert (first[3]["running_usecs"], second[3]["running_usecs"]) == (250_000, 500_000)
        assert second[1] == first[1] + 250_000
        assert first[3]["last_run_time"] == first[1]
        assert second[2] >= second[1] + 1_000_000


def test_a_span_holds_its_steps_and_both_ends_share_the_start():
    events = run("""
- span: auth_passdb_request
  fields: {passdb_name: {pool: [a, b, c]}, passdb: sql}
  finished: {result: ok}
  takes: 3ms
  steps:
    - wait: 2ms
    - emit: sql_query_finished
      takes: 1ms
      fields: {query_first_word: SELECT}
""")
    for begin, inner, finish in (sorted(group, key=lambda event: event[2]) for group in by_session(events).values()):
        assert (begin[0], inner[0], finish[0]) == ("auth_passdb_request_started", "sql_query_finished", "auth_passdb_request_finished")
        assert begin[1] == finish[1]
        assert inner[1] == begin[1] + 2000
        assert begin[3]["passdb_name"] == finish[3]["passdb_name"]
        assert finish[2] >= begin[1] + 6000


def test_what_opens_a_span_is_the_duration_of_its_start_and_part_of_its_finish():
    events = run(
        """
- span: auth_passdb_request
  fields: {passdb_name: a, passdb: sql}
  finished: {result: ok}
  opens: 10us
  takes: 3ms
""",
        dovecot="2.3.19",
    )
    for begin, finish in (sorted(group, key=lambda event: event[2]) for group in by_session(events).values()):
        assert begin[1] == finish[1]
        assert (begin[3]["duration"], finish[3]["duration"]) == (10, 3010)


def test_choose_draws_by_weight_and_never_what_weighs_nothing():
    events = run(
        """
- choose:
    - {weight: 3, steps: [{emit: sql_connection_finished}]}
    - {weight: 1, steps: [{emit: sql_transaction_finished}]}
    - {weight: 0, steps: [{emit: dns_request_started}]}
""",
        sessions=4000,
    )
    counts = Counter(event[0] for event in events)
    # Binomial, n = 4000, p = 3/4: standard deviation 27; five of them.
    assert abs(counts["sql_connection_finished"] - 3000) < 137
    assert counts["sql_connection_finished"] + counts["sql_transaction_finished"] == 4000


def test_faults_change_weights_and_values_while_they_last():
    events = run(
        """
- choose:
    - {weight: {normal: 1, during: {trouble: 0}}, steps: [{set: {word: fine}}]}
    - {weight: {normal: 0, during: {trouble: 1}}, steps: [{set: {word: bad}}]}
- emit: sql_query_finished
  fields: {query_first_word: $word, error: {normal: null, during: {trouble: gone}}}
""",
        sessions=600,
    )
    begin = 1_772_442_000_000_000
    for _, start, _, fields, _ in events:
        trouble = begin + 20_000_000 <= start < begin + 40_000_000
        assert fields == ({"error": "gone", "query_first_word": "bad"} if trouble else {"query_first_word": "fine"})
    assert 190 < sum("error" in event[3] for event in events) < 210


def test_repeat_runs_its_steps_a_drawn_number_of_times():
    events = run(
        """
- repeat: {choose: {0: 1, 2: 1, 5: 1}}
  steps:
    - emit: sql_connection_finished
- emit: sql_transaction_finished
""",
        sessions=300,
    )
    counts = Counter(Counter(event[0] for event in group)["sql_connection_finished"] for group in by_session(events).values())
    assert set(counts) == {0, 2, 5}


def test_a_walk_stops_after_its_limit_its_time_or_on_stop():
    walk = """
- walk: here
  start: a
  {stop}
  states:
    a: {{steps: [{{emit: sql_connection_finished}}], dwell: 1s, next: {{a: 1, b: 1}}}}
    b: {{steps: [{{emit: sql_transaction_finished}}], dwell: 1s, next: {{a: 1{end}}}}}
- emit: dns_request_started
"""
    limited = by_session(run(walk.format(stop="limit: 7", end="")))
    assert {len(group) for group in limited.values()} == {8}
    timed = by_session(run(walk.format(stop="time: 4500ms", end="")))
    assert {len(group) for group in timed.values()} == {6}
    free = by_session(run(walk.format(stop="", end=", stop: 3")))
    assert len({len(group) for group in free.values()}) > 3
    assert all(group[-1][0] == "dns_request_started" for group in free.values())


def test_set_add_and_counters_belong_to_the_session():
    events = run("""
- set: {total: 5}
- repeat: 4
  steps:
    - add: {total: {uniform: [1, 3]}}
    - emit: imap_command_finished
      fields: {cmd_tag: {text: "t${n}", n: {counter: tag, from: 10}}, cmd_name: NOOP, bytes_in: $total}
""")
    for group in by_session(events).values():
        assert [event[3]["tag"] for event in group] == ["t10", "t11", "t12", "t13"]
        totals = [5, *(event[3]["bytes_in"] for event in group)]
        assert all(1 <= after - before <= 3 for before, after in itertools.pairwise(totals))


def test_switch_goes_by_value_and_end_skips_to_finally():
    events = run(
        """
- set: {result: {choose: {ok: 1, bad: 1, odd: 1}}}
- switch: $result
  when:
    ok: [{emit: sql_connection_finished}]
    bad: [{end: "bad end"}]
  otherwise: [{emit: sql_transaction_finished}]
- emit: dns_request_started
""",
        head=HEAD.replace("    steps:\n", "    finally: [{{emit: sql_query_finished, fields: {{error: $end_reason}}}}]\n    steps:\n"),
    )
    kinds = set()
    for group in by_session(events).values():
        # Events of different processes may arrive in another order than they were sent.
        names = frozenset(event[0] for event in group)
        kinds.add(names)
        (last,) = (event[3] for event in group if event[0] == "sql_query_finished")
        assert last["error"] == ("bad end" if len(names) == 1 else "Connection closed")
    assert kinds == {
        frozenset({"sql_query_finished"}),
        frozenset({"sql_connection_finished", "dns_request_started", "sql_query_finished"}),
        frozenset({"sql_transaction_finished", "dns_request_started", "sql_query_finished"}),
    }


def test_inherited_fields_reach_inner_events_unless_they_stand_alone():
    events = run(
        """
- inherit: {session: $session, remote_ip: $client_ip, user: $user, service: imap}
  steps:
    - emit: auth_policy_request_finished
      fields: {mode: report, service: pop3}
    - emit: auth_policy_request_finished
      alone: true
      fields: {mode: allow}
""",
        dovecot="2.3.19",
    )
    for first, second in by_session(events).values():
        assert len(first[3]["session"]) == 16
        assert first[3]["service"] == "pop3"
        assert set(second[3]) == {"duration", "mode"}


FRAGMENT = """fragment: linked
parameters: {kinds: null}
steps:
  - emit: server_connection_connected
    service: imap
    categories: $kinds
  - span: dns_request
    service: imap
    categories: $kinds
"""


def linked(folder, steps, *, dovecot="2.3.19"):
    """The categories of each event of a flow that uses the fragment."""
    (folder / "fragments").mkdir()
    (folder / "fragments" / "linked.yaml").write_text(FRAGMENT, encoding="utf-8")
    (folder / "probe.yaml").write_text(HEAD.format(dovecot=dovecot) + steps, encoding="utf-8")
    stream = Stream(scenario=scenario.load(folder / "probe.yaml"), seed=1, limits=Limits(sessions=1))
    return {kind.event: kind.categories for batch in stream.batches() for kind, _, _ in batch.rows()}


def test_categories_are_those_of_the_process_or_given_ones(tmp_path):
    found = linked(tmp_path, "      - emit: server_connection_disconnected\n        categories: [storage, storage, dict]\n      - use: linked\n")
    assert found == {
        "server_connection_disconnected": ("storage", "dict", "service:imap-login"),
        "server_connection_connected": ("auth-client", "service:imap"),
        "dns_request_started": ("auth", "dns", "service:imap"),
        "dns_request_finished": ("auth", "dns", "service:imap"),
    }


def test_categories_may_be_a_fragments_parameter(tmp_path):
    found = linked(tmp_path, "      - use: linked\n        with: {kinds: [dns, storage]}\n")
    assert set(found.values()) == {("dns", "storage", "service:imap")}
    assert len(found) == 3


@pytest.mark.parametrize(
    ("kinds", "dovecot", "told"),
    [
        ("[dns, http-clent]", "2.3.19", "unknown category 'http-clent' of server_connection_connected, did you mean 'http-client'?"),
        ("[dns, storage]", "2.3.6", "unknown category 'dns' of server_connection_connected"),
        ("dns", "2.3.19", "categories ($kinds) must be one list, the same for every session"),
        ("{choose: {dns: 1, http-client: 1}}", "2.3.19", "categories ($kinds) must be one list, the same for every session"),
    ],
)
def test_wrong_categories_of_a_parameter_are_told(kinds, dovecot, told, tmp_path):
    with pytest.raises(ScenarioError, match=re.escape(told)):
        linked(tmp_path, f"      - use: linked\n        with: {{kinds: {kinds}}}\n", dovecot=dovecot)


def test_what_an_edition_lacks_is_left_out():
    steps = """
- emit: auth_master_client_login_started
  fields: {id: 1}
- emit: auth_request_finished
  takes: 1ms
  fields: {user: $user, success: "yes", session: $session}
"""
    old, new = run(steps), run(steps, dovecot="2.3.19")
    assert {event[0] for event in old} == {"auth_request_finished"}
    assert set(old[0][3]) == {"user", "successful"}
    assert {event[0] for event in new} == {"auth_master_client_login_started", "auth_request_finished"}
    assert next(event[3]["duration"] for event in new if event[0] == "auth_request_finished") == 1000


def test_distributions_are_drawn_as_they_are_described():
    events = run(
        """
- emit: imap_command_finished
  fields:
    cmd_name: NOOP
    running_usecs: {lognormal: {median: 1000us, p90: 4000us}}
    lock_wait_usecs: {exponential: {mean: 500us}}
    bytes_in: {uniform: [10, 20]}
    bytes_out: {quantiles: {0: 5, 50: 100, 90: 1000, 100: 2000}}
""",
        sessions=8000,
    )

    def share(name, bound):
        values = [event[3][name] for event in events]
        return sum(value <= bound for value in values) / len(values)

    # The standard deviation of a share of 8,000 draws is at most 0.0056; five of them.
    assert abs(share("running_usecs", 1000) - 0.5) < 0.028
    assert abs(share("running_usecs", 4000) - 0.9) < 0.028
    assert abs(share("lock_wait_usecs", 500) - 0.632) < 0.028
    assert abs(share("bytes_in", 15) - 0.5) < 0.08
    assert abs(share("bytes_out", 100) - 0.5) < 0.028
    assert abs(share("bytes_out", 1000) - 0.9) < 0.028


def test_values_that_are_not_there_are_left_out():
    events = run("""
- emit: sql_query_finished
  fields: {query_first_word: SELECT, error: {choose: [{value: gone, weight: 1}, {value: null, weight: 1}]}, error_code: null}
""")
    assert {tuple(event[3]) for event in events} == {("query_first_word",), ("error", "query_first_word")}


def test_texts_with_holes_can_be_kept_and_nested():
    events = run("""
- set: {inner: {text: "<${n}>", n: {uniform: [1, 9]}}}
- choose:
    - {weight: 1, steps: [{set: {inner: plain}}]}
    - {weight: 1, steps: []}
- emit: sql_query_finished
  fields: {error: "at ${inner} by ${user}", query_first_word: $inner}
""")
    shown = {event[3]["query_first_word"] for event in events}
    assert "plain" in shown
    assert any(re.fullmatch(r"<[1-9]>", text) for text in shown)
    for event in events:
        assert event[3]["error"].startswith(f"at {event[3]['query_first_word']} by ")
        assert event[3]["error"].endswith(("@example.com", "@example.org"))


def test_a_drawn_user_takes_its_parts_along():
    events = run(
        """
- set: {user: {user: uniform}, client_ip: {address: [203.0.113.0/30, 198.51.100.7/32]}}
- emit: auth_passdb_request_finished
  fields: {passdb_name: a, passdb: sql, user: $user, username: $username, domain: $domain, result: ok}
- emit: client_connection_connected
  fields: {client_ip: $client_ip, client_port: $client_port, ip: $server_ip, port: $server_port}
""",
        sessions=600,
    )
    users, addresses = set(), set()
    for event in events:
        if event[0] == "client_connection_connected":
            addresses.add(event[3]["client_ip"])
            assert 32_768 <= event[3]["client_port"] <= 60_999
        else:
            users.add(event[3]["user"])
            assert event[3]["user"] == f"{event[3]['username']}@{event[3]['domain']}"
    assert addresses == {"203.0.113.0", "203.0.113.1", "203.0.113.2", "203.0.113.3", "198.51.100.7"}
    assert len(users) > 350


def test_popular_users_come_more_often():
    head = HEAD.replace("{{users: 1000,", "{{users: 1000, popularity: {{zipf: 1.0}},")
    events = run("- emit: auth_request_finished\n  fields: {user: $user}", sessions=5000, head=head)
    counts = Counter(event[3]["user"] for event in events).most_common()
    # The continuous law gives the first of 1,000 ranks log(2)/log(1001) = 0.100 of all sessions: 502, standard deviation 21.
    assert 395 < counts[0][1] < 610
    assert len(counts) > 400


def test_a_variable_has_one_kind():
    with pytest.raises(ScenarioError, match="one kind"):
        run("""
- set: {x: 1}
- set: {x: $session}
- emit: sql_query_finished
""")


@pytest.mark.parametrize("name", ["imap-login", "every-event", "migration"])
def test_compiling_takes_two_passes(name, monkeypatch):
    """A pass learns what variables hold, the next one uses it and learns nothing more."""
    passes = []
    compiled = program._compile_flows
    monkeypatch.setattr(program, "_compile_flows", lambda *given: passes.append(1) or compiled(*given))
    program.compile_scenario(scenario.load(name), catalog.load("2.3.6"))
    assert len(passes) == 2


def test_a_session_id_carries_time_port_and_address():
    import base64

    events = run(
        "- emit: auth_client_request_started\n  fields: {id: 1, session: $session, remote_ip: $client_ip, remote_port: $client_port}",
        dovecot="2.3.19",
    )
    for _, start, _, fields, _ in events:
        raw = base64.b64decode(fields["session"])
        assert int.from_bytes(raw[:6], "little") == start & ((1 << 48) - 1)
        assert int.from_bytes(raw[6:8], "little") == fields["remote_port"]
        assert ".".join(map(str, raw[8:])) == fields["remote_ip"]


def test_products_of_large_numbers_do_not_leave_64_bits():
    events = run("""
- emit: imap_command_finished
  takes: {scale: 5, by: 1000000}
  fields: {cmd_name: NOOP, running_usecs: $duration, last_run_time: {sum: [$start, {scale: $duration, by: 0.5}]}}
""")
    assert {event[3]["running_usecs"] for event in events} == {5_000_000}
    assert all(event[3]["last_run_time"] == event[1] + 2_500_000 for event in events)


def test_a_table_gives_what_stands_in_a_row_and_begins_again():
    head = HEAD.replace(
        "flows:", "tables:\n  visits:\n    columns: [took, name, size]\n    rows:\n      - [1ms, FETCH, 7]\n      - [2s, NOOP, null]\nflows:"
    )
    steps = """
- emit: imap_command_finished
  takes: {table: visits, column: took, row: $session_number}
  fields: {cmd_name: {table: visits, column: name, row: $session_number}, bytes_in: {table: visits, column: size, row: $session_number}}
"""
    found = {
        session: (end - start, fields.get("name"), fields.get("bytes_in")) for _, start, end, fields, session in run(steps, sessions=6, head=head)
    }
    assert {session: (name, size) for session, (_, name, size) in found.items()} == {
        number: ("FETCH", 7) if number % 2 == 0 else ("NOOP", None) for number in range(6)
    }
    assert all((lasted < 1_000_000) == (name == "FETCH") for lasted, name, _ in found.values())


def test_a_walk_may_go_by_a_variable_and_any_other_name_leaves_it():
    steps = """
- set: {next: {choose: {a: 1, b: 1, elsewhere: 1}}}
- walk: here
  start: begin
  states:
    begin: {steps: [], next: $next}
    a: {steps: [{emit: sql_connection_finished}, {set: {next: b}}, {wait: 1s}], next: $next}
    b: {steps: [{emit: sql_transaction_finished}], next: {stop: 1}}
- wait: 1s
- emit: dns_request_started
"""
    kinds = Counter(tuple(event[0] for event in group) for group in by_session(run(steps)).values())
    assert set(kinds) == {
        ("sql_connection_finished", "sql_transaction_finished", "dns_request_started"),
        ("sql_transaction_finished", "dns_request_started"),
        ("dns_request_started",),
    }


def test_an_event_is_exported_when_it_says_and_never_before_it_was_sent():
    steps = """
- wait: {uniform: [1ms, 30s]}
- set: {then: $now, late: {uniform: [0, 90s]}}
- emit: dns_request_started
  exported: {sum: [$then, $late]}
- emit: dns_request_finished
  exported: {sum: [$then, -5s]}
"""
    events = run(steps)
    assert [end for _, _, end, _, _ in events] == sorted(end for _, _, end, _, _ in events)
    later = [end - start for event, start, end, _, _ in events if event == "dns_request_started"]
    assert max(later) > 80_000_000
    assert {end - start for event, start, end, _, _ in events if event == "dns_request_finished"} == {0}
