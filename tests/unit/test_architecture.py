"""The layers of ARCHITECTURE.md hold: whoever imports, imports downwards."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "generator" / "dovestorm"


def layers(text: str) -> list[list[set[str]]]:
    """The fenced ``layers`` block: a line a layer, the lowest first, stations apart by spaces; names joined by ``+`` are one station."""
    block = text.split("```layers\n", 1)[1].split("```", 1)[0]
    return [[set(names.split("+")) for names in line.split()] for line in block.splitlines() if line.strip()]


LAYERS = layers((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
HEIGHT = {name: height for height, layer in enumerate(LAYERS) for names in layer for name in names}
COMPANIONS = {name: names for layer in LAYERS for names in layer for name in names}
STRANGERS = {("formats", "sinks"), ("sinks", "formats")}
"""Who imports the other in neither direction, whatever their layers: what formats and sinks share is the block."""


def station(module: str) -> str:
    """``dovestorm.sinks.tcp`` belongs to ``sinks``; the package root itself is called ``dovestorm``."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def module_name(path: Path, package: Path = PACKAGE) -> str:
    parts = ["dovestorm", *path.relative_to(package).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(source: str, module: str, *, is_package: bool = False) -> set[str]:
    """All modules of ours that a source text imports, anywhere in it: inside functions and ``TYPE_CHECKING`` too."""
    here = module.split(".") if is_package else module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            found |= {f"{origin}.{alias.name}" for alias in node.names} if origin == "dovestorm" else {origin}
    return {name for name in found if name == "dovestorm" or name.startswith("dovestorm.")}


def faults(source: str, module: str, *, is_package: bool = False) -> list[str]:
    mine = station(module)
    found = []
    for name in sorted(imports(source, module, is_package=is_package)):
        theirs = station(name)
        if theirs in COMPANIONS[mine]:
            continue
        if theirs not in HEIGHT:
            theirs = "dovestorm"  # a public name of the package root
        if HEIGHT[theirs] > HEIGHT[mine]:
            found.append(f"{module} ({mine}) imports {name} ({theirs}), which lies above it")
        elif HEIGHT[theirs] == HEIGHT[mine]:
            found.append(f"{module} ({mine}) imports {name} ({theirs}), its neighbour in the same layer")
        elif (mine, theirs) in STRANGERS:
            found.append(f"{module} ({mine}) imports {name} ({theirs}), which it must not know")
    return found


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if not {"scenarios", "seeds", "locustfiles"} & set(path.relative_to(PACKAGE).parts))


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_imports_go_downwards(path: Path) -> None:
    """No station imports one above it, nor one beside it."""
    module = module_name(path)
    assert station(module) in HEIGHT, f"{station(module)} is missing in the layer list of ARCHITECTURE.md"
    assert faults(path.read_text(encoding="utf-8"), module, is_package=path.name == "__init__.py") == []


def test_every_layer_is_there() -> None:
    """The list names nothing that does not exist."""
    here = {station(module_name(path)) for path in MODULES}
    assert set(HEIGHT) == here


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("dovestorm.engine.machine", "from dovestorm.sinks import tcp"),
        ("dovestorm.engine.machine", "def f():\n    import dovestorm.cli.main"),
        ("dovestorm.batch", "from dovestorm import catalog"),
        ("dovestorm.batch", "from .catalog import load"),
        ("dovestorm.sinks.tcp", "from ..formats import json"),
        ("dovestorm.sinks.tcp", "from dovestorm import generate"),
    ],
)
def test_an_upward_import_is_found(module: str, source: str) -> None:
    """The test can fail."""
    assert faults(source, module)
