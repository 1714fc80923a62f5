"""The report: hand-made streams whose differences are known exactly, and numbers whose distances are."""

from __future__ import annotations

import json

import pytest
from comparing import event, sessions

from dovestorm.compare import Comparison, Counted, compare, to_text
from dovestorm.compare.measures import LEVELS, Reservoir, kolmogorov_smirnov, summary
from dovestorm.errors import UsageError


def differing(rows: tuple[Counted, ...]) -> dict[tuple[str, ...], tuple[int, int, int, int]]:
    """Key to counts of the rows whose shares differ."""
    return {row.key: (row.a, row.of_a, row.b, row.of_b) for row in rows if row.share_a != row.share_b}


def compared(a: list[dict[str, object]], b: list[dict[str, object]]) -> Comparison:
    return compare(a, b, classify=False)


def test_equal_streams_have_no_difference() -> None:
    found = compared(sessions(4, bytes_in=3, result="ok"), sessions(4, bytes_in=3, result="ok"))
    for rows in (found.events, found.fields, found.types, found.order, found.categories, found.values, found.transitions, found.commands):
        assert differing(rows) == {}
    for measures in (found.numbers, found.lasting, found.gaps, found.shape):
        assert measures
        assert [row.ks for row in measures] == [0.0] * len(measures)


def test_an_event_that_one_stream_lacks() -> None:
    found = compared([event("a", 1), event("a", 2), event("b", 3)], [event("a", 1)])
    assert differing(found.events) == {("a",): (2, 3, 1, 1), ("b",): (1, 3, 0, 1)}


def test_presence_types_order_categories_and_values_of_fields() -> None:
    a = [event("a", 1, x=1, y="t", result="ok"), event("a", 2, x=1, y="t")]
    b = [event("a", 1, y="t", x="1", result="no", categories=("imap", "storage")), event("a", 2, y="t")]
    found = compared(a, b)
    assert differing(found.fields) == {("a", "x"): (2, 2, 1, 2)}
    assert differing(found.types) == {("a", "x", "integer"): (2, 2, 0, 1), ("a", "x", "text"): (0, 2, 1, 1)}
    assert differing(found.order) == {("a", "x", "y"): (2, 2, 0, 1)}
    assert differing(found.categories) == {("a", "storage"): (0, 2, 1, 2)}
    assert differing(found.values) == {("a", "result", "ok"): (1, 1, 0, 1), ("a", "result", "no"): (0, 1, 1, 1)}


def test_transitions_and_commands_within_sessions() -> None:
    def command(name: str, at: int, session: str) -> dict[str, object]:
        return event("imap_command_finished", at, session=session, cmd_name=name)

    a = [command("SELECT", 1, "X"), event("other", 2, session="Y"), command("LOGOUT", 3, "X")]
    b = [command("SELECT", 1, "X"), event("other", 2, session="X"), command("NOOP", 3, "X")]
    found = compared(a, b)
    name = "imap_command_finished"
    assert {row.key: (row.a, row.b) for row in found.transitions} == {
        ("START", name): (1, 1),
        (name, name): (1, 0),
        (name, "END"): (1, 1),
        ("START", "other"): (1, 0),
        (name, "other"): (0, 1),
        ("other", name): (0, 1),
        ("other", "END"): (1, 0),
    }
    assert {(row.key[0].rpartition(" ")[2], row.key[1].rpartition(" ")[2]): (row.a, row.b) for row in found.commands} == {
        ("START", "SELECT"): (1, 1),
        ("SELECT", "LOGOUT"): (1, 0),
        ("LOGOUT", "END"): (1, 0),
        ("SELECT", "NOOP"): (0, 1),
        ("NOOP", "END"): (0, 1),
    }


def test_amounts_gaps_and_lengths() -> None:
    found = compared(sessions(50, bytes_in=3), sessions(50, bytes_in=4, step_us=2_000))
    assert {row.key: row.ks for row in found.numbers} == {("login", "bytes_in"): 1.0, ("work", "bytes_in"): 1.0, ("bye", "bytes_in"): 1.0}
    gaps = {row.key: (row.a.at(0.0), row.b.at(0.0), row.ks) for row in found.gaps}
    assert gaps == {("login", "work"): (1_000, 2_000, 1.0), ("work", "bye"): (1_000, 2_000, 1.0)}
    shape = {row.key: (row.a.at(0.0), row.b.at(0.0), row.ks) for row in found.shape}
    assert shape == {("length",): (2_100, 4_100, 1.0), ("events",): (3, 3, 0.0)}
    assert {row.ks for row in found.lasting} == {0.0}


