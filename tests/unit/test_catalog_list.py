"""The 2.3.6 edition is the published list: nothing more, nothing less, by its names and in its order."""

from __future__ import annotations

import pytest

from dovestorm import catalog

LOOKUP = "service local_ip local_port remote_ip remote_port user"

# Written by hand from the list; "wire=canonical" where the two differ.
LIST: dict[str, dict[str, str]] = {
    "authentication-server": {
        "auth_request_finished": "user original_username=original_user translated_username=translated_user login_user master_user error "
        "successful=success transport mechanism credentials_scheme policy_penalty policy_result",
        "auth_passdb_request_started": "passdb_name passdb",
        "auth_passdb_request_finished": "passdb_name passdb user master_user username domain result",
        "auth_userdb_request_started": "userdb_name userdb",
        "auth_userdb_request_finished": "userdb_name userdb user master_user username domain result",
        "auth_policy_request_finished": "mode policy_response",
    },
    "authentication-client": {
        "auth_client_request_started": "id",
        "auth_client_request_continue=auth_client_request_continued": "id",
        "auth_client_request_finished": "id error",
        "auth_client_request_challenged": "id",
        "auth_client_userdb_lookup_started": LOOKUP,
        "auth_client_userdb_lookup_finished": f"{LOOKUP} error",
        "auth_client_passdb_lookup_started": LOOKUP,
        "auth_client_passdb_lookup_finished": f"{LOOKUP} error",
        "auth_client_userdb_list_started": LOOKUP,
        "auth_client_userdb_list_finished": f"{LOOKUP} error",
        "auth_client_cache_flush_started": LOOKUP,
        "auth_client_cache_flush_finished": f"{LOOKUP} error",
    },
    "connection": {
        "client_connection_connected": "client_ip client_port ip port",
        "client_connection_disconnected": "client_ip client_port ip port bytes_in bytes_out reason",
        "server_connection_connected": "client_ip client_port ip port bytes_in bytes_out",
        "server_connection_disconnected": "client_ip client_port ip port bytes_in bytes_out reason",
    },
    "http": {
        "http_request_finished": "status_code attempts redirects bytes_in bytes_out",
        "http_request_redirected": "status_code attempts redirects bytes_in bytes_out",
        "http_request_retried": "status_code attempts redirects bytes_in bytes_out",
    },
    "imap": {
        "imap_command_finished": "tag=cmd_tag name=cmd_name args=cmd_args human_args=cmd_human_args tagged_reply_state tagged_reply "
        "last_run_time running_usecs lock_wait_usecs bytes_in bytes_out",
    },
    "dns": {
        "dns_worker_request_finished": "error error_code",
        "dns_request_finished": "error error_code",
        "dns_worker_request_started": "",
        "dns_request_started": "",
    },
    "sql": {
        "sql_query_finished": "error error_code query_first_word",
        "sql_transaction_finished": "error error_code",
        "sql_connection_finished": "",
    },
}
PAIRS = {"authentication-server": 32, "authentication-client": 57, "connection": 24, "http": 15, "imap": 11, "dns": 4, "sql": 5}
EDITION = catalog.load("2.3.6")


def both(text: str) -> tuple[str, str]:
    name, _, canonical = text.partition("=")
    return name, canonical or name


def test_the_edition_is_the_list():
    """Same sections, events and fields, in the list's order, with the list's names."""
    expected = [
        (section, *both(event), [both(field) for field in fields.split()]) for section, events in LIST.items() for event, fields in events.items()
    ]
    found = [(e.section, e.name, e.canonical, [(f.name, f.canonical) for f in e.fields.values()]) for e in EDITION.events.values()]
    assert found == expected


def test_33_events_and_148_event_field_pairs():
    assert len(EDITION.events) == 33
    assert sum(len(event.fields) for event in EDITION.events.values()) == 148


def test_event_field_pairs_of_every_section():
    counts = dict.fromkeys(PAIRS, 0)
    for event in EDITION.events.values():
        counts[event.section] += len(event.fields)
    assert counts == PAIRS


