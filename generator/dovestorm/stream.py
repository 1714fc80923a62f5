"""Assembling a stream: scenario and edition to a program, program to batches, batches to blocks of bytes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dovestorm.errors import UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from dovestorm.batch import Batch, Layout
    from dovestorm.block import Block
    from dovestorm.engine.machine import Machine
    from dovestorm.engine.program import Program
    from dovestorm.scenario.model import Scenario

__all__ = ["Limits", "Stream", "open_stream", "parse_sections", "parse_shard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much of a stream is wanted. Without any limit: all that the scenario's duration holds.

    Attributes:
        sessions: Start so many sessions (over all shards) and let each come to its end.
        events: Stop after so many events.
        duration: Cut the stream after so many microseconds of scenario time, instead of the scenario's own duration.
    """

    sessions: int | None = None
    events: int | None = None
    duration: int | None = None

    def __post_init__(self) -> None:
        for name in ("sessions", "events", "duration"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise UsageError(f"{name}: {value}, must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream of events, not yet made; each call of ``batches`` or ``blocks`` makes it anew, the same.

    Attributes:
        scenario: What happens.
        seed: Together with the scenario and its edition, it fixes every byte.
        shard: (i, n), 1-based: every n-th session; the n shards together are exactly the whole.
        rate: Multiplies the scenario's arrival rate.
        window: Fixed window length in microseconds; None adapts it. The stream does not depend on it.
        sections: Keys of the catalog sections whose events leave, None for all that the edition has. The others are left out; nothing else changes.

    Raises:
        UsageError: When the edition has no such section.
    """

    scenario: Scenario
    seed: int = 0
    shard: tuple[int, int] = (1, 1)
    limits: Limits = Limits()
    rate: float = 1.0
    window: int | None = None
    sections: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.sections is None:
            return
        from dovestorm import catalog

        known = catalog.sections_of(self.scenario.dovecot)
        for name in sorted(self.sections.difference(known)) or ([""] if not self.sections else []):
            raise UsageError(f"sections: '{name}', Dovecot {self.scenario.dovecot} has {', '.join(known)}{nearest(name, known)}")

    @cached_property
    def program(self) -> Program:
        """The compiled scenario."""
        from dovestorm import catalog
        from dovestorm.engine.program import compile_scenario

        return compile_scenario(self.scenario, catalog.load(self.scenario.dovecot), sections=self.sections)

    @cached_property
    def labelled_program(self) -> Program:
        """The compiled scenario with records of its labels among the events."""
        from dovestorm import catalog
        from dovestorm.engine.program import compile_scenario

        return compile_scenario(self.scenario, catalog.load(self.scenario.dovecot), sections=self.sections, labels=True)

    @property
    def layout(self) -> Layout:
        """What the stream's records look like."""
        return self.program.layout

    def machine(self, *, shard: tuple[int, int] | None = None, program: Program | None = None) -> Machine:
        """A machine at the stream's beginning; ``shard`` and ``program`` override the stream's own."""
        from dovestorm.engine.machine import Machine

        until = None
        if self.limits.duration is not None:
            until = self.scenario.start + self.limits.duration
        elif self.limits.sessions is None:
            until = self.scenario.start + self.scenario.duration
        return Machine(program or self.program, seed=self.seed, shard=shard or self.shard, sessions=self.limits.sessions, until=until, rate=self.rate)

    def batches(self, *, reuse: bool = False) -> Iterator[Batch]:
        """Yield the stream's batches in export order.

        Args:
            reuse: Whether a batch is only good until the next one is asked for.
        """
        left = self.limits.events
        if left == 0:
            return
        for batch in self.machine().batches(length=self.window, reuse=reuse, wanted=left):
            if left is not None and len(batch) >= left:
                yield batch.head(left)
                return
            if left is not None:
                left -= len(batch)
            yield batch

    def blocks(self, format_name: str, *, time_format: str = "rfc3339", workers: int = 1, keep: int = 6, timed: bool = True) -> Iterator[Block]:
        """Yield the stream rendered, in export order.

        Args:
            format_name: One of ``formats.names()``.
            time_format: ``rfc3339`` or ``unix``.
            workers: Processes that share the work; the bytes do not depend on it.
            keep: A block stays good until so many more have been taken; after that its buffer is used again.
            timed: Whether blocks say when each record is due; who paces by scenario time needs it, and it costs some.
        """
        if workers > 1:
            from dovestorm.parallel import parallel_blocks

            return parallel_blocks(self, format_name, time_format=time_format, workers=workers, keep=keep, timed=timed)
        return self._blocks(format_name, time_format, keep, timed=timed)

    def _blocks(self, format_name: str, time_format: str, keep: int, *, timed: bool) -> Iterator[Block]:
        from dovestorm import formats
        from dovestorm.rendering import Ring, render_batch

        renderer = formats.renderer(format_name, self.layout, time_format=time_format)
        ring = Ring(keep + 1)
        for batch in self.batches(reuse=True):
            yield from render_batch(renderer, batch, ring, timed=timed)


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/n``; raises ``UsageError`` unless 1 <= i <= n."""
    first, _, second = text.partition("/")
    if not (first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second)):
        raise UsageError(f"shard: '{text}', must be I/N with 1 <= I <= N, such as 1/4")
    return int(first), int(second)


def parse_sections(text: str) -> frozenset[str]:
    """Read ``a,b``; whether the edition has such sections is for ``Stream`` to say."""
    return frozenset(name.strip() for name in text.split(","))


def open_stream(
    scenario: str | Path | Scenario,
    *,
    dovecot: str | None = None,
    seed: int = 0,
    shard: tuple[int, int] = (1, 1),
    limits: Limits = Limits(),
    rate: float = 1.0,
    window: int | None = None,
    overrides: Mapping[str, Any] | None = None,
    sections: frozenset[str] | None = None,
) -> Stream:
    """Load a scenario and give its stream.

    Args:
        scenario: A shipped scenario's name, a path, or a loaded scenario.
        dovecot: The edition; by default the one that the scenario names.
        seed: See ``Stream``; so are ``shard``, ``limits``, ``rate``, ``window`` and ``sections``.
        overrides: Replacements for values of the scenario's head, as ``scenario.load`` takes them.

    Raises:
        ScenarioError: With every fault of the scenario.
        UsageError: An unknown scenario, edition or section, or a limit that cannot be.
    """
    from dovestorm import scenario as scenarios
    from dovestorm.scenario.model import Scenario as Model

    if not 0 < rate < math.inf:
        raise UsageError(f"rate factor: {rate}, must be a number above 0")
    if window is not None and window < 1:
        raise UsageError(f"window: {window} microseconds, must be 1 or more")
    loaded = scenario if isinstance(scenario, Model) else scenarios.load(scenario, dovecot=dovecot, overrides=overrides)
    return Stream(scenario=loaded, seed=seed, shard=shard, limits=limits, rate=rate, window=window, sections=sections)
