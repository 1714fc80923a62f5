"""A stats process of our own for the tests: as strict as Dovecot's, and it keeps what a real one would export.

Whatever makes a real 2.3.19 close the connection, or fall, raises ``RefusedError`` here; what a real one ignores is refused as well.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from sink_peers import PATIENCE_S, unix_listener

if TYPE_CHECKING:
    from pathlib import Path

LONGEST_LINE = 131_072
ESCAPED = {"0": "\0", "1": "\x01", "t": "\t", "r": "\r", "n": "\n"}


class RefusedError(Exception):
    """A real stats process would have closed the connection, or fallen."""


def demand(condition: object, text: str) -> None:
    if not condition:
        raise RefusedError(text)


def unescaped(token: str) -> str:
    """A text as C has it: it ends at a NUL."""
    first, *rest = token.split("\x01")
    for part in rest:
        demand(part[:1] in ESCAPED, f"no such escape: {part[:1]!r}")
    return (first + "".join(ESCAPED[part[0]] + part[1:] for part in rest)).partition("\0")[0]


@dataclass
class Said:
    """What a BEGIN, UPDATE or EVENT said."""

    parent: Said | None
    name: str = ""
    created: int = 0
    categories: set[str] = field(default_factory=set)
    fields: dict[str, object] = field(default_factory=dict)


class StatsProcess:
    """Reads lines; ``known`` categories are common to all connections, all else belongs to one."""

    def __init__(self, known: dict[str, str | None] | None = None) -> None:
        self.known = {} if known is None else known
        self.events: list[Said] = []
        self.alive: dict[int, Said] = {}
        self.commands: dict[str, int] = {}
        self.most_alive = 0
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            demand(len(line) < LONGEST_LINE, "line too long")
            self._line(line.decode("utf-8", "surrogateescape"))
        demand(len(self._rest) < LONGEST_LINE, "line too long")

    def _line(self, line: str) -> None:
        command, *words = line.split("\t")
        if not self.commands:
            demand([command, *words] == ["VERSION", "stats-client", "4", "0"], f"no VERSION: {line[:50]}")
        self.commands[command] = self.commands.get(command, 0) + 1
        match command:
            case "VERSION":
                demand(self.commands[command] == 1, "VERSION again")
            case "CATEGORY":
                self._category(*map(unescaped, words))
            case "BEGIN":
                number = whole(words[0])
                demand(number and number not in self.alive, f"duplicate id {number}")
                self.alive[number] = self._said(words[1], words[2], words[3:])
                self.most_alive = max(self.most_alive, len(self.alive))
            case "UPDATE":
                known = self.alive.get(whole(words[0]))
                demand(known is not None, "UPDATE of an unknown id")
                new = self._said(words[1], "0", words[2:])
                demand(new.parent is known.parent, "UPDATE changes the parent")
                known.fields |= new.fields
                known.categories = new.categories
            case "EVENT":
                demand(whole(words[0]) == 0, "no global event is in use here")
                self.events.append(flattened(self._said(words[1], words[2], words[3:])))
            case "END":
                (number,) = words
                demand(self.alive.pop(whole(number), None) is not None, "END of an unknown id")
            case _:
                raise RefusedError(f"unknown command: {line[:50]!r}")

    def _category(self, name: str, parent: str | None = None) -> None:
        demand(name, "empty category")
        demand(parent is None or parent in self.known, "unknown parent category")
        demand(self.known.setdefault(name, parent) == parent, f"category {name} has another parent")

    def _said(self, parent: str, log_type: str, words: list[str]) -> Said:
        demand(whole(log_type) <= 5, "invalid log type")
        number = whole(parent)
        demand(number == 0 or number in self.alive, "unknown parent")
        said = Said(self.alive.get(number), created=moment(words[0], words[1]))
        last = said.created
        rest = iter(words[2:])
        for word in rest:
            code, text = word[:1], unescaped(word[1:])
            demand(code and code in "lncSITL", f"unknown field code: {word[:20]!r}")
            if code == "l":
                last = moment(text, taken(rest))
            elif code == "n":
                demand(text, "empty name")
                said.name = text
            elif code == "c":
                demand(text in self.known, f"unregistered category {text}")
                said.categories |= self._with_parents(text)
            else:
                demand(text, "field name is missing")
                said.fields[text] = value(code, rest)
        demand(last >= said.created, "PANIC: last sent before it was created")
        said.fields["duration"] = last - said.created
        return said

    def _with_parents(self, name: str | None) -> set[str]:
        return set() if name is None else {name} | self._with_parents(self.known[name])


def value(code: str, rest) -> object:
    if code == "I":
        return integer(taken(rest))
    if code == "T":
        return ("moment", moment(taken(rest), taken(rest)))
    if code == "L":
        return [unescaped(taken(rest)) for _ in range(whole(taken(rest)))]
    return unescaped(taken(rest))


def taken(rest) -> str:
    word = next(rest, None)
    demand(word is not None, "missing value")
    return word


def whole(text: str) -> int:
    demand(text.isascii() and text.isdigit() and int(text) < 2**64, f"not a number: {text[:30]!r}")
    return int(text)


def integer(text: str) -> int:
    digits = text.removeprefix("-")
    demand(digits.isascii() and digits.isdigit() and -(2**63) <= int(text) < 2**63, f"not a 64-bit integer: {text[:30]!r}")
    return int(text)


def moment(seconds: str, microseconds: str) -> int:
    demand(whole(microseconds) < 1_000_000, "too many microseconds")
    return whole(seconds) * 1_000_000 + whole(microseconds)


def flattened(said: Said) -> Said:
    """As exported: a field stands where it first appeared, from the outermost ancestor on, with the value that came last."""
    whole_event = Said(None, said.name, said.created)
    chain = [said]
    while chain[0].parent is not None:
        chain.insert(0, chain[0].parent)
    for one in chain:
        whole_event.categories |= one.categories
        whole_event.fields |= one.fields
    return whole_event


class StatsPeer:
    """A stats process on a socket. Each connection's process is in ``processes``, and what it refused in ``complaints``.

    Args:
        path: Where to listen.
        greeting: What is said to each connection at once.
        leave_after: Connection i is closed once so many bytes of it were read; None reads on.
    """

    def __init__(
        self, path: Path, *, greeting: bytes = b'VERSION\tstats-server\t4\t0\nFILTER\t(event="*")\n', leave_after: tuple[int | None, ...] = ()
    ) -> None:
        self.url = f"dovecot-stats:{path}"
        self.processes: list[StatsProcess] = []
        self.complaints: list[str] = []
        self.connections: list[socket.socket] = []
        self.known: dict[str, str | None] = {}
        self._greeting = greeting
        self._leave_after = leave_after
        self._listener = unix_listener(path)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE_S)
        for sock in self.connections:
            sock.close()

    @property
    def events(self) -> list[Said]:
        """Those of all connections."""
        return [event for process in self.processes for event in process.events]

    def count(self, command: str) -> int:
        """How many lines of a kind came over all connections."""
        return sum(process.commands.get(command, 0) for process in self.processes)

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(sock)
            process = StatsProcess(self.known)
            self.processes.append(process)
            number = len(self.processes) - 1
            with contextlib.suppress(OSError):
                self._talk(sock, process, self._leave_after[number] if number < len(self._leave_after) else None)
            sock.close()

    def _talk(self, sock: socket.socket, process: StatsProcess, limit: int | None) -> None:
        sock.sendall(self._greeting)
        heard = 0
        while limit is None or heard < limit:
            data = sock.recv(65_536 if limit is None else min(65_536, limit - heard))
            if not data:
                return
            heard += len(data)
            try:
                process.feed(data)
            except RefusedError as refused:
                self.complaints.append(str(refused))
                return
