"""Places that rendered records can go to, each named by a URL; only this package touches the targets."""

from __future__ import annotations

from typing import cast

from dovestorm import registry
from dovestorm.sinks.base import Block, PipeClosed, Sink, Stopped, Tally
from dovestorm.sinks.target import Options, parse

__all__ = ["Block", "Options", "PipeClosed", "Sink", "Stopped", "Tally", "open_url", "scheme"]


def scheme(url: str) -> str:
    """The registry's name of the sink that a URL means.

    Raises:
        UsageError: The URL is empty, or its scheme is unknown.
    """
    return parse(url).scheme


def open_url(url: str, *, options: Options | None = None) -> Sink:
    """Make the sink that a URL names; nothing is connected or created before its ``open()``.

    Args:
        url: ``-``, a path, or one of the forms in ``dovestorm.registry.SINKS``. Options in the URL win over ``options``:
            ``retries=N`` and ``timeout=SECONDS`` for every socket.
        options: Clock, retries and timeout.

    Raises:
        UsageError: The URL is wrong; the text offers what was probably meant.
    """
    target = parse(url)
    module = registry.load(registry.find_sink(target.scheme))
    return cast(Sink, module.make(target, options=options or Options()))
