"""Where the files that ship with the package lie: the checkout when there is one, else the installed package."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["catalog_dir", "locustfiles_dir", "pools_dir", "scenarios_dir"]

_PACKAGE = Path(__file__).resolve().parent


@cache
def _root() -> Path:
    """An editable install copies the shipped folders at install time, so a checkout's own files win over those copies."""
    source_root = _PACKAGE.parent
    if source_root.name == "generator" and (source_root.parent / "pyproject.toml").is_file():
        return source_root.parent
    return _PACKAGE


def catalog_dir() -> Path:
    """The folder of the event catalog, one YAML file per section."""
    return _root() / "seeds" / "catalog"


def pools_dir() -> Path:
    """The folder of the value pools, one text file each, one entry a line."""
    return _root() / "seeds" / "pools"


def scenarios_dir() -> Path:
    """The folder of the shipped scenarios; ``fragments/`` lies inside it."""
    return _root() / "scenarios"


def locustfiles_dir() -> Path:
    """The folder of the Locust entry points."""
    return _root() / "locustfiles"
