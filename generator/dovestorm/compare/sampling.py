"""A bounded sample of sessions, with the features of each, while the stream goes by."""

from __future__ import annotations

import hashlib
import heapq
from typing import TYPE_CHECKING

from dovestorm.compare.features import SessionShape

if TYPE_CHECKING:
    from dovestorm.compare.sessions import Place

__all__ = ["SessionSample"]


class SessionSample:
    """Keeps the sessions whose names have the lowest hashes: a uniform sample, known from a session's first event on, the same in each run.

    A session that has to go loses its features at once, so memory is bounded by the limit.
    """

    __slots__ = ("_heap", "_held", "_limit", "_seed")

    def __init__(self, limit: int, *, seed: int = 0) -> None:
        self._limit = limit
        self._seed = seed.to_bytes(8, "little", signed=True)
        self._heap: list[tuple[int, str]] = []
        self._held: dict[str, tuple[Place, SessionShape]] = {}

    def join(self, place: Place) -> SessionShape | None:
        """Take a session at its first event: what gathers its features, or None if it is not of the sample."""
        name = place.name
        held = self._held.get(name)
        if held is not None:
            return held[1]
        rank = int.from_bytes(hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8, key=self._seed).digest())
        if len(self._heap) < self._limit:
            heapq.heappush(self._heap, (-rank, name))
        elif not self._heap or rank >= -self._heap[0][0]:
            return None
        else:
            del self._held[heapq.heapreplace(self._heap, (-rank, name))[1]]
        shape = SessionShape()
        self._held[name] = (place, shape)
        return shape

    def holds(self, place: Place) -> bool:
        """Whether it is still of the sample."""
        return place.name in self._held

    def features(self, *, named: bool) -> list[dict[str, float]]:
        """The features of the sampled sessions that have, or have not, an id."""
        return [shape.features() for place, shape in self._held.values() if place.named is named]
