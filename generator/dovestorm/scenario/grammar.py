"""The primitives and their keys, in one table: the reader checks keys against it and the JSON Schema is made from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ARRIVALS", "FLOW", "FRAGMENT", "LABEL_KINDS", "PLANTED", "POPULATION", "PRIMITIVES", "SCENARIO", "SERVER", "STATE", "Key", "Primitive"]


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a mapping: the name of its shape in the schema, what it is for, and whether it must be there."""

    shape: str
    about: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Primitive:
    """One kind of step: the shape of its own key, what it does, and its further keys."""

    shape: str
    about: str
    options: Mapping[str, Key] = field(default_factory=dict)


_STEPS = Key("steps", "The steps inside.", required=True)

PRIMITIVES: Mapping[str, Primitive] = {
    "emit": Primitive(
        "event",
        "One event, by its canonical name.",
        {
            "service": Key("text", "The process that emits it, or a parameter of the fragment; the usual one if left out."),
            "takes": Key("value", "Time that passes first; it is the event's duration."),
            "start": Key("value", "When the event began, if not just before."),
            "exported": Key("value", "When the stats process exports it, if not soon; never before it was sent."),
            "fields": Key("fields", "The event's fields, by canonical name."),
            "categories": Key(
                "categories", "The event's categories but the automatic one, or a parameter of the fragment; the usual ones if left out."
            ),
            "alone": Key("flag", "Whether the event takes no fields from the inherit steps around it."),
        },
    ),
    "span": Primitive(
        "pair",
        "A start event and a finish event around inner steps.",
        {
            "fields": Key("fields", "Fields of both events."),
            "started": Key("fields", "Fields of the start event."),
            "finished": Key("fields", "Fields of the finish event."),
            "service": Key("text", "The process that emits them, or a parameter of the fragment; the usual one if left out."),
            "opens": Key("value", "Time that passes first; it is the start event's duration."),
            "takes": Key("value", "Time that passes after the inner steps, before the finish."),
            "categories": Key(
                "categories", "The events' categories but the automatic one, or a parameter of the fragment; the usual ones if left out."
            ),
            "steps": Key("steps", "The steps between start and finish."),
        },
    ),
    "inherit": Primitive("fields", "Fields for every event inside that has them and does not set them itself.", {"steps": _STEPS}),
    "wait": Primitive("value", "Think time."),
    "choose": Primitive("alternatives", "One of several branches, by weight."),
    "switch": Primitive(
        "variable",
        "The branch that belongs to a variable's value.",
        {
            "when": Key("cases", "Steps by value.", required=True),
            "otherwise": Key("steps", "Steps for any other value."),
        },
    ),
    "repeat": Primitive("value", "The steps inside, a drawn number of times.", {"steps": _STEPS}),
    "walk": Primitive(
        "name",
        "A Markov chain; the name is for error texts.",
        {
            "start": Key("name", "The first state.", required=True),
            "limit": Key("value", "The most states to pass."),
            "time": Key("value", "The walk ends at the first change of state after this time."),
            "states": Key("states", "The states.", required=True),
        },
    ),
    "set": Primitive("variables", "Give variables a value."),
    "add": Primitive("variables", "Add to variables; one that was never set counts as 0."),
    "use": Primitive(
        "fragment",
        "The steps of a fragment.",
        {
            "with": Key("variables", "Values for the fragment's parameters."),
            "steps": Key("steps", "Steps that take the place of the fragment's 'inner'."),
        },
    ),
    "inner": Primitive("nothing", "In a fragment: where the steps of its 'use' run."),
    "end": Primitive("text", "End the session, for this reason."),
    "label": Primitive(
        "name",
        "Marks the session as part of a planted behaviour, for --labels; events do not change.",
        {"during": Key("names", "Only while one of these fault windows is open.")},
    ),
}

STATE: Mapping[str, Key] = {
    "steps": Key("steps", "The state's steps."),
    "dwell": Key("value", "Time that passes after the steps."),
    "next": Key(
        "following", "Weights of the states that may follow, or a variable that holds the name of one; 'stop' leaves the walk.", required=True
    ),
}

FLOW: Mapping[str, Key] = {
    "flow": Key("label", "The flow's name.", required=True),
    "weight": Key("weight", "Its share of the sessions."),
    "label": Key("name", "The planted behaviour that its sessions belong to."),
    "steps": Key("steps", "What a session does.", required=True),
    "finally": Key("steps", "Steps that run at the session's end, however it comes."),
}

SERVER: Mapping[str, Key] = {
    "hostname": Key("text", "Host name as events carry it."),
    "address": Key("text", "IPv4 address."),
    "port": Key("count", "TCP port."),
}

POPULATION: Mapping[str, Key] = {
    "users": Key("count", "How many users there are."),
    "popularity": Key("popularity", "uniform, or zipf with an exponent."),
    "domains": Key("source", "Mail domains, or a pool of them."),
    "clients": Key("networks", "IPv4 networks that clients come from."),
}

ARRIVALS: Mapping[str, Key] = {
    "constant": Key("rate", "Sessions at equal distances."),
    "poisson": Key("rate", "Sessions independent of each other."),
    "bursts": Key("bursts", "Sessions in bursts."),
    "trace": Key("durations", "Sessions at these offsets from the start, ascending."),
    "daily": Key("curve", "Factor of the rate by time of day."),
    "weekly": Key("curve", "Factor of the rate by time of the week."),
    "during": Key("factors", "Factor of the rate while a fault window is open."),
}

LABEL_KINDS = ("attack", "outage", "storm", "bulk", "other")
"""What a planted behaviour may be."""

PLANTED: Mapping[str, Key] = {
    "kind": Key("label kind", f"One of {', '.join(LABEL_KINDS)}.", required=True),
    "summary": Key("text", "What it is, in one line."),
}

SCENARIO: Mapping[str, Key] = {
    "scenario": Key("label", "The scenario's name.", required=True),
    "summary": Key("text", "What it shows, in one line."),
    "dovecot": Key("text", "The edition of the catalog, unless the command line names another."),
    "start": Key("text", "When it begins, a UTC timestamp.", required=True),
    "duration": Key("text", "How long it lasts.", required=True),
    "server": Key("server", "The server's side."),
    "population": Key("population", "Who logs in."),
    "arrivals": Key("arrivals", "When sessions begin.", required=True),
    "pools": Key("pools", "Pools of texts of this scenario."),
    "tables": Key("tables", "What belongs together, row by row."),
    "faults": Key("windows", "Stretches of time in which something is wrong."),
    "labels": Key("planted", "The planted behaviours, by the names of their labels."),
    "flows": Key("flows", "The kinds of sessions.", required=True),
}

FRAGMENT: Mapping[str, Key] = {
    "fragment": Key("label", "The fragment's name, the same as its file's.", required=True),
    "summary": Key("text", "What it does, in one line."),
    "parameters": Key("parameters", "Its parameters with their defaults."),
    "faults": Key("names", "The fault windows that it may name; any if left out."),
    "labels": Key("names", "The labels that it may give; a scenario need not have them."),
    "steps": Key("steps", "Its steps.", required=True),
}
