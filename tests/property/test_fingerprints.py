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


@given(room=st.integers(1, 9), keys=st.lists(st.lists(st.integers(0, 40).map(lambda n: n * 64 % 2**64), max_size=12), max_size=6))
def test_both_remember_the_same(room, keys) -> None:
    """Law: the two memories agree, and the ``room`` latest different keys are never forgotten."""
    memories = [kernel.Recent(room) for kernel in (compiled, reference)]
    first, latest = 0, {}
    asked = np.arange(0, 41 * 64, 64, dtype=np.uint64)
    for part in keys:
        for memory in memories:
            memory.add(np.array(part, np.uint64), first)
        for number, key in enumerate(part, first):
            latest.pop(key, None)
            latest[key] = number
        first += len(part)
        found = [memory.find(asked).tolist() for memory in memories]
        assert found[0] == found[1]
        assert all(found[0][key // 64] == number for key, number in list(latest.items())[-room:])


@BOTH
def test_what_cannot_be_is_refused(kernel) -> None:
    for begins, ends in (([0], [4]), ([2], [1]), ([-1], [1])):
        with pytest.raises(ValueError, match="record 0: from"):
            kernel.fingerprint(b"abc", np.array(begins), np.array(ends))
    with pytest.raises(ValueError, match="1 beginnings for 2 ends"):
        kernel.fingerprint(b"abc", np.array([0]), np.array([1, 2]))
    with pytest.raises(ValueError, match="must be 1 or more"):
        kernel.Recent(0)
    with pytest.raises(ValueError, match="must be 0 or more"):
        kernel.Recent(1).add(np.array([1], np.uint64), -1)
