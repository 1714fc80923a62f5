"""The command and the docs: exit codes, formats of the report, and the table of rules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from validation import CAPTURES

from dovestorm.cli.validate_command import command
from dovestorm.errors import CatalogError, InputError, UsageError
from dovestorm.validate import FORMATS, RULES, rules_table

ROOT = Path(__file__).resolve().parents[2]
RECORDING = str(CAPTURES / "clean_login.jsonl.gz")
SKIP = "--ignore-unknown-events"


def run(*arguments: str, text: str | bytes = "") -> Result:
    return CliRunner().invoke(command, arguments, input=text)


def test_a_valid_stream_exits_0_and_says_what_it_saw() -> None:
    result = run(RECORDING, "--dovecot", "2.3.19")
    assert result.exit_code == 0
    assert result.output.startswith("160 events, 10 sessions, Dovecot 2.3.19: valid")
    assert run(RECORDING, "--dovecot", "2.3.18", SKIP).output.startswith("160 events (10 not checked), ")


def test_an_invalid_stream_exits_1_and_says_where() -> None:
    result = run(RECORDING, "--dovecot", "2.3.18")
    assert result.exit_code == 1
    assert re.search(r"fault unknown-event: 10x\..*\n  line 16: mail_user_session_finished: ", result.output), result.output


def test_the_report_as_json() -> None:
    result = run(RECORDING, "--dovecot", "2.3.18", "--json", "--max-examples", "1")
    report = json.loads(result.output)
    assert (report["valid"], report["events"], report["fault_count"], report["unit"]) == (False, 160, 10, "line")
    (fault,) = report["faults"]
    assert (fault["rule"], fault["severity"], fault["count"]) == ("unknown-event", "fault", 10)
    (example,) = fault["examples"]
    assert set(example) == {"position", "event", "field", "reason"}


def test_standard_input() -> None:
    result = run("-", text=b"nonsense\n")
    assert result.exit_code == 1
    assert "fault unreadable: 1x" in result.output


def test_an_empty_stream_is_valid_and_says_0_events() -> None:
    result = run("-")
    assert result.exit_code == 0
    assert result.output.startswith("0 events")


def test_sections_and_order() -> None:
    assert run(RECORDING, "--dovecot", "2.3.19", "--sections", "imap, connection").exit_code == 0
    assert run(RECORDING, "--dovecot", "2.3.19", "--unordered").exit_code == 0
    assert run(RECORDING, "--dovecot", "2.3.19", "--complete").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [((RECORDING, "--dovecot", "2.3.12"), CatalogError), (("/no/such/file",), InputError), ((RECORDING, "--sections", "mail"), UsageError)],
)
def test_misuse_is_an_error_with_exit_code_2(arguments: tuple[str, ...], error: type[UsageError]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, error)
    assert result.exception.exit_code == 2


def test_the_installed_command_gives_these_exit_codes(tmp_path: Path) -> None:
    def code(*arguments: str) -> tuple[int, str]:
        program = "from dovestorm.cli import main; main()"
        done = subprocess.run([sys.executable, "-c", program, "validate", *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stderr

    assert code(RECORDING, "--dovecot", "2.3.19.1") == (0, "")
    assert code(RECORDING, "--dovecot", "2.3.18") == (1, "")
    status, text = code(str(tmp_path / "missing"))
    assert status == 2
    assert "missing" in text
    assert "Traceback" not in text


def test_the_command_knows_all_formats() -> None:
    (option,) = [parameter for parameter in command.params if parameter.name == "layout"]
    assert tuple(option.type.choices) == FORMATS  # type: ignore[attr-defined]


def test_the_docs_list_the_rules_as_they_are() -> None:
    """To renew the table: ``python -c 'from dovestorm.validate import rules_table; print(rules_table())'``."""
    text = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    assert rules_table() in text
    assert len(RULES) >= 40


def test_the_docs_say_which_rules_hold_what_a_server_keeps_to() -> None:
    text = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| (\d+) \|.*\| (.*) \|$", text)
    told = [(int(number), set(re.findall("`([^`]+)`", rules))) for number, rules in rows]
    assert told == [(number, {rule.name for rule in RULES.values() if number in rule.invariants}) for number in range(1, 34)]
    assert [number for number, rules in told if not rules] == [33]
