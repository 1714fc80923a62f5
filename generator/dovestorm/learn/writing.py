"""A learnt scenario as the file that a person reads."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import yaml

from dovestorm.compare.vocabulary import WORDS
from dovestorm.hashing import derive
from dovestorm.learn.beginnings import Beginning, beginning
from dovestorm.learn.commands import UNKNOWN
from dovestorm.learn.contents import BOX, STAND_INS, contents, is_harmless
from dovestorm.learn.drawing import ROW, Alone, Together, cell, session_word
from dovestorm.learn.visits import LONGEST_US, OF_A_SESSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dovestorm.catalog.model import Edition
    from dovestorm.learn.beginnings import Action
    from dovestorm.learn.chains import Chain, State
    from dovestorm.learn.contents import Drawing
    from dovestorm.learn.visits import Kind, Visit

__all__ = ["dumped", "flow", "followed"]

_STOP = "stop"
_BARE = re.compile(r"(?!(null|true|false)$)[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_WELL_KNOWN = 1024
_OF_ALL = frozenset({*STAND_INS, *OF_A_SESSION, *WORDS})
"""What a start and its finish share without saying which of several they are."""


def dumped(scenario: dict[str, Any], comment: str, tables: Mapping[str, Any] | None = None) -> str:
    """The file's text: the comment, then the scenario with its innermost parts on one line each, then its tables, a row on a line."""
    text = yaml.dump(scenario, Dumper=_Plain, default_flow_style=None, sort_keys=False, width=150, allow_unicode=True)
    lines = [f"# {line}\n" for line in comment.splitlines()]
    return "".join([*lines, text, *_tables(tables or {})])


def _tables(tables: Mapping[str, Any]) -> Iterator[str]:
    if tables:
        yield "tables:\n"
    for name, table in tables.items():
        yield f"  {name}:\n    columns: [{', '.join(table['columns'])}]\n    rows:\n"
        for row in table["rows"]:
            yield f"      - [{', '.join(map(_cell, row))}]\n"


def _cell(value: Any) -> str:
    """A cell; PyYAML's own writer takes far longer."""
    if value is None:
        return "null"
    return str(value) if type(value) is int or (isinstance(value, str) and _BARE.fullmatch(value)) else json.dumps(value)


class _Line(dict[str, Any]):
    """A mapping that stands on one line, or as few as it needs."""


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True

    def one_line(self, data: _Line) -> yaml.Node:
        return self.represent_mapping("tag:yaml.org,2002:map", dict(data), flow_style=True)


_Plain.add_representer(_Line, _Plain.one_line)


def flow(name: str, chain: Chain, edition: Edition, *, keep: frozenset[str]) -> dict[str, Any]:
    """One type of session: a walk by weights, in which every number is drawn by itself."""
    names = _state_names(chain)
    teller = _Teller(chain, edition, keep)
    alike: dict[Kind, list[tuple[int, int]]] = {}
    for state in chain.states.values():
        alike.setdefault(state.history[-1], []).extend(state.seen)
    states: dict[str, Any] = {"begin": {"steps": [], "next": _Line(_next(chain.begin, names))}}
    for history, state in chain.states.items():
        told = teller.steps(state, alike[history[-1]], Alone())
        states[names[history]] = {"steps": told, "next": _Line(_next(state, names))}
    return _flow(name, len(chain.visits), teller, states, _session_words(chain.visits))


