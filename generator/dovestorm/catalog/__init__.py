"""The event catalog: what each Dovecot version can emit, from the files in ``seeds/catalog``."""

from __future__ import annotations

from ._catalog import Catalog, canonical_fields, event_names, load, pairs, sections, sections_of, versions
from .model import Edition, Event, Field, Section

__all__ = [
    "Catalog",
    "Edition",
    "Event",
    "Field",
    "Section",
    "canonical_fields",
    "event_names",
    "load",
    "pairs",
    "sections",
    "sections_of",
    "versions",
]
