"""A real Dovecot is driven with real clients: we take every event that it exports for valid, and what we generate looks like it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import likeness
import mail_clients
import post_clients
import pytest
from policy_server import BREAKING, DELAYED, REFUSED, policy_server
from real_dovecot import PASSWORD, USERS, real_dovecot
from waiting import wait_until

import dovestorm
from dovestorm import catalog
from dovestorm.receive import Receiver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from real_dovecot import RealDovecot

    Event = dict[str, Any]
    Visit = Callable[[RealDovecot], None]

pytestmark = [pytest.mark.real_server, pytest.mark.slow]

LOOPBACK = str(Path(__file__).with_name("loopback.yaml"))
POST = str(Path(__file__).with_name("loopback-post.yaml"))
# What happens whenever a client does the same. Around it lie the events of mailboxes, mails and caches, which depend on what was there before.
SECTIONS = {"authentication-client", "authentication-server", "connection", "dns", "http", "imap", "sql"}
SESSIONS = 60
BUSY = {"duration-fits", "imap-times"}
LIKE_LOOPBACK: tuple[Visit, ...] = (
    mail_clients.browse,
    mail_clients.browse,
    mail_clients.browse,
    mail_clients.typing_error,
    mail_clients.give_up,
    mail_clients.log_in_by_login,
    mail_clients.lose_connection,
)
LIKE_POST: tuple[Visit, ...] = (
    post_clients.deliver_once,
    post_clients.deliver_twice,
    post_clients.deliver_to_nobody,
    post_clients.lose_delivery,
    post_clients.deliver_once,
    *post_clients.POP3_VISITS,
)

SQL = """driver = sqlite
connect = {folder}/accounts.db
password_query = SELECT username AS user, password FROM accounts WHERE username = '%u'
user_query = SELECT username AS user FROM accounts WHERE username = '%u'
iterate_query = SELECT username AS user FROM accounts
"""
DATABASES = """
passdb {
  driver = passwd-file
  args = ${folder}/masters
  master = yes
  pass = yes
}
passdb {
  driver = sql
  args = ${folder}/sql.conf
  result_failure = continue
  result_internalfail = continue
}
passdb {
  driver = passwd-file
  args = scheme=PLAIN ${folder}/users
}
userdb {
  driver = sql
  args = ${folder}/sql.conf
}
userdb {
  driver = passwd-file
  args = ${folder}/users
}
"""
SETTINGS = """
auth_master_user_separator = *
auth_cache_size = 1M
imap_id_retain = yes
auth_policy_hash_nonce = nonce
auth_policy_server_url = POLICY
"""


@dataclass(frozen=True)
class Recording:
    """What a server said: the records as http-post brought them, as its log has them in order, and whole visits that were alone."""

    edition: str
    posted: list[bytes]
    logged: list[bytes]
    alone: dict[str, list[list[Event]]]

    @property
    def ordered(self) -> list[bytes]:
        """The records as http-post brought them, put into the order of the log (http-post swaps those of a burst)."""
        by_cut: dict[str, list[bytes]] = {}
        for record in self.posted:
            by_cut.setdefault(_as_logged(record), []).append(record)
        return [by_cut[_as_logged(record)].pop(0) for record in self.logged]


def _as_logged(record: bytes) -> str:
    """A record as the log exporter writes it, which cuts long values."""

    def cut(value: object) -> object:
        if isinstance(value, str) and len(value) > 1000:
            return value[:1000] + "..."
        return value

    event = json.loads(record)
    event["fields"] = {name: cut(value) for name, value in event["fields"].items()}
    return json.dumps(event)


class Watch:
    """Knows when a server has said all that it has to say of what was done to it."""

    def __init__(self, server: RealDovecot, receiver: Receiver) -> None:
        self.server, self.receiver, self.connections = server, receiver, 0

    def visit(self, visit: Visit) -> None:
        """Do something to the server."""
        before = mail_clients.connections()
        visit(self.server)
        self.expect(mail_clients.connections() - before)

    def expect(self, connections: int) -> None:
        """Say that so many connections were made, and wait until all are over."""
        self.connections += connections
        wait_until(self._is_silent, lambda: f"the end of {self.connections} visits; the server complains of {self.server.complaints()}")

    def _is_silent(self) -> bool:
        seen: dict[tuple[str, str], int] = {}
        records = self.server.logged()
        for event in map(json.loads, records):
            place = (event["event"], likeness.service(event))
            seen[place] = seen.get(place, 0) + ("error" not in event["fields"])

        def times(event: str, *services: str) -> int:
            return sum(seen.get((event, service), 0) for service in services)

        login, mail = ("imap-login", "pop3-login"), ("imap", "pop3")
        begun = times("server_connection_connected", *login) + times("client_connection_connected", "lmtp")
        return (
            begun == self.connections
            and times("server_connection_connected", *login, *mail) == times("server_connection_disconnected", *login, *mail)
            and times("client_connection_connected", "lmtp") == times("client_connection_disconnected", "lmtp")
            and times("auth_master_client_login_finished", *mail) == times("mail_user_session_finished", *mail)
            and len(records) == self.server.counts()["every_event"] == self.receiver.intake.events
        )


@contextlib.contextmanager
def _watched(require_program: Callable[[str], str], **config: str) -> Iterator[Watch]:
    with Receiver("http://127.0.0.1:0", keep=True) as receiver, real_dovecot(require_program, receiver=receiver.url, log=True, **config) as server:
        yield Watch(server, receiver)


def _recording(watch: Watch, alone: dict[str, list[list[Event]]]) -> Recording:
    return Recording(watch.server.edition, watch.receiver.records(), watch.server.logged(), alone)


@pytest.fixture(scope="module")
def plain(require_program: Callable[[str], str]) -> Recording:
    """A server with one password file: some visits one after another, then all kinds of them at once, then the administrator."""
    with _watched(require_program) as watch:
        server = watch.server
        watch.visit(post_clients.deliver)
        alone: dict[str, list[list[Event]]] = {"imap-login": [], LOOPBACK: [], POST: []}
        for scenario, visits in (("imap-login", (mail_clients.clean_session,) * 8), (LOOPBACK, LIKE_LOOPBACK), (POST, LIKE_POST)):
            for visit in visits:
                before = len(server.logged())
                watch.visit(visit)
                alone[scenario].append([json.loads(record) for record in server.logged()[before:]])
        before = mail_clients.connections()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda visit: visit(server), (*mail_clients.IMAP_VISITS, *post_clients.POP3_VISITS, *post_clients.LMTP_VISITS)))
        for command in (
            ("auth", "test", USERS[0], PASSWORD),
            ("auth", "test", USERS[1], "wrong"),
            ("auth", "lookup", USERS[0]),
            ("auth", "login", USERS[0], PASSWORD),
            ("user", USERS[0]),
            ("user", "nobody@example.com"),
            ("user", "*"),
            ("auth", "cache", "flush"),
            ("mailbox", "list", "-u", USERS[0]),
            ("fetch", "-u", USERS[0], "hdr", "all"),
        ):
            server.doveadm(*command, check=False)
        watch.expect(mail_clients.connections() - before)
        assert server.complaints() == []
        return _recording(watch, alone)


@pytest.fixture(scope="module")
def chained(require_program: Callable[[str], str]) -> Recording:
    """A server with master users, SQL behind workers, a password file after it, a cache and a policy server."""
    with policy_server() as policy, _watched(require_program, databases=DATABASES, settings=SETTINGS.replace("POLICY", policy)) as watch:
        folder = watch.server.folder
        (folder / "masters").write_text("admin:{PLAIN}secret\n", encoding="utf-8")
        (folder / "sql.conf").write_text(SQL.format(folder=folder), encoding="utf-8")
        with contextlib.closing(sqlite3.connect(folder / "accounts.db")) as database:
            database.execute("CREATE TABLE accounts (username TEXT, password TEXT)")
            database.executemany("INSERT INTO accounts VALUES (?, ?)", [(user, f"{{PLAIN}}{PASSWORD}") for user in USERS[:4]])
            database.commit()
        (folder / "accounts.db").chmod(0o666)
        attempts = [
            *(
                (user, PASSWORD)
                for user in (USERS[0], USERS[1], USERS[5], USERS[5], REFUSED, DELAYED, BREAKING, "nobody@example.com", "b d@example.com")
            ),
            (f"{USERS[0]}*admin", "secret"),
            (f"{USERS[0]}*admin", "wrong"),
            (USERS[6], "wrong"),
        ]
        before = mail_clients.connections()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda attempt: mail_clients.attempt(watch.server, *attempt), attempts))
        for command in (
            ("auth", "lookup", USERS[0]),
            ("user", USERS[0]),
            ("user", "*"),
            ("auth", "cache", "flush"),
            ("auth", "test", USERS[1], PASSWORD),
        ):
            watch.server.doveadm(*command, check=False)
        mail_clients.attempt(watch.server, USERS[0], PASSWORD)
        post_clients.deliver(watch.server)
        watch.expect(mail_clients.connections() - before)
        assert all("policy" in line for line in watch.server.complaints()), watch.server.complaints()
        return _recording(watch, {})


@pytest.fixture(params=["plain", "chained"])
def recording(request: pytest.FixtureRequest) -> Recording:
    return request.getfixturevalue(request.param)


def validate(records: Sequence[bytes], folder: Path, edition: str, *options: str) -> dict[str, Any]:
    """The validator's report."""
    path = folder / "events.json"
    path.write_bytes(b"".join(record + b"\n" for record in records))
    command = [sys.executable, "-m", "dovestorm", "validate", "--dovecot", edition, "--json", *options, str(path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode in {0, 1}, run.stderr
    return json.loads(run.stdout)


def faults(report: dict[str, Any]) -> list[Any]:
    """What is wrong, but for a few times: on a busy machine the clock that the stats process keeps may be late by more than we allow."""
    late = [fault for fault in report["faults"] if fault["rule"] in BUSY and fault["count"] <= report["events"] // 50]
    return [fault for fault in report["faults"] if fault not in late]


def told(events: Iterable[Event], edition: str) -> list[Event]:
    """The events that happen whenever a client does the same."""
    sections = {event.name: event.section for event in catalog.load(edition).by_canonical.values()}
    return [event for event in events if sections.get(event["event"]) in SECTIONS]


def around(events: Iterable[Event], edition: str) -> list[Event]:
    """The others: of mailboxes, mails, caches, transactions, scripts."""
    sections = {event.name: event.section for event in catalog.load(edition).by_canonical.values()}
    return [event for event in events if sections.get(event["event"]) not in SECTIONS]


def recorded(edition: str) -> list[list[Event]]:
    """What the same server said in situations that nobody drives it into here: by recording, if they are of this edition."""
    return likeness.recordings() if edition == likeness.RECORDED else []


def generated(scenario: str, edition: str, *, sessions: int = SESSIONS) -> list[list[Event]]:
    """Sessions that know nothing of each other."""
    streams = (dovestorm.generate(scenario, seed=seed, sessions=1, dovecot=edition) for seed in range(sessions))
    return [[json.loads(line) for line in stream.lines()] for stream in streams]


def test_http_post_brings_every_event(recording: Recording) -> None:
    assert len(recording.posted) > 200
    assert sorted(map(_as_logged, recording.posted)) == sorted(map(_as_logged, recording.logged))


def test_every_event_of_a_real_server_is_valid(recording: Recording, tmp_path: Path) -> None:
    assert faults(validate(recording.ordered, tmp_path, recording.edition)) == []


def test_every_event_is_valid_in_the_order_of_http_post(recording: Recording, tmp_path: Path) -> None:
    """Which swaps the events of a burst, so that there is no order to hold them to."""
    assert faults(validate(recording.posted, tmp_path, recording.edition, "--unordered")) == []


@pytest.mark.parametrize("scenario", ["imap-login", "working-day", "password-spray", LOOPBACK])
def test_generated_events_look_real(scenario: str, plain: Recording, chained: Recording) -> None:
    """Fields, their order and types, categories: nothing that no real event of that kind has, nothing left out that each has."""
    real = likeness.shapes(json.loads(record) for record in plain.posted + chained.posted)
    made = likeness.shapes(event for session in generated(scenario, plain.edition) for event in told(session, plain.edition))
    assert likeness.misfits(real, made) == []


@pytest.mark.parametrize("scenario", ["imap-login", "working-day", "webmail", "pop3", "lmtp-delivery", LOOPBACK, POST])
def test_what_goes_on_around_commands_looks_real(scenario: str, plain: Recording, chained: Recording) -> None:
    """The same of mailboxes, mails, caches, deliveries and the like."""
    live = [json.loads(record) for record in plain.posted + chained.posted]
    real = likeness.shapes(event for recording in (live, *recorded(plain.edition)) for event in recording)
    made = likeness.shapes(event for session in generated(scenario, plain.edition) for event in around(session, plain.edition))
    assert made
    assert likeness.misfits(real, made) == []


@pytest.mark.parametrize("scenario", ["imap-login", LOOPBACK])
def test_the_matching_scenario_has_every_kind_of_event(scenario: str, plain: Recording) -> None:
    real = likeness.shapes(event for session in plain.alone[scenario] for event in told(session, plain.edition))
    made = likeness.shapes(event for session in generated(scenario, plain.edition) for event in told(session, plain.edition))
    assert set(made) == set(real)


@pytest.mark.parametrize("scenario", ["imap-login", LOOPBACK])
def test_generated_sessions_run_as_real_ones(scenario: str, plain: Recording) -> None:
    """Within each process every step from event to event occurs in both; across processes, where arrival varies, the common ones."""
    real = [told(session, plain.edition) for session in plain.alone[scenario]]
    made = [told(session, plain.edition) for session in generated(scenario, plain.edition)]
    assert likeness.transitions(made) == likeness.transitions(real)
    across = likeness.common_pairs(real, share=0.9)
    assert across <= likeness.common_pairs(made, share=0.3)


@pytest.mark.parametrize("scenario", ["imap-login", LOOPBACK, POST])
def test_common_steps_of_real_visits_are_made(scenario: str, plain: Recording) -> None:
    """What most visits have of steps within a process, what goes on around their commands included."""
    usual = likeness.usual_steps(plain.alone[scenario], share=0.6, name=_plain_name)
    assert len(usual) > 15
    assert usual - likeness.transitions(generated(scenario, plain.edition), name=_plain_name) == set()


@pytest.mark.parametrize("scenario", ["working-day", "password-spray", "webmail", "pop3", "lmtp-delivery", LOOPBACK, POST])
def test_no_step_is_made_up(scenario: str, plain: Recording, chained: Recording) -> None:
    """From event to event, whatever the commands are, since people go about them in more ways than these visits do."""
    live = ([json.loads(record) for record in recording.logged] for recording in (plain, chained))
    real = [session for recording in (*live, *recorded(plain.edition)) for session in likeness.by_session(recording)]
    made = [session for whole in generated(scenario, plain.edition) for session in likeness.by_session(whole)]
    steps = likeness.transitions(made, name=_plain_name)
    assert steps - likeness.transitions(real, name=_plain_name) == set()


def _plain_name(event: Event) -> str:
    return str(event["event"])


@pytest.mark.parametrize("scenario", ["imap-login", LOOPBACK, POST])
def test_durations_are_of_the_same_order(scenario: str, plain: Recording) -> None:
    """The median that we generate lies within what was measured here, give or take a factor of ten. How long users stay is up to them."""
    quick = (around(recording, plain.edition) for recording in recorded(plain.edition))
    real = likeness.durations(event for session in (*plain.alone[scenario], *quick) for event in session)
    made = likeness.durations(event for session in generated(scenario, plain.edition) for event in session)
    medians = {name: values[len(values) // 2] for name, values in made.items() if name in real}
    outside = {
        name: (median, real[name])
        for name, median in medians.items()
        if "session" not in name and not real[name][0] / 10 <= median <= real[name][-1] * 10
    }
    assert outside == {}
