"""The machine's promises about order, sessions and memory, on shipped scenarios."""

from __future__ import annotations

import numpy as np
import pytest

from dovestorm.batch import ABSENT
from dovestorm.errors import UsageError
from dovestorm.stream import Limits, open_stream


def batches(name, **options):
    limits = options.pop("limits", Limits(events=20_000))
    return list(open_stream(name, seed=options.pop("seed", 3), limits=limits, **options).batches())


def test_export_times_never_go_back_and_never_precede_the_sending():
    last = 0
    for batch in batches("working-day"):
        end = batch.end
        assert (np.diff(end) >= 0).all()
        assert end[0] >= last
        last = int(end[-1])
        assert (batch.values[batch.offset] <= end).all()


def test_events_that_are_read_together_share_their_end_time():
    ends = np.concatenate([batch.end for batch in batches("working-day")])
    assert len(np.unique(ends)) < 0.97 * len(ends)


def test_sessions_are_all_started_and_all_end():
    machine = open_stream("working-day", seed=3, limits=Limits(sessions=300)).machine()
    seen = {session for batch in machine.batches() for session in batch.session.tolist()}
    assert machine.started == 300
    assert machine.alive == 0
    assert seen == set(range(300))


def test_a_duration_cuts_the_stream():
    limits = Limits(duration=60_000_000)
    stream = open_stream("working-day", seed=3, limits=limits)
    ends = np.concatenate([batch.end for batch in stream.batches()])
    assert ends.max() < stream.scenario.start + 60_000_000
    assert ends.max() > stream.scenario.start + 55_000_000


def test_no_events_asked_for_gives_none():
    assert batches("imap-login", limits=Limits(events=0)) == []
    assert batches("imap-login", limits=Limits(sessions=0)) == []


def test_the_rate_factor_multiplies_arrivals():
    def sessions(rate):
        machine = open_stream("imap-login", seed=3, limits=Limits(duration=600_000_000), rate=rate).machine()
        for _ in machine.batches():
            pass
        return machine.started

    # 10 minutes at 2/s: 1,200 expected, standard deviation 35; ten times that: 12,000, standard deviation 110. Five deviations each.
    assert abs(sessions(1) - 1200) < 175
    assert abs(sessions(10) - 12_000) < 550


def test_many_users_cost_what_few_do():
    few, many = (open_stream("imap-login", seed=3, overrides={"population.users": users}) for users in (1000, 100_000_000))
    assert few.program.cells == many.program.cells
    assert len(few.layout.texts) == len(many.layout.texts)
    names = {
        batch.field_values(kind, row).get("user")
        for batch in open_stream("imap-login", seed=3, limits=Limits(sessions=500), overrides={"population.users": 100_000_000}).batches()
        for kind, _, row in batch.rows()
    }
    assert any(name and any(letter.isdigit() for letter in name.split("@")[0]) for name in names)


def test_users_have_names_of_their_own():
    from dovestorm.engine.blocks import Builder, Const
    from dovestorm.engine.sessions import _packed
    from dovestorm.kernel.instructions import MEANINGS

    scenario = open_stream("imap-login", overrides={"population.users": 400_000}).scenario
    builder = Builder()
    rank = builder.register()
    result = _packed(scenario, rank, builder)
    columns = {rank.index: np.arange(400_000, dtype=np.int64)}
    for one in builder.operations:
        operands = (np.int64(o.value) if isinstance(o, Const) else columns[o.index] for o in one.operands)
        columns[one.register] = MEANINGS[one.code](*operands)
    packed = columns[result.index]
    without_domain = packed & ((1 << 44) - 1)
    assert len(np.unique(without_domain)) == 400_000


@pytest.mark.parametrize("dovecot", ["2.3.6", "2.3.19"])
@pytest.mark.parametrize("name", ["imap-login", "working-day", "password-spray"])
def test_what_is_shipped_is_valid(name, dovecot):
    from dovestorm import catalog
    from dovestorm.validate import Validator

    stream = open_stream(name, seed=5, dovecot=dovecot, limits=Limits(events=20_000))
    validator = Validator(catalog.load(dovecot))
    for block in stream.blocks("json"):
        for line in bytes(block.data).splitlines():
            validator.feed_line(line)
    report = validator.finish()
    assert report.valid, report.to_text()
    assert report.events >= 16_000


def test_a_session_is_one_whole():
    """Addresses, ports and the session id are the same in all events of a session; tags count; a failed login sends no commands."""
    stream = open_stream("working-day", seed=5, dovecot="2.3.19", limits=Limits(sessions=400))
    sessions: dict[int, list[tuple[str, dict]]] = {}
    for batch in stream.batches():
        for kind, session, row in batch.rows():
            sessions.setdefault(session, []).append((kind.event, batch.field_values(kind, row)))
    failed = 0
    for events in sessions.values():
        for name in ("session", "remote_ip", "remote_port", "local_port", "user"):
            assert len({fields[name] for _, fields in events if name in fields}) == 1, name
        tags = [fields["cmd_tag"] for event, fields in events if event == "imap_command_finished"]
        assert tags == [f"a{number + 1}" for number in range(len(tags))]
        if not any(fields.get("success") == "yes" for _, fields in events):
            failed += 1
            assert not tags
    assert failed


def test_running_totals_add_up():
    stream = open_stream("working-day", seed=5, limits=Limits(sessions=300))
    sums: dict[int, list[int]] = {}
    totals: dict[int, tuple[int, int]] = {}
    for batch in stream.batches():
        for kind, session, row in batch.rows():
            fields = batch.field_values(kind, row)
            if kind.event == "imap_command_finished":
                pair = sums.setdefault(session, [0, 0])
                pair[0] += fields["bytes_in"]
                pair[1] += fields["bytes_out"]
            elif kind.event == "client_connection_disconnected":
                totals[session] = (fields["bytes_in"], fields["bytes_out"])
    assert len(totals) == 300
    assert all(tuple(sums.get(session, [0, 0])) == total for session, total in totals.items())


def test_absent_is_no_number_that_arithmetic_makes():
    assert ABSENT == -(2**63)


@pytest.mark.parametrize("rate", [0, -1, float("inf"), float("nan")])
def test_a_rate_factor_that_cannot_be_is_refused(rate):
    with pytest.raises(UsageError, match="must be a number above 0"):
        open_stream("imap-login", rate=rate)
