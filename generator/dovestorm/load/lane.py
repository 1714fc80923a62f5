"""A shard on its worker: its feeder process, and its events cut into batches that each have a due moment."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.errors import DovestormError
from dovestorm.load.gathering import FIRST
from dovestorm.load.ledger import Ledger
from dovestorm.load.ring import LIVE_SLOTS, Ring, create_memory, slots_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.block import Block
    from dovestorm.load.schedule import Schedule
    from dovestorm.load.source import Source

__all__ = ["SLICE_S", "Batch", "Cut", "Lane"]

SLICE_S = 0.010
"""Events that are due within this time leave together, at the moment of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How a shard's stream is cut and paced.

    Attributes:
        most_events: The largest batch in events.
        most_bytes: The largest batch in bytes, unless one event is larger.
        speed: Times scenario time; None when a schedule or nothing paces.
        by_session: A batch is a whole session, whatever its size.
    """

    most_events: int
    most_bytes: int
    speed: float | None = None
    by_session: bool = False


@dataclass(slots=True)
class Batch:
    """Events that leave together.

    Attributes:
        block: The events.
        due: Seconds since the run began at which they should leave; minus infinity where nothing paces.
        lane: The shard that they are from.
        slot: Where they lie.
        entry: What the ledger wants to know them by.
    """

    block: Block
    due: float
    lane: Lane
    slot: int
    entry: list[int]


class Lane:
    """One shard, from a position on. One thread (or greenlet) at a time cuts; nothing in ``cut`` waits.

    Args:
        source: What to send, with its shard and the events to skip.
        cut: How.
        schedule: When each event of the shard is due; None when its own times say so, or nothing.
        prebuild: Bytes of events to make before the first is sent.
        wake: Is called when there is news.
    """

    def __init__(self, source: Source, cut: Cut, *, schedule: Schedule | None = None, prebuild: int = 0, wake: Callable[[], None]) -> None:
        self.source = source
        self.shard = source.shard[0]
        self.ledger = Ledger(source.skip)
        self.schedule = schedule
        self.error = ""
        self.until = math.inf
        """What is due at so many seconds or later, by the schedule, is not sent."""
        self.is_ready = False
        """The first block is there, or all that should be prebuilt."""
        self._cut = cut
        self._prebuild = prebuild
        self._wake = wake
        self._next = source.skip
        self._blocks: deque[tuple[int, Block]] = deque()
        self._out: dict[int, int] = {}
        self._current: Block | None = None
        self._slot = -1
        self._at = 0
        self._bounds: Any = None
        self._made: int | None = None
        self._facts: dict[str, Any] = {}
        self._origin_us = 0
        self._process: subprocess.Popen[bytes] | None = None

    # ------------------------------------------------------------ feeder

    def start(self) -> None:
        """Start the feeder, and a thread that listens to it; ``error`` says when that cannot be."""
        slots = slots_for(self._prebuild) if self._prebuild else LIVE_SLOTS
        try:
            fd = create_memory(slots)
            try:
                self._ring = Ring(fd, slots)
                # Larger pieces are sent faster; but who makes events while they are sent should not hold back the first.
                spec = json.dumps({"fd": fd, "slots": slots, "source": self.source.to_dict(), "gathers": bool(self._prebuild)})
                command = [sys.executable, "-P", "-m", "dovestorm.load.feeder", spec]
                # In a session of its own: Ctrl-C in a terminal is for those who can bring a run to its end.
                self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=[fd], start_new_session=True)
            finally:
                os.close(fd)
        except OSError as error:
            self.error = f"shard {self.shard}: no memory or process for its events: {error.strerror}; look at ulimit -a, or make --prebuild smaller"
            self.is_ready = True
            self._wake()
            return
        threading.Thread(target=self._listen, args=(self._process,), name=f"dovestorm-lane-{self.shard}", daemon=True).start()

    def close(self) -> None:
        """End the feeder; batches that are under way stay good."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        process.kill()
        process.wait()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as told:
            for line in told:
                self._hear(json.loads(line))
        if self._made is None and not self.error and self._process is process:
            self.error = f"shard {self.shard}: the process that makes its events is gone (exit code {process.wait()}): killed, or out of memory?"
        self.is_ready = True
        self._wake()

    def _hear(self, facts: dict[str, Any]) -> None:
        if "slot" in facts:
            block = self._ring.read(facts["slot"], facts["count"], facts["used"], timed=self.source.timed or self.source.by_session, **self._facts)
            if self._prebuild:
                self._ring.touch(facts["slot"], facts["used"])
            self._blocks.append((facts["slot"], block))
            self.is_ready = self.is_ready or not self._prebuild
        elif "terminator" in facts:
            self._facts = {"terminator": facts["terminator"], "content_type": facts["content_type"]}
            self._origin_us = facts["origin_us"] or 0
        elif "over" in facts:
            self._made = facts["over"]
            self.is_ready = True
        elif "error" in facts:
            self.error = facts["error"]
        elif "full" in facts:
            self.is_ready = True
        self._wake()

    # ------------------------------------------------------------ batches

    @property
    def total(self) -> int | None:
        """The position at which the shard ends; None when it is not known yet."""
        return None if self._made is None else self.source.skip + self._made

    @property
    def is_spent(self) -> bool:
        """Whether every event was cut."""
        return self._next == self.total

    @property
    def is_over(self) -> bool:
        """Whether every event is settled."""
        return self.ledger.position == self.total

    def due(self) -> float | None:
        """When the next event is due, in seconds since the run began; None while there is none to cut."""
        if self._current is None and not self._advance():
            return None
        if self.schedule is not None:
            return self.schedule.due(self._next)
        return -math.inf if self._cut.speed is None or self._cut.by_session else self._due_by_time(self._at)

    def offered(self, at: float, *, until: float) -> int:
        """Events of this shard that are due at ``at`` seconds and before ``until``, as far as that can be known."""
        if self.schedule is None:
            return self._next
        count = self.schedule.count(at, until=until)
        return count if self.total is None else min(count, self.total)

    def cut(self, *, most: int | None = None) -> Batch:
        """The next batch; only when ``due`` says that there is one. ``most`` limits its events."""
        due = self.due()
        block = self._current
        assert block is not None
        assert due is not None
        first = self._at
        last = self._session_end(first) if self._cut.by_session else min(self._last(first, due), first + (most or self._cut.most_events), len(block))
        self._next += last - first
        batch = Batch(block if last - first == len(block) else block.part(first, last), due, self, self._slot, self.ledger.begin(self._next))
        self._out[self._slot] += 1
        if last == len(block):
            self._current = None
        else:
            self._at = last
        return batch

    def settle(self, batch: Batch) -> None:
        """Note that a batch was delivered or given up; its slot is made anew when nothing else in it is under way."""
        self.ledger.end(batch.entry)
        left = self._out[batch.slot] - 1
        self._out[batch.slot] = left
        if not left and not (self._current is not None and self._slot == batch.slot):
            self._release(batch.slot)

    def _release(self, slot: int) -> None:
        process = self._process
        if process is not None and process.stdin is not None and self._made is None:
            with contextlib.suppress(OSError, ValueError):
                process.stdin.write(b"%d\n" % slot)
                process.stdin.flush()

    def _advance(self) -> bool:
        if not self._blocks:
            return False
        self._slot, self._current = self._blocks.popleft()
        self._out[self._slot] = 0
        self._at = 0
        return True

    def _last(self, first: int, due: float) -> int:
        """Where a batch that begins with record ``first`` ends, by its time and its bytes."""
        block = self._current
        assert block is not None
        if self.schedule is not None:
            last = first + max(1, self.schedule.count(due + SLICE_S, until=self.until) - self._next)
        elif self._cut.speed is not None and block.due is not None:
            last = int(np.searchsorted(block.due, int(block.due[first]) + max(1, round(SLICE_S * 1e6 * self._cut.speed)), side="left"))
        else:
            last = len(block)
        begin = int(block.ends[first - 1]) if first else 0
        if int(block.ends[min(last, len(block)) - 1]) - begin <= self._cut.most_bytes:
            return last
        return max(min(last, int(np.searchsorted(block.ends, begin + self._cut.most_bytes, side="right"))), first + 1)

    def _session_end(self, first: int) -> int:
        block = self._current
        assert block is not None
        assert block.due is not None
        firsts = np.flatnonzero(block.due[first + 1 :] == FIRST)
        return first + 1 + int(firsts[0]) if len(firsts) else len(block)

    def _due_by_time(self, at: int) -> float:
        block, speed = self._current, self._cut.speed
        if block is None or block.due is None or speed is None:
            raise DovestormError(f"shard {self.shard}: its events carry no time")
        return (int(block.due[at]) - self._origin_us) / 1e6 / speed
