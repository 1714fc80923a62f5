"""Reads load shapes: ``ramp:from=1000/s,to=50000/s,over=60s``, several of them with ``;`` between, or a YAML file of stages."""

from __future__ import annotations

import math
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from dovestorm.errors import UsageError, nearest
from dovestorm.load.shapes import Shape, Stage
from dovestorm.scenario import units

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from dovestorm.scenario.model import Arrivals

__all__ = ["SHAPES", "daily_curve", "read_shape"]

SHAPES = {
    "steady": ("rate [for]", "one rate"),
    "ramp": ("from to over [for]", "from one rate to another; with a longer 'for' it stays there"),
    "steps": ("from to by every", "stairs up or down, each 'every' long"),
    "spike": ("base peak at width [rise] [for]", "a base rate, and from 'at' on, for 'width', a peak"),
    "saw-tooth": ("from to every [for]", "a ramp again and again"),
    "soak": ("rate for [rise]", "up slowly, then one rate for long, down slowly"),
    "daily": ("rate [day] [for]", "the scenario's own daily or weekly curve with 'rate' as its mean; 'day' squeezes 24 h into less"),
}
"""Name to parameters (those in brackets may be left out) and a line of help."""

_MOST_STAGES = 1000
_MOST_STEPS = 10_000
_FILE_BYTES = 1 << 20
_RATES = frozenset({"rate", "from", "to", "by", "base", "peak"})
_DAY_S = 86400.0

Curve: TypeAlias = tuple[tuple[tuple[float, float], ...], float]
"""A daily curve: (seconds, factor) points from 0 to the period, and the period in seconds."""


def read_shape(text: str, *, curve: Callable[[], Curve]) -> Shape:
    """Read a shape.

    Args:
        text: The shape, or the name of a YAML file (``.yaml`` or ``.yml``): a list of mappings such as ``{shape: ramp, from: 0/s, to: 500/s,
            over: 60s}``, alone or under ``stages:``.
        curve: Gives the scenario's own curve; called only for ``daily``.

    Raises:
        UsageError: It is not a shape; the stage is named.
    """
    where, given = (text, _from_file(text)) if text.endswith((".yaml", ".yml")) else (f"shape '{text}'", _from_text(text))
    if not 1 <= len(given) <= _MOST_STAGES:
        raise UsageError(f"{where}: {len(given)} stages, there must be 1 to {_MOST_STAGES}")
    stages = []
    for number, (name, entries) in enumerate(given, 1):
        at = where if len(given) == 1 else f"{where}, stage {number}"
        stages.append(_stage(at, name, entries, curve))
        if number < len(given) and stages[-1].seconds == math.inf:
            raise UsageError(f"{at}: it has no end, so nothing can come after it; give it a 'for'")
    shape = Shape(tuple(stages))
    if shape.highest <= 0:
        raise UsageError(f"{where}: its rate is 0 all the time")
    return shape


def daily_curve(arrivals: Arrivals, start_us: int) -> Curve:
    """A scenario's curve as factors with a mean of 1, beginning at the scenario's start (microseconds since the epoch).

    Raises:
        UsageError: The scenario has none.
    """
    if not arrivals.curve:
        raise UsageError("the scenario has neither a daily nor a weekly curve")
    period = arrivals.period
    # Weeks are counted from a Monday; the epoch began on a Thursday.
    monday_us = 4 * units.DAY if period == units.WEEK else 0
    first = (start_us - monday_us) % period
    circle = [*((at - period, factor) for at, factor in arrivals.curve), *arrivals.curve, *((at + period, factor) for at, factor in arrivals.curve)]
    whole = Stage(points=tuple(((at + period) / 1e6, factor) for at, factor in circle), seconds=math.inf)
    begin = (first + period) / 1e6
    inside = [(at - begin, whole.rate(at)) for at, _ in whole.points if begin < at < begin + period / 1e6]
    points = [(0.0, whole.rate(begin)), *inside, (period / 1e6, whole.rate(begin))]
    area = sum((later[0] - earlier[0]) * (later[1] + earlier[1]) / 2 for earlier, later in pairwise(points))
    mean = area / (period / 1e6)
    return tuple((at, factor / mean) for at, factor in points), period / 1e6


def _from_text(text: str) -> list[tuple[str, dict[str, str]]]:
    stages = []
    for part in text.split(";"):
        words = [word for word in re.split(r"[:,\s]+", part) if word]
        if not words:
            continue
        entries = {}
        for word in words[1:]:
            key, sign, value = word.partition("=")
            if not sign or not value:
                raise UsageError(f"shape '{text}': '{word}' must be NAME=VALUE, such as rate=5000/s")
            if key in entries:
                raise UsageError(f"shape '{text}': '{key}' stands there twice")
            entries[key] = value
        stages.append((words[0], entries))
    return stages


