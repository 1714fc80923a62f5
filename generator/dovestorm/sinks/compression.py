"""Compressed streams that can be ended properly at a checkpoint, even when what came after it was lost."""

from __future__ import annotations

import zlib
from typing import Protocol

__all__ = ["Encoder", "GzipEncoder", "ZstdEncoder", "encoder_for"]

_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_GZIP_LEVEL = 1
_ZSTD_LEVEL = 3
_ZSTD_LAST_BLOCK = b"\x01\x00\x00"
"""An empty raw block marked as the last. Source: RFC 8878, 3.1.1.2; our frames carry no checksum."""


class Encoder(Protocol):
    """Compresses one stream."""

    def encode(self, data: memoryview) -> bytes:
        """Take bytes in; what comes out may lag behind."""

    def checkpoint(self) -> tuple[bytes, bytes]:
        """What was held back, and the tail that would end the stream properly right after it."""

    def finish(self) -> bytes:
        """The end of the stream."""


class GzipEncoder:
    """gzip with one member."""

    def __init__(self) -> None:
        self._stream = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_WINDOW)

    def encode(self, data: memoryview) -> bytes:
        """Compress."""
        return self._stream.compress(data)

    def checkpoint(self) -> tuple[bytes, bytes]:
        """Flush; the tail comes from a copy that is finished in place of the original."""
        head = self._stream.flush(zlib.Z_SYNC_FLUSH)
        return head, self._stream.copy().flush(zlib.Z_FINISH)

    def finish(self) -> bytes:
        """Last block, checksum and length."""
        return self._stream.flush(zlib.Z_FINISH)


class ZstdEncoder:
    """Zstandard with one frame."""

    def __init__(self) -> None:
        import zstandard

        self._stream = zstandard.ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=False).compressobj()
        self._flush_block = zstandard.COMPRESSOBJ_FLUSH_BLOCK

    def encode(self, data: memoryview) -> bytes:
        """Compress."""
        return self._stream.compress(data)

    def checkpoint(self) -> tuple[bytes, bytes]:
        """Flush; the tail is an empty last block."""
        return self._stream.flush(self._flush_block), _ZSTD_LAST_BLOCK

    def finish(self) -> bytes:
        """The last block."""
        return self._stream.flush()


def encoder_for(path: str) -> type[GzipEncoder | ZstdEncoder] | None:
    """The kind of encoder that a file's suffix asks for, or None."""
    if path.endswith(".gz"):
        return GzipEncoder
    return ZstdEncoder if path.endswith(".zst") else None
