"""Values: literals, variables, texts with holes, and the operations written as a mapping."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from fractions import Fraction

from dovestorm.scenario import distributions, units
from dovestorm.scenario.model import (
    Address,
    At,
    Choice,
    Counter,
    Distribution,
    During,
    Entry,
    Extreme,
    Literal,
    Pool,
    Scale,
    Sum,
    Text,
    UserDraw,
    Value,
    Variable,
    Weight,
)
from dovestorm.scenario.nodes import Listing, Node, Scalar, Table
from dovestorm.scenario.place import BUILT_INS, COUNT, FACTOR, Place
from dovestorm.scenario.reading import Column, Frame, Reading, Reference, shown

__all__ = ["OPERATIONS", "Values"]

OPERATIONS = (
    "choose",
    *distributions.KINDS,
    "pool",
    "counter",
    "text",
    "sum",
    "scale",
    "least",
    "greatest",
    "address",
    "user",
    "normal",
    "table",
)
"""The keys by which a value that is a mapping is known."""

_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_-]*)")
_HOLE = re.compile(r"(\$\$\{)|\$\{([^}]{0,80})\}")
_NOTHING = Literal(None)


class Values:
    """Reads the values of one flow or fragment."""

    def __init__(self, reading: Reading, frame: Frame) -> None:
        self.reading = reading
        self.frame = frame
        self.fault = reading.faults.add

    def read(self, node: Node, place: Place) -> Value:
        """Give the value of a node; what is wrong with it becomes a fault."""
        match node:
            case Scalar():
                return self._scalar(node, place, {})
            case Listing():
                return self._list(node, place)
            case Table():
                return self._operation(node, place)

    # ------------------------------------------------------------ scalars

    def _scalar(self, node: Scalar, place: Place, holes: dict[str, Value]) -> Value:
        text = node.text
        value = node.value
        if value is None:
            if not place.optional:
                self.fault(node.at, f"{place.what} is left out (null), a value is needed")
            return Literal(None, node.at)
        if isinstance(value, bool):
            self.fault(node.at, f'{place.what} ({text}) is neither a number nor a text, write "{text}" for the text')
            return _NOTHING
        if found := _VARIABLE.fullmatch(text):
            return self.variable(found[1], node.at, place)
        if text.startswith("$$") and _VARIABLE.fullmatch(text[1:]):
            text = text[1:]
        elif "${" in text:
            return self._text(node, place, holes)
        if place.numeric:
            return Literal(self.number(node, place), node.at)
        if place.kind == "list":
            self.fault(node.at, f"{place.what} ({shown(node)}) must be a list of texts")
            return _NOTHING
        if place.kind == "any" and isinstance(value, int | float):
            return Literal(self._whole(node, value), node.at)
        self._literal_text(text, node, place)
        return Literal(text, node.at)

    def _literal_text(self, text: str, node: Scalar, place: Place) -> None:
        if place.values is not None and text not in place.values:
            self._outside(node, text, place, place.values)
        if place.kind == "address":
            try:
                ipaddress.ip_address(text)
            except ValueError:
                self.fault(node.at, f"{place.what} ({shown(node)}): an address is written like 192.0.2.25")

    def _outside(self, node: Node, text: str, place: Place, values: tuple[str, ...]) -> None:
        hint = self.reading.hint(text, values, most=8)
        self.fault(node.at, f"{place.what} cannot be '{text}' in Dovecot {self.reading.vocabulary.version}{hint}")

    def _whole(self, node: Scalar, value: float) -> int:
        if isinstance(value, float) and not value.is_integer():
            self.fault(node.at, f"{shown(node)} is not a whole number, write it with a unit or quote it as text")
            return 0
        if abs(value) >= units.LARGEST:
            self.fault(node.at, f"{shown(node)} leaves 62 bits, a smaller number is needed")
            return 0
        return int(value)

    def number(self, node: Scalar, place: Place) -> int:
        """Give a literal number in a numeric place, in base units."""
        exact = self.exact(node, place)
        if exact.denominator != 1 and node.text[-1:].isdigit():
            self.fault(node.at, f"{place.what} ({shown(node)}) must be a whole number, or have a unit")
        return round(exact)

    def exact(self, node: Node, place: Place) -> Fraction:
        """Give a literal number as it is written, in base units: for a place, or for a distribution's parameter."""
        if isinstance(node, Scalar) and place.kind == "timestamp" and not re.fullmatch(r"[-+]?[0-9]+", node.text):
            return Fraction(self.reading.unit(node, units.instant, 0, what=place.what))
        unit = "count" if place.unit == "factor" else place.unit
        value = self.reading.unit(node, lambda text: units.number(text, unit=unit), Fraction(0), what=place.what)
        if place.unit == "factor":
            value = Fraction(round(value * 1_000_000))
        if place.least is not None and value < place.least:
            self.fault(node.at, f"{place.what} ({shown(node)}) must be >= {place.least}")
        return value

    def variable(self, name: str, at: At, place: Place) -> Value:
        """Give a variable, and note what its place asks of it."""
        frame = self.frame
        if name in frame.parameters:
            expected = frame.expects.get(name)
            frame.expects[name] = place if expected is None else expected.merged(place)
            return Variable(name, at)
        held = BUILT_INS.get(name)
        if held is None:
            if place.numeric and not frame.dropped:
                self._wanted(name, at, place)
        elif name in {"duration", "start"} and name not in place.event:
            right = "the fields of an event" if name == "start" else "the fields of an emit or of a span's finish"
            self.fault(at, f"'${name}' means something only in {right}")
        elif place.numeric and held != "number":
            self.fault(at, f"{place.what} ('${name}') must be a number, that variable is a text")
        frame.references.append(Reference(name, at, frame.section, frame.dropped))
        return Variable(name, at)

    def _wanted(self, name: str, at: At, place: Place) -> None:
        wanted = self.reading.wanted
        unit = place.unit if place.unit in {"factor", "seconds"} else ""
        new = Place(f"variable '{name}', needed as a number in {at.file}:{at.line},", "number", unit, optional=True)
        wanted[name] = wanted[name].merged(new) if name in wanted else new

    # ------------------------------------------------------------ texts and lists

    def _text(self, node: Scalar, place: Place, holes: dict[str, Value]) -> Value:
        if place.numeric or place.kind == "list":
            self.fault(node.at, f"{place.what} ({shown(node)}) must be a {'number' if place.numeric else 'list'}, not a text with holes")
            return _NOTHING
        parts: list[str | Value] = []
        plain = ""
        end = 0
        inner = Place("a hole of a text", event=place.event)
        for found in _HOLE.finditer(node.text):
            plain += node.text[end : found.start()]
            end = found.end()
            if found[1]:
                plain += "${"
                continue
            name = found[2]
            if not _VARIABLE.fullmatch("$" + name):
                self.fault(node.at, f"a hole '${{{name}}}' must hold a name, or be written '$${{' for the plain text")
                continue
            if plain:
                parts.append(plain)
            plain = ""
            parts.append(holes[name] if name in holes else self.variable(name, node.at, inner))
        plain += node.text[end:]
        if "${" in node.text[end:]:
            self.fault(node.at, f"a hole without its end in {shown(node)}, write '}}' after the name, or '$${{' for the plain text")
        if plain:
            parts.append(plain)
        if all(isinstance(part, str) for part in parts):
            self._literal_text(plain, node, place)
            return Literal(plain, node.at)
        return Text(tuple(parts), node.at)

    def _list(self, node: Listing, place: Place) -> Value:
        if place.kind not in {"list", "any"}:
            self.fault(node.at, f"{place.what} must be a {place.kind}, not a list")
            return _NOTHING
        return Literal(self.texts(node), node.at)

    def texts(self, node: Listing) -> tuple[str, ...]:
        """Give a list of plain texts."""
        texts = []
        for item in node.items:
            if isinstance(item, Scalar) and item.value is not None and not isinstance(item.value, bool):
                texts.append(item.text)
            else:
                self.fault(item.at, f"a list's entry ({shown(item)}) must be a text")
        return tuple(texts)

    # ------------------------------------------------------------ operations

    def _operation(self, node: Table, place: Place) -> Value:
        # In a {text: ...} every other key is a hole, whatever it is called.
        found = ["text"] if "text" in node.entries else [key for key in node.entries if key in OPERATIONS]
        if len(found) != 1:
            if not found:
                first = next(iter(node.keys.values()), None)
                named = f"unknown kind of value '{first.text}'" if first else "an empty mapping is no value"
                self.fault(first.at if first else node.at, f"{named}{self.reading.hint(first.text if first else '', OPERATIONS, most=20)}")
            else:
                self.fault(node.at, f"a value is one of {' and '.join(found)}, not both")
            return _NOTHING
        operation = found[0]
        if operation in distributions.KINDS:
            return self._distribution(node, place)
        read = {
            "choose": self._choice,
            "pool": self._pool,
            "counter": self._counter,
            "text": self._template,
            "sum": self._sum,
            "scale": self._scale,
            "least": self._extreme,
            "greatest": self._extreme,
            "address": self._address,
            "user": self._user,
            "normal": self._during,
            "table": self._entry,
        }[operation]
        return read(node, place)

    def _draws_number(self, node: Table, place: Place, what: str) -> bool:
        if place.kind in {"list", "address"}:
            self.fault(node.at, f"{place.what} must be a{'n' if place.kind == 'address' else ''} {place.kind}, not {what}")
            return False
        return True

    def _draws_text(self, node: Table, place: Place, what: str) -> bool:
        if place.numeric or place.kind == "list":
            self.fault(node.at, f"{place.what} must be a {place.kind}, not {what}")
            return False
        return True

    def _distribution(self, node: Table, place: Place) -> Value:
        if not self._draws_number(node, place, "a distribution"):
            return _NOTHING
        numeric = place if place.numeric and place.kind != "timestamp" else Place(place.what, "number")
        found = distributions.read(self.reading, node, lambda item, what: self.exact(item, Place(what, "number", numeric.unit, least=numeric.least)))
        return _NOTHING if found is None else Distribution(found[0], found[1], node.at)

    def distribution(self, node: Node, place: Place) -> Distribution | None:
        """Give a distribution where nothing else will do; a plain number is the one that never varies."""
        if isinstance(node, Table):
            value = self._operation(node, place)
            if isinstance(value, Distribution):
                return value
            if value is not _NOTHING:
                self.fault(node.at, f"{place.what} must be a number or a distribution ({', '.join(distributions.KINDS)})")
            return None
        if isinstance(node, Scalar):
            return Distribution("fixed", distributions.fixed(self.number(node, place)), node.at)
        self.fault(node.at, f"{place.what} ({shown(node)}) must be a number or a distribution")
        return None

    def _choice(self, node: Table, place: Place) -> Value:
        options = self.reading.keys(node, what="choose", required=("choose",))["choose"]
        place = replace(place, user=False)
        pairs: list[tuple[Value, Weight]] = []
        if isinstance(options, Table):
            for key, item in options.entries.items():
                pairs.append((self._scalar(options.keys[key], place, {}), self.reading.weight(item, self.frame)))
        else:
            for item in self.reading.listing(options, what="choose"):
                entries = self.reading.keys(self.reading.table(item, what="an option"), what="an option", required=("value",), optional=("weight",))
                if "value" in entries:
                    weight = self.reading.weight(entries["weight"], self.frame) if "weight" in entries else Weight(1.0)
                    pairs.append((self.read(entries["value"], place), weight))
        self.reading.weights([weight for _, weight in pairs], node.at, what="choose")
        return Choice(tuple(pairs), node.at) if pairs else _NOTHING

    def _pool(self, node: Table, place: Place) -> Value:
        entries = self.reading.keys(node, what="a pool", required=("pool",), optional=("zipf",))
        if not self._draws_text(node, place, "a pool's entry"):
            return _NOTHING
        source = entries["pool"]
        if isinstance(source, Listing):
            texts = self.texts(source)
            if not source.items:
                self.fault(source.at, "a pool is empty, give it at least one entry")
        elif isinstance(source, Scalar):
            texts = self.reading.pool(source)
        else:
            self.fault(source.at, "a pool must be a name or a list of texts")
            texts = ()
        if place.values is not None and (wrong := [text for text in texts if text not in place.values]):
            self._outside(source, wrong[0], place, place.values)
        zipf = self.reading.factor(entries["zipf"], what="zipf", most=10.0) if "zipf" in entries else 0.0
        return Pool(texts, zipf, node.at) if texts else _NOTHING

    def _counter(self, node: Table, place: Place) -> Value:
        entries = self.reading.keys(node, what="a counter", required=("counter",), optional=("from",))
        name = self.reading.name(entries["counter"], what="a counter's name")
        start = self.reading.whole(entries["from"], what="from", least=0, most=units.LARGEST - 1) if "from" in entries else 1
        return Counter(name, start, node.at) if self._draws_number(node, place, "a counter") else _NOTHING

    def _template(self, node: Table, place: Place) -> Value:
        template = node.entries["text"]
        if not isinstance(template, Scalar):
            self.fault(template.at, f"text ({shown(template)}) must be a text with holes")
            return _NOTHING
        if not self._draws_text(node, place, "a text with holes"):
            return _NOTHING
        used = {found[2] for found in _HOLE.finditer(template.text)}
        holes = {}
        for key, item in node.entries.items():
            if key == "text":
                continue
            if key not in used:
                self.fault(
                    node.keys[key].at,
                    f"unknown key '{key}' in text: the text has no hole '${{{key}}}'{self.reading.hint(key, sorted(used - {None}))}",
                )
            holes[key] = self.read(item, Place(f"hole '{key}'", event=place.event))
        return self._text(template, place, holes)

    def _terms(self, node: Table, key: str, place: Place) -> tuple[Value, ...]:
        self.reading.keys(node, what=key, required=(key,))
        unit = place.unit if place.numeric else ""
        inner = Place(f"a term of {key}", "number", unit, event=place.event)
        if place.kind == "timestamp":
            inner = Place(f"a term of {key}", "number", "duration", event=place.event)
        items = self.reading.listing(node.entries[key], what=key)
        if not items and isinstance(node.entries[key], Listing):
            self.fault(node.at, f"{key} is empty, give it at least one term")
        return tuple(self.read(item, inner) for item in items)

    def _sum(self, node: Table, place: Place) -> Value:
        terms = self._terms(node, "sum", place)
        return Sum(terms, node.at) if terms and self._draws_number(node, place, "a sum") else _NOTHING

    def _extreme(self, node: Table, place: Place) -> Value:
        key = "greatest" if "greatest" in node.entries else "least"
        terms = self._terms(node, key, place)
        return Extreme(key == "greatest", terms, node.at) if terms and self._draws_number(node, place, f"the {key} of numbers") else _NOTHING

    def _scale(self, node: Table, place: Place) -> Value:
        entries = self.reading.keys(node, what="scale", required=("scale", "by"))
        if "by" not in entries or not self._draws_number(node, place, "a product"):
            return _NOTHING
        unit = place.unit if place.kind == "number" else ""
        scaled = self.read(entries["scale"], Place("what scale multiplies", "number", unit, event=place.event))
        return Scale(scaled, self.read(entries["by"], Place("by", FACTOR.kind, FACTOR.unit, FACTOR.least)), node.at)

    def _address(self, node: Table, place: Place) -> Value:
        entries = self.reading.keys(node, what="address", required=("address",))
        networks = self.reading.networks(entries["address"], what="address")
        return Address(networks, node.at) if networks and self._draws_text(node, place, "an address") else _NOTHING

    def _user(self, node: Table, place: Place) -> Value:
        entries = self.reading.keys(node, what="user", required=("user",))
        zipf = self.reading.ratio(entries["user"], what="user")
        if not place.user:
            self.fault(node.at, "another user can only be drawn with 'set: {user: {user: uniform}}'")
            return _NOTHING
        return UserDraw(zipf, node.at)

    def _during(self, node: Table, place: Place) -> Value:
        entries = self.reading.keys(node, what="a value with 'normal'", required=("normal", "during"))
        place = replace(place, user=False)
        normal = self.read(entries["normal"], place)
        if "during" not in entries:
            return normal
        during = self.reading.table(entries["during"], what="during")
        faults = []
        for key, item in during.entries.items():
            value = self.read(item, place)
            if self.reading.window(during.keys[key], self.frame):
                faults.append((key, value))
        return During(normal, tuple(faults), node.at) if faults else normal

    def _entry(self, node: Table, place: Place) -> Value:
        entries = self.reading.keys(node, what="a table's entry", required=("table", "column", "row"))
        if len(entries) < 3:
            return _NOTHING
        column = self._column(entries["table"], entries["column"])
        if place.kind == "list":
            self.fault(node.at, f"{place.what} must be a list, not a table's entry")
            return _NOTHING
        row = self.read(entries["row"], Place("row", COUNT.kind, COUNT.unit, 0, event=place.event))
        return Entry(self._cells(column, place), row, node.at) if column is not None else _NOTHING

    def _cells(self, column: Column, place: Place) -> tuple[int | str | None, ...]:
        numbers = column.numbers
        if (
            numbers is not None
            and place.kind in {"number", "any"}
            and place.unit != "factor"
            and (place.least is None or min(numbers) >= place.least)
        ):
            return numbers
        inner = replace(place, user=False)
        return tuple(self._cell(cell, inner) for cell in column.cells)

    def _cell(self, cell: Scalar, place: Place) -> int | str | None:
        if not cell.bare or "$" not in cell.text:
            value = self._scalar(cell, place, {})
            if isinstance(value, Literal) and not isinstance(value.value, tuple):
                return value.value
        self.fault(cell.at, f"a table's cell ({shown(cell)}) is taken as it stands, it cannot hold a variable")
        return None

    def _column(self, table: Node, column: Node) -> Column | None:
        tables = self.reading.tables
        if not isinstance(table, Scalar) or not isinstance(column, Scalar):
            wrong, what = (column, "column") if isinstance(table, Scalar) else (table, "table")
            self.fault(wrong.at, f"{what} ({shown(wrong)}) must be a {what}'s name")
            return None
        if not self.reading.known(table, tables, what="table"):
            return None
        columns = tables[table.text]
        return columns[column.text] if self.reading.known(column, columns, what="column") else None
