"""A scenario as checked data: what the loader makes from YAML and what the compiler reads.

Times and durations are integers in microseconds, sizes integers in bytes, rates floats per second. Every node knows where it stands (``At``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Add",
    "Address",
    "Alternative",
    "Arrivals",
    "At",
    "Choice",
    "Choose",
    "Counter",
    "Distribution",
    "During",
    "Emit",
    "End",
    "Entry",
    "Extreme",
    "FaultWindow",
    "Flow",
    "Inherit",
    "Inner",
    "Label",
    "Literal",
    "Planted",
    "Pool",
    "Population",
    "Repeat",
    "Scale",
    "Scenario",
    "Server",
    "Set",
    "Span",
    "State",
    "Step",
    "Sum",
    "Switch",
    "Text",
    "Use",
    "UserDraw",
    "Value",
    "Variable",
    "Wait",
    "Walk",
    "Weight",
]


@dataclass(frozen=True, slots=True)
class At:
    """Where a node stands: file name as given, 1-based line and column."""

    file: str = "<scenario>"
    line: int = 1
    column: int = 1


HERE = At()

# ---------------------------------------------------------------- values


@dataclass(frozen=True, slots=True)
class Literal:
    """A fixed integer, text, list of texts, or None (the field is left out)."""

    value: int | str | tuple[str, ...] | None
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Variable:
    """``$name``: a session variable, a fragment's parameter, or a built-in."""

    name: str
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values, by weight."""

    options: tuple[tuple[Value, Weight], ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Distribution:
    """A draw from a distribution, as its quantile table.

    ``quantiles`` are integers at equal steps of probability from 0 to 1 (1025 of them, whatever the kind), so that every kind costs the same
    to draw from: the value at probability p is linear between neighbours.
    """

    kind: str
    quantiles: tuple[int, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Pool:
    """One entry of a pool of texts; ``zipf`` is the exponent of its popularity by rank, 0 for uniform."""

    entries: tuple[str, ...]
    zipf: float = 0.0
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Counter:
    """The next number of a session's counter ``name``: ``start`` at first, then one more each time."""

    name: str
    start: int = 1
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Text:
    """A text with holes: ``"UID FETCH ${first}:${last} (FLAGS)"``; each part is literal text or a value."""

    parts: tuple[str | Value, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Sum:
    """The sum of integers."""

    terms: tuple[Value, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Scale:
    """``of`` times ``by`` / 1,000,000, rounded down: ``by`` is an integer in millionths (0.8 is 800,000)."""

    of: Value
    by: Value
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Extreme:
    """The least or the greatest of integers."""

    largest: bool
    terms: tuple[Value, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Address:
    """An IPv4 address from one of the networks: (first address, number of addresses) each, drawn uniformly over all."""

    networks: tuple[tuple[int, int], ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class UserDraw:
    """Another user of the population: ``zipf`` exponent, 0 for uniform. Only as ``set: {user: ...}``."""

    zipf: float = 0.0
    at: At = HERE


@dataclass(frozen=True, slots=True)
class During:
    """A value that differs while a fault window is open; the first open one in the order given wins."""

    normal: Value
    faults: tuple[tuple[str, Value], ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in a column of a table: in row ``row`` (counted from 0), which begins again at the first after the last."""

    column: tuple[int | str | None, ...]
    row: Value
    at: At = HERE


Value = Literal | Variable | Choice | Distribution | Pool | Counter | Text | Sum | Scale | Extreme | Address | UserDraw | During | Entry


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight >= 0, which may differ while a fault window is open."""

    normal: float
    faults: tuple[tuple[str, float], ...] = ()


# ---------------------------------------------------------------- steps


@dataclass(frozen=True, slots=True)
class Emit:
    """One event. ``takes`` (microseconds) lets that time pass first and is the event's duration; ``start`` (a timestamp) overrides when it began.

    ``service`` is a process's name, or ``$name`` of a fragment's parameter. ``alone``: the event takes no fields from the ``Inherit`` around it.
    ``categories`` are those without the automatic one, None for the usual ones of the process; also ``$name`` of a parameter.
    ``exported`` (a timestamp) overrides when the stats process exports it, which is never before it was sent.
    """

    event: str
    fields: Mapping[str, Value] = field(default_factory=dict)
    service: str | None = None
    takes: Value | None = None
    start: Value | None = None
    at: At = HERE
    alone: bool = False
    categories: tuple[str, ...] | str | None = None
    exported: Value | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """A pair of events around inner steps. ``begins`` and ``finishes`` are canonical event names, None where the catalog has no such event.

    ``fields`` go to both; ``started`` and ``finished`` to one. First ``opens`` passes, the duration of the start; after it ``steps`` run, then
    ``takes`` passes, then the finish is emitted with the whole time since the beginning as its duration.
    """

    begins: str | None
    finishes: str | None
    fields: Mapping[str, Value] = field(default_factory=dict)
    started: Mapping[str, Value] = field(default_factory=dict)
    finished: Mapping[str, Value] = field(default_factory=dict)
    service: str | None = None
    opens: Value | None = None
    takes: Value | None = None
    steps: tuple[Step, ...] = ()
    at: At = HERE
    categories: tuple[str, ...] | str | None = None


@dataclass(frozen=True, slots=True)
class Inherit:
    """Fields that every event inside gets if the edition gives it such a field and the event does not set it itself."""

    fields: Mapping[str, Value]
    steps: tuple[Step, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Wait:
    """Think time: nothing happens for so many microseconds."""

    time: Value
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Alternative:
    """One branch of a ``choose``."""

    weight: Weight
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Choose:
    """One of several branches, by weight."""

    alternatives: tuple[Alternative, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Switch:
    """The branch for a variable's value: ``cases`` by literal, else ``otherwise``."""

    by: Variable
    cases: tuple[tuple[int | str, tuple[Step, ...]], ...]
    otherwise: tuple[Step, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Repeat:
    """The steps, a drawn number of times (0 or more)."""

    times: Value
    steps: tuple[Step, ...]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class State:
    """A state of a walk: its steps, the time it dwells after them, and the weights of what comes next (``stop`` leaves the walk).

    ``by`` is the variable that holds the next state's name, where nothing is drawn; ``next`` is empty then.
    """

    steps: tuple[Step, ...]
    next: tuple[tuple[str, Weight], ...]
    dwell: Value | None = None
    by: Variable | None = None


@dataclass(frozen=True, slots=True)
class Walk:
    """A Markov chain. It stops on the pseudo-state ``stop``, after ``steps_limit`` states, or at the first state change after ``time_limit``."""

    start: str
    states: Mapping[str, State]
    steps_limit: Value | None = None
    time_limit: Value | None = None
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Set:
    """Give session variables a value."""

    values: Mapping[str, Value]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Add:
    """Add to session variables (integers; a variable that was never set counts as 0)."""

    values: Mapping[str, Value]
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Use:
    """A fragment, already looked up: its parameters are evaluated once, in order, then its steps run; ``inner`` takes the place of ``Inner``."""

    fragment: str
    arguments: Mapping[str, Value]
    steps: tuple[Step, ...]
    inner: tuple[Step, ...] = ()
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Inner:
    """Where a fragment runs the steps that its user gave it."""

    at: At = HERE


@dataclass(frozen=True, slots=True)
class End:
    """The session ends: the flow's ``finally`` steps run with ``$end_reason``, nothing else."""

    reason: str
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Label:
    """From here on the session belongs to a planted behaviour; ``windows``, if any are named, says during which faults only.

    It takes no time, draws nothing and emits nothing.
    """

    name: str
    windows: tuple[str, ...] = ()
    at: At = HERE


Step = Emit | Span | Inherit | Wait | Choose | Switch | Repeat | Walk | Set | Add | Use | Inner | End | Label


# ---------------------------------------------------------------- the whole


@dataclass(frozen=True, slots=True)
class Population:
    """Who logs in: how many users, their popularity (Zipf exponent, 0 uniform), name parts and domains, client networks."""

    users: int = 1000
    zipf: float = 0.0
    first_names: tuple[str, ...] = ()
    last_names: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    clients: tuple[tuple[int, int], ...] = ((0x0A000000, 1 << 24),)
    """(first address, number of addresses) of each network that clients come from."""


@dataclass(frozen=True, slots=True)
class Server:
    """The server's side: host name as events carry it, and its address."""

    hostname: str = "mail01"
    address: int = 0xC0000219
    port: int = 143


@dataclass(frozen=True, slots=True)
class Arrivals:
    """When sessions begin.

    Attributes:
        process: ``constant``, ``poisson``, ``bursts`` or ``trace``.
        rate: Sessions (or bursts) a second, at curve value 1.
        curve: (offset in microseconds, factor) points, linear between them, over ``period`` microseconds; empty for a flat rate.
        period: A day or a week in microseconds; 0 without a curve. Offsets count from midnight UTC (weeks from Monday).
        size: Sessions in a burst (a distribution) and ``spread`` the time over which each burst is spread (microseconds).
        trace: Offsets from the scenario's start in microseconds, ascending; used by ``trace``.
        during: Factors of the rate while a fault window is open; of several open ones the first counts.
    """

    process: str = "poisson"
    rate: float = 1.0
    curve: tuple[tuple[int, float], ...] = ()
    period: int = 0
    size: Distribution | None = None
    spread: int = 0
    trace: tuple[int, ...] = ()
    during: tuple[tuple[str, float], ...] = ()
    at: At = HERE


@dataclass(frozen=True, slots=True)
class FaultWindow:
    """A named stretch of scenario time, [begin, end) in microseconds since the epoch, in which something is wrong."""

    name: str
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Planted:
    """A behaviour that a scenario plants, for detections to find: the name of its label, its kind (``attack``, ``outage`` ...), one line about it."""

    name: str
    kind: str
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Flow:
    """A kind of session: ``steps`` from its start; ``finally_`` runs at the end, however it comes (with ``$end_reason``)."""

    name: str
    weight: Weight
    steps: tuple[Step, ...]
    finally_: tuple[Step, ...] = ()
    at: At = HERE


@dataclass(frozen=True, slots=True)
class Scenario:
    """A whole scenario, for one edition: steps that name another version are already gone (``dovecot:`` guards are resolved by the loader)."""

    name: str
    summary: str
    dovecot: str
    start: int
    duration: int
    population: Population
    server: Server
    arrivals: Arrivals
    faults: tuple[FaultWindow, ...]
    flows: tuple[Flow, ...]
    file: str = "<scenario>"
    labels: tuple[Planted, ...] = ()
