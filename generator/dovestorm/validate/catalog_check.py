"""Checking records against the catalog: per event, every *shape* (field names and their types) is judged once and remembered."""

from __future__ import annotations

import ipaddress
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dovestorm.errors import nearest
from dovestorm.validate.absent import ABSENT
from dovestorm.validate.report import Ledger, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.catalog.model import Edition, Event, Field
    from dovestorm.validate.times import TimeReader

__all__ = ["CatalogCheck", "EventCheck", "Process"]

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
_PORT_HIGHEST = 65535
_REMEMBERED = 2048
_REMEMBERED_FIELDS = 64
_ADDRESSES = 65536
_PREFIX = "service:"
_COUNTERS = frozenset({"bytes", "microseconds", "seconds"})
_EXPECTED = {
    "string": "a text",
    "address": "a text that is an IP address",
    "integer": "an integer of 64 bits",
    "timestamp": "a time",
    "list": "a list of texts",
}


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is known about all records of a shape, and what remains to be looked at in each.

    Attributes:
        breaches: Rule, field and reason of what is wrong with every record of the shape.
        wrong: Fields of the wrong type, which no rule may look at.
        integers: Name, lowest and highest value.
        closed: Name and allowed values.
        addresses, lists, times: Names.
    """

    breaches: tuple[tuple[str, str, str], ...]
    wrong: tuple[str, ...]
    integers: tuple[tuple[str, int, int], ...]
    closed: tuple[tuple[str, frozenset[str]], ...]
    addresses: tuple[str, ...]
    lists: tuple[str, ...]
    times: tuple[str, ...]


class Process:
    """An event as one process writes it: the service's name (empty when the edition does not tell) and the shapes met so far."""

    __slots__ = ("plans", "service")

    def __init__(self, service: str) -> None:
        self.service = service
        self.plans: dict[tuple[Any, ...], _Plan] = {}


