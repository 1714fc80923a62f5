"""``-``: standard output."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

from dovestorm.errors import DeliveryError
from dovestorm.sinks.file import FileSink
from dovestorm.sinks.open_file import OpenFile
from dovestorm.sinks.outlet import Outlet, memory_outlet, standard_outlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.sinks.base import Sink
    from dovestorm.sinks.target import Options, Target

__all__ = ["make"]


def make(target: Target, *, options: Options) -> Sink:
    """A sink for the process's standard output; closing it leaves the descriptor open."""
    return FileSink(target.shown, OpenFile(target.shown, _attach, clock=options.clock))


def _attach(_wait: Callable[[], bool]) -> Outlet:
    stream = sys.stdout
    if stream is None or stream.closed:
        raise DeliveryError("-: there is no standard output; name a file")
    stream.flush()
    try:
        fd = stream.fileno()
    except io.UnsupportedOperation:
        return memory_outlet(stream.buffer)
    return standard_outlet(fd)
