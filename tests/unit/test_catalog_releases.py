"""Every release from 2.3.7 on has the events and fields that the server's source gives it, and beyond them only what records take over."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from dovestorm import catalog

FACTS = Path(__file__).parents[1] / "golden" / "catalog-facts.txt"
SERVERS = catalog.versions()[1:]

# Events, and pairs of an event and a field, counted in the collected facts by a way of their own. Those of 2.3 hold 30 events with 40 fields of
# the commercial edition (2 events and 4 fields of them since 2.3.13, 1 and 3 since 2.3.14 ...); those of 2.4 hold one event that is only documented.
COUNTS = {
    "2.3.7": (76, 442),
    "2.3.8": (78, 494),
    "2.3.9": (90, 570),
    "2.3.10": (91, 577),
    "2.3.11": (109, 704),
    "2.3.13": (115, 926),
    "2.3.14": (116, 929),
    "2.3.15": (122, 957),
    "2.3.16": (123, 965),
    "2.3.17": (125, 961),
    "2.3.18": (129, 1040),
    "2.3.19": (130, 1056),
    "2.3.20": (130, 1056),
    "2.3.21": (130, 1057),
    "2.4.0": (110, 1174),
    "2.4.1": (111, 1191),
    "2.4.2": (111, 1199),
    "2.4.3": (111, 1227),
    "2.4.4": (111, 1230),
}

BASE = ("auth_passdb_request_", "auth_userdb_request_", "auth_policy_request_")
NETWORK = ("local_ip", "local_port", "remote_ip", "remote_port")
# Where the source knows a field that no record carried then: (beginning of the event's name, field, last release).
NEVER_SENT = (
    *((event, field, "2.3.11") for event in BASE for field in ("mechanism", "transport", "translated_user")),
    *((f"auth_{database}_request_started", "user", "2.3.11") for database in ("passdb", "userdb")),
    ("auth_request_finished", "success", "2.3.8"),
    ("auth_request_finished", "policy_penalty", "2.3.10"),
    # Workers and the resolver are reached over UNIX sockets only.
    *((event, field, SERVERS[-1]) for event in ("auth_worker_request_", "dns_worker_request_") for field in NETWORK),
    # Deleted from the base event in that release only.
    ("auth_request_finished", "mechanism", "2.3.11"),
)
# What a record can take over from the work that caused it: the login, the client, the command, the mail, the dictionary, the connection.
_TAKEN_OVER = """
    duration reason_code user session service protocol local_ip local_port remote_ip remote_port real_local_ip real_local_port real_remote_ip
    real_remote_port local_name client_id realm mech mechanism channel_binding transport original_user translated_user login_user master_user
    remote_pid remote_uid remote_gid command command_id id cmd_name cmd_args mailbox port host driver dict_driver dict_name dict socket_path
    connection_id transaction_id mail_from mail_from_raw rcpt_to recipients data_size data_sent bytes_in bytes_out net_in_bytes net_out_bytes
    message_id message_from message_size message_subject message_vsize script_location
    mail_param_auth mail_param_body mail_param_envid mail_param_ret mail_param_size rcpt_param_notify rcpt_param_orcpt rcpt_param_orcpt_type
    rcpt_index detail
"""
TAKEN_OVER = frozenset(_TAKEN_OVER.split())
# Fields of its own that the recordings show or the documentation has, though the collected facts do not tell them.
OWN = {
    "imap_command_finished": {"old_mailbox", "new_mailbox"},
    "imap_id_received": {"id_param_name", "id_param_version", "id_param_os", "id_param_vendor", "id_invalid1"},
}

# The server puts a blank before this name.
ODD = {"user_mask": " user_mask"}


class Span(NamedTuple):
    """A name and the releases that have it."""

    name: str
    first: str
    last: str

    @classmethod
    def read(cls, text: str) -> Span:
        name, _, releases = text.partition("@")
        first, _, last = releases.partition("-")
        return cls(ODD.get(name, name), first, last or SERVERS[-1])

    def has(self, version: str) -> bool:
        return number(self.first) <= number(version) <= number(self.last)


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@cache
def facts() -> dict[Span, list[Span]]:
    """The fields of every event, those of its groups among them."""
    groups: dict[str, list[Span]] = {}
    events: dict[Span, list[Span]] = {}
    for line in FACTS.read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        kind, name, *rest = line.split()
        fields: list[Span] = []
        for word in rest:
            fields += groups[word[1:]] if word.startswith("+") else [Span.read(word)]
        if kind == "group":
            groups[name] = fields
        else:
            events[Span.read(name)] = fields
    return events


def known(version: str) -> dict[str, set[str]]:
    """Events of a release with the names of their fields, by the facts."""
    return {event.name: {field.name for field in fields if field.has(version)} for event, fields in facts().items() if event.has(version)}


def sent(event: str, field: str, version: str) -> bool:
    return not any(event.startswith(begin) and field == name and number(version) <= number(last) for begin, name, last in NEVER_SENT)


def test_every_release_is_there():
    assert list(COUNTS) == list(SERVERS)
    assert len(facts()) == 145


@pytest.mark.parametrize("version", SERVERS)
def test_as_many_events_and_pairs_as_were_counted(version):
    found = known(version)
    assert (len(catalog.load(version).events), sum(map(len, found.values()))) == COUNTS[version]


@pytest.mark.parametrize("version", SERVERS)
def test_every_event_and_field_of_the_facts_is_in_the_edition_and_nothing_is_made_up(version):
    edition, found = catalog.load(version), known(version)
    assert set(edition.events) == set(found)
    for name, fields in found.items():
        event = edition.events[name]
        ours = {field.name for field in event.fields.values()} | {field.name for field in event.open_fields}
        # A * in the facts' event_* stands for whatever an administrator likes, which no catalog can hold.
        theirs = {field for field in fields if sent(name, field, version) and field != "event_*"}
        assert theirs - ours == set(), name
        assert ours - theirs - TAKEN_OVER - OWN.get(name, set()) == set(), name


@pytest.mark.parametrize("version", SERVERS)
def test_lists_came_with_2_3_18_and_2_4_did_away_with_counters_called_bytes(version):
    fields = [field for event in catalog.load(version).events.values() for field in event.fields.values()]
    assert any(field.type == "list" for field in fields) == (number(version) >= (2, 3, 18))
    assert any(field.name == "bytes_in" for field in fields) == (number(version) < (2, 4))


@pytest.mark.parametrize("version", SERVERS)
def test_categories_are_those_of_the_release(version):
    names = {category for event in catalog.load(version).events.values() for category in event.known_categories}
    assert ("http-client" in names) == (number(version) >= (2, 3, 16))
    assert ("push-notification" in names) == (number(version) >= (2, 3, 11)) != ("push_notification" in names)
    assert ("auth-master-client" in names) == (number(version) < (2, 3, 11))
    assert ("doveadm" in names) == (number(version) >= (2, 4))


@pytest.mark.parametrize("version", ["2.3.7", "2.3.19", "2.4.4"])
def test_what_is_odd_is_marked(version):
    edition = catalog.load(version)
    assert edition.events["auth_passdb_request_started"].fields.get("passdb_id", edition.events["sql_query_finished"].fields["slow_query"]).quirk
    marked = {event.name for event in edition.events.values() if event.quirk}
    assert ("metacache_upload_started" in marked, "fts_flatcurve_last_uid" in marked) == (number(version) < (2, 4), number(version) >= (2, 4))
