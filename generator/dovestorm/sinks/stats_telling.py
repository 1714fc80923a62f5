"""What a stats process has been told on one connection, and what it must still be told so that it understands the next event.

Records of the ``dovecot-stats`` format stand by themselves: categories, parents, the event, the ends of the parents. A server's process says
each of these once. So here a record's head is compared with what was said before: a category is announced once; a parent is begun before its
first event that is sent, updated when its fields have other values, and ended when nothing has needed it for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.sinks.event_filter import NEED_FIELDS, Event
from dovestorm.sinks.stats_lines import field_names, read_fields
from dovestorm.stats_protocol import FIRST_SESSION, LONGEST_LINE, unescape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dovestorm.sinks.event_filter import Filter

__all__ = ["LIVE_PARENTS", "Telling", "Told"]

LIVE_PARENTS = 4096
"""So many parents of sessions are used before those that were not among them are ended; at most twice as many are alive in the server."""

_UNWANTED, _TOO_LONG = 1, 2
_UNKNOWN = "unknown"

_MOST_ADDED = 64
"""Bytes by which a parent's line may grow when its moment is filled in."""


@dataclass(frozen=True, slots=True)
class Telling:
    """Records, said.

    Attributes:
        data: The bytes for the wire.
        ends: int64[n], where each record ends in ``data``; one that is not sent has none of its own.
        fates: uint8[n]: 0 sent, 1 not asked for by the server, 2 longer than what it reads.
    """

    data: bytes
    ends: NDArray[np.int64]
    fates: NDArray[np.uint8]


@dataclass(slots=True)
class _Parent:
    """A session's parent that the server knows: the head that told of it, the moment that it got, and the rest of its line."""

    head: bytes
    created: bytes
    rest: bytes


