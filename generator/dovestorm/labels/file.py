"""The file of labels: JSON lines, or CSV, between a first line that says whose labels they are and a last one that says that they are all there."""

from __future__ import annotations

import csv
import io
import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm import sinks
from dovestorm.block import Block
from dovestorm.clock import rfc3339
from dovestorm.labels.collecting import Collection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from dovestorm.labels.label import Label
    from dovestorm.stream import Stream

__all__ = ["LabelFile"]

_COLUMNS = ("session", "number", "user", "remote_ip", "remote_port", "first", "last", "label", "kind", "labelled", "phase", "phase_us")
_LINES_AT_ONCE = 1000


class LabelFile:
    """A file of labels, made empty before the run so that a bad path is told then, and filled after it.

    Args:
        path: A path, compressed where it ends in ``.gz`` or ``.zst``, CSV where it (else) ends in ``.csv``; ``-`` for standard output.
    """

    def __init__(self, path: str) -> None:
        self._sink = sinks.open_url("-" if path == "-" else f"file:{path}")
        name = PurePath(path)
        self._csv = (PurePath(name.stem) if name.suffix in {".gz", ".zst"} else name).suffix == ".csv"
        self._lines: list[bytes] = []

    def open(self, stream: Stream) -> None:
        """Create the file with its first line; raises ``DeliveryError`` when that cannot be."""
        self._sink.open()
        self._aside("about", _about(stream))
        if self._csv:
            self._lines.append(_row(_COLUMNS))
        self._flush()

    def fill(self, stream: Stream, *, events: int | None = None, complete: bool = True) -> int:
        """Write the labels of a stream, and the last line; gives the number of labels.

        Args:
            stream: Whose labels.
            events: How many events were made of it, where that were fewer than its limits ask for.
            complete: Whether the stream is: the last line says so.

        Raises:
            DeliveryError: The file cannot be written; it lacks its last line then.
        """
        collection = Collection(stream, events=events)
        count = 0
        for line in self._rendered(collection):
            self._lines.append(line)
            count += 1
            if len(self._lines) >= _LINES_AT_ONCE:
                self._flush()
        self._aside("end", {"labels": count, "sessions": collection.sessions, "stream_complete": complete})
        self._flush()
        self._sink.close()
        return count

    def abort(self) -> None:
        """Leave the file as it is."""
        self._sink.abort()

    def _rendered(self, labels: Iterable[Label]) -> Iterator[bytes]:
        for label in labels:
            values = [
                label.session,
                label.number,
                label.user,
                label.remote_ip,
                label.remote_port,
                rfc3339(label.first_us),
                rfc3339(label.last_us),
                label.label,
                label.kind,
                rfc3339(label.labelled_us),
                label.phase,
                label.phase_us,
            ]
            yield _row(values) if self._csv else _json(dict(zip(_COLUMNS, values, strict=True)))

    def _aside(self, name: str, content: dict[str, Any]) -> None:
        self._lines.append((b"# " if self._csv else b"") + _json({name: content}))

    def _flush(self) -> None:
        data = b"".join(self._lines)
        ends = np.cumsum([len(line) for line in self._lines], dtype=np.int64)
        self._lines = []
        self._sink.write(Block(memoryview(data), ends, 1))


def _about(stream: Stream) -> dict[str, Any]:
    scenario, limits = stream.scenario, stream.limits
    return {
        "labels_of": scenario.name,
        "dovecot": scenario.dovecot,
        "seed": stream.seed,
        "shard": "{}/{}".format(*stream.shard),
        "sessions": limits.sessions,
        "events": limits.events,
        "for_us": limits.duration,
        "start": rfc3339(scenario.start),
        "users": scenario.population.users,
        "scale": stream.rate,
        "labels": {planted.name: {"kind": planted.kind, "summary": planted.summary} for planted in scenario.labels},
    }


_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _json(content: dict[str, Any]) -> bytes:
    return _ENCODE(content).encode("utf-8", "surrogateescape") + b"\n"


def _row(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue().encode("utf-8", "surrogateescape")
