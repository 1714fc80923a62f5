"""Flows, the fragments that they use, and whether every variable that is read is set somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.scenario.expansion import Expansion
from dovestorm.scenario.fragments import Folder, Fragment
from dovestorm.scenario.grammar import FLOW, FRAGMENT
from dovestorm.scenario.model import Add, Flow, Label, Set, Step, Value, Weight
from dovestorm.scenario.nodes import Node, Scalar, Table
from dovestorm.scenario.place import BUILT_INS, Place
from dovestorm.scenario.reading import Frame, Reading, Reference, shown
from dovestorm.scenario.steps import Steps, parameter_place
from dovestorm.scenario.values import Values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

__all__ = ["Flows"]

DEEPEST_USE = 32
MOST_STEPS = 100_000


class Flows:
    """Reads flows and fragments; a fragment is read once, whoever uses it.

    Args:
        reading: What is shared with the other readers of the scenario.
        folder: The fragments within reach.
        kept: Fragments that an earlier round has read, see ``unaffected``.
    """

    def __init__(self, reading: Reading, folder: Folder, kept: Mapping[str, Fragment]) -> None:
        self.reading = reading
        self.folder = folder
        self.fault = reading.faults.add
        self.expansion = Expansion()
        self._known: dict[str, Fragment | None] = dict(kept)
        self._stack: list[str] = []

    # ------------------------------------------------------------ flows

    def read(self, node: Node) -> tuple[Flow, ...]:
        """Read the list of flows."""
        items = self.reading.listing(node, what="flows")
        if not items and not isinstance(node, Scalar):
            self.fault(node.at, "flows is empty, a scenario needs at least one")
        flows = [flow for flow in map(self._flow, items) if flow is not None]
        names: set[str] = set()
        for flow in flows:
            if flow.name in names:
                self.fault(flow.at, f"flow '{flow.name}' stands twice, give each its own name")
            names.add(flow.name)
        if flows:
            self.reading.weights([flow.weight for flow in flows], node.at, what="flows")
        return tuple(flows)

    def _flow(self, node: Node) -> Flow | None:
        table = self.reading.table(node, what="a flow")
        required = [key for key, option in FLOW.items() if option.required]
        entries = self.reading.keys(table, what="a flow", required=required, optional=tuple(FLOW))
        if "flow" not in entries or "steps" not in entries:
            return None
        name = self.reading.name(entries["flow"], what="a flow's name")
        frame = Frame(name, fragment=False, windows=self.reading.windows, labels=tuple(self.reading.labels or ()))
        steps = Steps(self.reading, frame, self.expansion)
        weight = self.reading.weight(entries["weight"], frame) if "weight" in entries else Weight(1.0)
        body = steps.read(entries["steps"], what="steps")
        if not getattr(entries["steps"], "items", True):
            self.fault(entries["steps"].at, f"flow '{name}' is empty, it needs at least one step")
        label = self.reading.label(entries["label"], frame) if "label" in entries else None
        if label is not None:
            body = _labelled(body, Label(label, (), entries["label"].at))
        frame.section = "finally"
        last = steps.read(entries.get("finally"), what="finally")
        if self.expansion.may_end(last):
            self.fault(entries["finally"].at, "finally runs when the session has ended, it cannot hold 'end'")
        for block, key in ((body, "steps"), (last, "finally")):
            if self.expansion.size(block)[0] > MOST_STEPS:
                self.fault(entries[key].at, f"more than {MOST_STEPS:,} steps once its fragments are written out, which no flow needs")
        self._variables(frame)
        return Flow(name, weight, body, last, node.at)

    def _variables(self, flow: Frame) -> None:
        frames = list(_within(flow))
        sets = {False: set[str](), True: set[str]()}
        for frame, _, dropped in frames:
            sets[dropped] |= frame.sets[False]
            sets[True] |= frame.sets[True]
        for frame, section, dropped in frames:
            for reference in frame.references:
                gone = dropped or reference.dropped
                self._variable(
                    frame, reference, sets[False] | sets[True] if gone else sets[False], "finally" if section == "finally" else reference.section
                )

    def _variable(self, frame: Frame, reference: Reference, known: set[str], section: str) -> None:
        name = reference.name
        if name == "end_reason":
            if section != "finally":
                self.fault(reference.at, "'$end_reason' means something only in 'finally'")
        elif name not in BUILT_INS and name not in known:
            hint = (
                self.reading.hint(name, sorted({*known, *BUILT_INS, *frame.parameters})) or f", set it first, or write '$${name}' for the plain text"
            )
            self.fault(reference.at, f"unknown variable '${name}'{hint}")

    # ------------------------------------------------------------ fragments

    def fragment(self, named: Scalar) -> Fragment | None:
        """Give a fragment by name; None if there is none or it is wrong, which is a fault then."""
        name = named.text
        if name in self._stack:
            chain = " -> ".join([*self._stack[self._stack.index(name) :], name])
            self.fault(named.at, f"fragment '{name}' uses itself ({chain})")
            return None
        if name in self._known:
            return self._known[name]
        names = self.folder.names()
        if name not in names:
            self.fault(named.at, f"unknown fragment '{name}'{self.reading.hint(name, names, most=40)}")
            return None
        if len(self._stack) >= DEEPEST_USE:
            self.fault(named.at, f"fragments nest deeper than {DEEPEST_USE}")
            return None
        self._stack.append(name)
        node = self.folder.node(name, self.reading.faults)
        found = self._known[name] = None if node is None else self.read_fragment(node, name)
        self._stack.pop()
        return found

    def unaffected(self, numbers: Collection[str]) -> dict[str, Fragment]:
        """Give the fragments that read the same again once these variables are known to be numbers: neither they nor what they use set one."""
        kept: dict[str, Fragment] = {}
        for name, fragment in self._known.items():  # what a fragment uses stands before it
            if fragment is None:
                continue
            frame = fragment.frame
            if (frame.sets[False] | frame.sets[True]).isdisjoint(numbers) and all(used.name in kept for used, _, _ in frame.uses):
                kept[name] = fragment
        return kept

    def read_fragment(self, node: Node, stem: str) -> Fragment:
        """Read the tree of a fragment's file."""
        table = self.reading.table(node, what="a fragment")
        required = [key for key, option in FRAGMENT.items() if option.required]
        entries = self.reading.keys(table, what="a fragment", required=required, optional=tuple(FRAGMENT))
        if "fragment" in entries and self.reading.text(entries["fragment"], what="fragment") != stem:
            self.fault(entries["fragment"].at, f"fragment ({shown(entries['fragment'])}) must be called '{stem}' like its file")
        if "summary" in entries:
            self.reading.text(entries["summary"], what="summary")
        given = self.reading.table(entries["parameters"], what="parameters") if "parameters" in entries else Table({}, {}, node.at)
        for key, scalar in given.keys.items():
            self.reading.name(scalar, what="a parameter's name")
            if key in BUILT_INS:
                self.fault(scalar.at, f"parameter '{key}' has the name of a built-in variable, give it another")
        windows = None
        if "faults" in entries:
            windows = tuple(self.reading.name(item, what="a fault's name") for item in self.reading.listing(entries["faults"], what="faults"))
        listed = self.reading.listing(entries["labels"], what="labels") if "labels" in entries else ()
        labels = tuple(self.reading.name(item, what="a label's name") for item in listed)
        frame = Frame(stem, fragment=True, parameters=tuple(given.entries), windows=windows, labels=labels)
        steps = Steps(self.reading, frame, self.expansion).read(entries.get("steps"), what="steps")
        return Fragment(stem, self._defaults(given, frame), steps, frame)

    def _defaults(self, given: Table, frame: Frame) -> dict[str, Value | None]:
        defaults: dict[str, Value | None] = {}
        own = Frame(frame.name, fragment=True, windows=frame.windows)
        values = Values(self.reading, own)
        for name, item in given.entries.items():
            if isinstance(item, Table) and set(item.entries) == {"required"}:
                mark = item.entries["required"]
                if not isinstance(mark, Scalar) or mark.value is not True:
                    self.fault(mark.at, f"required ({shown(mark)}) must be true")
                defaults[name] = None
                continue
            place = parameter_place(frame, name)
            defaults[name] = values.read(
                item, Place(f"the default of {place.what}", place.kind, place.unit, place.least, place.values, optional=True)
            )
        for reference in own.references:
            if reference.name in frame.parameters:
                self.fault(reference.at, f"a default cannot use the parameter '${reference.name}'")
        frame.references.extend(reference for reference in own.references if reference.name not in frame.parameters)
        return defaults


def _labelled(steps: tuple[Step, ...], label: Label) -> tuple[Step, ...]:
    """The label behind the variables that a flow sets first, its user and address among them."""
    place = next((number for number, step in enumerate(steps) if not isinstance(step, Set | Add)), len(steps))
    return (*steps[:place], label, *steps[place:])


def _within(flow: Frame) -> Iterator[tuple[Frame, str, bool]]:
    """The flow's frame and those of all fragments within, each once for every section and guard it stands in."""
    seen: set[tuple[int, str, bool]] = set()
    todo = [(flow, "steps", False)]
    while todo:
        frame, section, dropped = todo.pop()
        if (id(frame), section, dropped) in seen:
            continue
        seen.add((id(frame), section, dropped))
        yield frame, section, dropped
        for fragment, where, gone in frame.uses:
            todo.append((fragment.frame, where if frame is flow else section, dropped or gone))
