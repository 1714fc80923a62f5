"""What an edition calls the fields that the rules speak of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.validate.absent import ABSENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovestorm.catalog.model import Edition, Event

__all__ = ["ABSENT", "wire_name"]


def wire_name(edition: Edition, event: str, canonical: str) -> str:
    """The name on the wire of a field, both given by canonical name; ``ABSENT`` when there is none."""
    by_canonical: Mapping[str, Event] = edition.by_canonical
    known = by_canonical.get(event)
    field = known.fields.get(canonical) if known is not None else None
    return ABSENT if field is None else field.name
