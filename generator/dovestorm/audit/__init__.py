"""Proof of delivery: the seed is the ledger. What a consumer wrote is held against the stream made anew.

Example:
    >>> from dovestorm.audit import audit
    >>> from dovestorm.stream import Limits, open_stream
    >>> stream = open_stream("imap-login", seed=7, limits=Limits(sessions=100))
    >>> audit(stream, ["received.json"]).clean  # doctest: +SKIP
    True
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.audit.auditor import COMPARISONS, Auditor
from dovestorm.audit.latency import Arrivals, Latency
from dovestorm.audit.reading import read_into
from dovestorm.audit.report import AuditReport, Example
from dovestorm.audit.values import PRECISIONS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from dovestorm.stream import Stream

__all__ = ["COMPARISONS", "PRECISIONS", "Arrivals", "AuditReport", "Auditor", "Example", "Latency", "audit", "read_into"]


def audit(stream: Stream, received: Iterable[str | Path], **options: Any) -> AuditReport:
    """Hold what a consumer wrote against what it was sent.

    Args:
        stream: What was sent, all of it.
        received: Files, or ``-`` for standard input; several hold one after another. gzip and zstd are unpacked.
        options: As for ``Auditor``.

    Raises:
        InputError: A file that cannot be read.
        UsageError: An option that cannot be.
    """
    with Auditor(stream, **options) as auditor:
        for path in received:
            read_into(auditor, path)
        return auditor.finish()
