"""Who sends which shard of the stream, and from where on: the master's table. It decides; messages are sent elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Move", "Shard", "ShardTable", "Takeover"]


@dataclass(slots=True)
class Shard:
    """One shard.

    Attributes:
        number: From 1.
        events: How many it holds at most; None for all.
        position: Events from its beginning that are settled (delivered, or given up and counted), as last reported.
        reach: No event from this one on was given to a connection, as last reported.
        total: How many it holds, once its worker knows.
        over: Whether all of it is settled.
        holder: The worker that sends it, or empty.
        leaving: Whether the holder was asked to give it back.
    """

    number: int
    events: int | None = None
    position: int = 0
    reach: int = 0
    total: int | None = None
    over: bool = False
    holder: str = ""
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A worker is to begin with a shard, or (``begins`` False) to give it back."""

    worker: str
    shard: Shard
    begins: bool


@dataclass(frozen=True, slots=True)
class Takeover:
    """A shard that changed hands.

    Attributes:
        shard: Its number.
        position: The event from which it goes on.
        before: Who had it.
        after: Who has it.
        in_doubt: Events from the position on that the one before had taken in hand by its last report: they may arrive twice. What it sent
            after that report comes on top. 0 for a worker that left in good order: nothing is sent twice then.
        lost: Whether the one before went without a word.
    """

    shard: int
    position: int
    before: str
    after: str
    in_doubt: int
    lost: bool

    def to_text(self) -> str:
        """One line."""
        text = f"shard {self.shard} went from {self.before} to {self.after} after event {self.position:,}"
        if not self.lost:
            return f"{text}, in good order: none twice, none missing"
        doubt = f"{self.in_doubt:,} events, and what was sent after it," if self.in_doubt else "what was sent after it"
        return f"{text}, its last report; {doubt} may arrive twice, none is missing"


class ShardTable:
    """Shards and workers of one run.

    Args:
        events: For each shard how many events it holds at most, or None.
    """

    def __init__(self, events: list[int | None]) -> None:
        self.shards = [Shard(number, limit) for number, limit in enumerate(events, 1)]
        self.takeovers: list[Takeover] = []
        self.workers: dict[str, int] = {}
        """Who takes part, and the worker's index."""
        self._settled = False
        self._before: dict[int, tuple[str, bool]] = {}

    def join(self, worker: str, index: int) -> None:
        """A worker has users and wants to send."""
        self.workers[worker] = index

    def leave(self, worker: str, *, lost: bool) -> list[int]:
        """A worker is gone, ``lost`` if without a word; gives the numbers of the shards that it leaves behind."""
        self.workers.pop(worker, None)
        orphans = [shard for shard in self.shards if shard.holder == worker]
        for shard in orphans:
            self._free(shard, lost=lost)
        return [shard.number for shard in orphans if not shard.over]

    def settle(self) -> None:
        """All who take part from the beginning have come: what nobody has yet is shared out."""
        self._settled = True

    def report(self, worker: str, number: int, position: int, reach: int, *, over: bool, total: int | None = None) -> bool:
        """Note how far a worker is; False when the shard is no longer this worker's."""
        shard = self.shards[number - 1]
        if shard.holder != worker:
            return shard.over
        shard.position, shard.reach, shard.over, shard.total = position, reach, over, total
        return True

    def give_back(self, worker: str, number: int) -> None:
        """A worker has stopped with a shard, with everything settled up to what it reported."""
        shard = self.shards[number - 1]
        if shard.holder == worker:
            self._free(shard, lost=False)

    def moves(self) -> list[Move]:
        """What is to change hands now; the table takes it as done."""
        moves = []
        for shard in self.shards:
            worker = self._worker_for(shard)
            if worker:
                shard.holder = worker
                self._note(shard)
                moves.append(Move(worker, shard, begins=True))
        return moves + self._relief()

    @property
    def is_over(self) -> bool:
        """Whether every shard is settled to its end."""
        return all(shard.over for shard in self.shards)

    @property
    def is_shared_out(self) -> bool:
        """Whether every shard has a holder, or is over."""
        return all(shard.holder or shard.over for shard in self.shards)

    def held(self, worker: str) -> list[Shard]:
        """The shards that a worker has to send."""
        return [shard for shard in self.shards if shard.holder == worker and not shard.over]

    def _worker_for(self, shard: Shard) -> str:
        if shard.holder or shard.over or not self.workers:
            return ""
        idle = {worker: index for worker, index in self.workers.items() if not self.held(worker)}
        for worker, index in idle.items():
            if index % len(self.shards) == shard.number - 1:
                return worker
        if not self._settled and shard.number not in self._before:
            # The shard's own worker may still come; who stands in now is one whose own shard is taken.
            taken = [worker for worker, index in idle.items() if self.shards[index % len(self.shards)].holder not in {"", worker}]
            return taken[0] if taken else ""
        return min(self.workers, key=lambda worker: (len(self.held(worker)), self.workers[worker]))

    def _relief(self) -> list[Move]:
        """Ask the one with the most shards to give one to a worker that has none."""
        moves = []
        idle = [worker for worker in self.workers if not self.held(worker)]
        coming = sum(shard.leaving for shard in self.shards)
        for _ in idle[coming:] if self._settled else []:
            busiest = max(self.workers, key=lambda worker: len(self.held(worker)))
            staying = [shard for shard in self.held(busiest) if not shard.leaving]
            if len(staying) > 1:
                staying[-1].leaving = True
                moves.append(Move(busiest, staying[-1], begins=False))
        return moves

    def _free(self, shard: Shard, *, lost: bool) -> None:
        self._before[shard.number] = (shard.holder, lost)
        shard.holder, shard.leaving = "", False

    def _note(self, shard: Shard) -> None:
        before = self._before.pop(shard.number, None)
        if before is not None:
            worker, lost = before
            self.takeovers.append(Takeover(shard.number, shard.position, worker, shard.holder, shard.reach - shard.position if lost else 0, lost))
        shard.reach = shard.position
