"""Walks: reading their states, and whether all are reached and the walk can stop."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from dovestorm.scenario.model import At, State, Step, Weight
    from dovestorm.scenario.nodes import Scalar

__all__ = ["STOP", "check_walk"]

STOP = "stop"
"""The pseudo-state that leaves a walk."""


def check_walk(
    *,
    start: Scalar | None,
    states: Mapping[str, State],
    keys: Mapping[str, Scalar],
    targets: Mapping[str, Mapping[str, Scalar]],
    limited: bool,
    ends: Callable[[tuple[Step, ...]], bool],
    fault: Callable[[At, str], None],
    hint: Callable[[str, Iterable[str]], str],
) -> None:
    """Check a walk's graph.

    Args:
        start: The node of the first state's name.
        states: The states that were read.
        keys: Their names' nodes.
        targets: For each state the nodes of the names in ``next``.
        limited: Whether ``limit`` or ``time`` stops the walk anyway.
        ends: Whether some step may end the session.
        fault: Takes what is wrong.
        hint: Gives the nearest known name for an error text.
    """
    whole = True
    for name, found in targets.items():
        for target, node in found.items():
            if target != STOP and target not in keys:
                fault(node.at, f"unknown state '{target}' after '{name}'{hint(target, (*keys, STOP))}")
                whole = False
    if start is None or not states or not whole or len(states) < len(keys):
        return
    if start.text not in states:
        fault(start.at, f"unknown state '{start.text}' to start in{hint(start.text, keys)}")
        return
    ways = {
        name: {target for target, weight in state.next if _open(weight)} if state.by is None else set(targets[name]) for name, state in states.items()
    }
    reached = _spread({start.text}, ways)
    for name in states:
        if name not in reached:
            fault(keys[name].at, f"state '{name}' is never reached from '{start.text}'")
    if limited:
        return
    back: dict[str, set[str]] = {}
    leaving = {name for name, state in states.items() if ends(state.steps) or state.by is not None}
    for name, state in states.items():
        for target, weight in state.next:
            if weight.normal > 0:
                back.setdefault(target, set()).add(name)
                if target == STOP:
                    leaving.add(name)
    stopping = _spread(leaving, back)
    for name in states:
        if name in reached and name not in stopping:
            fault(keys[name].at, f"state '{name}' never comes to '{STOP}', give it a way there or the walk a 'limit' or a 'time'")


def _open(weight: Weight) -> bool:
    return weight.normal > 0 or any(value > 0 for _, value in weight.faults)


def _spread(first: set[str], ways: Mapping[str, set[str]]) -> set[str]:
    reached = set(first)
    todo = list(first)
    while todo:
        for target in ways.get(todo.pop(), ()):
            if target not in reached:
                reached.add(target)
                todo.append(target)
    return reached
