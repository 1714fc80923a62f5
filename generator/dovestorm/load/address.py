"""Where single events are posted to: the same URL as the HTTP sink's, for Locust's own client."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovestorm.errors import UsageError
from dovestorm.sinks.dial import tls_context
from dovestorm.sinks.http import PORTS
from dovestorm.sinks.target import Settings, endpoint, parse

if TYPE_CHECKING:
    import ssl

__all__ = ["Address", "read_address"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A URL of the HTTP sink, read.

    Attributes:
        url: What is asked of the server: without user, password and our own options.
        headers: What goes with every request: the authorization, if there is a user.
        context: How TLS is spoken, with the certificate verified unless the URL says otherwise; None for plain HTTP.
        timeout_s: The longest wait for a connection or an answer, or None for the client's own.
    """

    url: str
    headers: dict[str, str]
    context: ssl.SSLContext | None
    timeout_s: float | None


def read_address(host: str) -> Address:
    """Read ``http[s]://[USER:PASSWORD@]HOST[:PORT]/PATH[?timeout=S]``, over TLS also ``ca`` and ``verify``.

    Raises:
        UsageError: It is another sink's URL, or asks for batches or retries, which single posts have not.
    """
    target = parse(host)
    if target.scheme not in PORTS:
        raise UsageError(f"{target.shown}: single events are posted to http:// and https:// only; batches (replay_stream.py) go to every sink")
    place = endpoint(target, default_port=PORTS[target.scheme])
    settings = Settings(target, place.query)
    if settings.text("batch") is not None:
        raise UsageError(f"{target.shown}: batch means nothing where each event is a POST of its own; replay_stream.py sends batches")
    if settings.text("retries") not in {None, "0"}:
        raise UsageError(f"{target.shown}: retries mean nothing here, a POST that fails is counted; replay_stream.py tries again")
    timeout_s = settings.seconds("timeout", 0.0) or None
    context = None
    if target.scheme == "https":
        context = tls_context(target.shown, ca=settings.text("ca"), verify=settings.switch("verify", default=True))
    query = f"?{settings.rest}" if settings.rest else ""
    return Address(
        url=f"{target.scheme}://{place.url_host}:{place.port}{place.path or '/'}{query}",
        headers={"Authorization": place.authorization} if place.authorization else {},
        context=context,
        timeout_s=timeout_s,
    )
