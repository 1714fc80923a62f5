"""The questions that other parts ask the catalog."""

from __future__ import annotations

import pickle

import pytest

from dovestorm import catalog
from dovestorm.errors import CatalogError
from dovestorm.resources import catalog_dir


@pytest.fixture(scope="module")
def whole() -> catalog.Catalog:
    return catalog.Catalog(catalog_dir())


def test_an_edition_is_made_once():
    assert catalog.load("2.3.19") is catalog.load("2.3.19")


def test_versions_are_those_that_can_be_loaded():
    versions = catalog.versions()
    assert (versions[0], versions[1], versions[-1], len(versions)) == ("2.3.6", "2.3.7", "2.4.4", 20)
    assert tuple(catalog.load(version).version for version in versions) == versions


@pytest.mark.parametrize(("asked", "got"), [("2.3.19.1", "2.3.19"), ("2.3.7.2", "2.3.7"), ("2.3.21.1", "2.3.21"), ("2.4.1.0", "2.4.1")])
def test_a_patch_release_has_the_edition_of_what_it_patches(asked, got):
    assert catalog.load(asked) is catalog.load(got)


@pytest.mark.parametrize(
    ("asked", "nearest"),
    [
        ("2.3.12", "2.3.13"),
        ("2.3.5", "2.3.6"),
        ("2.3.6.1", "2.3.6"),
        ("2.3.66", "2.3.21"),
        ("2.4", "2.4.0"),
        ("3.0.0", "2.4.4"),
        ("2.2.36", "2.3.6"),
        ("v2.3.19", "2.3.19"),
        ("2.3.19-1", "2.3.19"),
    ],
)
def test_an_unknown_version_gets_the_nearest_one_offered(asked, nearest):
    with pytest.raises(CatalogError) as caught:
        catalog.load(asked)
    assert str(caught.value) == f"unknown Dovecot version '{asked}', known are 2.3.6 to 2.4.4, did you mean '{nearest}'?"
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("asked", ["", "newest", "9" * 5000])
def test_what_is_no_version_is_told_all_of_them(asked):
    with pytest.raises(CatalogError, match=r"known are 2\.3\.6 to 2\.4\.4 \(2\.3\.6, 2\.3\.7, .*, 2\.4\.4\)$"):
        catalog.load(asked)


def test_an_edition_finds_events_by_both_names():
    edition = catalog.load("2.3.6")
    event = edition.events["auth_client_request_continue"]
    assert edition.by_canonical["auth_client_request_continued"] is event
    assert "auth_client_request_continued" not in edition.events


def test_event_names_are_those_of_all_editions():
    names = catalog.event_names()
    # 145 of the servers, of which one is called otherwise in early releases.
    assert len(names) == len(set(names)) == 144
    assert set(names) == {name for version in catalog.versions() for name in catalog.load(version).by_canonical}


def test_fields_are_those_of_all_editions():
    fields = catalog.canonical_fields("client_connection_connected")
    assert {"client_ip", "client_port", "ip", "port", "remote_ip", "remote_port", "remote_pid", "duration", "reason_code"} <= fields
    assert "bytes_in" not in fields
    for event in catalog.event_names():
        having = [edition.by_canonical[event] for edition in map(catalog.load, catalog.versions()) if event in edition.by_canonical]
        assert catalog.canonical_fields(event) >= {name for one in having for name in one.fields}
    with pytest.raises(CatalogError, match="unknown event 'imap_comand_finished', did you mean 'imap_command_finished'"):
        catalog.canonical_fields("imap_comand_finished")


def test_pairs_give_what_starts_and_what_finishes():
    pairs = catalog.pairs()
    assert pairs["auth_passdb_request"] == ("auth_passdb_request_started", "auth_passdb_request_finished")
    assert pairs["client_connection"] == ("client_connection_connected", "client_connection_disconnected")
    assert pairs["server_connection"] == ("server_connection_connected", "server_connection_disconnected")
    assert pairs["dns_request"] == ("dns_request_started", "dns_request_finished")
    assert pairs["auth_master_client_login"] == ("auth_master_client_login_started", "auth_master_client_login_finished")
    for prefix in (
        "auth_request",
        "auth_policy_request",
        "auth_worker_request",
        "http_request",
        "imap_command",
        "sql_query",
        "sql_transaction",
        "sql_connection",
    ):
        assert pairs[prefix] == (None, f"{prefix}_finished")
    sided = {name for pair in pairs.values() for name in pair if name}
    endings = ("_started", "_connected", "_finished", "_disconnected")
    assert sided == {name for name in catalog.event_names() if name.endswith(endings)}
    assert pairs["smtp_server_transaction"] == ("smtp_server_transaction_started", "smtp_server_transaction_finished")


