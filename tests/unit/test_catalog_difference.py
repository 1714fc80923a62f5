"""What ``catalog.difference`` finds between two editions, and how ``dovestorm catalog --diff`` tells it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dovestorm import catalog
from dovestorm.cli.catalog_command import command


def between(old, new, section=None):
    return catalog.difference(catalog.load(old), catalog.load(new), section=section)


def told(*arguments):
    result = CliRunner().invoke(command, ["--diff", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def renames(turnover):
    return {(change.old, change.new) for change in turnover.renamed}


@pytest.mark.parametrize("version", catalog.versions())
def test_an_edition_does_not_differ_from_itself(version):
    assert told(version, version) == f"From Dovecot {version} to {version}\nNothing changed.\n"


def test_names_that_the_list_has_otherwise():
    found = between("2.3.6", "2.3.19")
    assert renames(found.events) == {("auth_client_request_continue", "auth_client_request_continued")}
    assert renames(found.fields) == {
        ("original_username", "original_user"),
        ("translated_username", "translated_user"),
        ("successful", "success"),
        ("tag", "cmd_tag"),
        ("name", "cmd_name"),
        ("args", "cmd_args"),
        ("human_args", "cmd_human_args"),
        ("client_ip", "source_ip"),
        ("ip", "dest_ip"),
        ("port", "dest_port"),
    }
    assert len(found.events.added) == 97
    assert found.events.removed == ()
    assert ("auth_request_finished", "", "credentials_scheme") in found.fields.removed
    assert (found.service_category, found.upper_hex) == ((False, True), (False, False))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("2.3.8", "2.3.9", {("host", "dest_host"), ("port", "dest_port"), ("tag", "cmd_tag"), ("name", "cmd_name"), ("ip", "dest_ip")}),
        ("2.3.10", "2.3.11", {("original_username", "orig_user")}),
        ("2.3.11", "2.3.13", {("orig_user", "original_user"), ("mech", "mechanism"), ("id", "command_id")}),
        (
            "2.3.21",
            "2.4.0",
            {
                ("bytes_in", "net_in_bytes"),
                ("bytes_out", "net_out_bytes"),
                ("idle_secs", "idle_usecs"),
                ("service", "protocol"),
                ("passdb", "passdb_driver"),
                ("passdb_name", "passdb"),
                ("driver", "dict_driver"),
            },
        ),
        ("2.3.19", "2.3.20", set()),
    ],
)
def test_renames_of_the_releases(old, new, expected):
    found = renames(between(old, new).fields)
    assert expected <= found
    assert bool(expected) == bool(found)


def test_the_way_back_is_the_same_the_other_way_round():
    there, back = between("2.3.8", "2.4.0"), between("2.4.0", "2.3.8")
    for one, two in ((there.events, back.events), (there.categories, back.categories)):
        assert renames(one) == {(new, old) for old, new in renames(two)}
        assert (set(one.added), set(one.removed)) == (set(two.removed), set(two.added))
    assert renames(there.fields) == {(new, old) for old, new in renames(back.fields)}
    assert len(there.fields.added) == len(back.fields.removed)


def test_types_units_values_and_categories():
    found = between("2.3.8", "2.4.0")
    changes = {(change.field, change.what, change.old, change.new) for change in found.changes}
    assert ("dest_port", "type", "string", "integer") in changes
    assert ("idle_usecs", "unit", "seconds", "microseconds") in {
        (change.field, change.what, change.old, change.new) for change in between("2.3.21", "2.4.0").changes
    }
    assert ("trusted", "secured") in renames(found.values)
    assert ("push_notification", "push-notification") in renames(between("2.3.10", "2.3.11").categories)
    assert ("auth_request_finished", "policy_result", "delayed") in between("2.3.10", "2.3.11").values.added


def test_a_section_alone():
    assert {event for event, _, _ in between("2.3.21", "2.4.0", "sql").fields.added} == {
        "sql_query_finished",
        "sql_transaction_finished",
        "sql_connection_finished",
    }


def test_text_tells_once_what_changed_alike():
    lines = told("2.3.21", "2.4.0").splitlines()
    assert sum("bytes_in -> net_in_bytes" in line for line in lines) == 1
    assert "  added  JSON escapes in upper case" in lines
    assert max(map(len, lines)) <= 140
    text = told("2.3.6", "2.3.19")
    assert '" user_mask"' in text
    assert "renamed  tag -> cmd_tag: imap_command_finished" in text


def test_json_is_whole():
    data = json.loads(told("2.3.6", "2.3.19", "--json"))
    found = between("2.3.6", "2.3.19")
    assert (data["old"], data["new"]) == ("2.3.6", "2.3.19")
    assert data["events"]["renamed"] == [{"old": "auth_client_request_continue", "new": "auth_client_request_continued"}]
    assert len(data["fields"]["added"]) == len(found.fields.added)
    assert {"event": "imap_command_finished", "field": "cmd_tag", "old": "tag", "new": "cmd_tag"} in data["fields"]["renamed"]
    assert {"event": "auth_request_finished", "name": "credentials_scheme"} in data["fields"]["removed"]
    assert data["service_category"] == {"old": False, "new": True}
