"""``unix:PATH``: records over a Unix stream socket, as Dovecot's ``unix`` exporter writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.sinks.dial import unix_dialler
from dovestorm.sinks.stream import StreamSink
from dovestorm.sinks.target import Options, Settings, Target, socket_path

if TYPE_CHECKING:
    from dovestorm.sinks.base import Sink

__all__ = ["make"]


def make(target: Target, *, options: Options) -> Sink:
    """A sink for ``unix:PATH[?retries=N&timeout=S]``."""
    path, query = socket_path(target)
    settings = Settings(target, query)
    own = settings.options(options)
    settings.finish()
    return StreamSink(target.shown, unix_dialler(path, own.timeout_s), options=own)
