"""By what a received record that is no event of the stream may still be told to have been one: keys, from the surest to the vaguest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.audit.decoding import moment_us
from dovestorm.hashing import GAMMA, mix, mix_array
from dovestorm.kernel import fingerprinting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from dovestorm.audit.expectation import Expectation
    from dovestorm.batch import Batch

__all__ = ["LEVELS", "Likeness", "prints_of"]

_PAIRS = (("event", "start_time", "end_time"), ("event", "start_time"), ("event", "end_time"), ("start_time", "end_time"))
LEVELS = len(_PAIRS) + 3
"""After the pairs: the whole content but for the times; and for broken records only, the name of the event; and that it begins like an event."""

_CONTENT, _NAME, _BEGINNING = range(len(_PAIRS), LEVELS)


class Likeness:
    """Gives keys of both sides; 0 stands for "cannot be told".

    Args:
        expectation: The stream.
    """

    def __init__(self, expectation: Expectation) -> None:
        self._expectation = expectation
        self._spelling = expectation.spelling
        kinds = expectation.stream.layout.kinds
        self._numbers = {name: number for number, name in enumerate(dict.fromkeys(kind.event for kind in kinds))}
        self._by_kind = np.array([self._numbers[kind.event] for kind in kinds], np.int64)

    def expected(self, batch: Batch) -> NDArray[np.uint64]:
        """uint64[n, LEVELS]."""
        precision, half = self._spelling.precision, self._spelling.half
        columns = {
            "event": self._by_kind[batch.kind],
            "start_time": (batch.values[batch.offset] + half) // precision * precision,
            "end_time": (batch.end + half) // precision * precision,
        }
        keys = [_mixed(level, [columns[name] for name in names]) for level, names in enumerate(_PAIRS)]
        keys.append(self._expectation.by_values(batch, timeless=True)[0] | np.uint64(1))
        keys.append(_mixed(_NAME, [columns["event"]]))
        keys.append(_mixed(_BEGINNING, [np.zeros_like(columns["event"])]))
        return np.stack(keys, axis=1)

    def received(self, events: Sequence[dict[str, Any]]) -> NDArray[np.uint64]:
        """uint64[n, LEVELS]; events as ``decoding`` gives them, or what could be salvaged of them."""
        keys = np.zeros((len(events), LEVELS), np.uint64)
        rows = [
            (self._numbers.get(_text(event.get("event")), -1), moment_us(event.get("start_time")), moment_us(event.get("end_time")))
            for event in events
        ]
        for level, names in enumerate(_PAIRS):
            chosen = [("event", "start_time", "end_time").index(name) for name in names]
            told = [number for number, row in enumerate(rows) if all(row[place] is not None for place in chosen)]
            columns = [np.array([rows[number][place] for number in told], np.int64) for place in chosen]
            keys[told, level] = _mixed(level, columns)
        whole = [number for number, event in enumerate(events) if "fields" in event]
        timeless = [{key: value for key, value in events[number].items() if key not in {"start_time", "end_time"}} for number in whole]
        keys[whole, _CONTENT] = prints_of([self._spelling.spell(event) for event in timeless])[0] | np.uint64(1)
        named = [number for number, event in enumerate(events) if "begins" in event and rows[number][0] >= 0]
        keys[named, _NAME] = _mixed(_NAME, [np.array([rows[number][0] for number in named], np.int64)])
        begun = [number for number, event in enumerate(events) if event.get("begins") and "event" not in event]
        keys[begun, _BEGINNING] = _mixed(_BEGINNING, [np.zeros(len(begun), np.int64)])
        return keys


def prints_of(records: Sequence[bytes]) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """The fingerprints of some records."""
    ends = np.cumsum(np.fromiter(map(len, records), np.int64, len(records)))
    begins = np.concatenate((np.zeros(min(1, len(ends)), np.int64), ends[:-1]))
    low, high = fingerprinting().fingerprint(b"".join(records), begins, ends)
    return low, high


def _mixed(level: int, columns: Sequence[NDArray[np.int64]]) -> NDArray[np.uint64]:
    key = np.full(len(columns[0]), mix(level + 1), np.uint64)
    for column in columns:
        key = mix_array(key * np.uint64(GAMMA) + column.astype(np.uint64))
    return key | np.uint64(1)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
