"""What the place of a value asks of it: the kind, the unit, the allowed values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovestorm.catalog.model import Field

__all__ = ["ANYTHING", "BUILT_INS", "COUNT", "DURATION", "FACTOR", "NUMBER", "TIMESTAMP", "Place", "field_place"]

BUILT_INS: Mapping[str, str] = {
    "user": "text",
    "username": "text",
    "domain": "text",
    "session": "text",
    "session_number": "number",
    "client_ip": "address",
    "client_port": "number",
    "server_ip": "address",
    "server_port": "number",
    "now": "number",
    "duration": "number",
    "start": "number",
    "end_reason": "text",
}
"""The built-in variables and what they hold."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands.

    Attributes:
        what: How an error names the place.
        kind: ``any``, ``number``, ``timestamp``, ``text``, ``address`` or ``list``.
        unit: For numbers: ``duration``, ``seconds``, ``size``, ``count``, ``factor`` (counted in millionths), or empty for any.
        least: The least literal number that makes sense.
        values: The closed set of texts, or None.
        event: ``$duration`` and ``$start`` mean something here (which of them).
        user: A draw of another user may stand here.
        optional: ``null`` may stand here.
    """

    what: str
    kind: str = "any"
    unit: str = ""
    least: int | None = None
    values: tuple[str, ...] | None = None
    event: frozenset[str] = field(default=frozenset())
    user: bool = False
    optional: bool = False

    @property
    def numeric(self) -> bool:
        """Whether a number must stand here."""
        return self.kind in {"number", "timestamp"}

    def merged(self, other: Place) -> Place:
        """Give the place that asks for what both ask for, as far as it can be known: one name used in two places."""
        if self.kind == other.kind:
            return replace(self, unit=self.unit if self.unit == other.unit else "", least=_larger(self.least, other.least))
        if "any" in {self.kind, other.kind}:
            return other if self.kind == "any" else self
        return self if self.numeric else other


def _larger(one: int | None, two: int | None) -> int | None:
    if one is None or two is None:
        return one if two is None else two
    return max(one, two)


ANYTHING = Place("a value", optional=True)
NUMBER = Place("a number", "number")
DURATION = Place("a duration", "number", "duration", least=0)
COUNT = Place("a count", "number", "count", least=0)
FACTOR = Place("a factor", "number", "factor", least=0)
TIMESTAMP = Place("a timestamp", "timestamp")

_UNITS = {"microseconds": "duration", "bytes": "size", "seconds": "seconds"}
_KINDS = {"integer": "number", "timestamp": "timestamp", "address": "address", "list": "list", "string": "text"}


def field_place(found: Field, *, event: frozenset[str], closed: bool) -> Place:
    """Give the place that an edition's field is; ``closed`` tells whether its closed set of values counts here."""
    kind = _KINDS[found.type]
    return Place(
        f"field '{found.canonical}'",
        kind,
        _UNITS.get(found.unit, "") if kind == "number" else "",
        values=found.values if closed else None,
        event=event,
        optional=True,
    )
