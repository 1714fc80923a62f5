"""README.md tells the truth: its commands run and print what it shows, its Python runs, its tables and links are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dovestorm.registry import FORMATS, SINKS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PATIENCE_S = 120


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def parts(block: str) -> tuple[str, str]:
    """A ``console`` block's commands, as a script, and all output that it shows."""
    lines = block.splitlines(keepends=True)
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return "".join(commands), "".join(line for line in lines if not line.startswith("$ "))


def matches(shown: str, printed: str) -> bool:
    """Whether the output is as shown; ``...`` stands for anything that is left away."""
    pattern = "(?s:.*?)".join(re.escape(part) for part in shown.strip().split("..."))
    return re.fullmatch(pattern, printed.strip()) is not None


def environment(folder: Path) -> dict[str, str]:
    """``dovestorm`` is the one of this Python."""
    return {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]), "HOME": str(folder), "COLUMNS": "120"}


def printed_by(script: str, folder: Path) -> str:
    """What the commands print, on both outputs together; each must succeed."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment(folder), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}"
    return done.stdout


@pytest.mark.parametrize("block", blocks("console"), ids=lambda block: block.splitlines()[0])
def test_commands_run_and_print_what_is_shown(block: str, tmp_path: Path) -> None:
    """In an empty folder, each with exit code 0."""
    script, shown = parts(block)
    printed = printed_by(script, tmp_path)
    assert matches(shown, printed), f"{script}--- shown\n{shown}\n--- printed\n{printed}"


@pytest.mark.parametrize("source", blocks("python"), ids=lambda source: source.splitlines()[0])
def test_python_runs(source: str, tmp_path: Path) -> None:
    """Tests under pytest, anything else as a script."""
    script = tmp_path / "test_example.py"
    script.write_text(source, encoding="utf-8")
    start = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "def test_" in source else []
    command = [sys.executable, *start, script]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_sink_and_format_is_named() -> None:
    """The tables leave none of the registry out."""
    named = {re.split(r"[:`]", cell)[0] for cell in re.findall(r"`([^`\n]+)`", README)}
    assert set(SINKS) | set(FORMATS) <= named


def test_make_targets_exist() -> None:
    """Each ``make X`` that is named is a target."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)(?=`|\s+#)", README))
    assert named
    assert named <= targets


@pytest.mark.parametrize("document", sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every relative link of every document names a file that is there."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []
