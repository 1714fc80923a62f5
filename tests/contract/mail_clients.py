"""What people and programs do to a mail server, against a real one: each function is one visit, from connection to end.

Every visit comes from an address of its own on the loopback (127.0.0.2 and up): Dovecot makes an address wait that has failed to log in, and
calls a client on the server's own address trusted.
"""

from __future__ import annotations

import contextlib
import imaplib
import itertools
import socket
import ssl
from typing import TYPE_CHECKING

from real_dovecot import PASSWORD, USERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from real_dovecot import RealDovecot

__all__ = [
    "IMAP_VISITS",
    "MESSAGE",
    "Imap",
    "attempt",
    "browse",
    "clean_session",
    "connections",
    "give_up",
    "imap",
    "log_in_by_login",
    "lose_connection",
    "new_address",
    "next_user",
    "typing_error",
]

_TIMEOUT_S = 60
MESSAGE = b"From: anna@example.com\r\nTo: bela@example.com\r\nSubject: meeting\r\nMessage-ID: <1@example.com>\r\n\r\nAt nine.\r\n"

_users = itertools.cycle(USERS)
_names = (f"Project-{number}" for number in itertools.count(1))
_addresses = [f"127.0.{high}.{low}" for high in range(1, 9) for low in range(2, 250)]
_taken: list[str] = []

_LISTINGS = ('LIST "" "*"', 'LIST "" "*" RETURN (STATUS (MESSAGES UNSEEN))', 'LIST (SUBSCRIBED) "" "*"')
_FETCHES = ("UID FETCH 1:* (FLAGS)", "UID FETCH 1:5 (UID ENVELOPE BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)])", "UID FETCH 1 (BODY.PEEK[])")
_SEARCHES = ("UID SEARCH UNSEEN", 'UID SEARCH SUBJECT "meeting"', "UID SEARCH BODY nine")
_listings, _fetches, _searches = itertools.cycle(_LISTINGS), itertools.cycle(_FETCHES), itertools.cycle(_SEARCHES)


def new_address() -> str:
    """A client address that no visit has come from yet."""
    _taken.append(_addresses[len(_taken)])
    return _taken[-1]


def next_user() -> str:
    """Users take turns."""
    return next(_users)


def connections() -> int:
    """How many connections have been made; a visit makes one, as a rule."""
    return len(_taken)


class Imap(imaplib.IMAP4):
    """An IMAP connection from an address of its own, with TLS if a context is given."""

    def __init__(self, port: int, address: str, context: ssl.SSLContext | None) -> None:
        self._address, self._context = address, context
        super().__init__("127.0.0.1", port, _TIMEOUT_S)

    def _create_socket(self, timeout: float | None) -> socket.socket:  # the hook that IMAP4_SSL uses too
        sock = socket.create_connection((self.host, self.port), timeout, source_address=(self._address, 0))
        return sock if self._context is None else self._context.wrap_socket(sock, server_hostname="localhost")

    def raw(self, line: bytes) -> None:
        """Send a line as it stands."""
        self.send(line + b"\r\n")

    def read_until(self, start: bytes) -> bytes:
        """Read lines until one begins with ``start``, and give that one."""
        while not (line := self.readline()).startswith(start):
            assert line, f"the server closed the connection instead of answering {start!r}"
        return line

    def command(self, line: str, *, literal: bytes = b"") -> bytes:
        """Send any command and give its tagged reply, which may be NO or BAD."""
        tag = self._new_tag()
        self.raw(tag + b" " + line.encode())
        if literal:
            self.read_until(b"+")
            self.raw(literal)
        return self.read_until(tag + b" ")

    def idle(self, *, done: bool) -> None:
        """Begin to wait for news, and end that if ``done``."""
        tag = self._new_tag()
        self.raw(tag + b" IDLE")
        self.read_until(b"+ idling")
        if done:
            self.raw(b"DONE")
            self.read_until(tag + b" ")

    def hang_up(self) -> None:
        """End the connection without a word."""
        self.shutdown()


@contextlib.contextmanager
def imap(server: RealDovecot, *, tls: bool = True, address: str | None = None) -> Iterator[Imap]:
    """Connect; whatever happens, the socket is closed in the end."""
    context = ssl.create_default_context(cafile=server.certificate) if tls else None
    client = Imap(server.ports.imaps if tls else server.ports.imap, address or new_address(), context)
    try:
        yield client
    finally:
        with contextlib.suppress(OSError):
            client.hang_up()


def clean_session(server: RealDovecot) -> None:
    """What the scenario ``imap-login`` says: log in, look at the inbox, read and mark a message, leave."""
    with imap(server) as client:
        client.login(next_user(), PASSWORD)
        client.select()
        client.uid("FETCH", "1:*", "(FLAGS)")
        client.uid("FETCH", "1", "(FLAGS BODY.PEEK[])")
        client.uid("STORE", "1", "+FLAGS", "(\\Seen)")
        client.logout()


def browse(server: RealDovecot) -> None:
    """What the flow ``browse`` of loopback.yaml says, with the inbox."""
    _browse(server, "SELECT INBOX")


def browse_new(server: RealDovecot) -> None:
    """The same with a mailbox that does not exist yet."""
    name = next(_names)
    _browse(server, f"SELECT {name}", f"CREATE {name}", f"SELECT {name}")


def _browse(server: RealDovecot, *opening: str) -> None:
    with imap(server) as client:
        client.login(next_user(), PASSWORD)
        for line in (
            next(_listings),
            *opening,
            next(_fetches),
            next(_searches),
            "UID STORE 1 +FLAGS (\\Seen)",
            "STATUS Sent (MESSAGES UNSEEN UIDNEXT)",
        ):
            client.command(line)
        client.command(f"APPEND Drafts (\\Seen) {{{len(MESSAGE)}}}", literal=MESSAGE)
        client.idle(done=True)
        client.command("NOOP")
        client.logout()


def explore(server: RealDovecot) -> None:
    """List, search and fetch in every way."""
    with imap(server) as client:
        client.login(next_user(), PASSWORD)
        for line in (*_LISTINGS, "SELECT INBOX", *_FETCHES, *_SEARCHES, "UID STORE 1 FLAGS (\\Flagged)", "STATUS Drafts (MESSAGES)"):
            client.command(line)
        for _ in range(2):
            client.command(f"APPEND Sent {{{len(MESSAGE)}}}", literal=MESSAGE)
            client.idle(done=True)
        client.logout()


def arrange(server: RealDovecot) -> None:
    """Make, rename, subscribe and delete mailboxes, copy and move messages, expunge."""
    with imap(server) as client:
        client.login(next_user(), PASSWORD)
        for line in (
            "CAPABILITY",
            "NAMESPACE",
            'ID ("name" "test")',
            "ENABLE CONDSTORE",
            "CREATE Projects",
            "SUBSCRIBE Projects",
            'LSUB "" "*"',
            "RENAME Projects Archive",
        ):
            client.command(line)
        # Whatever others did to the inbox, there are messages to work on.
        for _ in range(3):
            client.command(f"APPEND INBOX {{{len(MESSAGE)}}}", literal=MESSAGE)
        for line in (
            "SELECT INBOX",
            "FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)",
            "FETCH 1 BODY[TEXT]",
            "SEARCH ALL",
            "SORT (DATE) UTF-8 ALL",
            "THREAD REFERENCES UTF-8 ALL",
            "COPY 1 Archive",
            "UID COPY 1 Archive",
            "STORE 1 +FLAGS (\\Deleted)",
            "UID EXPUNGE 1:*",
            "STORE 1 +FLAGS (\\Deleted)",
            "EXPUNGE",
            "CHECK",
            "CLOSE",
            "SELECT Archive",
            "MOVE 1 INBOX",
            "UID MOVE 1:* INBOX",
            "UNSELECT",
            "EXAMINE INBOX",
            "UNSELECT",
            "UNSUBSCRIBE Projects",
            "DELETE Archive",
            "NOOP",
            "LOGOUT",
        ):
            client.command(line)


def misfits(server: RealDovecot) -> None:
    """Commands that are refused, unknown or misspelt."""
    with imap(server, tls=False) as client:
        client.login(next_user(), PASSWORD)
        for line in (
            "SELECT Nowhere",
            "STATUS Nowhere (MESSAGES)",
            "FROB",
            "FETCH x FLAGS",
            "UID FROB 1",
            "CREATE INBOX",
            "DELETE Nowhere",
            "NOOP x",
            "SELECT",
        ):
            client.command(line)
        client.command("SELECT INBOX")
        client.command("FETCH 900000 FLAGS")
        client.command(f"APPEND Nowhere {{{len(MESSAGE)}+}}\r\n{MESSAGE.decode()}")
        client.logout()


