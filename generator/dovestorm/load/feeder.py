"""The process that makes a shard's blocks, beside the one that sends them: ``python -m dovestorm.load.feeder SPEC``.

Both share a ring of memory. On standard output it tells, a JSON object a line, which slots it filled, and how it ended; on standard input it
is told, a number a line, which slots are free again. It ends when its input does, so it never outlives who started it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from dovestorm.errors import DovestormError
from dovestorm.load.ring import Ring
from dovestorm.load.source import Source

if TYPE_CHECKING:
    from typing import BinaryIO

__all__ = ["main"]


class _GoneError(Exception):
    """Who started us has left."""


class _Feeder:
    def __init__(self, ring: Ring, given: BinaryIO, told: BinaryIO) -> None:
        self._ring, self._given, self._told = ring, given, told
        self._free = deque(range(ring.slots))

    def feed(self, source: Source, *, gathers: bool) -> None:
        """Make the shard's blocks; ``gathers`` puts as many into a slot as it has room for."""
        made = count = used = 0
        slot: int | None = None
        is_first = True
        origin = source.origin_us() if source.timed else None
        for block in source.blocks():
            if is_first:
                is_first = False
                origin = int(block.due[0]) if origin is None and block.due is not None else origin
                self.tell(terminator=block.terminator, content_type=block.content_type, origin_us=origin)
            if slot is not None and not self._ring.has_room(block, count=count, used=used):
                self.tell(slot=slot, count=count, used=used)
                slot = None
            if slot is None:
                slot, count, used = self._take(), 0, 0
            used = self._ring.write(slot, block, count=count, used=used)
            count += len(block)
            made += len(block)
            if not gathers:
                self.tell(slot=slot, count=count, used=used)
                slot = None
        if slot is not None:
            self.tell(slot=slot, count=count, used=used)
        self.tell(over=made)

    def tell(self, **facts: Any) -> None:
        self._told.write(json.dumps(facts).encode("ascii") + b"\n")
        self._told.flush()

    def _take(self) -> int:
        while not self._free:
            self.tell(full=True)
            line = self._given.readline()
            if not line:
                raise _GoneError
            self._free.append(int(line))
        return self._free.popleft()


def main() -> None:
    """Read the specification from the command line, and feed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    spec = json.loads(sys.argv[1])
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever else prints must not get between
    feeder = _Feeder(Ring(spec["fd"], spec["slots"]), sys.stdin.buffer, told)
    try:
        feeder.feed(Source.from_dict(spec["source"]), gathers=spec["gathers"])
    except DovestormError as error:
        feeder.tell(error=str(error))
    except (_GoneError, BrokenPipeError):
        os._exit(0)


if __name__ == "__main__":
    main()
