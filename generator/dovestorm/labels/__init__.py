"""Ground truth: which sessions of a stream belong to a behaviour that its scenario planted.

What costs imports, ``collecting`` and ``file``, is imported from there.
"""

from __future__ import annotations

from dovestorm.labels.label import Label

__all__ = ["Label"]
