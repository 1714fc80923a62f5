"""The stream that was sent, made anew: its fingerprints, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dovestorm import formats
from dovestorm.kernel import fingerprinting
from dovestorm.rendering import Ring, render_batch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from dovestorm.audit.values import Spelling
    from dovestorm.batch import Batch
    from dovestorm.formats.rendering import Renderer
    from dovestorm.stream import Stream

    Prints = tuple[NDArray[np.uint64], NDArray[np.uint64]]
    """Fingerprints: the two words of each."""

__all__ = ["Expectation", "Stretch"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some events of the stream, good until the next stretch is taken.

    Attributes:
        first: The place in the stream of the first, from 0.
        batch: The events.
    """

    first: int
    batch: Batch


class Expectation:
    """What a consumer should have.

    Args:
        stream: What was sent.
        spelling: How events are compared by value.
        format_name: The format in which it was sent.
        time_format: See ``Stream.blocks``.
    """

    def __init__(self, stream: Stream, spelling: Spelling, *, format_name: str, time_format: str) -> None:
        self.stream = stream
        self.spelling = spelling
        self._format = (format_name, time_format)
        self._renderers: dict[str, Renderer] = {}
        self._ring = Ring(2)

    def stretches(self) -> Iterator[Stretch]:
        """All of it, from the beginning."""
        first = 0
        for batch in self.stream.batches(reuse=True):
            if len(batch):
                yield Stretch(first, batch)
                first += len(batch)

    def check(self) -> None:
        """Compile the format.

        Raises:
            UsageError: Unknown format or time format.
        """
        self._renderers["bytes"] = self._renderer("bytes")

    def by_bytes(self, batch: Batch) -> Prints:
        """Fingerprints of the events as they were sent, without terminators."""
        return self._prints("bytes", batch)

    def by_values(self, batch: Batch, *, timeless: bool = False) -> Prints:
        """Fingerprints of the events' spelling, with or without their beginning and end."""
        return self._prints("timeless" if timeless else "values", batch)

    def spellings(self, batch: Batch) -> list[bytes]:
        """The events' spelling."""
        return self._rendered("values", batch)

    def texts(self, batch: Batch) -> list[bytes]:
        """The events as JSON lines, without newlines."""
        return [text[:-1] for text in self._rendered("json", batch)]

    def _rendered(self, what: str, batch: Batch) -> list[bytes]:
        renderer, batch = self._ready(what, batch)
        found: list[bytes] = []
        for block in render_batch(renderer, batch, self._ring, timed=False):
            ends = block.ends.tolist()
            found += [bytes(block.data[begin:end]) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
        return found

    def _prints(self, what: str, batch: Batch) -> Prints:
        renderer, batch = self._ready(what, batch)
        found = []
        for block in render_batch(renderer, batch, self._ring, timed=False):
            begins = np.concatenate((np.zeros(1, np.int64), block.ends[:-1]))
            found.append(fingerprinting().fingerprint(block.data, begins, block.ends - block.terminator))
        if not found:
            return np.empty(0, np.uint64), np.empty(0, np.uint64)
        return np.concatenate([low for low, _ in found]), np.concatenate([high for _, high in found])

    def _ready(self, what: str, batch: Batch) -> tuple[Renderer, Batch]:
        renderer = self._renderers.get(what)
        if renderer is None:
            renderer = self._renderers[what] = self._renderer(what)
        return renderer, batch if what in {"bytes", "json"} else self.spelling.convert(batch, renderer.layout)

    def _renderer(self, what: str) -> Renderer:
        if what == "json":
            return formats.renderer("json", self.stream.layout)
        if what == "bytes":
            return formats.renderer(self._format[0], self.stream.layout, time_format=self._format[1])
        return self.spelling.renderer(timeless=what == "timeless")
