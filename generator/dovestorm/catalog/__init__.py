"""The event catalog: what each Dovecot version can emit, from the files in ``seeds/catalog``."""

from __future__ import annotations

from ._catalog import Catalog, canonical_fields, event_names, load, pairs, sections, sections_of, versions
from .difference import Difference, difference
from .model import Edition, Event, Field, Section

__all__ = [
    "Catalog",
    "Difference",
    "Edition",
    "Event",
    "Field",
    "Section",
    "canonical_fields",
    "difference",
    "event_names",
    "load",
    "pairs",
    "sections",
    "sections_of",
    "versions",
]
