"""The closing figure: halves of one recording are not told apart, altered ones are."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from comparing import recorded, sessions

from dovestorm.compare import MissingExtraError, Session, TooFewSessionsError, compare, features, separability, to_text
from dovestorm.compare.classifier import matrix
from dovestorm.hashing import derive


@pytest.fixture(scope="module")
def halves() -> tuple[list[Session], list[Session]]:
    """Two random halves of the recording's sessions."""
    half: tuple[list[Session], list[Session]] = ([], [])
    for session in recorded("load_mix_half_a"):
        half[derive(3, session.name) & 1].append(session)
    return half


def looks(found: list[Session]) -> list[dict[str, float]]:
    return [features(session.records) for session in found]


def test_two_random_halves_of_a_recording_are_not_told_apart(halves: tuple[list[Session], list[Session]]) -> None:
    """About 220 sessions on each side: a standard error of 0.028, four of them to either side."""
    figure = separability(*map(looks, halves))
    assert figure.auc == pytest.approx(0.5, abs=0.11)
    assert figure.error == pytest.approx(0.028, abs=0.002)
    assert figure.sessions == tuple(map(len, halves))


def test_a_half_whose_order_was_shuffled_is_told_apart(halves: tuple[list[Session], list[Session]]) -> None:
    """The same events at the same times, but which is when was drawn."""
    a, b = halves
    shuffled = []
    for session in b:
        order = sorted(range(len(session.records)), key=lambda at, name=session.name: derive(4, name, at))
        moved = [
            one._replace(start_us=two.start_us, end_us=two.end_us)
            for one, two in zip(session.records, (session.records[at] for at in order), strict=True)
        ]
        shuffled.append(features(moved))
    figure = separability(looks(a), shuffled)
    assert figure.auc > 0.95
    assert max(abs(area - 0.5) for _, area in figure.telling) > 0.2


def test_slower_by_half_is_told_apart(halves: tuple[list[Session], list[Session]]) -> None:
    """Every duration and gap half as long again; nothing else differs."""
    a, b = halves
    slow = []
    for session in b:
        zero = session.records[0].start_us
        slow.append(
            features(
                [one._replace(start_us=zero + (one.start_us - zero) * 3 // 2, end_us=zero + (one.end_us - zero) * 3 // 2) for one in session.records]
            )
        )
    assert separability(looks(a), slow).auc > 0.75


def test_one_field_that_is_always_missing_is_enough() -> None:
    found = compare(sessions(40, result="ok"), sessions(40))
    assert found.auc == 1.0
    assert found.separability is not None
    assert found.separability.telling[0] == ("has bye@.result", 0.0)  # of equal columns the first by name stands for all
    assert to_text(found).splitlines()[-1].startswith("sessions told apart: 1.000 +- 0.000 (area under the ROC curve, 40 of A and 40 of B;")


def test_what_cannot_be_told_apart_gives_a_half() -> None:
    """Without any feature that differs there is nothing to judge by; and twins, one on each side, do not push the figure below a half."""
    assert compare(sessions(30), sessions(30, name="t")).auc == pytest.approx(0.5, abs=0.05)
    assert separability([{"count x": 1.0}] * 20, [{"count x": 1.0}] * 20).auc == 0.5


def test_the_same_input_gives_the_same_figure() -> None:
    first, second = (compare(sessions(30, step_us=900), sessions(30, name="t"), seed=5).separability for _ in range(2))
    assert first == second is not None


def test_too_few_sessions() -> None:
    with pytest.raises(TooFewSessionsError, match=r"^9 sessions of A and 20 of B, must be 10 or more of each$"):
        separability([{"count x": 1.0}] * 9, [{"count x": 1.0}] * 20)


def test_the_matrix_leaves_out_what_says_nothing() -> None:
    """Constant, repeated and hardly ever seen features; missing counts are 0, missing amounts no logarithm."""
    common = {"count same": 1.0}
    rows = [{**common, "count x": float(at), "count copy of x": float(at), **({"amount y": 2.0} if at % 2 else {})} for at in range(10)]
    rows[0]["count rare"] = 1.0
    names, values = matrix(rows)
    assert names == ["amount y", "count copy of x"]
    assert values[:, 0].tolist() == [-1000.0, 2.0] * 5
    assert np.array_equal(values[:, 1], np.arange(10))


def test_without_scikit_learn_the_report_is_given_and_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingExtraError, match="install it with: pip install 'dovestorm\\[compare\\]'"):
        separability([], [])
    found = compare(sessions(20), sessions(20))
    assert found.events
    text = to_text(found)
    assert text.splitlines()[-1].endswith("no figure, the classifier needs scikit-learn, install it with: pip install 'dovestorm[compare]'")


def test_scikit_learn_is_imported_only_when_used() -> None:
    source = "import sys\nfrom dovestorm.compare import compare\ncompare([], [], classify=False)\nassert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", source], check=True, timeout=60)
