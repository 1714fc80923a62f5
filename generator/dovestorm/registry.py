"""The one table of sinks and formats: name, module, one line of help, and the extra that it needs.

Choices on the command line, "did you mean" and the tables in the documentation all come from here.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovestorm.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import ModuleType

__all__ = ["FORMATS", "READABLE", "SINKS", "Entry", "choose_format", "find_format", "find_sink", "load"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One sink or format.

    Attributes:
        name: What the user writes: the URL's scheme, or the format's name.
        module: Where it is implemented; a sink's module has ``make(target, *, options)``, a format's has ``renderer``.
        help: One line.
        form: How the URL of a sink is written.
        extra: The optional part of the distribution that it needs, or None.
        takes: The only format that a sink takes, or None for any.
    """

    name: str
    module: str
    help: str
    form: str = ""
    extra: str | None = None
    takes: str | None = None


def _table(*entries: Entry) -> dict[str, Entry]:
    return {entry.name: entry for entry in entries}


SINKS = _table(
    Entry("-", "dovestorm.sinks.stdout", "standard output", "-"),
    Entry("file", "dovestorm.sinks.file", "a file; .gz and .zst are compressed", "PATH or file:PATH"),
    Entry("tcp", "dovestorm.sinks.tcp", "a TCP connection", "tcp://HOST:PORT"),
    Entry("tls", "dovestorm.sinks.tls", "a TLS connection, certificate verified", "tls://HOST:PORT[?ca=FILE]"),
    Entry("udp", "dovestorm.sinks.udp", "one datagram for each event", "udp://HOST:PORT[?max=BYTES]"),
    Entry("unix", "dovestorm.sinks.unix", "a Unix stream socket", "unix:PATH"),
    Entry("unixgram", "dovestorm.sinks.unixgram", "a Unix datagram socket, one datagram for each event", "unixgram:PATH"),
    Entry(
        "dovecot-stats",
        "dovestorm.sinks.dovecot_stats",
        "a Dovecot's stats process, which counts and exports the events",
        "dovecot-stats:PATH",
        takes="dovecot-stats",
    ),
    Entry("http", "dovestorm.sinks.http", "one POST for each event, or batches", "http://HOST[:PORT]/PATH[?batch=N]"),
    Entry("https", "dovestorm.sinks.http", "the same over TLS", "https://HOST[:PORT]/PATH[?batch=N][&ca=FILE]"),
)

FORMATS = _table(
    Entry("json", "dovestorm.formats.json", "one JSON object a line, as Dovecot's JSON exporter writes it"),
    Entry("tab-text", "dovestorm.formats.tab_text", "tab-separated tokens, one event a line, as Dovecot's other exporter writes it"),
    Entry("msgpack", "dovestorm.formats.msgpack", "a stream of MessagePack maps"),
    Entry("dovecot-stats", "dovestorm.formats.dovecot_stats", "lines of the stats protocol, for the sink of that name"),
)

READABLE = tuple(name for name in FORMATS if name not in {entry.takes for entry in SINKS.values()})
"""The formats that streams are kept in: those that are not one sink's own protocol."""


def find_sink(scheme: str) -> Entry:
    """The sink of a URL scheme.

    Raises:
        UsageError: There is none of that name.
    """
    return _find(SINKS, scheme, "sink")


def find_format(name: str) -> Entry:
    """The format of that name.

    Raises:
        UsageError: There is none of that name.
    """
    return _find(FORMATS, name, "format")


def choose_format(schemes: Iterable[str], wish: str | None, *, default: str) -> str:
    """The format for sinks of these schemes: the wish, or else the one that they need, or else the default.

    Raises:
        UsageError: A sink takes another format only.
    """
    entries = [SINKS[scheme] for scheme in schemes]
    for entry in entries:
        if entry.takes is None or entry.takes == wish:
            continue
        if wish is not None:
            raise UsageError(f"{entry.name}: takes the format '{entry.takes}' only, not '{wish}'; leave the format away, or deliver elsewhere")
        others = sorted({other.name for other in entries if other.takes != entry.takes})
        if others:
            raise UsageError(
                f"{entry.name}: takes the format '{entry.takes}' only, which {', '.join(others)} would get too: "
                f"ask for --format {entry.takes} if that is meant, or deliver in two runs"
            )
        wish = entry.takes
    return wish or default


def load(entry: Entry) -> ModuleType:
    """Import what implements an entry.

    Raises:
        UsageError: The extra that it needs is not installed.
    """
    try:
        return importlib.import_module(entry.module)
    except ModuleNotFoundError as error:
        if entry.extra is None:
            raise
        raise UsageError(f"{entry.name}: needs the extra '{entry.extra}': pip install 'dovestorm[{entry.extra}]'") from error


def _find(table: dict[str, Entry], name: str, what: str) -> Entry:
    if name in table:
        return table[name]
    raise UsageError(f"unknown {what} '{name}'{nearest(name, table) or ', known are ' + ', '.join(table)}")
