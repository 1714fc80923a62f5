"""Load tests with Locust: open-loop replay by many workers, exact shards, delivery statistics, thresholds.

Locust is imported only by the modules that a locustfile loads (``arguments``, ``users``, ``run`` ...): importing it patches the sockets and
threads of the process. What only counts and decides (``statistics``, ``schedule``, ``shards``, ``ledger``, ``thresholds``, ``report``) does
without it, and so does the process that makes the events (``feeder``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dovestorm.load.posting import PostUser
    from dovestorm.load.sessions import SessionUser
    from dovestorm.load.shaping import RateShape
    from dovestorm.load.streaming import StreamUser

__all__ = ["PostUser", "RateShape", "SessionUser", "StreamUser"]

_HOMES = {"StreamUser": "streaming", "SessionUser": "sessions", "PostUser": "posting", "RateShape": "shaping"}


def __getattr__(name: str) -> Any:
    """The users, on demand."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
