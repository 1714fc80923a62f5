"""From a checked scenario to a program: blocks with their cells allotted, and the layout of what they emit."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.batch import Layout
from dovestorm.engine.bindings import Texts, Var
from dovestorm.engine.blocks import CLOCK, SESSION, STATE, Block, Branch, Builder, Operation, Read, Terminator, Write, goto
from dovestorm.engine.emission import Emission, Mark
from dovestorm.engine.flows import FlowCompiler
from dovestorm.engine.phases import Phases
from dovestorm.engine.sessions import Builtins
from dovestorm.errors import UsageError
from dovestorm.scenario import model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dovestorm.catalog.model import Edition
    from dovestorm.kernel.instructions import Bytecode

__all__ = ["Program", "compile_scenario", "targets_of"]

_SPECIAL = 3
_MOST_PASSES = 6


@dataclass(frozen=True)
class Program:
    """A compiled scenario.

    Attributes:
        scenario: Where it came from.
        layout: What its records look like.
        blocks: Sessions begin in the first. Their cells are allotted, and what no later block reads is not written.
        cells: How many 64-bit cells a session needs.
        processes: Names of the emitting services, for the export clock.
        process_of_kind: int64, the emitting service of each record kind.
        marks: What records of labels refer to by number; empty in a program that was compiled without them.
    """

    scenario: model.Scenario
    layout: Layout
    blocks: tuple[Block, ...]
    cells: int
    processes: tuple[str, ...]
    process_of_kind: np.ndarray[Any, np.dtype[np.int64]]
    marks: tuple[Mark, ...] = ()

    @cached_property
    def bytecode(self) -> Bytecode:
        """The same for the compiled interpreter; made once, before workers share it."""
        from dovestorm.engine.bytecode import bytecode

        return bytecode(self)


def compile_scenario(scenario: model.Scenario, edition: Edition, *, sections: frozenset[str] | None = None, labels: bool = False) -> Program:
    """Compile a scenario for the edition that it was loaded for; raises ``ScenarioError`` where values do not fit together.

    Args:
        scenario: The scenario.
        edition: What its events are called, and which fields they have.
        sections: Keys of the catalog sections whose events leave; None for all. The other events are what they are with all.
        labels: Whether records among the events, which stay the same, tell which session is labelled, and when.
    """
    variables: dict[str, dict[str, Var]] = {flow.name: {} for flow in scenario.flows}
    phases = Phases.of(scenario.faults)
    assigned = {flow.name: frozenset(_assigned(flow)) for flow in scenario.flows}
    before: object = None
    for _ in range(_MOST_PASSES):
        emission = Emission(edition, Texts(), sections, marks={} if labels else None)
        blocks = _compile_flows(scenario, emission, phases, variables, assigned)
        now = [(name, var.learnt) for flow in variables.values() for name, var in flow.items()]
        if now == before:
            break
        before = now
    else:
        raise UsageError(f"{scenario.file}: a text variable grows without end: it is set to a text that holds itself")
    blocks = _reachable(blocks)
    begin, end = _live(blocks)
    cell_of = _allot([*begin, *end])
    layout = Layout(edition.version, scenario.server.hostname, tuple(emission.kinds), tuple(emission.texts.items), tuple(emission.texts.shapes))
    linked = tuple(_link(block, cell_of, needed) for block, needed in zip(blocks, end, strict=True))
    cells = max(cell_of.values()) + 1
    services = np.array(emission.service_of_kind, dtype=np.int64)
    return Program(scenario, layout, linked, cells, tuple(emission.services), services, tuple(emission.marks or ()))


def _compile_flows(
    scenario: model.Scenario,
    emission: Emission,
    phases: Phases,
    variables: Mapping[str, dict[str, Var]],
    assigned: Mapping[str, frozenset[tuple[type[model.Set | model.Add], str]]],
) -> list[Block]:
    blocks: list[Block | None] = [None]
    next_cell = [max((cell for flow in variables.values() for var in flow.values() for cell in var.cells), default=_SPECIAL - 1) + 1]
    entries = []
    for flow in scenario.flows:
        names = assigned[flow.name]
        builtins = Builtins(scenario, emission.texts, frozenset(name for kind, name in names if kind is model.Set))
        added = frozenset(name for kind, name in names if kind is model.Add)
        compiler = FlowCompiler(blocks, next_cell, emission, phases, builtins, variables[flow.name], added)
        entries.append(compiler.compile(flow))
    blocks[0] = _entry(scenario.flows, entries, phases)
    return [block for block in blocks if block is not None]


def _entry(flows: Sequence[model.Flow], entries: Sequence[int], phases: Phases) -> Block:
    """Every session begins by choosing its flow."""
    builder = Builder()
    if len(entries) == 1:
        return builder.finish(goto(entries[0]))
    return builder.finish(Branch(phases.choose(builder, [flow.weight for flow in flows]), tuple(entries)))


def _assigned(node: Any) -> Iterator[tuple[type[model.Set | model.Add], str]]:
    """The names that any ``set`` or ``add`` inside gives a value, and which of the two it is."""
    match node:
        case model.Set() | model.Add():
            yield from ((type(node), name) for name in node.values)
        case model.Use():
            yield from _assigned(node.steps)
            yield from _assigned(node.inner)
        case model.Choose():
            for alternative in node.alternatives:
                yield from _assigned(alternative.steps)
        case model.Switch():
            for _, steps in node.cases:
                yield from _assigned(steps)
            yield from _assigned(node.otherwise)
        case model.Walk():
            for state in node.states.values():
                yield from _assigned(state.steps)
        case model.Span() | model.Inherit() | model.Repeat():
            yield from _assigned(node.steps)
        case model.Flow():
            yield from _assigned(node.steps)
            yield from _assigned(node.finally_)
        case tuple():
            for step in node:
                yield from _assigned(step)


def targets_of(terminator: Terminator) -> tuple[int, ...]:
    """The blocks to which sessions go."""
    return terminator.targets if isinstance(terminator, Branch) else ()


def _reachable(blocks: list[Block]) -> list[Block]:
    """The blocks that something leads to, renumbered; ones that do nothing but lead on are passed over."""

    def final(label: int) -> int:
        seen: set[int] = set()
        while label not in seen:
            seen.add(label)
            block = blocks[label]
            if block.operations or not isinstance(block.terminator, Branch):
                break
            label = block.terminator.targets[0]
        return label

    found: set[int] = set()
    waiting = [0]
    while waiting:
        label = waiting.pop()
        if label not in found:
            found.add(label)
            waiting.extend(final(target) for target in targets_of(blocks[label].terminator))
    number = {label: index for index, label in enumerate(sorted(found))}
    for label in found:
        terminator = blocks[label].terminator
        if isinstance(terminator, Branch):
            blocks[label].terminator = Branch(terminator.choice, tuple(number[final(target)] for target in terminator.targets))
    return [blocks[label] for label in sorted(found)]


def _live(blocks: Sequence[Block]) -> tuple[list[set[int]], list[set[int]]]:
    """The cells whose value is still needed at the beginning and at the end of each block."""
    begin: list[set[int]] = [set(block.reads) for block in blocks]
    end: list[set[int]] = [set() for _ in blocks]
    changed = True
    while changed:
        changed = False
        for index in range(len(blocks) - 1, -1, -1):
            block = blocks[index]
            after = set().union(*(begin[target] for target in targets_of(block.terminator)))
            before = block.reads | (after - block.writes)
            if after != end[index] or before != begin[index]:
                end[index], begin[index], changed = after, set(before), True
    return begin, end


def _allot(alive: Sequence[set[int]]) -> dict[int, int]:
    """Share the cells among the variables: two that are ever alive together get different ones."""
    special = {CLOCK, STATE, SESSION}
    neighbours: dict[int, set[int]] = {}
    for cells in alive:
        ordinary = cells - special
        for cell in ordinary:
            neighbours.setdefault(cell, set()).update(ordinary)
    allotted = {cell: cell for cell in special}
    for cell in sorted(neighbours):
        taken = {allotted[other] for other in neighbours[cell] if other in allotted}
        allotted[cell] = next(place for place in range(_SPECIAL, len(neighbours) + _SPECIAL) if place not in taken)
    return allotted


def _link(block: Block, cell_of: dict[int, int], needed: set[int]) -> Block:
    """The block with its cells allotted; what nobody reads is not written."""
    operations: list[Operation] = []
    for operation in block.operations:
        match operation:
            case Read(register, cell):
                operations.append(Read(register, cell_of[cell]))
            case Write(cell, operand):
                if cell in needed or cell in {CLOCK, STATE}:
                    operations.append(Write(cell_of[cell], operand))
            case _:
                operations.append(operation)
    return dataclasses.replace(block, operations=operations)