def test_pairs_agree_on_the_fields_of_start_and_finish():
    """What a start says, its finish says too, so a span can give the fields once."""
    for version in catalog.versions():
        events = catalog.load(version).by_canonical
        for start, finish in catalog.pairs().values():
            if start in events and finish in events:
                assert set(events[start].fields) <= set(events[finish].fields), (version, start)
                assert set(events[start].services) == set(events[finish].services)


def test_categories_depend_on_the_service():
    event = catalog.load("2.3.19").events["http_request_finished"]
    assert event.categories_for("auth") == ("auth", "http-client")
    assert event.categories_for("imap") == ("http-client", "imap", "storage")
    assert event.categories_for("some-new-process") == event.categories
    assert event.known_categories >= {"auth", "http-client", "imap", "storage", "lmtp", "push-notification", "smtp-server"}


def test_an_edition_goes_to_another_process():
    edition = catalog.load("2.3.19")
    assert pickle.loads(pickle.dumps(edition)) == edition  # noqa: S301


def test_a_category_has_the_name_of_the_release_or_none():
    early, late = catalog.load("2.3.10"), catalog.load("2.3.19")
    assert [one.category("push-notification") for one in (early, late)] == ["push_notification", "push-notification"]
    assert [one.category("http-client") for one in (early, late)] == [None, "http-client"]
    assert early.category("storage") == "storage"
    assert catalog.load("2.3.6").category("http-client") == "http-client"


@pytest.mark.parametrize(
    ("release", "event", "field", "name"),
    [
        ("2.3.8", "imap_command_finished", "cmd_tag", "tag"),
        ("2.3.9", "imap_command_finished", "cmd_tag", "cmd_tag"),
        ("2.3.10", "auth_request_finished", "original_user", "original_username"),
        ("2.3.11", "auth_request_finished", "original_user", "orig_user"),
        ("2.3.13", "auth_request_finished", "original_user", "original_user"),
        ("2.3.21", "imap_command_finished", "bytes_in", "bytes_in"),
        ("2.4.0", "imap_command_finished", "bytes_in", "net_in_bytes"),
        ("2.3.21", "auth_passdb_request_started", "passdb", "passdb"),
        ("2.4.0", "auth_passdb_request_started", "passdb", "passdb_driver"),
        ("2.4.0", "auth_passdb_request_started", "passdb_name", "passdb"),
        ("2.3.8", "http_request_finished", "dest_host", "host"),
        ("2.3.11", "auth_worker_request_finished", "command_id", "id"),
        ("2.4.4", "auth_client_request_started", "service", "protocol"),
    ],
)
def test_renames(whole, release, event, field, name):
    assert whole.load(release).by_canonical[event].fields[field].name == name


@pytest.mark.parametrize(
    ("event", "field", "absent", "present"),
    [
        ("imap_command_finished", "duration", "2.3.10", "2.3.11"),
        ("sql_query_finished", "duration", "2.3.10", "2.3.11"),
        ("imap_command_finished", "reason_code", "2.3.17", "2.3.18"),
        ("auth_passdb_request_finished", "cache", "2.3.18", "2.3.19"),
        ("auth_request_finished", "success", "2.3.8", "2.3.9"),
        ("auth_request_finished", "credentials_scheme", "2.3.13", "2.3.11"),
        ("auth_client_userdb_list_started", "user_mask", "2.3.11", "2.3.13"),
        ("server_connection_connected", "client_ip", "2.3.9", "2.3.8"),
    ],
)
def test_ranges(whole, event, field, absent, present):
    assert field not in whole.load(absent).by_canonical[event].fields
    assert field in whole.load(present).by_canonical[event].fields


def test_marks_of_the_releases(whole):
    assert [whole.load(release).service_category for release in ("2.3.8", "2.3.9")] == [False, True]
    assert [whole.load(release).upper_hex for release in ("2.3.21", "2.4.0")] == [False, True]
    assert whole.load("2.3.10").events["auth_client_request_continue"].canonical == "auth_client_request_continued"
    assert "auth_client_request_continue" not in whole.load("2.3.11").events
    assert whole.load("2.3.21").by_canonical["auth_request_finished"].fields["transport"].values == ("insecure", "trusted", "TLS")
    assert whole.load("2.4.0").by_canonical["auth_request_finished"].fields["transport"].values == ("insecure", "secured", "TLS")


def test_orders_name_only_fields_of_the_event(whole):
    for release in whole.versions:
        for event in whole.load(release).events.values():
            for service, order in event.orders.items():
                assert service in event.services
                assert set(order) <= set(event.fields), (release, event.name)
                always = {name for name, field in event.fields.items() if field.always}
                assert always <= set(order), (release, event.name, service)