def attempt(server: RealDovecot, user: str, password: str) -> None:
    """Say who the program is, log in as somebody, and look at the inbox if that goes well."""
    with imap(server) as client:
        client.command('ID ("name" "tester" "version" "1")')
        with contextlib.suppress(imaplib.IMAP4.error):
            client.login(user, password)
            client.select()
        client.logout()


def typing_error(server: RealDovecot) -> None:
    """A wrong password, then the right one."""
    user = next_user()
    with imap(server) as client:
        with contextlib.suppress(imaplib.IMAP4.error):
            client.login(user, "wrong")
        client.login(user, PASSWORD)
        client.select()
        client.logout()


def give_up(server: RealDovecot) -> None:
    """A wrong password, and away."""
    with imap(server) as client:
        with contextlib.suppress(imaplib.IMAP4.error):
            client.login(next_user(), "wrong")
        client.logout()


def unknown_user(server: RealDovecot) -> None:
    """A user that does not exist."""
    with imap(server, tls=False) as client:
        with contextlib.suppress(imaplib.IMAP4.error):
            client.login("nobody@example.com", "wrong")
        client.logout()


def log_in_by_plain(server: RealDovecot) -> None:
    """AUTHENTICATE PLAIN without an initial response: one challenge."""
    user = next_user()
    with imap(server) as client:
        client.authenticate("PLAIN", lambda _: f"\0{user}\0{PASSWORD}".encode())
        client.select()
        client.logout()


def log_in_by_login(server: RealDovecot) -> None:
    """AUTHENTICATE LOGIN: two challenges."""
    answers = iter([next_user().encode(), PASSWORD.encode()])
    with imap(server, tls=False) as client:
        client.authenticate("LOGIN", lambda _: next(answers))
        client.select()
        client.logout()


def log_in_by_cram_md5(server: RealDovecot) -> None:
    """CRAM-MD5: one challenge that holds something."""
    with imap(server, tls=False) as client:
        client.login_cram_md5(next_user(), PASSWORD)
        client.select()
        client.logout()


def abort_authentication(server: RealDovecot) -> None:
    """The client takes AUTHENTICATE back."""
    with imap(server) as client:
        tag = client._new_tag()
        client.raw(tag + b" AUTHENTICATE PLAIN")
        client.read_until(b"+")
        client.raw(b"*")
        client.read_until(tag + b" ")
        client.logout()


def vanish_in_authentication(server: RealDovecot) -> None:
    """The client goes away while it is asked for the password."""
    with imap(server) as client:
        client.raw(client._new_tag() + b" AUTHENTICATE LOGIN")
        client.read_until(b"+")


def knock(server: RealDovecot) -> None:
    """Connect, ask what the server can do, and leave without a login."""
    with imap(server, tls=False) as client:
        client.command("CAPABILITY")
        client.command("NOOP")


def lose_connection(server: RealDovecot) -> None:
    """The connection breaks while nothing is asked."""
    with imap(server) as client:
        client.login(next_user(), PASSWORD)
        client.select()


def lose_connection_in_idle(server: RealDovecot) -> None:
    """The connection breaks while the client waits for news."""
    with imap(server) as client:
        client.login(next_user(), PASSWORD)
        client.select()
        client.idle(done=False)


def lose_connection_in_command(server: RealDovecot) -> None:
    """The connection breaks within a line, and within a message that is stored."""
    with imap(server, tls=False) as client:
        client.login(next_user(), PASSWORD)
        client.send(b"x1 SELECT IN")
    with imap(server, tls=False) as client:
        client.login(next_user(), PASSWORD)
        client.raw(b"x1 APPEND INBOX {1000}")
        client.read_until(b"+")
        client.send(b"From: anna")


IMAP_VISITS: tuple[Callable[[RealDovecot], None], ...] = (
    clean_session,
    browse,
    browse_new,
    explore,
    arrange,
    misfits,
    typing_error,
    give_up,
    unknown_user,
    log_in_by_plain,
    log_in_by_login,
    log_in_by_cram_md5,
    abort_authentication,
    vanish_in_authentication,
    knock,
    lose_connection,
    lose_connection_in_idle,
    lose_connection_in_command,
)
