"""Law: altered records and missing events are paired by likeness, however many there are."""

from __future__ import annotations

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from dovestorm.audit.pairing import TRAITS, pair, traits

NAMES = [f"field_{number}" for number in range(20)]
EVENTS = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.integers(0, 3), st.text(max_size=3), st.lists(st.text(max_size=2), max_size=2)))


def spelled(fields, name="imap_command_finished") -> bytes:
    return orjson.dumps({"event": name, "hostname": "mail01", "fields": fields}, option=orjson.OPT_SORT_KEYS)


@given(fields=EVENTS, changed=st.sets(st.sampled_from(NAMES), max_size=3))
def test_as_many_traits_differ_as_fields_at_most(fields, changed) -> None:
    """And at least one where any field differs."""
    other = {**fields, **dict.fromkeys(changed, "changed")}
    differing = int((traits(spelled(fields)) != traits(spelled(other))).sum())
    assert min(1, len(changed)) <= differing <= len(changed)


@given(sizes=st.tuples(st.integers(0, 12), st.integers(0, 12)), values=st.randoms(use_true_random=False))
def test_pairs_are_those_of_the_greatest_likeness_first(sizes, values) -> None:
    """Against an oracle that looks for the best pair that is left each time."""
    ours, theirs = (np.array([[values.randrange(3) for _ in range(TRAITS)] for _ in range(size)], np.int32).reshape(-1, TRAITS) for size in sizes)
    left = [(-int((one == other).sum()), at, number) for at, other in enumerate(theirs) for number, one in enumerate(ours)]
    wanted = []
    while left:
        _, at, number = min(left)
        wanted.append((number, at))
        left = [entry for entry in left if entry[1] != at and entry[2] != number]
    assert list(zip(*(side.tolist() for side in pair(ours, theirs)), strict=True)) == wanted


def test_more_than_are_compared_are_paired_all_the_same() -> None:
    """Every one of the shorter side gets one of the other, none twice."""
    for ours, theirs in ((700, 90), (90, 700)):
        numbers, others = pair(np.zeros((ours, TRAITS), np.int32), np.zeros((theirs, TRAITS), np.int32))
        assert len(set(numbers.tolist())) == len(set(others.tolist())) == len(numbers) == 90
        assert numbers.tolist() == others.tolist() == list(range(90))
