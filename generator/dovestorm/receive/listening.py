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

__all__ = ["bind", "forget", "identity", "tls_context"]

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
    mark = None
    try:
        _prepare(listener, is_datagram=is_datagram, is_unix=bool(place.path))
        listener.bind(place.path or (place.host, place.port))
        mark = identity(place)
        if not is_datagram:
            listener.listen(_BACKLOG)
    except OSError as error:
        forget(place, mark)
        listener.close()
        hint = "" if place.path else "; choose another port (0 takes a free one)"
        raise UsageError(f"{place.url(place.port)}: cannot listen there: {error.strerror or error}{hint}") from None
    return listener


def identity(place: Place) -> tuple[int, int] | None:
    """What tells the socket file of a place from one that takes its path later; None where there is no file."""
    if not place.path:
        return None
    try:
        found = os.lstat(place.path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def forget(place: Place, mark: tuple[int, int] | None) -> None:
    """Remove the socket file that we bound, unless its path belongs to another file by now.

    It must come before the socket is closed: until then no other file can get our mark, and nobody takes the path for a stale one.
    """
    if mark is not None and identity(place) == mark:
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
