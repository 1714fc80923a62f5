"""The Python API: a scenario's events as objects, as bytes, or in a file.

Example:
    >>> import dovestorm
    >>> events = dovestorm.generate("imap-login", seed=7, sessions=1)
    >>> next(iter(events)).name
    'client_connection_connected'
    >>> [event.fields["name"] for event in events if event.name == "imap_command_finished"]
    ['SELECT', 'UID FETCH', 'UID FETCH', 'UID STORE', 'LOGOUT']
"""

from __future__ import annotations

import io
import math
import operator
import os
import shlex
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovestorm.clock import EPOCH, rfc3339
from dovestorm.errors import DeliveryError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.batch import RecordKind
    from dovestorm.block import Block
    from dovestorm.engine.program import Program
    from dovestorm.labels import Label
    from dovestorm.scenario.model import Scenario
    from dovestorm.stream import Stream

__all__ = ["Event", "Events", "generate"]


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        name: The event's name in the edition.
        start_us: When it began, microseconds since the epoch, UTC.
        end_us: The stats process's clock when it exported the event, microseconds since the epoch, UTC.
        categories: Its categories.
        fields: Its fields as JSON has them: text, integer or list of texts; a moment is a text like ``2026-03-02T09:00:00.250000Z``.
        session: Number of the session that it belongs to, from 0 in order of arrival; no field of the event says it.
        hostname: The server's name.
    """

    name: str
    start_us: int
    end_us: int
    categories: tuple[str, ...]
    fields: dict[str, Any]
    session: int
    hostname: str

    @property
    def start(self) -> datetime:
        """When it began, UTC."""
        return EPOCH + timedelta(microseconds=self.start_us)

    @property
    def end(self) -> datetime:
        """When it was exported, UTC."""
        return EPOCH + timedelta(microseconds=self.end_us)


class Events:
    """A stream of events, made anew (and the same) every time that it is iterated, rendered or written.

    Attributes:
        stream: What makes it.
    """

    def __init__(self, stream: Stream, words: tuple[str, ...]) -> None:
        self.stream = stream
        self._words = words

    def __iter__(self) -> Iterator[Event]:
        layout = self.stream.layout
        moments = {id(kind): _moment_fields(kind) for kind in layout.kinds}
        for batch in self.stream.batches():
            for kind, session, row in batch.rows():
                fields = batch.field_values(kind, row)
                for name in moments[id(kind)] & fields.keys():
                    fields[name] = rfc3339(fields[name])
                yield Event(kind.event, row[0], row[1], kind.categories, fields, session, layout.hostname)

    def __repr__(self) -> str:
        return f"<Events of: {self.command}>"

    @property
    def command(self) -> str:
        """The command line that makes the same data on standard output, as JSON."""
        return self.command_line()

    def command_line(self, *, format: str = "json", time_format: str = "rfc3339", to: str | None = None) -> str:  # noqa: A002 - the word that users look for
        """The command line that makes the same bytes as ``bytes`` does, on standard output or at the sink ``to``."""
        options = (("--format", format, "json"), ("--time-format", time_format, "rfc3339"), ("--to", to, None))
        return shlex.join([*self._words, *(word for name, value, usual in options if value not in {None, usual} for word in (name, str(value)))])

    def to_list(self) -> list[Event]:
        """All events."""
        return list(self)

    def labels(self) -> Iterator[Label]:
        """The sessions that belong to a behaviour that the scenario planted, by number and label; none where it plants nothing.

        The stream is simulated for it once more, whatever was made of it before.
        """
        from dovestorm.labels.collecting import Collection

        return iter(Collection(self.stream))

    def blocks(self, *, format: str = "json", time_format: str = "rfc3339", workers: int = 1) -> Iterator[Block]:  # noqa: A002
        """The events rendered, in blocks of many; a block is good until six more have been taken.

        Raises:
            UsageError: An unknown format or time format, or no workers.
        """
        _check_format(format, time_format)
        return self.stream.blocks(format, time_format=time_format, workers=_whole("workers", workers, least=1))

    def lines(self, *, format: str = "json", time_format: str = "rfc3339") -> Iterator[bytes]:  # noqa: A002
        """The events rendered one by one, each without its newline; what is not taken is not made.

        Raises:
            UsageError: An unknown format or time format.
        """
        return _records(self.blocks(format=format, time_format=time_format))

    def bytes(self, *, format: str = "json", time_format: str = "rfc3339") -> bytes:  # noqa: A002
        """The events rendered as one ``bytes``.

        Raises:
            UsageError: An unknown format or time format.
        """
        buffer = io.BytesIO()
        for block in self.blocks(format=format, time_format=time_format):
            buffer.write(block.data)
        return buffer.getvalue()

    def write(self, path: str | Path, *, format: str = "json", time_format: str = "rfc3339") -> int:  # noqa: A002
        """Write the events to a file (compressed where its name ends in .gz or .zst); gives their number.

        The file appears whole or not at all: it is written under another name beside it and renamed. A symbolic link stays one.

        Raises:
            DeliveryError: The file cannot be written.
            UsageError: An unknown format or time format, or a path that is no file's.
        """
        from dovestorm import sinks

        blocks = self.blocks(format=format, time_format=time_format)
        target = _file_to_be(Path(path))
        # Two writers at the same time must not meet in one name. The ending says how the file is compressed.
        partial = target.with_name(f".dovestorm-{os.getpid()}-{threading.get_ident()}{target.suffix if target.suffix in {'.gz', '.zst'} else ''}")
        sink = sinks.open_url(f"file:{partial}")
        made = 0
        try:
            sink.open()
            for block in blocks:
                sink.write(block)
                made += len(block)
            sink.close()
            partial.replace(target)
        except OSError as error:
            raise DeliveryError(f"{path}: cannot be written: {error.strerror or error}") from error
        except DeliveryError as error:
            raise DeliveryError(str(error).replace(f"file:{partial}", str(path))) from error
        finally:
            sink.abort()
            partial.unlink(missing_ok=True)
        return made


def generate(
    scenario: str | Path,
    *,
    seed: int = 0,
    sessions: int | None = None,
    events: int | None = None,
    duration: str | timedelta | None = None,
    dovecot: str | None = None,
    shard: tuple[int, int] = (1, 1),
    rate: float = 1.0,
    users: int | None = None,
    start: datetime | str | None = None,
    sections: Iterable[str] | None = None,
) -> Events:
    """Describe a stream of events; nothing is made before it is iterated.

    Args:
        scenario: A shipped scenario's name, or the path of a file.
        seed: Same scenario, edition and seed: same events.
        sessions: Start so many sessions, and let each come to its end.
        events: Stop after so many events.
        duration: Stop after so much scenario time (``"10min"`` or a timedelta).
        dovecot: The edition, by default the scenario's own.
        shard: (i, n): every n-th session, from the i-th on.
        rate: Multiplies the arrival rate.
        users: Replaces the number of users.
        start: Replaces the scenario's start: a datetime with a time zone, or a text like ``"2026-03-02T06:00:00Z"``.
        sections: Keys of the catalog sections whose events are made, such as ``["imap", "http"]``; all that the edition has by default.

    Raises:
        ScenarioError: With every fault of the scenario.
        UsageError: An unknown scenario, edition or section, or a value that cannot be.
    """
    from dovestorm.stream import Limits, Stream

    seed = _whole("seed", seed)
    first, count = _shard(shard)
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < math.inf:
        raise UsageError(f"rate: {rate!r}, must be a number > 0")
    limits = Limits(
        sessions=None if sessions is None else _whole("sessions", sessions, least=0),
        events=None if events is None else _whole("events", events, least=0),
        duration=None if duration is None else _microseconds(duration),
    )
    moment = None if start is None else _moment(start)
    users = None if users is None else _whole("users", users, least=1)
    if not isinstance(dovecot, str | None):
        raise UsageError(f"dovecot: {dovecot!r}, must be a version as text, such as '2.3.19'")
    named = _named(scenario)
    overrides = {key: value for key, value in (("start", moment), ("population.users", users)) if value is not None}
    chosen = None if sections is None else _names("sections", sections)
    loaded, program = _compiled(named, dovecot, tuple(overrides.items()), chosen, _contents(named))
    stream = Stream(scenario=loaded, seed=seed, shard=(first, count), limits=limits, rate=rate, sections=chosen)
    # The stream would compile it itself, and each stream anew.
    stream.__dict__["program"] = program
    options = {
        "seed": seed,
        "sessions": limits.sessions,
        "events": limits.events,
        "for": None if limits.duration is None else f"{limits.duration}us",
        "dovecot": dovecot,
        "shard": None if count == 1 else f"{first}/{count}",
        "scale": None if rate == 1 else rate,
        "users": users,
        "start": moment,
        "sections": None if chosen is None else ",".join(sorted(chosen)),
    }
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return Events(stream, ("dovestorm", "generate", named, *words))


def _records(blocks: Iterator[Block]) -> Iterator[bytes]:
    for block in blocks:
        begin = 0
        for end in block.ends.tolist():
            yield bytes(block.data[begin : end - block.terminator])
            begin = end


def _moment_fields(kind: RecordKind) -> frozenset[str]:
    from dovestorm.batch import Column, Encoding

    return frozenset(slot.name for slot in kind.fields if isinstance(slot.source, Column) and slot.source.encoding is Encoding.TIMESTAMP)


# ---------------------------------------------------------------- arguments


def _whole(name: str, value: Any, *, least: int | None = None) -> int:
    wanted = "a whole number" if least is None else f"a whole number from {least} up"
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        raise UsageError(f"{name}: {value!r}, must be {wanted}")
    return number


def _names(name: str, given: Any) -> frozenset[str]:
    # A text would be taken for its letters.
    names = None if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if names is None or not all(isinstance(one, str) for one in names):
        raise UsageError(f"{name}: {given!r}, must be a list of names, such as ['imap', 'http']")
    return frozenset(names)


def _shard(shard: Any) -> tuple[int, int]:
    if isinstance(shard, tuple | list) and len(shard) == 2 and all(isinstance(part, int) and not isinstance(part, bool) for part in shard):
        first, count = shard
        if 1 <= first <= count:
            return first, count
    raise UsageError(f"shard: {shard!r}, must be (i, n) with 1 <= i <= n, such as (1, 4)")


def _microseconds(duration: str | timedelta) -> int:
    if isinstance(duration, timedelta):
        number = duration // timedelta(microseconds=1)
    elif isinstance(duration, str):
        from dovestorm.scenario import units

        try:
            number = units.stretch(duration.strip())
        except ValueError as error:
            raise UsageError(f"duration: '{duration}': {error}") from None
    else:
        raise UsageError(f"duration: {duration!r}, must be a text such as '10min' or a timedelta")
    if number < 0:
        raise UsageError(f"duration: '{duration}', must not be negative")
    return number


def _moment(start: datetime | str) -> str:
    if isinstance(start, datetime):
        if start.utcoffset() is None:
            raise UsageError(f"start: {start} has no time zone, give it one: start.replace(tzinfo=datetime.UTC)")
        start = start.astimezone(UTC).isoformat()
    if not isinstance(start, str):
        raise UsageError(f"start: {start!r}, must be a datetime or a text such as '2026-03-02T06:00:00Z'")
    from dovestorm.scenario import units

    try:
        units.instant(start)
    except ValueError as error:
        raise UsageError(f"start: '{start}': {error}") from None
    return start


def _named(scenario: str | Path) -> str:
    """The scenario as a command line names it: a path that could be taken for a shipped scenario's name, or for an option, gets a slash."""
    if not isinstance(scenario, str | Path) or not str(scenario):
        raise UsageError(f"scenario: {scenario!r}, must be a shipped scenario's name or the path of a file")
    text = str(scenario)
    is_file = Path(text).suffix in {".yaml", ".yml"}
    if (isinstance(scenario, Path) and "/" not in text and not is_file) or (is_file and text.startswith("-")):
        return f"./{text}"
    return text


