"""Putting a window's records in the order in which the stats process exports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.batch import Batch
from dovestorm.kernel import in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from dovestorm.batch import Layout

__all__ = ["Records", "ordered_batch"]


@dataclass(frozen=True, slots=True)
class Records:
    """Records in no order: for each its kind, row offset in ``values``, session, and the moment when it reaches the stats process."""

    kind: NDArray[np.int32]
    offset: NDArray[np.int64]
    session: NDArray[np.int64]
    moment: NDArray[np.int64]
    values: NDArray[np.int64]


def ordered_batch(layout: Layout, records: Records, end: int) -> Batch:
    """The records that reach the stats process before ``end``, in export order.

    Ties are broken by session, and within a session by the order in which its program emitted (the records' own order).
    """
    count = len(records.moment)
    order = np.empty(count, dtype=np.int64)
    order = order[: in_order(records.moment, records.session, order, np.empty(2 * count, dtype=np.uint64), end=end)]
    return Batch(layout, records.kind[order], records.offset[order], records.session[order], records.values)
