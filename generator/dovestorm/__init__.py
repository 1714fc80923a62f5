"""Synthetic Dovecot events, correct to the byte: as Python objects, as bytes, or delivered to a collector.

``dovestorm.generate("imap-login", seed=7, sessions=3)`` is where to begin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovestorm.api import Event, Events, generate
    from dovestorm.errors import CatalogError, DeliveryError, DovestormError, FormatError, InputError, ScenarioError, UsageError

__version__ = "0.1.0"

__all__ = [
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

_HOMES = {"Event": "api", "Events": "api", "Label": "labels", "generate": "api"}


def __getattr__(name: str) -> Any:
    """Import the public names when they are first used: ``import dovestorm`` itself loads nothing heavy."""
    if name not in __all__:
        raise AttributeError(f"module 'dovestorm' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"dovestorm.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
