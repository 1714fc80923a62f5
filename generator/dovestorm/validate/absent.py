"""The name of no field."""

from __future__ import annotations

__all__ = ["ABSENT"]

ABSENT = "\0absent"
"""Stands for a field that an edition's event lacks; no event of the catalog has it, so looking for it finds nothing."""
