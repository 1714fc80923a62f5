"""Fingerprints: the compiled kernel and its reference agree, and both are MurmurHash3."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovestorm.kernel import fingerprints as reference

compiled = pytest.importorskip("dovestorm.kernel._fingerprint", reason="the kernel was not compiled")
BOTH = pytest.mark.parametrize("kernel", [compiled, reference])


@BOTH
def test_a_known_value(kernel) -> None:
    """Source: the algorithm's published test value for this sentence."""
    text = b"The quick brown fox jumps over the lazy dog"
    low, high = kernel.fingerprint(text, np.array([0]), np.array([len(text)]))
    assert (int(low[0]), int(high[0])) == (0xE34BBC7BBC071B6C, 0x7A433CA9C49A9347)


@given(data=st.binary(max_size=120), cuts=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120)), max_size=6), seek=st.integers(-1, 255))
def test_both_give_the_same(data, cuts, seek) -> None:
    places = np.array([sorted((min(a, len(data)), min(b, len(data)))) for a, b in cuts], np.int64).reshape(-1, 2)
    for trim in (False, True):
        results = [k.fingerprint(data, places[:, 0].copy(), places[:, 1].copy(), seek=seek, trim=trim) for k in (compiled, reference)]
        assert [part.tolist() for part in results[0]] == [part.tolist() for part in results[1]]


@given(data=st.lists(st.sampled_from([b"\n", b"a", b"xyz" * 40])).map(b"".join))
def test_both_find_the_same_newlines(data) -> None:
    assert compiled.line_ends(data).tolist() == reference.line_ends(data).tolist() == [at for at, byte in enumerate(data) if byte == 10]


KEYS = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 1)), max_size=40).map(lambda keys: np.array(keys, np.uint64).reshape(-1, 2) * 64)


def test_places_are_given_away_once_and_the_next_first() -> None:
    for kernel in (compiled, reference):
        window = kernel.Window(4)
        keys = np.array([5, 6, 5, 7, 5], np.uint64)
        window.add(keys, keys)
        asked = np.array([6, 5, 5, 5, 5, 9], np.uint64)
        assert window.match(asked, asked).tolist() == [1, 2, 4, 0, -2 - 4, -1]
        assert window.match(asked[:1], asked[:1] + np.uint64(1)).tolist() == [-1]


@given(room=st.integers(1, 40), steps=st.lists(st.tuples(KEYS, KEYS), max_size=8))
def test_both_windows_give_the_same_places(room, steps) -> None:
    """Law: the two agree, no place is given away twice, and a fingerprint's place that is among the ``room`` latest and left is found."""
    windows = [kernel.Window(room) for kernel in (compiled, reference)]
    made, taken = [], set()
    for added, asked in steps:
        for window in windows:
            window.add(added[:, 0].copy(), added[:, 1].copy())
        made += map(tuple, added.tolist())
        places = [window.match(asked[:, 0].copy(), asked[:, 1].copy()).tolist() for window in windows]
        assert places[0] == places[1]
        for key, place in zip(map(tuple, asked.tolist()), places[0], strict=True):
            left = [at for at in range(max(0, len(made) - room), len(made)) if made[at] == key and at not in taken]
            assert place >= 0 or not left
            assert place < 0 or (made[place] == key and place not in taken)
            assert place >= -1 or made[-2 - place] == key
            taken.add(place)


@BOTH
def test_what_cannot_be_is_refused(kernel) -> None:
    for begins, ends in (([0], [4]), ([2], [1]), ([-1], [1])):
        with pytest.raises(ValueError, match="record 0: from"):
            kernel.fingerprint(b"abc", np.array(begins), np.array(ends))
    with pytest.raises(ValueError, match="1 beginnings for 2 ends"):
        kernel.fingerprint(b"abc", np.array([0]), np.array([1, 2]))
    for room in (0, 2**31):
        with pytest.raises(ValueError, match="must be from 1 to"):
            kernel.Window(room)
    for name in ("add", "match"):
        with pytest.raises(ValueError, match="2 first words and 1 second ones"):
            getattr(kernel.Window(1), name)(np.zeros(2, np.uint64), np.zeros(1, np.uint64))
