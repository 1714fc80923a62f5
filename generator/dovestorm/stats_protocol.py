"""What the ``dovecot-stats`` format and the sink of that name must agree on: facts of the protocol that Dovecot's stats process speaks.

Source: Dovecot 2.3.18 to 2.4.4, read; 2.3.19.1, provoked over its ``stats-writer`` socket.
"""

from __future__ import annotations

__all__ = ["CLIENT_VERSION", "CONTENT_TYPE", "FIRST_SESSION", "LONGEST_LINE", "MAJOR_VERSION", "SERVER", "unescape"]

CONTENT_TYPE = "application/x-dovecot-stats"
"""Marks blocks of the format, so that the sink can tell them from others; it goes over no wire."""

MAJOR_VERSION = 4
"""The protocol since Dovecot 2.3.18; the two sides must have the same one. Source: seen, any minor version is accepted."""

CLIENT_VERSION = b"VERSION\tstats-client\t%d\t0\n" % MAJOR_VERSION
"""The first line that a client says."""

SERVER = b"stats-server"
"""How the other side names itself in its first line."""

FIRST_SESSION = 1 << 32
"""Events that others name as their parent have numbers: below this one those of processes, from it on those of sessions."""

LONGEST_LINE = 131_072
"""Bytes of the longest line that the stats process reads, its newline included. Source: seen, one byte more and the connection is reset."""

_ESCAPED = {b"0": b"\0", b"1": b"\x01", b"t": b"\t", b"r": b"\r", b"n": b"\n"}


def unescape(token: bytes) -> bytes:
    """Undo the protocol's escapes: byte 1 and a character stand for a byte that would end a field or a line."""
    if b"\x01" not in token:
        return token
    first, *rest = token.split(b"\x01")
    return first + b"".join(_ESCAPED.get(part[:1], part[:1]) + part[1:] for part in rest)
