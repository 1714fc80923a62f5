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
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovestorm.errors import DeliveryError, UsageError

if TYPE_CHECKING:
    from dovestorm.block import Block
    from dovestorm.engine.program import Program
    from dovestorm.scenario.model import Scenario
    from dovestorm.stream import Stream

__all__ = ["Event", "Events", "generate"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    Attributes:
        name: The event's name in the edition.
        start_us: When it began, microseconds since the epoch, UTC.
        end_us: The stats process's clock when it exported the event, microseconds since the epoch, UTC.
        categories: Its categories.
        fields: Its fields: text, integer or list of texts; moments are microseconds since the epoch.
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
        return _EPOCH + timedelta(microseconds=self.start_us)

    @property
    def end(self) -> datetime:
        """When it was exported, UTC."""
        return _EPOCH + timedelta(microseconds=self.end_us)


class Events:
    """A stream of events, made anew (and the same) every time that it is iterated, rendered or written.

    Attributes:
        stream: What makes it.
        command: The command line that makes the same data on standard output.
    """

    def __init__(self, stream: Stream, command: str) -> None:
        self.stream = stream
        self.command = command

    def __iter__(self) -> Iterator[Event]:
        hostname = self.stream.layout.hostname
        for batch in self.stream.batches():
            for kind, session, row in batch.rows():
                yield Event(kind.event, row[0], row[1], kind.categories, batch.field_values(kind, row), session, hostname)

    def __repr__(self) -> str:
        return f"<Events of: {self.command}>"

    def to_list(self) -> list[Event]:
        """All events."""
        return list(self)

    def blocks(self, *, format: str = "json", time_format: str = "rfc3339", workers: int = 1) -> Iterator[Block]:  # noqa: A002 - the word that users look for
        """The events rendered, in blocks of many; a block is good until six more have been taken.

        Raises:
            UsageError: An unknown format or time format.
        """
        return self.stream.blocks(format, time_format=time_format, workers=workers)

    def bytes(self, *, format: str = "json", time_format: str = "rfc3339") -> bytes:  # noqa: A002
        """The events rendered as one ``bytes``."""
        buffer = io.BytesIO()
        for block in self.blocks(format=format, time_format=time_format):
            buffer.write(block.data)
        return buffer.getvalue()

    def write(self, path: str | Path, *, format: str = "json", time_format: str = "rfc3339") -> int:  # noqa: A002
        """Write the events to a file (compressed where its name ends in .gz or .zst); gives their number.

        The file appears whole or not at all: it is written under another name beside it and renamed.

        Raises:
            DeliveryError: The file cannot be written.
            UsageError: An unknown format or time format.
        """
        from dovestorm import delivery, sinks

        target = Path(path)
        # The suffix stays at the end: it says how the file is compressed.
        partial = target.with_name(f".{target.stem}.partial{target.suffix}")
        report = delivery.deliver(
            self.blocks(format=format, time_format=time_format), [sinks.open_url(f"file:{partial}")], asked=None, read_ahead=False
        )
        if not report.complete:
            partial.unlink(missing_ok=True)
            raise DeliveryError(report.sinks[0].error or f"{target}: not written whole")
        partial.replace(target)
        return report.made


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
        start: Replaces the scenario's start.

    Raises:
        ScenarioError: With every fault of the scenario.
        UsageError: An unknown scenario, edition, or a limit that cannot be.
    """
    from dovestorm.stream import Limits, Stream

    if not rate > 0:
        raise UsageError(f"rate: {rate}, must be > 0")
    if not (len(shard) == 2 and 1 <= shard[0] <= shard[1]):
        raise UsageError(f"shard: {shard}, must be (i, n) with 1 <= i <= n")
    moment = start.isoformat() if isinstance(start, datetime) else start
    overrides = {key: value for key, value in (("start", moment), ("population.users", users)) if value is not None}
    limits = Limits(sessions=sessions, events=events, duration=None if duration is None else _microseconds(duration))
    loaded, program = _compiled(str(scenario), dovecot, tuple(overrides.items()), _stamp(scenario))
    stream = Stream(scenario=loaded, seed=seed, shard=shard, limits=limits, rate=rate)
    stream.__dict__["program"] = program
    options = {
        "seed": seed,
        "sessions": sessions,
        "events": events,
        "for": None if limits.duration is None else f"{limits.duration}us",
        "dovecot": dovecot,
        "shard": None if shard == (1, 1) else f"{shard[0]}/{shard[1]}",
        "scale": None if rate == 1 else rate,
        "users": users,
        "start": moment,
    }
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    return Events(stream, shlex.join(["dovestorm", "generate", str(scenario), *words]))


def _microseconds(duration: str | timedelta) -> int:
    if isinstance(duration, timedelta):
        return duration // timedelta(microseconds=1)
    from dovestorm.scenario import units

    try:
        return int(units.number(duration, unit="duration"))
    except ValueError as error:
        raise UsageError(f"duration: '{duration}': {error}") from None


def _stamp(scenario: str | Path) -> tuple[int, ...]:
    """What changes when a scenario's file or a fragment beside it changes."""
    path = Path(scenario)
    if not path.is_file():
        return ()
    files = [path, *path.parent.glob("fragments/*.yaml"), *path.parent.glob("pools/*")]
    return tuple(file.stat().st_mtime_ns for file in sorted(files))


@lru_cache(maxsize=32)
def _compiled(scenario: str, dovecot: str | None, overrides: tuple[tuple[str, Any], ...], _files: tuple[int, ...]) -> tuple[Scenario, Program]:
    """Load and compile once: many small fixtures come from one scenario."""
    from dovestorm import scenario as scenarios
    from dovestorm.stream import Stream

    loaded = scenarios.load(scenario, dovecot=dovecot, overrides=dict(overrides))
    return loaded, Stream(scenario=loaded).program
