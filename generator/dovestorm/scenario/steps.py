"""Steps: the primitives of a flow or fragment."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from dovestorm.scenario import units
from dovestorm.scenario.grammar import PRIMITIVES, STATE
from dovestorm.scenario.model import (
    Add,
    Alternative,
    Choose,
    Emit,
    End,
    Inherit,
    Inner,
    Label,
    Literal,
    Repeat,
    Set,
    Span,
    State,
    Step,
    Switch,
    Use,
    Value,
    Variable,
    Wait,
    Walk,
    Weight,
)
from dovestorm.scenario.nodes import Listing, Node, Scalar, Table
from dovestorm.scenario.place import BUILT_INS, COUNT, DURATION, TIMESTAMP, Place
from dovestorm.scenario.reading import Frame, Reading, shown
from dovestorm.scenario.values import Values
from dovestorm.scenario.walks import STOP, check_walk

if TYPE_CHECKING:
    from dovestorm.scenario.expansion import Expansion

__all__ = ["Steps"]

_GUARD = "dovecot"
_SETTABLE = {
    "user": Place("variable 'user'", "text", user=True),
    "client_ip": Place("variable 'client_ip'", "address"),
    "server_port": Place("variable 'server_port'", "number", "count", least=1),
}
_Entries = Mapping[str, Node]


class Steps:
    """Reads the steps of one flow or fragment."""

    def __init__(self, reading: Reading, frame: Frame, expansion: Expansion) -> None:
        self.reading = reading
        self.frame = frame
        self.expansion = expansion
        self.values = Values(reading, frame)
        self.fault = reading.faults.add

    def read(self, node: Node | None, *, what: str) -> tuple[Step, ...]:
        """Give the steps of a list, without those of other editions."""
        if node is None:
            return ()
        found = (self._step(item) for item in self.reading.listing(node, what=what))
        return tuple(step for step in found if step is not None)

    def _step(self, node: Node) -> Step | None:
        if not isinstance(node, Table):
            self.fault(node.at, f"a step ({shown(node)}) must be a mapping like 'wait: 5s'")
            return None
        kinds = [key for key in node.entries if key in PRIMITIVES]
        if len(kinds) != 1:
            self._not_one(node, kinds)
            return None
        kind = kinds[0]
        options = PRIMITIVES[kind].options
        required = [key for key, option in options.items() if option.required]
        entries = self.reading.keys(node, what=kind, required=(kind, *required), optional=(*options, _GUARD))
        kept = self._guard(entries.get(_GUARD))
        if any(key not in entries for key in required):
            return None
        before, self.frame.dropped = self.frame.dropped, self.frame.dropped or not kept
        step = getattr(self, f"_{kind}")(node, entries)
        self.frame.dropped = before
        return step if kept else None

    def _not_one(self, node: Table, kinds: list[str]) -> None:
        if kinds:
            self.fault(node.at, f"a step is one of {' and '.join(kinds)}, not both")
            return
        first = next((scalar for scalar in node.keys.values() if scalar.text != _GUARD), None)
        if first is None:
            self.fault(node.at, f"an empty step, known are {', '.join(PRIMITIVES)}")
        else:
            self.fault(first.at, f"unknown step '{first.text}'{self.reading.hint(first.text, PRIMITIVES, most=20)}")

    def _guard(self, node: Node | None) -> bool:
        if node is None:
            return True
        version = self.reading.vocabulary.version
        return self.reading.unit(node, lambda text: units.version_matches(text, version), otherwise=True, what=_GUARD)

    def _value(self, entries: _Entries, key: str, place: Place) -> Value | None:
        return self.values.read(entries[key], Place(key, place.kind, place.unit, place.least)) if key in entries else None

    # ------------------------------------------------------------ events

    def _emit(self, node: Table, entries: _Entries) -> Step | None:
        event = self._known_event(entries["emit"])
        if event is None:
            return None
        return Emit(
            event,
            self._fields(entries.get("fields"), event, what=event),
            self._service(entries),
            self._value(entries, "takes", DURATION),
            self._value(entries, "start", TIMESTAMP),
            node.at,
            alone="alone" in entries and self.reading.flag(entries["alone"], what="alone"),
            categories=self._categories(entries, event),
            exported=self._value(entries, "exported", TIMESTAMP),
        )

    def _known_event(self, node: Node) -> str | None:
        if not isinstance(node, Scalar):
            self.fault(node.at, f"emit ({shown(node)}) must be an event's name")
            return None
        return node.text if self.reading.known(node, self.reading.vocabulary.events(), what="event") else None

    def _service(self, entries: _Entries) -> str | None:
        node = entries.get("service")
        if node is None:
            return None
        name = self.reading.text(node, what="service")
        if name.startswith("$"):
            return self._parameter(node, name, what="service", right="a service's name")
        known = self.reading.vocabulary.services()
        # Sites name services of their own, so only a near miss is a fault.
        if name and name not in known and difflib.get_close_matches(name, known, n=1, cutoff=0.85):
            self.fault(node.at, f"unknown service '{name}'{self.reading.hint(name, known)}")
        return name or None

    def _parameter(self, node: Node, name: str, *, what: str, right: str) -> str | None:
        if name[1:] in self.frame.parameters:
            return name
        self.fault(node.at, f"{what} ({name}) must be {right} or a parameter of the fragment")
        return None

    def _categories(self, entries: _Entries, *events: str | None) -> tuple[str, ...] | str | None:
        node = entries.get("categories")
        if node is None:
            return None
        if isinstance(node, Scalar) and node.text.startswith("$"):
            return self._parameter(node, node.text, what="categories", right="a list of categories")
        known = None if self.frame.dropped else self.reading.vocabulary.categories(*events)
        names = []
        for item in self.reading.listing(node, what="categories"):
            name = self.reading.vocabulary.edition.category(self.reading.text(item, what="a category"))
            if name is None:
                continue
            if known is not None and name not in known:
                told = " and ".join(event for event in events if event)
                self.fault(item.at, f"unknown category '{name}' of {told}{self.reading.hint(name, sorted(known), most=20)}")
            names.append(name)
        return tuple(dict.fromkeys(names))

    def _fields(self, node: Node | None, *events: str | None, what: str, timing: bool = True) -> dict[str, Value]:
        if node is None:
            return {}
        known = self.reading.vocabulary.fields(*events)
        values = {}
        table = self.reading.table(node, what="fields")
        for key, item in table.entries.items():
            scalar = table.keys[key]
            if key not in known:
                self.fault(scalar.at, f"unknown field '{key}' of {what}{self.reading.hint(key, sorted(known), most=12)}")
                continue
            place = self.reading.vocabulary.place(key, *events, timing=timing, closed=not self.frame.dropped)
            values[key] = self.values.read(item, place)
        return values

    def _span(self, node: Table, entries: _Entries) -> Step | None:
        prefix = entries["span"]
        pairs = self.reading.vocabulary.pairs()
        if not isinstance(prefix, Scalar) or not self.reading.known(prefix, frozenset(pairs), what="pair of events"):
            if not isinstance(prefix, Scalar):
                self.fault(prefix.at, f"span ({shown(prefix)}) must be the name of a pair of events")
            return None
        begins, finishes = pairs[prefix.text]
        for key, event in (("started", begins), ("finished", finishes)):
            if event is None and key in entries:
                self.fault(entries[key].at, f"'{key}' for '{prefix.text}', which has no such event")
        return Span(
            begins,
            finishes,
            self._fields(entries.get("fields"), begins, finishes, what=prefix.text, timing=False),
            self._fields(entries.get("started"), begins, what=begins or "", timing=False) if begins else {},
            self._fields(entries.get("finished"), finishes, what=finishes or "") if finishes else {},
            self._service(entries),
            self._value(entries, "opens", DURATION),
            self._value(entries, "takes", DURATION),
            self.read(entries.get("steps"), what="steps"),
            node.at,
            categories=self._categories(entries, begins, finishes),
        )

    def _inherit(self, node: Table, entries: _Entries) -> Step:
        fields = self._fields(entries["inherit"], what="any event", timing=False)
        return Inherit(fields, self.read(entries["steps"], what="steps"), node.at)

    # ------------------------------------------------------------ time and branches

    def _wait(self, node: Table, entries: _Entries) -> Step:
        return Wait(self.values.read(entries["wait"], Place("wait", DURATION.kind, DURATION.unit, DURATION.least)), node.at)

    def _choose(self, node: Table, entries: _Entries) -> Step | None:
        alternatives = []
        for item in self.reading.listing(entries["choose"], what="choose"):
            known = self.reading.keys(
                self.reading.table(item, what="an alternative"), what="an alternative", required=("steps",), optional=("weight",)
            )
            weight = self.reading.weight(known["weight"], self.frame) if "weight" in known else Weight(1.0)
            alternatives.append(Alternative(weight, self.read(known.get("steps"), what="steps")))
        if isinstance(entries["choose"], Listing):
            self.reading.weights([alternative.weight for alternative in alternatives], entries["choose"].at, what="choose")
        return Choose(tuple(alternatives), node.at) if alternatives else None

    def _switch(self, node: Table, entries: _Entries) -> Step | None:
        subject = entries["switch"]
        by = self.values.read(subject, Place("switch")) if isinstance(subject, Scalar) else None
        if not isinstance(by, Variable):
            self.fault(subject.at, f"switch ({shown(subject)}) must be a variable like '$result'")
            return None
        if by.name in self.frame.parameters:
            self.frame.switched.add(by.name)
        table = self.reading.table(entries["when"], what="when")
        cases: list[tuple[int | str, tuple[Step, ...]]] = []
        for key, item in table.entries.items():
            value = table.keys[key].value
            cases.append((value if isinstance(value, int) and not isinstance(value, bool) else key, self.read(item, what=f"the case '{key}'")))
        if not cases and isinstance(entries["when"], Table):
            self.fault(table.at, "when is empty, give it at least one case")
        return Switch(by, tuple(cases), self.read(entries.get("otherwise"), what="otherwise"), node.at)

    def _repeat(self, node: Table, entries: _Entries) -> Step:
        times = self.values.read(entries["repeat"], Place("repeat", COUNT.kind, COUNT.unit, COUNT.least))
        return Repeat(times, self.read(entries["steps"], what="steps"), node.at)

    def _walk(self, node: Table, entries: _Entries) -> Step | None:
        self.reading.name(entries["walk"], what="a walk's name")
        table = self.reading.table(entries["states"], what="states")
        states: dict[str, State] = {}
        targets: dict[str, dict[str, Scalar]] = {}
        for name, item in table.entries.items():
            if name == STOP:
                self.fault(table.keys[name].at, f"a state cannot be called '{STOP}', that name leaves the walk")
            self.reading.name(table.keys[name], what="a state's name")
            known = self.reading.keys(self.reading.table(item, what="a state"), what=f"state '{name}'", required=("next",), optional=tuple(STATE))
            by = self._next_by(known.get("next"))
            following = self.reading.table(known["next"], what="next") if "next" in known and by is None else Table({}, {}, item.at)
            targets[name] = following.keys if by is None else {**table.keys, STOP: Scalar(STOP, bare=True, at=item.at)}
            weights = tuple((target, self.reading.weight(weight, self.frame)) for target, weight in following.entries.items())
            if "next" in known and by is None:
                self.reading.weights([weight for _, weight in weights], following.at, what=f"next of state '{name}'")
            states[name] = State(self.read(known.get("steps"), what="steps"), weights, self._value(known, "dwell", DURATION), by)
        if not states and isinstance(entries["states"], Table):
            self.fault(table.at, "states is empty, give it at least one state")
        start = entries["start"]
        if not isinstance(start, Scalar):
            self.fault(start.at, f"start ({shown(start)}) must be a state's name")
            return None
        check_walk(
            start=start,
            states=states,
            keys=table.keys,
            targets=targets,
            limited="limit" in entries or "time" in entries,
            ends=self.expansion.may_end,
            fault=self.fault,
            hint=self.reading.hint,
        )
        limit = self._value(entries, "limit", Place("limit", COUNT.kind, COUNT.unit, 1))
        return Walk(start.text, states, limit, self._value(entries, "time", DURATION), node.at)

    def _next_by(self, node: Node | None) -> Variable | None:
        """The variable that holds the next state's name, None where weights do."""
        if not isinstance(node, Scalar) or not node.text.startswith("$"):
            return None
        value = self.values.read(node, Place("next", "text"))
        return value if isinstance(value, Variable) else None

    # ------------------------------------------------------------ variables

    def _set(self, node: Table, entries: _Entries) -> Step:
        return Set(self._assigned(entries["set"], "set", self._set_place), node.at)

    def _add(self, node: Table, entries: _Entries) -> Step:
        return Add(self._assigned(entries["add"], "add", self._add_place), node.at)

    def _assigned(self, node: Node, what: str, place: Callable[[str], Place]) -> dict[str, Value]:
        values = {}
        table = self.reading.table(node, what=what)
        if not table.entries and isinstance(node, Table):
            self.fault(node.at, f"{what} is empty, give it at least one variable")
        for key, item in table.entries.items():
            scalar = table.keys[key]
            self.reading.name(scalar, what="a variable's name")
            if key in BUILT_INS and key not in _SETTABLE:
                self.fault(scalar.at, f"'{key}' is built in and cannot be set, only {', '.join(_SETTABLE)} can")
            elif key in self.frame.parameters:
                self.fault(scalar.at, f"'{key}' is a parameter and cannot be set, use a variable of another name")
            value = values[key] = self.values.read(item, place(key))
            if key not in BUILT_INS:
                self.frame.sets[self.frame.dropped].add(key)
                if not isinstance(value, Literal) or isinstance(value.value, str):
                    self.reading.texts.add(key)
        return values

    def _set_place(self, name: str) -> Place:
        if name in _SETTABLE:
            return _SETTABLE[name]
        return self.reading.numbers.get(name, Place(f"variable '{name}'", optional=True))

    def _add_place(self, name: str) -> Place:
        if name not in BUILT_INS and not self.frame.dropped:
            self.reading.wanted.setdefault(name, Place(f"variable '{name}', added to elsewhere,", "number", optional=True))
        return Place(f"what is added to '{name}'", "number")

    # ------------------------------------------------------------ fragments and the end

    def _use(self, node: Table, entries: _Entries) -> Step | None:
        named = entries["use"]
        inner = self.read(entries.get("steps"), what="steps")
        given = self.reading.table(entries["with"], what="with") if "with" in entries else Table({}, {}, node.at)
        if not isinstance(named, Scalar):
            self.fault(named.at, f"use ({shown(named)}) must be a fragment's name")
            return None
        fragment = self.reading.fragment(named)
        if fragment is None:
            for item in given.entries.values():
                self.values.read(item, Place("a parameter", optional=True))
            return None
        self.frame.uses.append((fragment, self.frame.section, self.frame.dropped))
        if "steps" in entries and not fragment.frame.inner:
            self.fault(entries["steps"].at, f"fragment '{fragment.name}' has no 'inner' for these steps")
        for key, scalar in given.keys.items():
            if key not in fragment.parameters:
                hint = self.reading.hint(key, fragment.parameters, most=20)
                self.fault(scalar.at, f"unknown parameter '{key}' of fragment '{fragment.name}'{hint}")
                self.values.read(given.entries[key], Place("a parameter", optional=True))
        arguments: dict[str, Value] = {}
        for name, default in fragment.parameters.items():
            if name in given.entries:
                arguments[name] = self.values.read(given.entries[name], parameter_place(fragment.frame, name))
            elif default is not None:
                arguments[name] = default
            else:
                self.fault(node.at, f"fragment '{fragment.name}' needs its parameter '{name}', give it under 'with'")
        return Use(fragment.name, arguments, fragment.steps, inner, node.at)

    def _inner(self, node: Table, entries: _Entries) -> Step | None:
        if entries["inner"] != Table({}, {}, entries["inner"].at) and not (isinstance(entries["inner"], Scalar) and entries["inner"].value is None):
            self.fault(entries["inner"].at, "inner has nothing inside, it is written 'inner: {}'")
        if not self.frame.fragment:
            self.fault(node.at, "'inner' outside a fragment, it is where a fragment runs the steps of its 'use'")
            return None
        self.frame.inner = True
        return Inner(node.at)

    def _end(self, node: Table, entries: _Entries) -> Step:
        reason = self.reading.text(entries["end"], what="end")
        if "${" in reason or reason.startswith("$"):
            self.fault(entries["end"].at, f"end ({shown(entries['end'])}) must be a plain text")
        return End(reason, node.at)

    # ------------------------------------------------------------ labels

    def _label(self, node: Table, entries: _Entries) -> Step | None:
        name = self.reading.label(entries["label"], self.frame)
        if "during" not in entries:
            return None if name is None else Label(name, (), node.at)
        named = self.reading.listing(entries["during"], what="during")
        if not named and isinstance(entries["during"], Listing):
            self.fault(entries["during"].at, "during is empty, name at least one fault window")
        windows = []
        for item in named:
            if not isinstance(item, Scalar):
                self.fault(item.at, f"a fault ({shown(item)}) must be a fault window's name")
            elif self.reading.window(item, self.frame):
                windows.append(item.text)
        return Label(name, tuple(windows), node.at) if name is not None and windows else None


def parameter_place(frame: Frame, name: str) -> Place:
    """Give the place that a fragment's parameter is, from the places where the fragment needs it."""
    found = frame.expects.get(name)
    what = f"parameter '{name}' of fragment '{frame.name}'"
    if found is None:
        return Place(what, optional=True)
    values = None if name in frame.switched else found.values
    return Place(what, found.kind, found.unit, found.least, values, optional=True)