class EventCheck:
    """All that is checked of one event by itself."""

    __slots__ = ("_ledger", "_service_category", "_times", "_valid_addresses", "by_categories", "event", "fields")

    def __init__(self, event: Event, *, service_category: bool, ledger: Ledger, times: TimeReader, addresses: set[str]) -> None:
        self.event = event
        self.fields: dict[str, Field] = {field.name: field for field in event.fields.values()}
        self.by_categories: dict[tuple[str, ...], Process] = {}
        self._service_category = service_category
        self._ledger = ledger
        self._times = times
        self._valid_addresses = addresses

    def check(self, categories: list[Any], fields: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
        """Book every breach of the catalog by a record; give the name of its service and the fields that have the wrong type."""
        try:
            process = self.by_categories.get(tuple(categories)) or self._judge_categories(categories)
        except TypeError:
            process = self._judge_categories(categories)
        shape = (*fields, *map(type, fields.values()))
        plan = process.plans.get(shape) or self._judge_shape(process, shape, fields)
        add = self._ledger.add
        for breach in plan.breaches:
            add(*breach)
        for name, low, high in plan.integers:
            if not low <= fields[name] <= high:
                add("field-range", name, f"{shown(fields[name])} is outside {low} to {high}")
        for name, values in plan.closed:
            if fields[name] not in values:
                hint = nearest(fields[name][:80], values) if self._ledger.wants("closed-set") else ""
                add("closed-set", name, f"{shown(fields[name])} is none of {', '.join(sorted(values))}{hint}")
        for name in plan.addresses:
            if fields[name] not in self._valid_addresses:
                self._judge_address(name, fields[name])
        for name in plan.lists:
            if any(type(item) is not str for item in fields[name]):
                add("field-type", name, "the list has an item that is no text")
        for name in plan.times:
            if self._times.read(fields[name]) is None:
                add("timestamp", name, f"{shown(fields[name])} is no time")
        return process.service, plan.wrong

    def _known(self, name: str) -> Field | None:
        """The field of that name, or the open one that it begins like."""
        if (field := self.fields.get(name)) is not None:
            return field
        for other in self.event.open_fields:
            if type(name) is str and len(name) >= len(other.name) and name.startswith(other.name[:-1]):
                return other
        return None

    def _judge_address(self, name: str, value: str) -> None:
        """An empty address means that it is not known. Source: ``dest_ip`` of requests that were never connected."""
        try:
            if value:
                ipaddress.ip_address(value)
        except ValueError:
            self._ledger.add("field-type", name, f"{shown(value)} must be an IP address")
            return
        if len(self._valid_addresses) >= _ADDRESSES:
            self._valid_addresses.clear()
        self._valid_addresses.add(value)

    def _judge_categories(self, categories: list[Any]) -> Process:
        names = [name for name in categories if type(name) is str]
        services = sorted({name[len(_PREFIX) :] for name in names if name.startswith(_PREFIX)})
        breaches = [("categories", "the categories hold something that is no text")] if len(names) < len(categories) else []
        breaches += self._service_breaches(services)
        service = services[0] if services and self._service_category else ""
        given = {name for name in names if not name.startswith(_PREFIX)}
        required, allowed = _category_sets(self.event, service, given)
        breaches += [("categories", f"category '{name}' is missing") for name in sorted(required - given)]
        breaches += [("categories", f"unknown category {shown(name)}{nearest(name[:80], allowed)}") for name in sorted(given - allowed)]
        process = Process(service)
        if breaches:
            for rule, reason in breaches:
                self._ledger.add(rule, "", reason)
        elif len(self.by_categories) < _REMEMBERED:
            self.by_categories[tuple(names)] = process
        return process

    def _service_breaches(self, services: list[str]) -> list[tuple[str, str]]:
        if not self._service_category:
            return [("service-category", f"'service:{service}' is there, this edition has no service: categories") for service in services]
        if len(services) != 1:
            return [("service-category", f"{len(services)} service: categories, must be exactly 1")]
        known = self.event.services
        if known and services[0] not in known:
            return [("service-category", f"'service:{services[0]}' does not emit this event, known are {', '.join(known)}")]
        return []

    def _judge_shape(self, process: Process, shape: tuple[Any, ...], fields: dict[str, Any]) -> _Plan:
        breaches: list[tuple[str, str, str]] = []
        right: list[tuple[str, Field]] = []
        wrong: list[str] = []
        for name, value in fields.items():
            if (field := self._known(name)) is None:
                breaches.append(("unknown-field", str(name), f"the event has no such field{nearest(str(name)[:80], self.fields)}"))
            elif not _type_fits(field.type, value):
                breaches.append(("field-type", name, f"{_described(value)} must be {_EXPECTED[field.type]}"))
                wrong.append(name)
            else:
                right.append((name, field))
        breaches += [("missing-field", name, "every such event has it") for name, field in self.fields.items() if field.always and name not in fields]
        breaches += _order_breaches(self.event, process.service, fields)
        plan = _Plan(
            tuple(breaches),
            tuple(wrong),
            tuple((name, *_bounds(field)) for name, field in right if field.type == "integer"),
            tuple((name, frozenset(field.values)) for name, field in right if field.values is not None and field.type == "string"),
            tuple(name for name, field in right if field.type == "address"),
            tuple(name for name, field in right if field.type == "list"),
            tuple(name for name, field in right if field.type == "timestamp"),
        )
        if len(process.plans) < _REMEMBERED and len(fields) <= _REMEMBERED_FIELDS:
            process.plans[shape] = plan
        return plan


class CatalogCheck:
    """The checks of every event of an edition, by name on the wire."""

    __slots__ = ("durations", "events", "types")

    def __init__(self, edition: Edition, *, ledger: Ledger, times: TimeReader) -> None:
        addresses: set[str] = set()
        self.events = {
            name: EventCheck(event, service_category=edition.service_category, ledger=ledger, times=times, addresses=addresses)
            for name, event in edition.events.items()
        }
        self.durations = {name: event.fields["duration"].name if "duration" in event.fields else ABSENT for name, event in edition.events.items()}
        self.types = {name: {field.name: field.type for field in event.fields.values()} for name, event in edition.events.items()}


def _category_sets(event: Event, service: str, given: set[str]) -> tuple[set[str], set[str]]:
    """The categories that a record of this service must have, and all that it may have.

    A record inherits categories from the work that caused it. Where the catalog knows such inherited ones, only those that every service's
    records share are demanded, and none of a record that has inherited one which no service has by itself.
    """
    usual = [set(event.categories_for(name)) for name in event.services] or [set(event.categories)]
    union = set(event.categories).union(*usual)
    allowed = union | event.inherited_categories
    if service in event.services and not event.inherited_categories:
        required = set(event.categories_for(service))
        return required, required
    return (set() if given & (event.inherited_categories - union) else set.intersection(*usual)), allowed


def _type_fits(kind: str, value: Any) -> bool:
    if kind in {"string", "address"}:
        return type(value) is str
    if kind == "integer":
        return type(value) is int
    if kind == "list":
        return type(value) is list
    return type(value) in {str, float} or hasattr(value, "nanoseconds")


def _described(value: Any) -> str:
    if type(value) is float and abs(value) >= _HIGHEST:
        return "an integer beyond 64 bits"
    names = {bool: "the boolean", float: "the fraction", type(None): "null", int: "the integer", str: "the text", list: "a", dict: "a"}
    word = names.get(type(value), type(value).__name__)
    return word if value is None else f"{word} {shown(value)}"


def _bounds(field: Field) -> tuple[int, int]:
    """Source: a server leaves a port of 0 away; answers of a policy server and error codes may be negative."""
    if field.name == "port" or field.name.endswith("_port"):
        return 1, _PORT_HIGHEST
    return (0 if field.unit in _COUNTERS else _LOWEST), _HIGHEST


def _order_breaches(event: Event, service: str, fields: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The first field that stands before one that the catalog puts before it; any service's order will do when the record names none."""
    orders: list[Sequence[Field]] = [event.ordered(service)] if service in event.services else [event.ordered(name) for name in ("", *event.orders)]
    worst: list[tuple[str, str, str]] = []
    for order in orders:
        rank = {field.name: index for index, field in enumerate(order)}
        known = [name for name in fields if name in rank]
        wrong = next(((a, b) for a, b in itertools.pairwise(known) if rank[a] > rank[b]), None)
        if wrong is None:
            return []
        worst = worst or [("field-order", wrong[1], f"stands after '{wrong[0]}', the catalog has it before")]
    return worst