def _check_format(name: str, time_format: str) -> None:
    from dovestorm import formats, registry

    registry.find_format(name)
    if time_format not in formats.TIME_FORMATS:
        known = formats.TIME_FORMATS
        raise UsageError(f"unknown time format '{time_format}'{nearest(time_format, known) or ', known are ' + ', '.join(known)}")


def _file_to_be(path: Path) -> Path:
    """Where a file is going to be, links followed; a device or a pipe must not be replaced by a file."""
    try:
        target = path.resolve()
        if target.is_dir():
            raise UsageError(f"{path}: a folder, name a file in it")
        if target.exists() and not target.is_file():
            raise UsageError(f"{path}: not a regular file, deliver there with 'dovestorm generate ... --to'")
        if not target.parent.is_dir():
            raise DeliveryError(f"{path}: the folder {target.parent} is missing, make it first")
    except (OSError, RuntimeError, ValueError) as error:
        raise DeliveryError(f"{path}: cannot be written: {getattr(error, 'strerror', error)}") from error
    return target


# ---------------------------------------------------------------- loading


def _contents(scenario: str) -> tuple[int, ...]:
    """What changes when a scenario's file, or a fragment or pool beside it, changes; nothing for a shipped scenario's name."""
    path = Path(scenario)
    if not ("/" in scenario or path.suffix in {".yaml", ".yml"}):
        return ()
    files = [path, *path.parent.glob("fragments/*.yaml"), *path.parent.glob("pools/*.txt")]
    try:
        return tuple(hash((file.name, file.read_bytes())) for file in sorted(files) if file.is_file())
    except OSError:
        return ()  # the loader says what is wrong with it


@lru_cache(maxsize=32)
def _compiled(
    scenario: str, dovecot: str | None, overrides: tuple[tuple[str, Any], ...], sections: frozenset[str] | None, _files: tuple[int, ...]
) -> tuple[Scenario, Program]:
    """Load and compile once: many small fixtures come from one scenario."""
    from dovestorm import scenario as scenarios
    from dovestorm.stream import Stream

    loaded = scenarios.load(scenario, dovecot=dovecot, overrides=dict(overrides))
    return loaded, Stream(scenario=loaded, sections=sections).program
