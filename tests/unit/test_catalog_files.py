"""A catalog file that does not hold together is refused, with file, line and what would be right."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dovestorm.catalog import Catalog
from dovestorm.errors import CatalogError
from dovestorm.resources import catalog_dir


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(catalog_dir(), tmp_path / "catalog"))


def break_file(folder: Path, name: str, old: str, new: str) -> int:
    """Replace the first ``old`` in a file; give the line where it stands."""
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def fault_of(folder: Path) -> str:
    with pytest.raises(CatalogError) as caught:
        Catalog(folder)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("imap.yaml", "note: commands", "nota: commands", "unknown key 'nota' of the file, did you mean 'note'?"),
        ("imap.yaml", "      services: [imap]", "      servces: [imap]", "unknown key 'servces' of 'listed', did you mean 'services'?"),
        ("imap.yaml", "cmd_args: {type: string,", "cmd_args: {typ: string,", "unknown key 'typ' of 'cmd_args', did you mean 'type'?"),
        ("imap.yaml", "{is: cmd_args}", "{iss: cmd_args}", "unknown key 'iss' of field 'args', did you mean 'is'?"),
        ("imap.yaml", "type: timestamp", "type: timestmp", "unknown type 'timestmp', did you mean 'timestamp'?"),
        ("imap.yaml", "unit: microseconds", "unit: days", "unknown unit 'days', known are microseconds, seconds, bytes"),
        ("imap.yaml", '"NO"', "NO", "an entry of values must be text, 'NO' needs quotes"),
        ("imap.yaml", "{since: 2.3.11}", "{since: 2.3.12}", "unknown release '2.3.12', did you mean '2.3.21'?"),
        ("imap.yaml", "{since: 2.3.11}", "{since: 2.3}", "a release must be text, '2.3' needs quotes"),
        ("imap.yaml", "{since: 2.3.11}", "{since: 2.3.11, until: 2.3.9}", "until must not be before since"),
        (
            "imap.yaml",
            "{2.3.7: tag, 2.3.9: cmd_tag}",
            "{2.3.9: tag, 2.3.7: cmd_tag}",
            "'2.3.7' must come after 2.3.9: names go from the oldest release to the newest",
        ),
        ("imap.yaml", "{is: cmd_args}", "{is: cmd_arg}", "unknown field 'cmd_arg', did you mean 'cmd_args'?: the vocabulary must describe it"),
        ("imap.yaml", "- user: always", "- user: allways", "'allways' must be always, sometimes, or a mapping of options"),
        ("imap.yaml", "always: true}", "always: perhaps}", "always must be true or false"),
        ("imap.yaml", "section: imap", "section: imapp", "section 'imapp' must be 'imap', as the file is called"),
        (
            "dns.yaml",
            "fields from socket_peer: always",
            "fields from socket_per: always",
            "unknown group or event 'socket_per', did you mean 'socket_peer'?",
        ),
        (
            "dns.yaml",
            "like: dns_request_finished",
            "like: dns_request_finishd",
            "unknown event 'dns_request_finishd' after 'like', did you mean 'dns_request_finished'?",
        ),
        ("http.yaml", "order: [user,", "order: [usr,", "unknown field 'usr' in the order of 'imap', did you mean 'user'?"),
        ("http.yaml", "categories: [http-client, imap, storage]", "categories: [imap, imap]", "'imap' stands twice in categories"),
        ("sql.yaml", "      categories: [sql]\n", "", "'listed' of sql_query_finished lacks categories; say it, or name an event with 'like'"),
        ("sql.yaml", "    about: a query was answered, or failed\n", "", "event 'sql_query_finished' lacks about, a short description"),
        ("imap.yaml", "categories: [imap]", "categories: imap", "categories must be a list"),
        ("imap.yaml", "title: IMAP", "title: [IMAP]", "title must be text"),
        (
            "imap.yaml",
            "- user: always",
            "- {user: always, session: always}",
            "an entry of a list of fields has one name; further fields need a dash of their own",
        ),
        ("dns.yaml", "fields from socket_peer: always", "fields from socket_peer: {always: true}", "'fields from' takes only always or sometimes"),
        ("sql.yaml", "title: SQL\n", "", "the file lacks title"),
        ("common.yaml", "listed: 2.3.6 ", "listed: 2.3.5 ", "unknown release '2.3.5', did you mean '2.3.15'?"),
        ("common.yaml", "upper_hex: 2.4.0", "upper_hexx: 2.4.0", "unknown key 'upper_hexx' of the file, did you mean 'upper_hex'?"),
    ],
)
def test_faults(folder, name, old, new, message):
    line = break_file(folder, name, old, new)
    file, told, _, said = fault_of(folder).splitlines()[0].split(":", 3)
    assert (file, said.strip()) == (str(folder / name), message)
    if "lacks" not in message:
        assert int(told) == line


def test_a_field_given_twice_in_one_list(folder):
    line = break_file(folder, "dns.yaml", "        - error_code\n        - error\n", "        - error_code\n        - error\n        - error\n")
    assert fault_of(folder) == f"{folder / 'dns.yaml'}:{line + 2}:11: field 'error' is already in line {line + 1}; give it once for each release"


def test_a_field_given_twice_for_releases_apart_is_right(folder):
    break_file(
        folder,
        "dns.yaml",
        "        - error_code\n        - error\n",
        "        - error_code\n        - error: {until: 2.3.9}\n        - error: {since: 2.3.10}\n",
    )
    assert "error" in Catalog(folder).load("2.3.19").events["dns_request_finished"].fields


def test_a_field_for_a_single_release_is_right(folder):
    break_file(folder, "imap.yaml", "{since: 2.3.11}", "{since: 2.3.19, until: 2.3.19}")
    whole = Catalog(folder)
    having = [release for release in whole.versions if "cmd_input_name" in whole.load(release).by_canonical["imap_command_finished"].fields]
    assert having == ["2.3.19"]


def test_an_event_for_some_releases(folder):
    break_file(folder, "imap.yaml", "    servers:\n", "    servers:\n      since: 2.3.9\n      until: 2.3.18\n")
    whole = Catalog(folder)
    having = [release for release in whole.versions if "imap_command_finished" in whole.load(release).events]
    assert (having[0], having[1], having[-1]) == ("2.3.6", "2.3.9", "2.3.18")


def test_a_field_without_a_type(folder):
    break_file(folder, "imap.yaml", "cmd_tag: {type: string, about", "cmd_tag: {about")
    assert "field 'cmd_tag' has no type; the vocabulary must give it" in fault_of(folder)


def test_a_section_says_more_of_a_word_than_the_common_file(folder):
    edition = Catalog(folder).load("2.3.6")
    command, request = (edition.events[name].fields["bytes_in"] for name in ("imap_command_finished", "http_request_finished"))
    assert (command.type, command.unit) == (request.type, request.unit) == ("integer", "bytes")
    assert command.about != request.about


def test_globals_are_added_to_servers_only_and_an_event_can_place_them(folder):
    break_file(folder, "common.yaml", "  - reason_code: {since: 2.3.18}\n", "  - reason_code: {since: 2.3.18}\n  - realm: always\n")
    break_file(folder, "imap.yaml", "        - duration\n", "        - duration: sometimes\n")
    whole = Catalog(folder)
    assert "realm" not in whole.load("2.3.6").events["imap_command_finished"].fields
    event = whole.load("2.3.19").events["imap_command_finished"]
    assert list(event.fields)[-1] == "realm"
    assert event.fields["realm"].always
    assert not event.fields["duration"].always


def test_a_field_that_two_references_bring(folder):
    break_file(
        folder,
        "dns.yaml",
        "        - fields from socket_peer: always\n",
        "        - fields from socket_peer\n        - fields from socket_peer: always\n",
    )
    with pytest.raises(CatalogError, match="duplicate field 'remote_pid': 'fields from socket_peer' brings it again"):
        Catalog(folder).load("2.3.19")


def test_two_fields_of_one_name(folder):
    break_file(folder, "dns.yaml", "        - name: always\n", "        - name: always\n        - user: {names: {2.3.7: name}}\n")
    with pytest.raises(CatalogError, match="'user' and 'name' would both be called 'name'"):
        Catalog(folder).load("2.3.19")


def test_a_listed_name_given_twice(folder):
    break_file(folder, "imap.yaml", "        - human_args:", "        - name: sometimes\n        - human_args:")
    with pytest.raises(CatalogError, match="'name' and 'cmd_name' would both be called 'name'"):
        Catalog(folder).load("2.3.6")


def test_references_in_a_circle(folder):
    break_file(folder, "sql.yaml", "    - fields from socket_peer\n", "    - fields from dict\n")
    assert "'fields from dict' leads back to itself" in fault_of(folder)


def test_like_in_a_circle(folder):
    break_file(folder, "http.yaml", "like: http_request_finished", "like: http_request_redirected")
    assert "'like' leads from 'http_request_redirected' back to itself" in fault_of(folder)


def test_a_key_given_twice(folder):
    break_file(folder, "imap.yaml", "title: IMAP\n", "title: IMAP\ntitle: imap\n")
    assert fault_of(folder) == f"{folder / 'imap.yaml'}:3:1: 'title' is given twice, once would be right"


def test_an_event_in_two_sections(folder):
    text = (folder / "imap.yaml").read_text(encoding="utf-8")
    sql = folder / "sql.yaml"
    sql.write_text(sql.read_text(encoding="utf-8") + text[text.index("  imap_command_finished:") :], encoding="utf-8")
    assert "event 'imap_command_finished' is already in section 'imap'" in fault_of(folder)


def test_a_file_that_is_missing(folder):
    (folder / "dns.yaml").unlink()
    text = fault_of(folder)
    assert text.startswith(f"{folder / 'dns.yaml'}:1:1: cannot be read (")


def test_files_that_are_empty_or_no_yaml_or_no_mapping(folder):
    (folder / "dns.yaml").write_text("", encoding="utf-8")
    (folder / "imap.yaml").write_text("section: [imap\n", encoding="utf-8")
    (folder / "sql.yaml").write_text("- section\n", encoding="utf-8")
    (folder / "http.yaml").write_bytes(b"\xff\xfe")
    lines = fault_of(folder).splitlines()
    assert lines[0] == f"{folder / 'dns.yaml'}:1:1: is empty"
    assert lines[1].startswith(f"{folder / 'http.yaml'}:1:1: cannot be read (")
    assert lines[2].startswith(f"{folder / 'imap.yaml'}:2:1: is not YAML: ")
    assert lines[3] == f"{folder / 'sql.yaml'}:1:1: the file must be a mapping (key: value)"


def test_all_faults_are_told_at_once_in_the_order_of_the_files(folder):
    break_file(folder, "sql.yaml", "type: string", "type: text")
    break_file(folder, "imap.yaml", "type: timestamp", "type: time")
    break_file(folder, "imap.yaml", "- user: always", "- user: never")
    files = [line.split(":", 1)[0].rsplit("/", 1)[1] for line in fault_of(folder).splitlines()]
    assert files == ["imap.yaml", "imap.yaml", "sql.yaml"]
