"""Who sends which shard, and from where: the master's table, and a worker's ledger."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dovestorm.load.ledger import Ledger
from dovestorm.load.shards import ShardTable


def holders(table):
    return [shard.holder for shard in table.shards]


def test_worker_i_takes_shard_i_whatever_the_order_of_coming():
    table = ShardTable([None] * 3)
    for index in (2, 0, 1):
        table.join(f"w{index}", index)
        table.moves()
    assert holders(table) == ["w0", "w1", "w2"]


def test_without_users_on_some_workers_the_others_take_all():
    table = ShardTable([None] * 4)
    table.join("w1", 1)
    table.moves()
    assert holders(table) == ["", "w1", "", ""]
    table.settle()
    table.moves()
    assert holders(table) == ["w1"] * 4


def test_a_lost_workers_shard_goes_on_from_its_last_report():
    table = ShardTable([None] * 2)
    table.join("a", 0)
    table.join("b", 1)
    table.moves()
    table.report("a", 1, 700, 900, over=False)
    assert table.leave("a", lost=True) == [1]
    (move,) = table.moves()
    assert (move.worker, move.shard.number, move.shard.position, move.begins) == ("b", 1, 700, True)
    (takeover,) = table.takeovers
    assert (takeover.position, takeover.in_doubt, takeover.lost) == (700, 200, True)
    assert "200 events" in takeover.to_text()
    assert not table.report("a", 1, 800, 900, over=False), "who was thought dead and is not must be told to stop"
    assert table.shards[0].position == 700


def test_a_shard_that_is_over_stays_over():
    table = ShardTable([None])
    table.join("a", 0)
    table.moves()
    table.report("a", 1, 10, 10, over=True)
    assert table.leave("a", lost=True) == []
    table.join("b", 1)
    assert table.moves() == []
    assert table.is_over


def test_a_worker_that_joins_relieves_the_busiest():
    table = ShardTable([None] * 3)
    table.join("a", 0)
    table.settle()
    table.moves()
    table.join("b", 1)
    (release,) = table.moves()
    assert (release.worker, release.begins) == ("a", False)
    assert table.moves() == [], "asked once"
    table.report("a", release.shard.number, 55, 55, over=False)
    table.give_back("a", release.shard.number)
    (begin,) = table.moves()
    assert (begin.worker, begin.shard.position, begin.begins) == ("b", 55, True)
    assert "in good order" in table.takeovers[0].to_text()


@given(
    st.integers(1, 6), st.lists(st.tuples(st.sampled_from(["join", "leave", "settle", "report"]), st.integers(0, 5), st.integers(0, 99)), max_size=40)
)
def test_every_shard_has_one_holder_at_most_and_never_goes_back(count, steps):
    """Law: whoever comes and goes, positions only grow, and with anyone there after settling, every shard is held."""
    table = ShardTable([None] * count)
    for what, index, amount in steps:
        before = [shard.position for shard in table.shards]
        worker = f"w{index}"
        if what == "join":
            table.join(worker, index)
        elif what == "leave":
            table.leave(worker, lost=bool(amount % 2))
        elif what == "settle":
            table.settle()
        else:
            for shard in table.held(worker):
                table.report(worker, shard.number, shard.position + amount, shard.position + amount, over=False)
        for move in table.moves():
            if not move.begins:
                table.give_back(move.worker, move.shard.number)
        assert all(now.position >= then for now, then in zip(table.shards, before, strict=True))
        assert set(holders(table)) <= {*table.workers, ""}


@given(st.lists(st.integers(1, 9), max_size=20), st.randoms())
def test_the_position_is_the_first_gap(sizes, chance):
    """Law: whatever order batches end in, the position is where the first of them that is under way begins."""
    ledger, begin, entries = Ledger(7), 7, []
    for size in sizes:
        entries.append((begin, ledger.begin(begin + size)))
        begin += size
    chance.shuffle(entries)
    while entries:
        assert ledger.position == min(first for first, _ in entries)
        ledger.end(entries.pop()[1])
    assert ledger.position == ledger.reach == begin
    assert ledger.is_settled