def _from_file(path: str) -> list[tuple[str, dict[str, str]]]:
    import yaml

    try:
        with Path(path).open(encoding="utf-8") as file:
            loaded: Any = yaml.safe_load(file.read(_FILE_BYTES))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: cannot be read as YAML: {getattr(error, 'strerror', None) or error}") from None
    entries = loaded.get("stages") if isinstance(loaded, dict) and "stages" in loaded else loaded
    entries = [entries] if isinstance(entries, dict) else entries
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "shape" in entry for entry in entries):
        raise UsageError(f"{path}: must be a list of mappings such as '- {{shape: steady, rate: 5000/s, for: 1min}}', alone or under 'stages:'")
    return [(str(entry["shape"]), {str(key): str(value) for key, value in entry.items() if key != "shape"}) for entry in entries]


def _stage(where: str, name: str, entries: Mapping[str, str], curve: Callable[[], Curve]) -> Stage:
    name = "saw-tooth" if name in {"sawtooth", "saw_tooth"} else name
    if name not in SHAPES:
        raise UsageError(f"{where}: no shape '{name}'{nearest(name, SHAPES) or '.'} Known are {', '.join(SHAPES)}.")
    parameters = SHAPES[name][0].split()
    known = [word.strip("[]") for word in parameters]
    for key in entries:
        if key not in known:
            raise UsageError(f"{where}: {name} has no '{key}'{nearest(key, known) or '.'} It takes {' '.join(parameters)}.")
    missing = [word for word in parameters if not word.startswith("[") and word not in entries]
    if missing:
        raise UsageError(f"{where}: {name} needs {', '.join(missing)} too; it takes {' '.join(parameters)}")
    values = {key: _value(where, key, text) for key, text in entries.items()}
    try:
        return _daily(values, curve()) if name == "daily" else _MAKERS[name](values)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def _value(where: str, key: str, text: str) -> float:
    try:
        if key not in _RATES:
            return _not_negative(units.stretch(text) / 1e6)
        number = text.removesuffix("/s") if text.count("/") == 1 and text.endswith("/s") else text
        return float(number) if number.replace(".", "", 1).isdecimal() else units.rate(text)
    except ValueError as error:
        raise UsageError(f"{where}: {key} '{text}': {error}") from None


def _steady(v: Mapping[str, float]) -> Stage:
    return Stage(points=((0.0, v["rate"]),), seconds=_above_0(v.get("for", math.inf), "for"))


def _ramp(v: Mapping[str, float]) -> Stage:
    over = _above_0(v["over"], "over")
    return Stage(points=((0.0, v["from"]), (over, v["to"])), seconds=_above_0(v.get("for", over), "for"))


def _steps(v: Mapping[str, float]) -> Stage:
    every, by, first, last = _above_0(v["every"], "every"), _above_0(v["by"], "by"), v["from"], v["to"]
    count = math.floor(abs(last - first) / by + 1e-9) + 1
    if count > _MOST_STEPS:
        raise ValueError(f"{count} steps, there may be {_MOST_STEPS} at most")
    signed = math.copysign(by, last - first)
    points = [point for step in range(count) for point in ((step * every, first + step * signed), ((step + 1) * every, first + step * signed))]
    return Stage(points=tuple(points), seconds=count * every)


def _spike(v: Mapping[str, float]) -> Stage:
    begin, rise, width = v["at"], v.get("rise", 0.0), _above_0(v["width"], "width")
    up, down, over = begin + rise, begin + rise + width, begin + 2 * rise + width
    points = ((0.0, v["base"]), (begin, v["base"]), (up, v["peak"]), (down, v["peak"]), (over, v["base"]))
    return Stage(points=points, seconds=_above_0(v.get("for", over + begin), "for"))


def _saw_tooth(v: Mapping[str, float]) -> Stage:
    every = _above_0(v["every"], "every")
    return Stage(points=((0.0, v["from"]), (every, v["to"])), seconds=_above_0(v.get("for", math.inf), "for"), period=every)


def _soak(v: Mapping[str, float]) -> Stage:
    length = _above_0(v["for"], "for")
    rise = v.get("rise", min(60.0, length / 10))
    if 2 * rise > length:
        raise ValueError("rising and falling take longer than 'for'")
    return Stage(points=((0.0, 0.0), (rise, v["rate"]), (length - rise, v["rate"]), (length, 0.0)), seconds=length)


def _daily(v: Mapping[str, float], curve: Curve) -> Stage:
    points, period = curve
    squeeze = _above_0(v.get("day", _DAY_S), "day") / _DAY_S
    scaled = tuple((at * squeeze, factor * v["rate"]) for at, factor in points)
    return Stage(points=scaled, seconds=_above_0(v.get("for", math.inf), "for"), period=period * squeeze)


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("it must be 0 or more")
    return value


def _above_0(value: float, name: str) -> float:
    if value <= 0:
        raise ValueError(f"'{name}' must be above 0")
    return value


_MAKERS: dict[str, Callable[[Mapping[str, float]], Stage]] = {
    "steady": _steady,
    "ramp": _ramp,
    "steps": _steps,
    "spike": _spike,
    "saw-tooth": _saw_tooth,
    "soak": _soak,
}