class Told:
    """The memory of one connection.

    Args:
        filter: What the server asked for.
        live: See ``LIVE_PARENTS``.
    """

    def __init__(self, filter: Filter, *, live: int = LIVE_PARENTS) -> None:  # noqa: A002 - the protocol's word
        self._live = live
        self._categories: set[bytes] = set()
        self._processes: dict[bytes, bytes] = {}
        self._settled: set[bytes] = set()
        self._parents: dict[bytes, _Parent] = {}
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}
        self.ask(filter)

    def ask(self, filter: Filter) -> None:  # noqa: A002
        """The server asks for something else from now on."""
        self._filter = filter
        self._verdicts: dict[tuple[bytes, bytes], bool | None] = {}

    def say(self, data: bytes, bounds: Sequence[int]) -> Telling:
        """Put records into words: record i is ``data[bounds[i]:bounds[i + 1]]``."""
        find = data.find
        wants_all = self._filter.wants_all
        settled = self._settled
        said: list[bytes] = []
        fates = np.zeros(len(bounds) - 1, np.uint8)
        for begin, end in pairwise(bounds):
            at = find(b"\nEVENT\t", begin, end) + 1 or begin
            line = data[at : find(b"\n", at, end) + 1]
            head = data[begin:at]
            news: bytes | None = b""
            if not (wants_all or self._is_wanted(head, line)):
                fates[len(said)] = _UNWANTED
                said.append(b"")
                continue
            if head not in self._young and head not in settled:
                news = self._news(head, line)
            if news is None or len(line) > LONGEST_LINE:
                fates[len(said)] = _TOO_LONG
                line = b""
            said.append(news + line if news else line)
        return Telling(b"".join(said), np.cumsum(list(map(len, said)), dtype=np.int64), fates)

    def farewell(self) -> bytes:
        """The ends of all parents."""
        numbers = [*self._parents, *self._processes.values()]
        self._parents.clear()
        self._processes.clear()
        return b"".join(b"END\t%s\n" % number for number in numbers)

    def _is_wanted(self, head: bytes, line: bytes) -> bool:
        """Ask the filter; what name and categories decide is decided once."""
        name = _name(line)
        key = head[: _first_begin(head)], name
        verdict = self._verdicts.get(key, _UNKNOWN)
        if verdict == _UNKNOWN:
            verdict = self._verdicts[key] = self._filter.wants(Event(_text(name), _categories(key[0]), NEED_FIELDS))
        if verdict is None:
            verdict = self._filter.wants(Event(_text(name), _categories(key[0]), read_fields(head, line)))
        return verdict is not False

    def _news(self, head: bytes, event: bytes) -> bytes | None:
        """What a head tells that is new, or that was nearly forgotten; None when a line of it is too long for the server."""
        if number := self._old.pop(head, None):
            self._young[head] = number
            return b"" if len(self._young) < self._live else self._forget()
        cut = _first_begin(head)
        announced, line = head[:cut], head[cut:]
        if len(line) + _MOST_ADDED > LONGEST_LINE:
            return None
        said = b"" if announced in self._settled else self._announce(announced)
        if not line:
            self._settled.add(head)
            return said
        created = b"\t".join(event.split(b"\t", 6)[4:6])
        first, _, second = line.partition(b"\n")
        if first in self._processes or int(first[6 : first.index(b"\t", 6)]) < FIRST_SESSION:
            said += self._process(first, created)
            if not second:
                self._settled.add(head)
                return said
            first = second[:-1]
        number, parent, log_type, rest = _parts(first)
        said += self._parent(number, parent, log_type, _Parent(head, created, rest))
        self._young[head] = number
        return said if len(self._young) < self._live else said + self._forget()

    def _announce(self, lines: bytes) -> bytes:
        fresh = [line for line in lines.splitlines(keepends=True) if line not in self._categories]
        self._categories.update(fresh)
        self._settled.add(lines)
        return b"".join(fresh)

    def _process(self, line: bytes, created: bytes) -> bytes:
        """Begin a process's own event; it lives as long as the connection."""
        if line in self._processes:
            return b""
        number, parent, log_type, rest = _parts(line)
        self._processes[line] = number
        return b"BEGIN\t%s\t%s\t%s\t%s%s\n" % (number, parent, log_type, created, rest)

    def _parent(self, number: bytes, parent: bytes, log_type: bytes, new: _Parent) -> bytes:
        """Begin a session's parent; or update it, when the same fields have other values."""
        known = self._parents.get(number)
        self._parents[number] = new
        begin = b"BEGIN\t%s\t%s\t%s\t%s%s\n" % (number, parent, log_type, new.created, new.rest)
        if known is None:
            return begin
        self._young.pop(known.head, None)
        self._old.pop(known.head, None)
        if field_names(known.rest) != field_names(new.rest):
            return b"END\t%s\n%s" % (number, begin)
        new.created = known.created
        return b"UPDATE\t%s\t%s\t%s%s\n" % (number, parent, new.created, new.rest)

    def _forget(self) -> bytes:
        """End the parents that were not used while enough others were."""
        unused, self._old, self._young = self._old, self._young, {}
        for number in unused.values():
            del self._parents[number]
        return b"".join(b"END\t%s\n" % number for number in unused.values())


def _parts(begin: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Number, parent, log type and the rest of a ``BEGIN`` line without its moment; the rest has its tab in front, or is empty."""
    _, number, parent, log_type, _, _, *rest = begin.split(b"\t", 6)
    return number, parent, log_type, b"".join(b"\t" + part for part in rest)


def _first_begin(head: bytes) -> int:
    """Where the categories end."""
    if head.startswith(b"BEGIN\t"):
        return 0
    return head.find(b"\nBEGIN\t") + 1 or len(head)


def _name(line: bytes) -> bytes:
    begin = line.find(b"\tn") + 2
    end = line.find(b"\t", begin)
    return line[begin:end] if end >= 0 else line[begin:-1]


def _categories(announced: bytes) -> frozenset[str]:
    return frozenset(_text(line.split(b"\t")[1]) for line in announced.splitlines())


def _text(token: bytes) -> str:
    return unescape(token).decode("utf-8", "surrogateescape")
