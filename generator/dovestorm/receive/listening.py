"""Binding the sockets that a consumer listens at; what the system refuses becomes a ``UsageError`` here."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import ssl
import stat
from typing import TYPE_CHECKING

from dovestorm.errors import UsageError

if TYPE_CHECKING:
    from dovestorm.receive.place import Place

__all__ = ["bind", "forget", "tls_context"]

_BACKLOG = 256
_DATAGRAM_ROOM = 8 << 20


def bind(place: Place) -> socket.socket:
    """A socket that is bound, and listens where the kind of place has connections.

    Raises:
        UsageError: The place is taken, or not ours.
    """
    is_datagram = place.scheme in {"udp", "unixgram"}
    kind = socket.SOCK_DGRAM if is_datagram else socket.SOCK_STREAM
    if place.path:
        _clear_stale(place, kind)
    family = socket.AF_UNIX if place.path else socket.AF_INET6 if ":" in place.host else socket.AF_INET
    listener = socket.socket(family, kind)
    bound = False
    try:
        _prepare(listener, is_datagram=is_datagram, is_unix=bool(place.path))
        listener.bind(place.path or (place.host, place.port))
        bound = True
        if not is_datagram:
            listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        if bound:
            forget(place)
        hint = "" if place.path else "; choose another port (0 takes a free one)"
        raise UsageError(f"{place.url(place.port)}: cannot listen there: {error.strerror or error}{hint}") from None
    return listener


def forget(place: Place) -> None:
    """Remove the socket file of a place that we listened at."""
    if place.path:
        with contextlib.suppress(OSError):
            os.unlink(place.path)  # noqa: PTH108 - a socket's path is a plain string


def tls_context(place: Place) -> ssl.SSLContext | None:
    """The server's side of TLS, or None for a place without it.

    Raises:
        UsageError: Certificate or key cannot be read; a key with a passphrase is one of those.
    """
    if not place.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # A passphrase is given so that OpenSSL does not ask for one at the terminal.
        context.load_cert_chain(place.certificate, place.key, password="")
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{place.scheme}: certificate {place.certificate} and key {place.key} cannot be used: {error}") from None
    return context


def _prepare(listener: socket.socket, *, is_datagram: bool, is_unix: bool) -> None:
    if is_unix:
        return
    if is_datagram:
        with contextlib.suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _DATAGRAM_ROOM)
    else:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def _clear_stale(place: Place, kind: socket.SocketKind) -> None:
    """Remove a socket that nobody listens at any more; refuse anything else that is in the way."""
    url = place.url(0)
    try:
        mode = os.lstat(place.path).st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise UsageError(f"{url}: a file that is no socket is in the way; remove it or choose another path")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.setblocking(False)
        answer = probe.connect_ex(place.path)
    if answer != errno.ECONNREFUSED:
        why = "somebody listens there already" if answer in {0, errno.EAGAIN, errno.EPROTOTYPE} else os.strerror(answer)
        raise UsageError(f"{url}: the socket cannot be taken: {why}; choose another path")
    try:
        os.unlink(place.path)  # noqa: PTH108 - a socket's path is a plain string
    except OSError as error:
        raise UsageError(f"{url}: a stale socket is in the way and cannot be removed: {error.strerror}") from None
