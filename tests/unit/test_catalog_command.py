"""``dovestorm catalog``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dovestorm import catalog
from dovestorm.cli.catalog_command import command
from dovestorm.errors import CatalogError


def run(*arguments: str, **options) -> str:
    result = CliRunner().invoke(command, arguments, catch_exceptions=False, **options)
    assert result.exit_code == 0
    return result.output


def row(output: str, first: str) -> str:
    (line,) = [line for line in output.splitlines() if line.split()[:1] == [first]]
    return " ".join(line.split())


def test_the_list_is_shown_by_section():
    output = run()
    assert output.splitlines()[0] == "Dovecot 2.3.6: 33 events, 148 event fields"
    assert (
        output.index("Authentication Server:")
        < output.index("auth_request_finished")
        < output.index("SQL:")
        < output.index("sql_connection_finished")
    )
    assert row(output, "imap_command_finished").startswith("imap_command_finished 11 fields ")
    assert row(output, "auth_client_request_continue").startswith("auth_client_request_continue 1 field ")
    assert "auth_worker_request_finished" not in output


def test_another_edition_is_shown():
    output = run("--dovecot", "2.3.19")
    assert output.splitlines()[0].startswith("Dovecot 2.3.19: 130 events, ")
    assert "auth_worker_request_finished" in output


def test_one_event_is_shown_with_the_names_of_all_editions():
    output = run("imap_command_finished")
    assert row(output, "tag").startswith("tag string always 2.3.6 to 2.3.8 as tag, 2.3.9 to 2.4.4 ")
    assert row(output, "tagged_reply_state").endswith("OK | NO | BAD")
    assert row(output, "running_usecs").startswith("running_usecs integer, microseconds always 2.3.6 to 2.4.4")
    assert row(output, "versions") == "versions 2.3.6 to 2.4.4"
    assert row(output, "sent") == "sent by imap"
    assert row(output, "categories") == "categories imap"
    assert "11 fields" in output
    assert "session" not in output


def test_one_event_of_another_edition():
    output = run("imap_command_finished", "--dovecot", "2.3.19")
    assert row(output, "cmd_tag").startswith("cmd_tag string sometimes 2.3.6 to 2.3.8 as tag, 2.3.9 to 2.4.4 ")
    assert row(output, "session").startswith("session string always 2.3.7 to 2.4.4 ")
    assert row(output, "categories") == "categories imap, service:<process>"


@pytest.mark.parametrize("name", ["auth_client_request_continue", "auth_client_request_continued"])
def test_names_on_the_wire_and_canonical_names_are_understood(name):
    output = run(name)
    assert row(output, "versions") == "versions 2.3.6 to 2.3.10 as auth_client_request_continue, 2.3.11 to 2.4.4"
    assert row(output, "in") == "in scenarios auth_client_request_continued"


def test_an_event_that_only_a_later_edition_has_is_found_there():
    assert run("auth_worker_request_finished").startswith("auth_worker_request_finished (Dovecot 2.3.7,")
    assert run("pop3_command_finished").startswith("pop3_command_finished (Dovecot 2.4.0, pop3)")


def test_an_event_without_fields_says_so():
    assert "It has no fields." in run("dns_request_started")


def test_a_name_with_a_blank_is_quoted():
    assert '" user_mask"' in run("auth_client_userdb_list_started", "--dovecot", "2.3.19")


def test_services_with_their_own_categories():
    output = run("http_request_finished", "--dovecot", "2.3.19")
    assert "of imap" in output
    assert "http-client, imap, storage, service:<process>" in output


def test_json_of_an_edition():
    data = json.loads(run("--json"))
    assert data["edition"] == "2.3.6"
    assert [section["section"] for section in data["sections"]] == list(catalog.sections_of("2.3.6"))
    events = [event for section in data["sections"] for event in section["events"]]
    assert sum(len(event["fields"]) for event in events) == 148
    assert {"tag", "name", "args"} <= set(next(event["fields"] for event in events if event["name"] == "imap_command_finished"))


def test_json_of_an_event():
    data = json.loads(run("auth_request_finished", "--dovecot", "2.3.6", "--json"))
    assert data["editions"] == dict.fromkeys(catalog.versions(), "auth_request_finished")
    fields = {field["canonical"]: field for field in data["fields"]}
    assert fields["success"] == {
        "name": "successful",
        "canonical": "success",
        "type": "string",
        "unit": None,
        "values": ["yes"],
        "presence": "sometimes",
        "about": "only there when the login succeeded",
        "quirk": None,
        "editions": {"2.3.6": "successful"} | {version: "success" for version in catalog.versions() if version not in {"2.3.6", "2.3.7", "2.3.8"}},
    }
    assert list(fields["credentials_scheme"]["editions"])[-1] == "2.3.11"
    assert fields["policy_penalty"]["unit"] == "seconds"
    assert fields["user"]["presence"] == "always"
    assert (data["services"], data["categories"], data["service_category"]) == (["auth"], ["auth"], False)


def test_json_tells_categories_by_service():
    data = json.loads(run("sql_query_finished", "--dovecot", "2.3.19", "--json"))
    assert data["categories_by_service"] == {"dict": ["dict", "dict-server", "sql", "sqlite"]}
    assert data["service_category"] is True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["imap_comand_finished"], "unknown event 'imap_comand_finished', did you mean 'imap_command_finished'?"),
        (["zzz"], "unknown event 'zzz'; 'dovestorm catalog' lists them all"),
        (["--dovecot", "2.3.12"], "unknown Dovecot version '2.3.12', known are 2.3.6 to 2.4.4, did you mean '2.3.13'?"),
        (["--diff", "2.3.6", "2.4.5"], "unknown Dovecot version '2.4.5', known are 2.3.6 to 2.4.4, did you mean '2.4.4'?"),
        (
            ["auth_worker_request_finished", "--dovecot", "2.3.6"],
            "Dovecot 2.3.6 has no event 'auth_worker_request_finished', it is in 2.3.7 to 2.4.4",
        ),
    ],
)
def test_misuse(arguments, message):
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, CatalogError)
    assert str(result.exception) == message
    assert result.exception.exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["imap_command_finished", "--diff", "2.3.6", "2.3.7"],
        ["imap_command_finished", "--section", "imap"],
        ["--diff", "2.3.6", "2.3.7", "--dovecot", "2.3.6"],
    ],
)
def test_what_excludes_each_other(arguments):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "exclude each other: give one" in result.output


def test_a_section_alone():
    output = run("--section", "pop3", "--dovecot", "2.4.0")
    assert "pop3_command_finished" in output
    assert "imap_command_finished" not in output
    result = CliRunner().invoke(command, ["--section", "dnss"])
    assert isinstance(result.exception, CatalogError)
    assert str(result.exception).startswith("unknown section 'dnss', did you mean 'dns'?, known are ")


def test_oddities_and_open_fields_are_told():
    assert "(quirk: the server puts a blank before the name)" in run("auth_client_userdb_list_started", "--dovecot", "2.3.19")
    assert "and any http_hdr_*" in run("http_request_finished", "--dovecot", "2.3.19")
    assert "and any" not in run("http_request_finished", "--dovecot", "2.3.9")


def test_colour_is_only_for_terminals_that_want_it():
    assert "\x1b[1m" in run(color=True, env={"NO_COLOR": ""})
    assert "\x1b" not in run(color=True, env={"NO_COLOR": "1"})
    assert "\x1b" not in run(env={"NO_COLOR": ""})