def test_sections_have_their_titles_in_order_and_the_version_note():
    titles = {section.key: section.title for section in catalog.sections()}
    assert catalog.sections_of("2.3.6") == tuple(titles)[:7]
    assert list(titles.items())[:7] == [
        ("authentication-server", "Authentication Server"),
        ("authentication-client", "Authentication Client"),
        ("connection", "Connection"),
        ("http", "HTTP"),
        ("imap", "IMAP"),
        ("dns", "DNS"),
        ("sql", "SQL"),
    ]
    assert [section.key for section in catalog.sections() if "v2.3.6" in section.note] == ["authentication-server", "authentication-client"]
    assert all(section.note for section in catalog.sections())


def test_the_list_has_no_fields_or_categories_of_later_servers():
    assert not EDITION.service_category
    assert not EDITION.upper_hex
    names = {name for event in EDITION.events.values() for name in event.fields}
    assert not names & {"duration", "session", "reason_code"}
    assert not any(category.startswith("service:") for event in EDITION.events.values() for category in event.known_categories)


@pytest.mark.parametrize(
    ("event", "field", "values"),
    [
        ("auth_request_finished", "success", ("yes",)),
        ("auth_request_finished", "transport", ("insecure", "trusted", "TLS")),
        ("auth_request_finished", "policy_result", ("ok", "delayed", "refused")),
        ("auth_policy_request_finished", "mode", ("allow", "report")),
        ("imap_command_finished", "tagged_reply_state", ("OK", "NO", "BAD")),
        ("auth_userdb_request_finished", "result", ("ok", "user_unknown", "internal_failure")),
        (
            "auth_passdb_request_finished",
            "result",
            ("ok", "password_mismatch", "user_unknown", "pass_expired", "user_disabled", "scheme_not_available", "internal_failure", "next"),
        ),
        ("auth_request_finished", "mechanism", None),
        ("auth_client_userdb_lookup_started", "service", None),
    ],
)
def test_closed_sets(event, field, values):
    assert EDITION.by_canonical[event].fields[field].values == values


@pytest.mark.parametrize(
    ("event", "field", "kind", "unit"),
    [
        ("imap_command_finished", "last_run_time", "timestamp", ""),
        ("imap_command_finished", "running_usecs", "integer", "microseconds"),
        ("imap_command_finished", "lock_wait_usecs", "integer", "microseconds"),
        ("imap_command_finished", "bytes_out", "integer", "bytes"),
        ("imap_command_finished", "cmd_tag", "string", ""),
        ("auth_request_finished", "policy_penalty", "integer", "seconds"),
        ("auth_policy_request_finished", "policy_response", "integer", ""),
        ("auth_client_request_started", "id", "integer", ""),
        ("client_connection_connected", "client_ip", "address", ""),
        ("client_connection_connected", "port", "integer", ""),
        ("auth_client_userdb_lookup_started", "remote_ip", "address", ""),
        ("auth_client_userdb_lookup_started", "remote_port", "integer", ""),
        ("http_request_finished", "status_code", "integer", ""),
        ("dns_request_finished", "error_code", "integer", ""),
        ("auth_passdb_request_finished", "result", "string", ""),
    ],
)
def test_types_and_units(event, field, kind, unit):
    found = EDITION.by_canonical[event].fields[field]
    assert (found.type, found.unit) == (kind, unit)


def test_an_error_is_there_only_when_something_went_wrong():
    errors = [event.fields["error"] for event in EDITION.events.values() if "error" in event.fields]
    assert len(errors) == 10
    assert not any(field.always for field in errors)


@pytest.mark.parametrize(
    ("event", "always"),
    [
        ("auth_request_finished", {"user", "transport", "mechanism"}),
        ("auth_passdb_request_finished", {"passdb_name", "passdb", "user", "username", "result"}),
        ("client_connection_connected", set()),
        ("client_connection_disconnected", {"bytes_in", "bytes_out", "reason"}),
        ("imap_command_finished", {"cmd_tag", "cmd_name", "last_run_time", "running_usecs", "lock_wait_usecs", "bytes_in", "bytes_out"}),
        ("sql_query_finished", {"query_first_word"}),
    ],
)
def test_presence(event, always):
    assert {name for name, field in EDITION.by_canonical[event].fields.items() if field.always} == always


def test_everything_is_described():
    for event in EDITION.events.values():
        assert event.about
        assert event.services
        assert all(field.about for field in event.fields.values()), event.name
