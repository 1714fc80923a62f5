"""Putting a window's records in the order in which the stats process exports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.batch import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dovestorm.batch import Layout
    from dovestorm.engine.export_clock import ExportClock

__all__ = ["Records", "ordered_batch"]

_TIE_BITS = 22


@dataclass(frozen=True, slots=True)
class Records:
    """Records in no order yet: for each its kind, row offset in ``values``, session, and when the stats process receives it."""

    kind: NDArray[np.int32]
    offset: NDArray[np.int64]
    session: NDArray[np.int64]
    handed_on: NDArray[np.int64]
    values: NDArray[np.int64]


def ordered_batch(layout: Layout, export: ExportClock, records: Records) -> Batch:
    """Put records in export order and stamp them with their end times.

    Ties are broken by session, and within a session by the order in which its program emitted (the records' own order).
    """
    sessions, handed_on = records.session, records.handed_on
    if not len(sessions):
        return Batch(layout, records.kind, records.offset, sessions, records.values)
    keys = handed_on - handed_on.min()
    keys <<= _TIE_BITS
    keys |= sessions & ((1 << _TIE_BITS) - 1)
    order = np.argsort(keys)
    in_order = keys[order]
    equal = in_order[1:] == in_order[:-1]
    if equal.any():
        tied = np.zeros(len(keys), dtype=bool)
        tied[1:] |= equal
        tied[:-1] |= equal
        members = order[tied]
        order[tied] = members[np.lexsort((members, sessions[members], keys[members]))]
    offset = records.offset[order]
    records.values[offset + 1] = export.exported(handed_on[order])
    return Batch(layout, records.kind[order], offset, sessions[order], records.values)
