"""What a user installs: the wheel, built from the source distribution, in an environment without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (
    "scenarios/working-day.yaml",
    "scenarios/fragments/",
    "seeds/catalog/imap.yaml",
    "seeds/pools/",
    "locustfiles/",
    "load/assets/delivery.js",
    "py.typed",
)


def run(command: list[str | Path], folder: Path, **more: str) -> str:
    """Run in ``folder`` with nothing of this process's Python settings; gives standard output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, cwd=folder, env={**kept, **more}, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkout to source distribution to wheel, with the build tools that are installed here."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", folder], ROOT)
    (source,) = folder.glob("*.tar.gz")
    run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "-w", folder, source], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel; its dependencies are lent from this one, behind its own packages."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder / "env", symlinks=True, with_pip=False)
    python = folder / "env" / "bin" / "python"
    packages = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    run([sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel], folder)
    # A path line that is no import line: an editable install's own .pth files in that folder are not read, so the checkout stays out.
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


def test_data_files_are_inside(wheel: Path) -> None:
    """Scenarios, catalog, pools and Locust files lie inside the package; captures and C sources stay at home."""
    names = zipfile.ZipFile(wheel).namelist()
    for path in SHIPPED:
        assert any(name.startswith(f"dovestorm/{path}") for name in names), path
    assert not [name for name in names if "captures" in name or name.endswith(".c")]
    assert not [name for name in names if not name.startswith(("dovestorm/", "dovestorm-"))]


def test_commands_run(installed: Path) -> None:
    """The command works, and what it reads comes out of the installed package."""
    command = installed / "env" / "bin" / "dovestorm"
    assert run([command, "--version"], installed).strip().endswith("0.1.0")
    assert "working-day" in run([command, "scenarios"], installed)
    lines = run([command, "generate", "imap-login", "--events", "20", "--seed", "7", "--to", "-"], installed).splitlines()
    assert len(lines) == 20
    place = run([installed / "env" / "bin" / "python", "-c", "import dovestorm.resources as r; print(r.scenarios_dir())"], installed)
    assert Path(place.strip()).is_relative_to(installed)


def test_same_bytes_as_the_checkout(installed: Path, tmp_path: Path) -> None:
    """The wheel makes what the checkout makes."""
    arguments: list[str | Path] = ["-m", "dovestorm", "generate", "working-day", "--events", "2000", "--seed", "7", "--to", "-"]
    theirs = run([installed / "env" / "bin" / "python", *arguments], installed)
    source = Path(sysconfig.get_path("purelib")) if not (ROOT / "generator").is_dir() else ROOT / "generator"
    assert theirs == run([sys.executable, *arguments], tmp_path, PYTHONPATH=str(source))
