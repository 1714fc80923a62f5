"""``tls://HOST:PORT``: records over a TLS connection; the receiver's certificate is verified unless the URL says otherwise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.sinks.dial import inet_dialler, tls_context, tls_dialler
from dovestorm.sinks.stream import StreamSink
from dovestorm.sinks.target import Options, Settings, Target, endpoint, refuse_extras

if TYPE_CHECKING:
    from dovestorm.sinks.base import Sink

__all__ = ["make"]


def make(target: Target, *, options: Options) -> Sink:
    """A sink for ``tls://HOST:PORT[?ca=FILE&verify=no&retries=N&timeout=S]``."""
    place = endpoint(target)
    refuse_extras(target, place)
    settings = Settings(target, place.query)
    own = settings.options(options)
    context = tls_context(target.shown, ca=settings.text("ca"), verify=settings.switch("verify", default=True))
    settings.finish()
    plain = inet_dialler(place.host, place.port, own.timeout_s)
    return StreamSink(target.shown, tls_dialler(plain, context, place.host, own.timeout_s), options=own)
