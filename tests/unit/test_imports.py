"""What importing costs: the package root and the pytest plugin load nothing heavy, and the public names are stable."""

from __future__ import annotations

import subprocess
import sys

import pytest

import dovestorm

HEAVY = {"numpy", "yaml", "click", "faker", "locust", "gevent", "orjson", "zstandard", "msgpack"}
NAMES = [
    "CatalogError",
    "DeliveryError",
    "DovestormError",
    "Event",
    "Events",
    "FormatError",
    "InputError",
    "Label",
    "ScenarioError",
    "UsageError",
    "__version__",
    "generate",
]


def loaded_after(source: str) -> set[str]:
    """The top-level modules, and all of ours, that a fresh Python has loaded after running ``source``."""
    done = subprocess.run(
        [sys.executable, "-c", f"{source}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    modules = set(done.stdout.split())
    return {name.partition(".")[0] for name in modules} | {name for name in modules if name.startswith("dovestorm")}


def running(*arguments: str) -> str:
    """Python that runs the command line, and goes on."""
    return f"import sys; sys.argv = {['dovestorm', *arguments]}\nfrom dovestorm.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"


def test_the_public_names_are_stable() -> None:
    assert dovestorm.__all__ == NAMES


def test_dir_lists_the_public_names() -> None:
    assert dir(dovestorm) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(dovestorm, name) is getattr(dovestorm, name)


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'dovestorm' has no attribute 'nothing'"):
        dovestorm.nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from dovestorm import *", names)  # noqa: S102
    assert set(NAMES) <= set(names)


@pytest.mark.parametrize(
    "source",
    [
        "import dovestorm",
        "import dovestorm; dir(dovestorm); dovestorm.__version__",
        "import dovestorm; dovestorm.generate; dovestorm.Event; dovestorm.UsageError",
        "from dovestorm import *",
        "import dovestorm.pytest_plugin",
    ],
)
def test_the_root_imports_nothing_heavy(source: str) -> None:
    assert loaded_after(source) & HEAVY == set()


def test_the_root_alone_loads_nothing_else_of_ours() -> None:
    assert {name for name in loaded_after("import dovestorm") if name.startswith("dovestorm")} == {"dovestorm"}


def test_a_heavy_import_is_found() -> None:
    """The test can fail."""
    assert "numpy" in loaded_after("import dovestorm.engine.machine")


def test_help_needs_no_numpy() -> None:
    """The top help, so that it comes at once."""
    assert loaded_after(running("--help")) & (HEAVY - {"click"}) == set()


def test_events_to_a_file_need_no_tls() -> None:
    """Which would take longer to load than the file to open."""
    loaded = loaded_after(running("generate", "imap-login", "--events", "1", "--to", "/dev/null", "-q"))
    assert "numpy" in loaded
    assert "ssl" not in loaded


def test_events_need_no_command_line_and_no_sinks() -> None:
    loaded = loaded_after("import dovestorm; dovestorm.generate('imap-login', sessions=1).to_list()")
    assert loaded & {"click", "faker", "locust", "gevent", "zstandard", "ssl", "dovestorm.sinks", "dovestorm.delivery", "dovestorm.cli"} == set()


@pytest.mark.parametrize("module", ["feeder", "beforehand", "lane", "plan", "report", "junit", "shards", "statistics"])
def test_what_only_makes_and_counts_needs_no_locust(module: str) -> None:
    """Importing Locust patches the sockets and threads of a process; only users and their run may do that."""
    assert loaded_after(f"import dovestorm.load.{module}") & {"locust", "gevent", "flask"} == set()
