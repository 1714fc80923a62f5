"""How sockets come about: one dialler for each kind of address. A dialler makes one attempt and raises what the system says."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

from dovestorm.errors import UsageError

__all__ = ["Dial", "Hold", "inet_dialler", "tls_context", "tls_dialler", "unix_dialler"]

Hold = Callable[[socket.socket], None]
"""Is told each socket before it blocks, so that another thread can shut it down."""

Dial = Callable[[Hold], socket.socket]


def inet_dialler(host: str, port: int, timeout_s: float, kind: socket.SocketKind = socket.SOCK_STREAM) -> Dial:
    """Try the addresses of ``host`` one after another."""

    def dial(hold: Hold) -> socket.socket:
        problem: OSError | None = None
        for family, _, protocol, _, address in socket.getaddrinfo(host, port, type=kind):
            sock = socket.socket(family, kind, protocol)
            try:
                _connect(sock, address, timeout_s, hold)
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                sock.close()
                problem = problem or error
            else:
                return sock
        raise problem or OSError("the name has no address")

    return dial


def unix_dialler(path: str, timeout_s: float, kind: socket.SocketKind = socket.SOCK_STREAM) -> Dial:
    """Connect to a socket in the file system."""

    def dial(hold: Hold) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, kind)
        try:
            _connect(sock, path, timeout_s, hold)
        except OSError:
            sock.close()
            raise
        return sock

    return dial


def tls_dialler(plain: Dial, context: ssl.SSLContext, host: str, timeout_s: float) -> Dial:
    """Speak TLS over what ``plain`` connected."""

    def dial(hold: Hold) -> socket.socket:
        raw = plain(hold)
        try:
            sock = context.wrap_socket(raw, server_hostname=host, do_handshake_on_connect=False)
        except OSError:
            raw.close()
            raise
        try:
            hold(sock)
            sock.settimeout(timeout_s)
            sock.do_handshake()
        except OSError:
            sock.close()
            raise
        return sock

    return dial


def tls_context(shown: str, *, ca: str | None, verify: bool) -> ssl.SSLContext:
    """A client's context: verifying against the system's authorities, against ``ca``, or not at all.

    Raises:
        UsageError: ``ca`` cannot be read, or contradicts ``verify``.
    """
    if ca is not None and not verify:
        raise UsageError(f"{shown}: ca and verify=no contradict each other, leave one away")
    if ca is not None and not Path(ca).is_file():
        raise UsageError(f"{shown}: ca={ca}, there is no such file; give a file with the authority's certificate (PEM)")
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise UsageError(f"{shown}: ca={ca}, it cannot be read as certificates; give a file in PEM form") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _connect(sock: socket.socket, address: object, timeout_s: float, hold: Hold) -> None:
    hold(sock)
    sock.settimeout(timeout_s)
    with contextlib.suppress(InterruptedError):
        sock.connect(address)  # type: ignore[arg-type]
