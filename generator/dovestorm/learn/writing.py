"""A learnt scenario as the file that a person reads."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from dovestorm.learn.beginnings import Beginning, beginning
from dovestorm.learn.commands import UNKNOWN
from dovestorm.learn.contents import BOX, contents, is_harmless, session_word
from dovestorm.learn.quantities import quantity
from dovestorm.learn.visits import LONGEST_US, OF_A_SESSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dovestorm.catalog.model import Edition
    from dovestorm.learn.beginnings import Action
    from dovestorm.learn.chains import Chain, State
    from dovestorm.learn.visits import Kind, Visit

__all__ = ["dumped", "flow"]

_STOP = "stop"
_WELL_KNOWN = 1024


def dumped(scenario: dict[str, Any], comment: str) -> str:
    """The file's text: the comment, then the scenario with its innermost parts on one line each."""
    text = yaml.dump(scenario, Dumper=_Plain, default_flow_style=None, sort_keys=False, width=150, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + text


class _Line(dict[str, Any]):
    """A mapping that stands on one line, or as few as it needs."""


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def one_line(self, data: _Line) -> yaml.Node:
        return self.represent_mapping("tag:yaml.org,2002:map", dict(data), flow_style=True)


_Plain.add_representer(_Line, _Plain.one_line)


def flow(name: str, chain: Chain, edition: Edition, *, keep: frozenset[str]) -> dict[str, Any]:
    """One type of session: a walk through its states."""
    names = _state_names(chain)
    beginnings = {history: beginning(state, chain.visits) for history, state in chain.states.items()}
    numbers = {action: place for place, action in enumerate(_actions(beginnings.values()), 1)}
    alike: dict[Kind, list[tuple[int, int]]] = {}
    for state in chain.states.values():
        alike.setdefault(state.history[-1], []).extend(state.seen)
    states: dict[str, Any] = {"begin": {"steps": [], "next": _Line(_next(chain.begin, names))}}
    for history, state in chain.states.items():
        kind = history[-1]
        steps = [chain.visits[number].steps[at] for number, at in alike[kind]]
        emit: dict[str, Any] = {"emit": kind.event, "service": kind.service} if kind.service else {"emit": kind.event}
        event = edition.by_canonical[kind.event]
        if kind.service and set(kind.categories) != set(event.categories_for(kind.service)):
            emit["categories"] = list(kind.categories)
        action = kind.action
        fields = contents(event, steps, keep=keep)
        told: list[dict[str, Any]] = [_Line(wait=quantity([min(max(gap, 0), LONGEST_US) for gap in state.gaps]))]
        values: dict[str, Any] = {}
        if "mailbox" in fields and BOX.search(dict(kind.words).get("label", "")):
            values["box"] = _box([step.values["mailbox"] for step in steps])
        start = _start(beginnings[history], numbers)
        if action in numbers:
            values |= {f"began_{numbers[action]}": start, f"sent_{numbers[action]}": "$now"}
            start = f"$began_{numbers[action]}"
        if values:
            told.append(_Line(set=values))
        told.append(emit | {"start": _Line(start) if isinstance(start, dict) else start} | ({"fields": _Line(fields)} if fields else {}))
        states[names[history]] = {"steps": told, "next": _Line(_next(state, names))}
    unset = {f"{word}_{number}": "$now" for number in numbers.values() for word in ("began", "sent")}
    return {
        "flow": name,
        "weight": len(chain.visits),
        "steps": [{"set": {"box": "INBOX", **_port(chain.visits), **unset}}, *_session_words(chain.visits), _walk(states)],
    }


def _walk(states: dict[str, Any]) -> dict[str, Any]:
    return {"walk": "events", "start": "begin", "limit": 2000, "states": states}


def _actions(beginnings: Any) -> list[Action]:
    """The events that others begin with or after."""
    found: dict[Action, None] = {}
    for one in beginnings:
        for action in (one.with_, one.after):
            if action is not None:
                found[action] = None
    return list(found)


def _start(how: Beginning, numbers: dict[Action, int]) -> Any:
    if how.with_ is not None:
        return f"$began_{numbers[how.with_]}"
    if how.after is not None:
        return {"least": ["$now", {"sum": [f"$sent_{numbers[how.after]}", quantity(how.amounts)]}]}
    return {"sum": ["$now", quantity([-amount for amount in how.amounts])]}


def _next(state: State, names: dict[Any, str]) -> dict[str, int]:
    return {_STOP if after is None else names[after]: count for after, count in state.next.most_common()}


def _state_names(chain: Chain) -> dict[Any, str]:
    """A name for each state: its command, or its event without what all events of the kind share, and a number."""
    count: Counter[str] = Counter()
    names = {}
    for history in chain.states:
        kind = history[-1]
        command = dict(kind.words).get("label", "")
        base = re.sub(r"[^a-z0-9]+", "-", f"{command or kind.event}".lower()).strip("-") or "event"
        base = base.removesuffix("-finished")
        count[base] += 1
        names[history] = f"{base}-{count[base]}" if count[base] > 1 or base in {"begin", _STOP} else base
    return names


def _box(recorded: Sequence[Any]) -> Any:
    """INBOX as often as it was, else a folder by its number."""
    others = Counter(str(name) for name in recorded if name != "INBOX")
    inbox = len(recorded) - others.total()
    folder = {"text": "Folder${n}", "n": {"uniform": [1, len(others)]}} if len(others) > 1 else "Folder1"
    if not others:
        return "INBOX"
    return {"choose": [{"value": "INBOX", "weight": inbox}, {"value": folder, "weight": others.total()}]} if inbox else folder


def _port(visits: Sequence[Visit]) -> dict[str, int]:
    """The server's port, if it is one that everybody uses for this."""
    ports = Counter(value for visit in visits for step in visit.steps[:8] if type(value := step.values.get("local_port")) is int)
    usual = ports.most_common(1)
    return {"server_port": usual[0][0]} if usual and usual[0][0] < _WELL_KNOWN else {}


def _session_words(visits: Sequence[Visit]) -> list[dict[str, Any]]:
    """A choice among the words that belong together for a whole session."""
    met: Counter[tuple[str | None, ...]] = Counter()
    for visit in visits:
        first: dict[str, str] = {}
        for step in visit.steps:
            for name in OF_A_SESSION:
                value = step.values.get(name)
                if isinstance(value, str):
                    first.setdefault(name, value if is_harmless(value) else UNKNOWN)
        met[tuple(first.get(name) for name in OF_A_SESSION)] += 1
    used = [at for at, _ in enumerate(OF_A_SESSION) if any(words[at] is not None for words in met)]
    if not used:
        return []
    branches: list[dict[str, Any]] = [
        {"weight": count, "steps": [{"set": {session_word(OF_A_SESSION[at]): words[at] for at in used}}]} for words, count in met.most_common()
    ]
    return list(branches[0]["steps"]) if len(branches) == 1 else [{"choose": branches}]
