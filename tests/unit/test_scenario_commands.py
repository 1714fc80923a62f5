"""``dovestorm scenarios`` and ``dovestorm check``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from dovestorm import resources, scenario
from dovestorm.cli import check_command, scenarios_command
from dovestorm.errors import InputError, UsageError

RIGHT = """\
scenario: right
start: 2026-03-02T06:00:00Z
duration: 10s
arrivals: {constant: 1/s}
flows: [{flow: only, steps: [{emit: auth_passdb_request_finished, fields: {cache: hit}}]}]
"""


def run(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_scenarios_are_listed_a_line_each():
    done = run(scenarios_command.command)
    lines = done.stdout.splitlines()
    assert done.exit_code == 0
    assert [line.split()[0] for line in lines] == [name for name, _ in scenario.shipped()]
    assert all(line.split(None, 1)[1] for line in lines)
    listed = json.loads(run(scenarios_command.command, "--json").stdout)
    assert [(one["name"], one["summary"]) for one in listed] == list(scenario.shipped())


def test_one_scenario_is_shown_as_it_is_written():
    text = (resources.scenarios_dir() / "imap-login.yaml").read_text(encoding="utf-8")
    assert run(scenarios_command.command, "imap-login").stdout == text
    assert json.loads(run(scenarios_command.command, "imap-login", "--json").stdout)["text"] == text
    error = run(scenarios_command.command, "imap-logon").exception
    assert isinstance(error, UsageError)
    assert "did you mean 'imap-login'" in str(error)


def test_a_right_scenario_is_ok(tmp_path):
    (tmp_path / "right.yaml").write_text(RIGHT, encoding="utf-8")
    done = run(check_command.command, tmp_path / "right.yaml", "imap-login")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == f"{tmp_path / 'right.yaml'}: scenario ok\nimap-login: scenario ok\n"


def test_faults_go_to_standard_error_with_exit_code_2(tmp_path):
    path = tmp_path / "wrong.yaml"
    path.write_text(RIGHT.replace("only", "Only").replace("cache", "cash"), encoding="utf-8")
    done = run(check_command.command, path)
    assert (done.exit_code, done.stdout) == (2, "")
    lines = done.stderr.splitlines()
    assert lines[0].startswith(f"{path}:5:16: a flow's name (Only)")
    assert lines[1].startswith(f"{path}:5:76: unknown field 'cash'")
    assert lines[2:] == ["2 faults"]


def test_an_edition_can_be_asked_for(tmp_path):
    path = tmp_path / "right.yaml"
    path.write_text(RIGHT.replace("hit", "warm"), encoding="utf-8")
    assert run(check_command.command, path).exit_code == 0
    done = run(check_command.command, path, "--dovecot", "2.3.19")
    assert done.exit_code == 2
    assert "cannot be 'warm' in Dovecot 2.3.19" in done.stderr


def test_the_schema_is_printed():
    done = run(check_command.command, "--schema")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == scenario.schema()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [([], UsageError), (["--schema", "imap-login"], UsageError), (["no/such/file.yaml"], InputError), (["no-such-name"], UsageError)],
)
def test_misuse_is_an_error_of_ours(arguments, error):
    assert isinstance(run(check_command.command, *arguments).exception, error)