def followed(name: str, chain: Chain, edition: Edition, *, keep: frozenset[str], cross: float, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """All sessions as one flow: each follows a recorded one, and crosses over to another where both stand alike; and the tables that it reads.

    Args:
        name: The flow's.
        chain: The walk.
        edition: The events' catalog.
        keep: Fields whose recorded values are kept.
        cross: The chance to go on like another session, at each event at which several stand alike and nothing is under way.
        seed: Of the order in which recorded sessions are taken up.
    """
    names = _state_names(chain)
    teller = _Teller(chain, edition, keep)
    # A session may cross over to a row of a moment when nothing was under way, so these come first.
    orders = {history: sorted(range(len(state.seen)), key=lambda at: not teller.is_quiet(*state.seen[at])) for history, state in chain.states.items()}
    rows = {state.seen[at]: (names[history], row) for history, state in chain.states.items() for row, at in enumerate(orders[history])}
    stop = (_STOP, 0)
    numbers: dict[str, dict[str, int]] = {}
    first = [rows[number, 0] for number in range(len(chain.visits))]
    order = sorted(range(len(first)), key=lambda number: derive(seed, "session", number))
    tables: dict[str, Any] = {"sessions": {"columns": ["next", ROW], "rows": [list(first[number]) for number in order]}}
    begin = {"next": cell("sessions", "next", "$session_number"), ROW: cell("sessions", ROW, "$session_number")}
    states: dict[str, Any] = {"begin": {"steps": [{"set": {key: _Line(value) for key, value in begin.items()}}], "next": "$next"}}
    for history, state in chain.states.items():
        table = Together(names[history], orders[history], numbers)
        told = teller.steps(state, state.seen, table)
        after = [rows.get((number, at + 1), stop) for number, at in state.seen]
        quiet = [teller.is_quiet(number, at) for number, at in state.seen]
        if cross and quiet.count(True) > 1:
            told += _crossing(cross, quiet, table)
        following = table.one("next", [where for where, _ in after])
        onward = {"next": following} if isinstance(following, dict) else {}
        onward[ROW] = table.one(ROW, [row for _, row in after])
        told.append(_Line(set=onward))
        states[names[history]] = {"steps": told, "next": "$next" if isinstance(following, dict) else _Line({following: 1})}
        if (written := table.written()) is not None:
            tables[names[history]] = written
    return _flow(name, 1, teller, states, [{"set": {"exported": "$now", "crossed": "$now"}}]), tables


def _crossing(cross: float, quiet: Sequence[bool], table: Together) -> list[dict[str, Any]]:
    """Steps that make the session go on like another one of the first rows, if nothing is under way in its own."""
    over: dict[str, Any] = _Line(set={ROW: {"uniform": [0, quiet.count(True) - 1]}, "crossed": "$now"})
    steps: list[dict[str, Any]] = (
        [over] if cross == 1 else [{"choose": [{"weight": round(1 - cross, 6), "steps": []}, {"weight": cross, "steps": [over]}]}]
    )
    if all(quiet):
        return steps
    return [_Line(set={"quiet": table.amount("quiet", list(map(int, quiet)))}), {"switch": "$quiet", "when": {1: steps}}]


class _Teller:
    """Tells a state's event as steps of the language."""

    def __init__(self, chain: Chain, edition: Edition, keep: frozenset[str]) -> None:
        self.visits = chain.visits
        self.edition = edition
        self.keep = keep
        self.beginnings = {history: beginning(state, chain.visits) for history, state in chain.states.items()}
        self.numbers = {action: place for place, action in enumerate(_actions(self.beginnings.values()), 1)}
        self._quiet = _quiet(chain, self.beginnings)

    def is_quiet(self, number: int, at: int) -> bool:
        """Whether nothing is under way after a step of a session."""
        return (number, at) in self._quiet

    def steps(self, state: State, seen: Sequence[tuple[int, int]], drawing: Drawing) -> list[dict[str, Any]]:
        """The steps of a state, its event told by what was seen of it."""
        kind = state.history[-1]
        steps = [self.visits[number].steps[at] for number, at in seen]
        emit: dict[str, Any] = {"emit": kind.event, "service": kind.service} if kind.service else {"emit": kind.event}
        event = self.edition.by_canonical[kind.event]
        if kind.service and set(kind.categories) != set(event.categories_for(kind.service)):
            emit["categories"] = list(kind.categories)
        action = kind.action
        fields = contents(event, steps, drawing, keep=self.keep)
        told: list[dict[str, Any]] = [_Line(wait=drawing.amount("wait", [min(max(gap, 0), LONGEST_US) for gap in state.gaps]))]
        values: dict[str, Any] = {}
        if isinstance(drawing, Together):
            lag = drawing.amount("lag", [step.exported - step.sent for step in steps])
            values["exported"] = _Line(greatest=["$exported", {"sum": ["$now", lag]}])
            emit["exported"] = "$exported"
            if "mailbox" in fields and fields["mailbox"] == "$box":
                fields["mailbox"] = drawing.one("mailbox", [_folder(self.visits[number], at) for number, at in seen])
        elif "mailbox" in fields and BOX.search(dict(kind.words).get("label", "")):
            values["box"] = _box([step.values["mailbox"] for step in steps])
        start = _start(self.beginnings[state.history], self.numbers, drawing)
        if isinstance(drawing, Together) and self.beginnings[state.history].after is not None:
            start = _Line(greatest=["$crossed", start])
        if action in self.numbers:
            values |= {f"began_{self.numbers[action]}": start, f"sent_{self.numbers[action]}": "$now"}
            start = f"$began_{self.numbers[action]}"
        if values:
            told.append(_Line(set=values))
        told.append(emit | {"start": _Line(start) if isinstance(start, dict) else start} | ({"fields": _Line(fields)} if fields else {}))
        return told


def _flow(name: str, weight: int, teller: _Teller, states: dict[str, Any], first: Sequence[dict[str, Any]]) -> dict[str, Any]:
    unset = {f"{word}_{number}": "$now" for number in teller.numbers.values() for word in ("began", "sent")}
    variables = {"box": "INBOX", **_port(teller.visits), **unset}
    return {"flow": name, "weight": weight, "steps": [{"set": variables}, *first, _walk(states)]}


def _quiet(chain: Chain, beginnings: dict[Any, Beginning]) -> set[tuple[int, int]]:
    """The steps after which nothing is under way: what is sent later begins later, or says when it began by an event that is past.

    What a start and its finish have in common is under way until the finish, if another session would have another one.
    """
    alone = {seen for history, state in chain.states.items() if not beginnings[history].is_told for seen in state.seen}
    found = set()
    for number, visit in enumerate(chain.visits):
        earliest = None
        for at in range(len(visit.steps) - 1, -1, -1):
            step = visit.steps[at]
            if earliest is None or step.sent <= earliest:
                found.add((number, at))
            if (number, at) in alone:
                earliest = step.start if earliest is None else min(earliest, step.start)
        found -= {(number, at) for begin, end in _pairs(visit) for at in range(begin, end)}
    return found


def _pairs(visit: Visit) -> Iterator[tuple[int, int]]:
    """Places of a start and its finish that share a number or a text."""
    started: dict[tuple[str, int], int] = {}
    for at, step in enumerate(visit.steps):
        stem, _, what = step.kind.event.rpartition("_")
        if what in {"started", "connected"}:
            started[stem, step.start] = at
        elif what in {"finished", "disconnected"} and (begin := started.pop((stem, step.start), None)) is not None:
            first = visit.steps[begin].values
            others = any(name.startswith("other ") for name, _ in step.kind.words)
            if others or any(first.get(name) == value for name, value in step.values.items() if name not in _OF_ALL):
                yield begin, at


def _folder(visit: Visit, at: int) -> str:
    """A mailbox by its place among the session's mailboxes."""
    name = visit.steps[at].values["mailbox"]
    others = dict.fromkeys(str(other) for step in visit.steps if (other := step.values.get("mailbox")) is not None and other != "INBOX")
    return "INBOX" if name == "INBOX" else f"Folder{list(others).index(str(name)) + 1}"


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


def _start(how: Beginning, numbers: dict[Action, int], drawing: Drawing) -> Any:
    if how.with_ is not None:
        later = drawing.amount("began", how.amounts) if isinstance(drawing, Together) else 0
        began = f"$began_{numbers[how.with_]}"
        return {"least": ["$now", {"sum": [began, later]}]} if later else began
    if how.after is not None:
        return {"least": ["$now", {"sum": [f"$sent_{numbers[how.after]}", drawing.amount("began", how.amounts)]}]}
    return {"sum": ["$now", drawing.amount("began", [-amount for amount in how.amounts])]}


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
