"""``tcp://HOST:PORT``: records over a TCP connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.sinks.dial import inet_dialler
from dovestorm.sinks.stream import StreamSink
from dovestorm.sinks.target import Options, Settings, Target, endpoint, refuse_extras

if TYPE_CHECKING:
    from dovestorm.sinks.base import Sink

__all__ = ["make"]


def make(target: Target, *, options: Options) -> Sink:
    """A sink for ``tcp://HOST:PORT[?retries=N&timeout=S]``."""
    place = endpoint(target)
    refuse_extras(target, place)
    settings = Settings(target, place.query)
    own = settings.options(options)
    settings.finish()
    return StreamSink(target.shown, inet_dialler(place.host, place.port, own.timeout_s), options=own)