def test_streams_that_name_no_session_are_compared_by_operation() -> None:
    a = [event("dns_request_started", 10, lasts_us=10), event("dns_request_finished", 60, lasts_us=60)]
    found = compared(a, a)
    assert (found.unit, found.a.sessions, found.a.operations) == ("operations", 0, 1)
    assert ("dns_request_started", "dns_request_finished") in {row.key for row in found.transitions}


def test_the_score_is_the_difference_in_standard_errors() -> None:
    """60 of 100 against 40 of 100: 0.2 / sqrt(0.5 * 0.5 * 0.02)."""
    assert Counted(("x",), 60, 40, 100, 100).score == pytest.approx(0.2 / 0.005**0.5)
    assert Counted(("x",), 0, 0, 5, 0).score == 0


@pytest.mark.parametrize(
    ("a", "b", "distance"), [([1, 2], [1, 2], 0.0), ([1, 2], [3, 4], 1.0), ([1, 2, 3, 4], [3, 4, 5, 6], 0.5), ([1, 1, 2], [1, 2, 2], 1 / 3)]
)
def test_the_kolmogorov_smirnov_distance(a: list[float], b: list[float], distance: float) -> None:
    assert kolmogorov_smirnov(a, b) == pytest.approx(distance) == kolmogorov_smirnov(b, a)


def test_a_reservoir_is_a_uniform_sample() -> None:
    """The mean of 4,096 of 0..99,999 has a standard error of 442 (28,868 / sqrt 4,096, less the finite correction): five of them."""
    sample = Reservoir("x")
    for value in range(100_000):
        sample.add(value)
    assert len(sample.values) == 4096 == len(set(sample.values))
    assert sum(sample.values) / 4096 == pytest.approx(50_000, abs=2_210)
    short = summary(sample)
    assert (short.count, short.at(0.0), short.at(1.0), len(short.quantiles)) == (100_000, 0, 99_999, len(LEVELS))
    again = Reservoir("x")
    for value in range(100_000):
        again.add(value)
    assert again.values == sample.values


def test_the_text_lists_differences_only() -> None:
    """And JSON has everything; the last line is the figure, or why there is none."""
    found = compare([*sessions(3), event("odd", 9_000_000)], sessions(3))
    text = to_text(found)
    assert "only A   10.00%    0.00%  odd (1 and 0)" in text
    assert "login >" not in text
    assert text.splitlines()[-1] == "sessions told apart: no figure, 3 sessions of A and 3 of B, must be 10 or more of each"
    data = json.loads(json.dumps(found.to_json()))
    assert {"from": "login", "to": "work", "a": 3, "b": 3, "of_a": 3, "of_b": 3} in data["transitions"]
    assert data["separability"] is None


def test_two_empty_streams() -> None:
    found = compare([], [])
    assert (found.a.events, found.auc) == (0, None)
    assert "one of the streams is empty" in to_text(found)
    assert json.dumps(found.to_json())


def test_hostile_names_do_not_reach_the_terminal() -> None:
    nasty = "x\x1b[2J\udcff"
    text = to_text(compare([event(nasty, 1, **{nasty: "1", "result": nasty}), event("a", 2)], [event("a", 1)], names=(nasty, "B")))
    assert "\x1b" not in text
    assert "\udcff" not in text
    assert "x\\x1b[2J" in text


def test_more_kinds_of_events_and_records_than_are_counted() -> None:
    """Bounded memory: events beyond 2,000 names are counted together."""
    many = [event(f"e{number}", number + 100, lasts_us=1) for number in range(2_005)]
    found = compared(many, [])
    assert len(found.events) == 2_001
    assert next(row.a for row in found.events if row.key == ("(others)",)) == 5


def test_a_sample_of_none() -> None:
    with pytest.raises(UsageError, match=r"^sample: 0, must be at least 1$"):
        compare([], [], sample=0)
