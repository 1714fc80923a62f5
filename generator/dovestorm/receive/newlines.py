"""Counting newlines without making lines."""

from __future__ import annotations

__all__ = ["count_newlines"]

_NEWLINE = 0x0A
_WORTH_IT = 1 << 15
"""Bytes from which NumPy, some five times as fast as ``count``, makes up for being called (and, once, loaded)."""


def count_newlines(data: bytes | bytearray, begin: int, end: int) -> int:
    """How many newlines there are from ``begin`` to before ``end``."""
    if end - begin < _WORTH_IT:
        return data.count(b"\n", begin, end)
    import numpy as np

    return int(np.count_nonzero(np.frombuffer(data, np.uint8, end - begin, begin) == _NEWLINE))
