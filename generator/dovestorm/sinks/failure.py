"""The one place where the system's errors become ours: what target, what happened, what to do."""

from __future__ import annotations

import errno
import os
import socket

from dovestorm.errors import DeliveryError

__all__ = ["failure"]

_ADVICE = {
    errno.ECONNREFUSED: "nothing accepts connections there; start the receiver, or correct the address",
    errno.ECONNRESET: "the receiver closed the connection; look into its log",
    errno.EPIPE: "the receiver closed the connection; look into its log",
    errno.ETIMEDOUT: "no answer; is the address right, and no firewall in between?",
    errno.EHOSTUNREACH: "there is no way to that host; check the address and the network",
    errno.ENETUNREACH: "there is no way to that network; check the address and the network",
    errno.ENOSPC: "the disk is full; free some space, or write elsewhere",
    errno.EDQUOT: "the quota is used up; free some space, or write elsewhere",
    errno.EFBIG: "the file may not grow further; raise the limit (ulimit -f), or write elsewhere",
    errno.EACCES: "permission is missing; choose a place where you may write",
    errno.EPERM: "it is not allowed; choose a place where you may write",
    errno.EROFS: "the file system is read-only; write elsewhere",
    errno.EISDIR: "it is a directory; name a file in it",
    errno.ENOENT: "it does not exist; create it first, or correct the path",
    errno.ENOTDIR: "a part of the path is not a directory; correct the path",
    errno.ENXIO: "it cannot be opened for writing; name a file, a pipe or a device",
    errno.EMSGSIZE: "the system does not send datagrams of that size; lower the limit with ?max=N",
    errno.EPROTOTYPE: "the socket is of the other type; unix: is for streams, unixgram: for datagrams",
}


def failure(url: str, doing: str, error: OSError) -> DeliveryError:
    """Say in our words why ``doing`` (such as "cannot connect") failed."""
    return DeliveryError(f"{url}: {doing}: {_reason(error)}")


def _reason(error: OSError) -> str:
    # Loading OpenSSL takes longer than opening a file does: only what failed asks for it.
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted ({error.verify_message}); give its authority with ?ca=FILE, or trust anything with ?verify=no"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or 'the connection ended'}); does the receiver speak TLS on this port?"
    if isinstance(error, socket.gaierror):
        return f"the host name cannot be resolved ({error.strerror}); correct the name"
    if isinstance(error, TimeoutError):
        return "no answer in time; is the address right, and is the receiver alive? (?timeout=SECONDS waits longer)"
    number = error.errno
    if number is None:
        return f"{error}; look into the receiver's log"
    text = os.strerror(number).lower()
    return f"{text}: {_ADVICE[number]}" if number in _ADVICE else text
