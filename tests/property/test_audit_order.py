"""Law: events out of order are those behind one that the stream has later, however their arrival came to be known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dovestorm.audit import order, scratch
from dovestorm.audit.order import Order
from dovestorm.audit.scratch import Scratch, Table


@given(
    places=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=12),
    known_later=st.sets(st.integers(0, 100)),
    size=st.integers(1, 30),
    most_rows=st.sampled_from([3, 1000]),
)
def test_what_is_late_is_what_an_oracle_finds(places, known_later, size, most_rows) -> None:
    """Runs of places arrive, some of them again: of these, what comes first counts."""
    arrived = [place + more for place, count in places for more in range(count)]
    wanted, front, seen = [], -1, set()
    for arrival, place in enumerate(arrived):
        if place not in seen and place < front:
            wanted.append((place, arrival, front - place))
        front = max(front, place)
        seen.add(place)
    with Scratch(most_rows=most_rows) as folder, pytest.MonkeyPatch.context() as patch:
        for name, value in {"_BITS": 3, "_LONGEST": 8}.items():
            patch.setattr(order, name, value)
        orders = Order(folder)
        again = {place for place in arrived if arrived.count(place) > 1}
        for begin in range(0, len(arrived), size):
            part = [(at, arrived[at]) for at in range(begin, min(begin + size, len(arrived)))]
            for which, take in (
                ([pair for pair in part if pair[0] not in known_later and pair[1] not in again], orders.follow),
                ([pair for pair in part if pair[0] in known_later and pair[1] not in again], orders.add),
                ([pair for pair in part if pair[1] in again], orders.contest),
            ):
                pairs = np.array(which, np.int64).reshape(-1, 2)
                take(pairs[:, 0], pairs[:, 1])
        found = [entry for parts in orders.late() for entry in zip(*(column.tolist() for column in parts), strict=True)]
        assert found == wanted
        assert (orders.count, orders.farthest) == (len(wanted), max((behind for _, _, behind in wanted), default=0))


@given(sizes=st.lists(st.integers(0, 9), max_size=20), most_rows=st.sampled_from([5, 1000]))
def test_a_table_gives_its_rows_in_order(sizes, most_rows) -> None:
    """In memory, over several arrays, or from its file."""
    with Scratch(most_rows=most_rows) as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(scratch, "_BLOCK_ROWS", 4)
        table, first = Table(folder, [("at", "<i8")]), 0
        for size in sizes:
            rows = np.arange(first, first + size).astype(np.int64).view([("at", "<i8")])
            table.add(rows)
            first += size
        assert [at for chunk in table.chunks() for at in chunk["at"].tolist()] == list(range(first)) == list(range(table.count))
