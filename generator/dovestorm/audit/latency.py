"""How long events took from the moment that they are of to their arrival."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.delivery.quantiles import QuantileSketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Arrivals", "Latency"]

_KEPT_BITS = 6


@dataclass(frozen=True, slots=True)
class Latency:
    """Quantiles in milliseconds, over the events that were delivered.

    Attributes:
        begins: ``first`` when times count from the first arrival, ``wall`` when event times are those of this machine's clock.
    """

    begins: str
    events: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return asdict(self)

    def to_text(self) -> str:
        """One line."""
        since = "the first event's" if self.begins == "first" else "this machine's clock"
        return (
            f"latency p50 {self.p50_ms:.1f} ms, p90 {self.p90_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, p99.9 {self.p999_ms:.1f} ms, "
            f"max {self.max_ms:.1f} ms (against {since})"
        )


class Arrivals:
    """When what arrived.

    Args:
        speed: Scenario time over real time at the sender.
        wall: Whether event times are this machine's clock; otherwise the first arrival is taken to be on time.
    """

    def __init__(self, *, speed: float, wall: bool) -> None:
        self.speed = speed
        self._wall = wall
        self._sketch = QuantileSketch()
        self._firsts: list[NDArray[np.int64]] = []
        self._moments: list[NDArray[np.int64]] = []
        self._open: list[tuple[int, int]] = []
        self._origin: tuple[int, int] | None = None

    def note(self, first: int, moment_us: int) -> None:
        """Note that the arrivals from number ``first`` on came at a moment of the wall clock, in microseconds since the epoch."""
        self._open.append((first, moment_us))
        if len(self._open) >= 1 << 16:
            self._close()

    @property
    def has_begun(self) -> bool:
        """Whether it is known when the sender began; with the wall clock nothing needs to be."""
        return self._wall or self._origin is not None

    def begin(self, due_us: int, moment_us: int) -> None:
        """Say when the first event is from, and when it came."""
        self._origin = due_us, moment_us

    def moments(self, arrivals: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[]: when each of some arrivals came."""
        self._close()
        firsts, moments = np.concatenate(self._firsts), np.concatenate(self._moments)
        self._firsts, self._moments = [firsts], [moments]
        found: NDArray[np.int64] = moments[np.searchsorted(firsts, arrivals, side="right") - 1]
        return found

    def add(self, moments_us: NDArray[np.int64] | int, due_us: NDArray[np.int64]) -> None:
        """Count events by when they came and the moment that they are of."""
        if not len(due_us) or not self.has_begun:
            return
        due, origin = (0, 0) if self._wall or self._origin is None else self._origin
        speed = 1.0 if self._wall else self.speed
        late = np.maximum(moments_us - origin - np.rint((due_us - due) / speed).astype(np.int64), 0)
        # Cut down to the bits that matter, so that few different values are left.
        shift = np.maximum(np.frexp(late.astype(np.float64))[1] - _KEPT_BITS, 0)
        for value, count in zip(*(column.tolist() for column in np.unique(late >> shift << shift, return_counts=True)), strict=True):
            self._sketch.add(value, count)
        self._sketch.largest = max(self._sketch.largest, int(late.max()))

    def latency(self) -> Latency | None:
        """The quantiles; None when nothing was delivered."""
        sketch = self._sketch
        if not sketch.count:
            return None
        p50, p90, p99, p999 = (sketch.quantile(share) / 1000 for share in (0.5, 0.9, 0.99, 0.999))
        return Latency("wall" if self._wall else "first", sketch.count, p50, p90, p99, p999, sketch.largest / 1000)

    def _close(self) -> None:
        if self._open:
            block = np.array(self._open, np.int64)
            self._firsts.append(block[:, 0])
            self._moments.append(block[:, 1])
            self._open = []
