"""What POP3 clients do to a real server, and what other mail servers do that hand it mail over LMTP: each function is one visit."""

from __future__ import annotations

import contextlib
import poplib
import smtplib
import socket
from typing import TYPE_CHECKING

from mail_clients import MESSAGE, new_address, next_user
from real_dovecot import PASSWORD, USERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from real_dovecot import RealDovecot

__all__ = ["LMTP_VISITS", "POP3_VISITS", "Lmtp", "deliver", "deliver_once"]

_TIMEOUT_S = 60


def pop3(server: RealDovecot) -> None:
    """Look, read, delete, leave."""
    client = _pop3(server)
    client.user(next_user())
    client.pass_(PASSWORD)
    count = client.stat()[0]
    client.list()
    client.uidl()
    if count:
        client.top(1, 0)
        client.retr(1)
        client.dele(1)
    client.noop()
    client.quit()


def pop3_wrong_password(server: RealDovecot) -> None:
    """A login that fails."""
    client = _pop3(server)
    client.user(next_user())
    with contextlib.suppress(poplib.error_proto):
        client.pass_("wrong")
    client.quit()


def pop3_lost(server: RealDovecot) -> None:
    """The connection breaks after the login."""
    client = _pop3(server)
    client.user(next_user())
    client.pass_(PASSWORD)
    client.stat()
    client.close()


class _Pop3(poplib.POP3):
    def _create_socket(self, timeout: float | None) -> socket.socket:
        return socket.create_connection((self.host, self.port), timeout, source_address=(new_address(), 0))


def _pop3(server: RealDovecot) -> poplib.POP3:
    return _Pop3("127.0.0.1", server.ports.pop3, _TIMEOUT_S)


class Lmtp(smtplib.LMTP):
    """An LMTP connection; unlike Python's it reads the reply of each recipient after the message."""

    def __init__(self, server: RealDovecot) -> None:
        super().__init__("127.0.0.1", server.ports.lmtp, "client.example.com", (new_address(), 0), _TIMEOUT_S)
        self.lhlo()

    def lhlo(self) -> None:
        """Greet."""
        self.docmd("LHLO", self.local_hostname)

    def send_message_to(self, *users: str) -> None:
        """One transaction; users that are refused are left out, and without any there is no message."""
        self.docmd("MAIL", "FROM:<anna@example.com>")
        accepted = [user for user in users if self.docmd("RCPT", f"TO:<{user}>")[0] == 250]
        if accepted and self.docmd("DATA")[0] == 354:
            self.send(MESSAGE + b".\r\n")
            for _ in accepted:
                self.getreply()


def deliver(server: RealDovecot) -> None:
    """One message for everybody over LMTP."""
    with Lmtp(server) as client:
        client.send_message_to(*USERS)


def deliver_once(server: RealDovecot) -> None:
    """One message for one user, as most are."""
    with Lmtp(server) as client:
        client.send_message_to(next_user())


def deliver_twice(server: RealDovecot) -> None:
    """Two transactions on one connection, one with a recipient that does not exist."""
    with Lmtp(server) as client:
        client.send_message_to(USERS[0], "nobody@example.com", USERS[1])
        client.send_message_to(USERS[2])


def deliver_to_nobody(server: RealDovecot) -> None:
    """No recipient is accepted; a transaction is taken back; a command does not exist."""
    with Lmtp(server) as client:
        client.send_message_to("nobody@example.com")
        client.docmd("RSET")
        client.docmd("MAIL", "FROM:<anna@example.com>")
        client.docmd("RCPT", f"TO:<{USERS[0]}>")
        client.docmd("RSET")
        client.docmd("NOOP")
        client.docmd("FROB")


def lose_delivery(server: RealDovecot) -> None:
    """The sender vanishes in the middle of a message."""
    client = Lmtp(server)
    client.docmd("MAIL", "FROM:<anna@example.com>")
    client.docmd("RCPT", f"TO:<{USERS[0]}>")
    client.docmd("DATA")
    client.send(MESSAGE[:20])
    client.close()


POP3_VISITS: tuple[Callable[[RealDovecot], None], ...] = (pop3, pop3_wrong_password, pop3_lost)
LMTP_VISITS: tuple[Callable[[RealDovecot], None], ...] = (deliver, deliver_twice, deliver_to_nobody, lose_delivery)
