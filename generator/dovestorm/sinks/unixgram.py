"""``unixgram:PATH``: one datagram for each event, over a Unix datagram socket."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from dovestorm.sinks.datagram import DatagramSink
from dovestorm.sinks.dial import unix_dialler
from dovestorm.sinks.target import Options, Settings, Target, socket_path

if TYPE_CHECKING:
    from dovestorm.sinks.base import Sink

__all__ = ["make"]

_NO_LIMIT = 2**31 - 1
"""The kernel's limit is the send buffer; a record that it refuses is counted like one above ``max``."""


def make(target: Target, *, options: Options) -> Sink:
    """A sink for ``unixgram:PATH[?max=BYTES&retries=N&timeout=S]``."""
    path, query = socket_path(target)
    settings = Settings(target, query)
    own = settings.options(options)
    limit = settings.integer("max", _NO_LIMIT, least=1, most=_NO_LIMIT)
    settings.finish()
    dial = unix_dialler(path, own.timeout_s, socket.SOCK_DGRAM)
    return DatagramSink(target.shown, dial, options=own, limit=limit, refused_late=False)
