"""What a run is asked to do: the options of the command line or of the web page's form, read and checked, all faults at once."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovestorm import registry, sinks
from dovestorm.errors import DovestormError, UsageError, nearest
from dovestorm.load.address import read_address
from dovestorm.load.lane import Cut
from dovestorm.load.places import read_place
from dovestorm.load.shape_text import daily_curve, read_shape
from dovestorm.load.source import Source
from dovestorm.load.thresholds import Threshold, parse_threshold, read_thresholds
from dovestorm.scenario import units
from dovestorm.sinks.target import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovestorm.load.shape_text import Curve
    from dovestorm.load.shapes import Shape

__all__ = ["CONNECTIONS", "UNITS", "Plan", "read_plan", "read_rate"]

CONNECTIONS = ("user", "session")
"""What a session's events go over: the connection of the user who lives it, or one of its own."""

UNITS = ("batch", "event", "session")
"""What a user takes at a time."""

_PACES = ("rate", "speed", "shape")
_MOST_EVENTS = 1 << 14
_BATCH_BYTES = 1 << 20
_WHOLE_BLOCK_BYTES = 1 << 22
_ACKNOWLEDGING = frozenset({"http", "https"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run's options, read.

    Attributes:
        host: The sink's URL.
        source: What is sent, not yet cut into shards.
        events: Stop after so many events of the whole stream; None for all.
        rate: Target in events per second over all workers, or None.
        speed: Times scenario time, or None; without rate, speed and shape the workload is closed.
        shape: The rate over time, or None; a worker, whose master leads the rate, has a rate of 0 instead.
        batch: Events in a batch at most; 0 for as many as are due, or fit.
        prebuild: Bytes of events that each worker makes before it begins to send.
        shards: How many shards the stream is cut into; 0 for one for each worker that is there at the beginning.
        send_for: Seconds of sending after which the run ends, or None.
        connection: One of ``CONNECTIONS``; for sessions.
        ceiling: Seconds spent on measuring what the generator could do at most; 0 does not measure.
        thresholds: What decides over pass and fail.
        junit: Where the verdict is written for a CI system, or empty.
        unit: What a user takes at a time, one of ``UNITS``.
    """

    host: str
    source: Source
    events: int | None = None
    rate: float | None = None
    speed: float | None = None
    shape: Shape | None = None
    batch: int = 0
    prebuild: int = 0
    shards: int = 0
    send_for: float | None = None
    connection: str = "user"
    ceiling: float = 0.0
    thresholds: tuple[Threshold, ...] = ()
    junit: str = ""
    unit: str = "batch"

    @property
    def is_open(self) -> bool:
        """Whether a schedule decides when events leave, and not the consumer. Within a session it always does."""
        return self.rate is not None or self.speed is not None or self.shape is not None

    @property
    def is_acknowledged(self) -> bool:
        """Whether the protocol confirms events; else they count as delivered at the end of the write."""
        return parse(self.host).scheme in _ACKNOWLEDGING

    @property
    def cut(self) -> Cut:
        """How shards are cut into batches. Without a pace whole blocks leave: fewer, larger writes."""
        size = _BATCH_BYTES if self.is_open or self.batch else _WHOLE_BLOCK_BYTES
        return Cut(most_events=self.batch or _MOST_EVENTS, most_bytes=size, speed=self.speed, by_session=self.unit == "session")

    def share(self, shard: int, of: int, *, events: int | None, skip: int = 0) -> Source:
        """One shard's part of the source, from a position on."""
        limit = None if events is None else max(events, 0)
        return replace(self.source, shard=(shard, of), events=limit, skip=skip, timed=self.speed is not None, by_session=self.unit == "session")


def read_plan(options: Mapping[str, Any], *, host: str | None, unit: str = "batch", check: bool = True) -> Plan:
    """Read options as the command line or the form gives them.

    Args:
        options: Names and texts.
        host: The sink's URL.
        unit: See ``Plan``; sessions have a speed, which is 1 when none is given.
        check: Whether to open the scenario and the sink too; a worker does what its master has checked.

    Raises:
        UsageError: Something is wrong; every fault is named, a line each.
    """
    faults: list[str] = []

    def take(name: str, read: Callable[[str], Any], default: Any = None) -> Any:
        text = str(options.get(name) or "").strip()
        if not text:
            return default
        try:
            return read(text)
        except (ValueError, DovestormError) as error:
            prefix = "" if isinstance(error, DovestormError) else f"--{name.replace('_', '-')} '{text}': "
            faults.append(f"{prefix}{error}")
            return default

    source = Source(
        scenario="" if options.get("recording") else str(options.get("scenario") or "working-day"),
        recording=take("recording", _readable, ""),
        dovecot=take("dovecot", str, ""),
        seed=take("seed", _integer, 0),
        format=take("event_format", lambda text: registry.find_format(text).name, ""),
        scale=take("scale", _above_0, 1.0),
        sessions=take("sessions", _count),
        duration_us=take("duration", units.stretch),
        generators=take("generators", _count, 1) or 1,
    )
    plan = Plan(
        host=host or "",
        source=source,
        events=take("events", _count),
        rate=take("rate", read_rate),
        speed=take("speed", _above_0, 1.0 if unit == "session" else None),
        batch=take("batch", _count, 0),
        prebuild=take("prebuild", _size, 0),
        shards=take("shards", _count, 0),
        send_for=take("send_for", _seconds),
        connection=take("connection", _connection, "user"),
        ceiling=take("ceiling", _seconds, 0.0),
        thresholds=(*_thresholds(options.get("threshold"), take), *take("thresholds", read_thresholds, ())) if check else (),
        junit=take("junit", str, ""),
        unit=unit,
    )
    if unit == "session":
        given = {"--rate": plan.rate, "--shape": options.get("shape"), "--recording": source.recording, "--events": plan.events}
        faults += [f"{name} means nothing for sessions: pace them by --speed, limit them by --sessions" for name, value in given.items() if value]
    elif sum(name in options and bool(str(options[name] or "").strip()) for name in _PACES) > 1:
        faults.append("--rate, --speed and --shape exclude each other: give one")
    if options.get("shape"):
        shape = take("shape", lambda text: read_shape(text, curve=partial(_curve, source))) if check else None
        plan = replace(plan, shape=shape, rate=None if check else 0.0, send_for=_shorter(plan.send_for, shape))
    if check:
        take("openmetrics", read_place)  # whoever offers the figures reads it; what is wrong with it is told with the rest
        faults += _problems(plan)
    if faults:
        raise UsageError("\n".join(dict.fromkeys(faults)))
    source = replace(source, format=_format(plan) if check else source.format or "json", sessions=source.sessions or None)
    return replace(plan, events=plan.events or None, source=source)


def _format(plan: Plan) -> str:
    """How events look: as asked for, or else as the target takes them.

    Raises:
        UsageError: The target takes another format only, or not what a recording holds.
    """
    scheme = parse(plan.host).scheme
    needed = registry.find_sink(scheme).takes
    if plan.source.recording and needed is not None:
        raise UsageError(f"{scheme}: takes the format '{needed}' only, but a recording is sent as it is: replay a scenario, or deliver elsewhere")
    return registry.choose_format([scheme], plan.source.format or None, default="json")


def _curve(source: Source) -> Curve:
    if source.recording:
        raise UsageError("a recording has no daily curve, only a scenario may have one")
    scenario = source.stream().scenario
    return daily_curve(scenario.arrivals, scenario.start)


def _shorter(send_for: float | None, shape: Shape | None) -> float | None:
    length = math.inf if shape is None else shape.seconds
    shortest = min(length, math.inf if send_for is None else send_for)
    return None if shortest == math.inf else shortest


def read_rate(text: str) -> float:
    """Events per second: 5000, 5000/s or 300000/min; raises ``ValueError``."""
    return _above_0(text) if text.replace(".", "", 1).isdecimal() else units.rate(text)


def _problems(plan: Plan) -> list[str]:
    """What only opening the parts shows."""
    found = []
    opened = read_address if plan.unit == "event" else sinks.open_url
    checks: list[Callable[[], Any]] = [lambda: opened(plan.host or _no_host()) and _format(plan)]
    if plan.source.scenario:
        checks.append(plan.source.stream)
    for check in checks:
        try:
            check()
        except DovestormError as error:
            found.append(str(error))
    return found


def _no_host() -> str:
    raise UsageError("no target: name it with --host, such as tcp://127.0.0.1:5170")


def _thresholds(given: Any, take: Callable[..., Any]) -> list[Threshold]:
    """The option may be given more than once; the form gives one text, with commas."""
    texts = given.split(",") if isinstance(given, str) else list(given or [])
    found = []
    for text in texts:
        if text.strip():
            try:
                found.append(parse_threshold(text))
            except UsageError as error:
                problem = error
                take("threshold", lambda _text, problem=problem: _throw(problem))
    return found


def _throw(error: Exception) -> None:
    raise error


def _readable(text: str) -> str:
    if not Path(text).is_file():
        raise UsageError(f"{text}: no such file, a recording must be a file of JSON or tab-text lines")
    return str(Path(text).resolve())


def _connection(text: str) -> str:
    if text not in CONNECTIONS:
        raise ValueError(f"must be one of {', '.join(CONNECTIONS)}{nearest(text, CONNECTIONS)}")
    return text


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _count(text: str) -> int:
    value = _integer(text)
    if value < 0:
        raise ValueError("must be a whole number of 0 or more")
    return value


def _above_0(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise ValueError("must be a number above 0")
    return value


def _size(text: str) -> int:
    # People write 512MB; scenarios know kB and MiB, and MB means what it says.
    for suffix, factor in (("MB", 10**6), ("GB", 10**9)):
        number = text.removesuffix(suffix)
        if number != text:
            return int(_above_0(number) * factor)
    return int(units.number(text, unit="size"))


def _seconds(text: str) -> float:
    return units.stretch(text) / 1e6
