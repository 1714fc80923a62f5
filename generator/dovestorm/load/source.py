"""What a run sends: a scenario's stream or a recorded file, one shard of it, from any position on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from dovestorm.stream import Limits, Stream, open_stream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dovestorm.block import Block

__all__ = ["Source"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Plain values, so that it can be given to another process.

    Attributes:
        scenario: A shipped scenario's name, or a file; empty for a recording.
        recording: A file of JSON or tab-text lines, maybe compressed.
        dovecot: The edition, or empty for the scenario's own.
        seed: Same scenario, edition and seed: same bytes.
        format: One of the registry's formats.
        scale: Multiplies the arrival rate.
        sessions: Start so many sessions over all shards; None for all.
        duration_us: Cut the stream after so much scenario time; None for the scenario's own.
        shard: (i, n), 1-based.
        events: Stop after so many events of this shard; None for all.
        skip: Leave out so many events at the shard's beginning: they were delivered already.
        timed: Whether blocks say when each event is due in scenario time.
        generators: Processes that make the stream.
        by_session: Whole sessions one after another, instead of events in export order; ``due`` is then as ``gathering`` has it.
    """

    scenario: str = ""
    recording: str = ""
    dovecot: str = ""
    seed: int = 0
    format: str = "json"
    scale: float = 1.0
    sessions: int | None = None
    duration_us: int | None = None
    shard: tuple[int, int] = (1, 1)
    events: int | None = None
    skip: int = 0
    timed: bool = False
    generators: int = 1
    by_session: bool = False

    def stream(self) -> Stream:
        """The shard's stream.

        Raises:
            DovestormError: The scenario cannot be used.
        """
        limits = Limits(sessions=self.sessions, events=self.events, duration=self.duration_us)
        return open_stream(self.scenario, dovecot=self.dovecot or None, seed=self.seed, shard=self.shard, limits=limits, rate=self.scale)

    def origin_us(self) -> int | None:
        """The scenario time at which a paced replay begins, the same for all shards; None for a recording, which begins with its first event."""
        return None if self.recording else self.stream().scenario.start

    def blocks(self) -> Iterator[Block]:
        """The events, rendered; a block is good until the next one is asked for."""
        if self.by_session:
            from dovestorm.load.gathering import session_blocks

            blocks = session_blocks(self.stream(), self.format)
        elif self.recording:
            from dovestorm.load.recording import recorded_blocks

            blocks = recorded_blocks(self.recording, shard=self.shard, timed=self.timed, events=self.events)
        else:
            blocks = self.stream().blocks(self.format, workers=self.generators, keep=2, timed=self.timed)
        return _without(blocks, self.skip)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a message."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Source:
        """What ``to_dict`` wrote."""
        return cls(**{**plain, "shard": tuple(plain["shard"])})


def _without(blocks: Iterator[Block], skip: int) -> Iterator[Block]:
    for block in blocks:
        if skip >= len(block):
            skip -= len(block)
            continue
        yield block.part(skip, len(block)) if skip else block
        skip = 0
