"""``udp://HOST:PORT``: one datagram for each event."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from dovestorm.sinks.datagram import DatagramSink
from dovestorm.sinks.dial import inet_dialler
from dovestorm.sinks.target import Options, Settings, Target, endpoint, refuse_extras

if TYPE_CHECKING:
    from dovestorm.sinks.base import Sink

__all__ = ["LARGEST_BYTES", "make"]

LARGEST_BYTES = 65_507
"""Source: RFC 768 and RFC 791: 65,535 bytes of IPv4 packet without 20 of IP header and 8 of UDP header."""


def make(target: Target, *, options: Options) -> Sink:
    """A sink for ``udp://HOST:PORT[?max=BYTES&retries=N&timeout=S]``."""
    place = endpoint(target)
    refuse_extras(target, place)
    settings = Settings(target, place.query)
    own = settings.options(options)
    limit = settings.integer("max", LARGEST_BYTES, least=1, most=LARGEST_BYTES)
    settings.finish()
    dial = inet_dialler(place.host, place.port, own.timeout_s, socket.SOCK_DGRAM)
    return DatagramSink(target.shown, dial, options=own, limit=limit, refused_late=True)
