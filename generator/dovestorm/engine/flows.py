"""Compiling the steps of a flow into blocks."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dovestorm.batch import ABSENT
from dovestorm.engine.bindings import Binding, Kind, Parts, Val, Var
from dovestorm.engine.blocks import CLOCK, Block, Branch, Builder, Const, Operand, Stop, Terminator, goto
from dovestorm.engine.emission import Mark
from dovestorm.engine.values import Values, fault_at, greatest, never_negative
from dovestorm.errors import nearest
from dovestorm.kernel.instructions import Code
from dovestorm.scenario import model
from dovestorm.scenario.walks import STOP

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from dovestorm.engine.emission import Emission
    from dovestorm.engine.phases import Phases
    from dovestorm.engine.sessions import Builtins

__all__ = ["FlowCompiler"]

PARK_US = 5_000_000
"""After a step that may take longer than this a session waits for the window in which it goes on, before it emits anything."""

_IDENTITY = ("user", "session", "client_ip", "client_port")
"""The variables by which a labelled session is known."""

_NOW, _START, _DURATION = "now", "start", "duration"


@dataclass(slots=True)
class FlowCompiler:
    """Compiles one flow; run it again with the same ``variables`` until their widths no longer change."""

    blocks: list[Block | None]
    cells: list[int]
    """One item: the number of the next free cell."""
    emission: Emission
    phases: Phases
    builtins: Builtins
    variables: dict[str, Var]
    added: frozenset[str]
    """The variables that some step adds to: no bound of theirs is known, even before that step is met."""
    _scopes: list[dict[str, Binding]] = field(default_factory=lambda: [{}])
    _inherited: list[dict[str, Binding]] = field(default_factory=list)
    _inner: list[tuple[tuple[model.Step, ...], list[dict[str, Binding]]] | None] = field(default_factory=list)
    _builder: Builder = field(default_factory=Builder)
    _label: int = -1
    _final: int = -1
    _late: bool = False
    """Whether more time may have passed in the block than ``PARK_US``."""
    values: Values = field(init=False)

    def __post_init__(self) -> None:
        self.values = Values(self.emission.texts, self.phases, self._lookup, self._counter, self.builtins.draw_user)

    # ------------------------------------------------------------ the flow

    def compile(self, flow: model.Flow) -> int:
        """Compile the flow; gives the number of its first block."""
        entry = self._reserve()
        self._open(entry)
        self._final = self._reserve()
        for name, var in self.variables.items():
            if not self.builtins.knows(name):
                for cell in var.cells:
                    self._builder.write(cell, Const(0 if var.counts else ABSENT))
        for name in self.builtins.names():
            if name in self.variables:
                self._assign(self.variables[name], self.builtins.first(name, self._builder), initial=True)
        self._steps(flow.steps)
        self._assign(self._variable("end_reason"), self._text("Connection closed"), initial=True)
        self._close(goto(self._final))
        self._open(self._final)
        self._steps(flow.finally_)
        self._close(Stop())
        return entry

    def _builtin_value(self, name: str) -> Val:
        return self._variable(name).get(self._builder)

    # ------------------------------------------------------------ blocks

    def _reserve(self) -> int:
        self.blocks.append(None)
        return len(self.blocks) - 1

    def _open(self, label: int) -> None:
        self._label, self._builder = label, Builder()

    def _close(self, terminator: Terminator) -> None:
        self.blocks[self._label] = self._builder.finish(terminator, parks=self._late)
        self._late = False

    def _jump(self, label: int) -> None:
        """End the block here and go on in another."""
        self._close(goto(label))
        self._open(label)

    def _advance(self, value: model.Value | None) -> None:
        """Let time pass."""
        if value is None:
            return
        time = self.values.integer(value, self._builder)
        if isinstance(time, Const) and time.value <= 0:
            return
        if not never_negative(value, self._sure):
            time = self._builder.apply(Code.MAXIMUM, time, 0)
        self._builder.write(CLOCK, self._builder.apply(Code.ADD, self._builder.read(CLOCK), time))
        most = greatest(value, self._bound)
        self._late = self._late or most is None or most > PARK_US

    # ------------------------------------------------------------ names

    def _lookup(self, name: str, at: model.At) -> Binding:
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        if name == _NOW:
            return Val(Kind.TIMESTAMP, (self._builder.read(CLOCK),))
        if name in {_START, _DURATION}:
            raise fault_at(at, f"${name} is known only inside the fields of an emit or of a span's finish")
        constant = self.builtins.constant(name)
        if constant is not None:
            return constant
        if name in self.variables or self.builtins.knows(name):
            return self._variable(name)
        known = [*self.variables, *self.builtins.names(), *(n for scope in self._scopes for n in scope)]
        raise fault_at(at, f"unknown variable '${name}'{nearest(name, known)}")

    def _variable(self, name: str) -> Var:
        if name not in self.variables:
            var = self.variables[name] = Var(name)
            if self.builtins.knows(name):
                # Only the next pass gives it its first value; to know already what that will be spares the pass after it.
                var.kind, width = self.builtins.held(name)
                self._widen(var, width)
        return self.variables[name]

    def _text(self, text: str) -> Val:
        return Val(Kind.TEXT, (Const(self.emission.texts.text(text)),))

    def _counter(self, counter: model.Counter) -> Var:
        var = self._variable(f"counter {counter.name}")
        var.kind, var.counts = Kind.INTEGER, True
        self._widen(var, 1)
        return var

    def _widen(self, var: Var, width: int) -> None:
        while len(var.cells) < width:
            var.cells.append(self.cells[0])
            self.cells[0] += 1

    def _assign(self, var: Var, val: Val, *, initial: bool = False, at: model.At = model.HERE) -> None:
        val = self.emission.texts.flat(val)
        if val.kind is not Kind.NOTHING:
            if var.kind not in {Kind.NOTHING, val.kind}:
                raise fault_at(at, f"${var.name} is {var.kind.value} elsewhere and {val.kind.value} here: a variable has one kind")
            var.kind = val.kind
        var.optional = var.optional or val.optional or (not initial and not var.counts)
        self._widen(var, len(val.columns))
        (self._builder.present.discard if val.optional else self._builder.present.add)(var.cells[0])
        for number, cell in enumerate(var.cells):
            self._builder.write(cell, val.columns[number] if number < len(val.columns) else Const(0))

    def _bind(self, value: model.Value) -> Binding:
        """Evaluate once; what is not constant is kept in hidden cells, unless it is a name that never changes."""
        if isinstance(value, model.Variable):
            binding = self._lookup(value.name, value.at)
            if isinstance(binding, Parts) or (isinstance(binding, Var) and (binding.fixed or self.builtins.never_set(binding.name))):
                return binding
        binding = self._keep(self.values.compile(value, self._builder))
        if isinstance(binding, Var):
            binding.most = greatest(value, self._bound)
            binding.never_negative = never_negative(value, self._sure)
        return binding

    def _sure(self, name: str) -> bool:
        """Whether a parameter cannot be negative."""
        binding = next((scope[name] for scope in reversed(self._scopes) if name in scope), None)
        if isinstance(binding, Var):
            return binding.never_negative
        bound = self._bound(name) if isinstance(binding, Val) else None
        return bound is not None and bound >= 0

    def _bound(self, name: str) -> int | None:
        """The greatest number that a variable may hold, None when that is not known."""
        binding = next((scope[name] for scope in reversed(self._scopes) if name in scope), self.variables.get(name))
        if isinstance(binding, Var):
            return None if binding.counts or binding.name in self.added else binding.most
        column = binding.columns[0] if isinstance(binding, Val) and binding.columns else None
        return column.value if isinstance(column, Const) else None

    def _bind_late(self, value: model.Value) -> Binding:
        """Like ``_bind``, but a variable is read when it is used: a child event sees its parent's fields as they are then."""
        if isinstance(value, model.Variable):
            binding = self._lookup(value.name, value.at)
            if not isinstance(binding, Val):
                return binding
        return self._bind(value)

    def _keep(self, val: Val) -> Binding:
        if val.parts is not None:
            return Parts(tuple(part if isinstance(part, str) else self._keep(part) for part in val.parts))
        if val.constant:
            return val
        return self._hidden(val)

    def _hidden(self, val: Val) -> Var:
        var = Var("(hidden)", fixed=True)
        self._assign(var, val, initial=True)
        return var

    @contextmanager
    def _scope(self, names: Mapping[str, Binding]) -> Iterator[None]:
        self._scopes.append(dict(names))
        try:
            yield
        finally:
            self._scopes.pop()

    # ------------------------------------------------------------ steps

    def _steps(self, steps: Sequence[model.Step]) -> None:
        for step in steps:
            self._step(step)

    def _step(self, step: model.Step) -> None:
        match step:
            case model.Emit():
                self._emit(step)
            case model.Span():
                self._span(step)
            case model.Inherit():
                self._inherited.append({name: self._bind_late(value) for name, value in step.fields.items()})
                self._steps(step.steps)
                self._inherited.pop()
            case model.Wait():
                self._advance(step.time)
            case model.Choose():
                self._choose([(a.weight, a.steps) for a in step.alternatives])
            case model.Switch():
                self._switch(step)
            case model.Repeat():
                self._repeat(step)
            case model.Walk():
                self._walk(step)
            case model.Set():
                for name, value in step.values.items():
                    self._set(name, value, step.at)
            case model.Add():
                for name, value in step.values.items():
                    self._add(name, value)
            case model.Use():
                self._use(step)
            case model.Inner():
                self._run_inner()
            case model.End():
                self._end(step)
            case model.Label():
                # What no event of the flow needs to know is not known to its labels either: asking for it would draw.
                known = {name: self.variables[name].get(self._builder) for name in _IDENTITY if name in self.variables}
                self.emission.mark(Mark(step.name, step.windows), known, self._builder)

    def _emit(self, step: model.Emit) -> None:
        begin = self._keep_clock() if step.takes is not None else None
        self._advance(step.takes)
        if step.start is not None:
            start = self.values.integer(step.start, self._builder)
        else:
            start = begin.get(self._builder).columns[0] if begin else self._builder.read(CLOCK)
        inherited, self._inherited = self._inherited, [] if step.alone else self._inherited
        categories = self._categories(step.categories, (step.event,), step.at)
        exported = None if step.exported is None else self.values.integer(step.exported, self._builder)
        self._record(step.event, self._process(step.service, step.at), (step.fields,), start, categories, exported=exported)
        self._inherited = inherited

    def _process(self, service: str | None, at: model.At) -> str | None:
        """The process that emits: its name, which a fragment may have as a parameter."""
        if service is None or not service.startswith("$"):
            return service
        val = self.emission.texts.flat(self.values.resolve(self._lookup(service[1:], at), self._builder))
        column = val.columns[0] if val.columns else None
        if val.kind is not Kind.TEXT or not val.constant or not isinstance(column, Const):
            raise fault_at(at, f"service ({service}) must be one name, the same for every session")
        return str(self.emission.texts.items[column.value])

    def _categories(self, given: tuple[str, ...] | str | None, events: Sequence[str | None], at: model.At) -> tuple[str, ...] | None:
        """An event's categories, which a fragment may have as a parameter."""
        if not isinstance(given, str):
            return given
        val = self.values.resolve(self._lookup(given[1:], at), self._builder)
        if val.kind is Kind.NOTHING and val.constant:
            return None
        column = val.columns[0] if val.columns else None
        if val.kind is not Kind.LIST or not isinstance(column, Const):
            raise fault_at(at, f"categories ({given}) must be one list, the same for every session")
        names = tuple(self.emission.texts.items[column.value])
        known = [event.known_categories for name in events if name is not None and (event := self.emission.event(name)) is not None]
        wire = tuple(found for name in names if (found := self.emission.edition.category(name)) is not None)
        for name in wire if known else ():
            if not any(name in categories for categories in known):
                raise fault_at(
                    at, f"unknown category '{name}' of {' and '.join(filter(None, events))}{nearest(name, sorted(frozenset().union(*known)))}"
                )
        return wire

    def _keep_clock(self) -> Var:
        return self._hidden(Val(Kind.TIMESTAMP, (self._builder.read(CLOCK),)))

    def _record(
        self,
        event_name: str,
        service: str | None,
        fields: Sequence[Mapping[str, model.Value]],
        start: Operand,
        categories: tuple[str, ...] | None,
        *,
        exported: Operand | None = None,
    ) -> None:
        event = self.emission.event(event_name)
        if event is None:
            return
        if self._late:
            held = None if exported is None else self._hold(exported)
            start = self._carried(start)
            exported = None if held is None else held.get(self._builder).columns[0]
        duration = self._builder.apply(Code.SUBTRACT, self._builder.read(CLOCK), start)
        here = {_START: Val(Kind.TIMESTAMP, (start,)), _DURATION: Val(Kind.INTEGER, (duration,))}
        vals: dict[str, Val] = {}
        for scope in self._inherited:
            vals.update({name: self.values.resolve(b, self._builder) for name, b in scope.items() if name in event.fields})
        with self._scope(here):
            for mapping in fields:
                vals.update({name: self.values.compile(value, self._builder) for name, value in mapping.items() if name in event.fields})
        if "duration" in event.fields:
            vals["duration"] = here[_DURATION]
        self.emission.emit(event, service, vals, start, self._builder, categories=categories, exported=exported)

    def _carried(self, operand: Operand) -> Operand:
        """End the block, and give the operand's value in the next one."""
        kept = self._hold(operand)
        self._jump(self._reserve())
        return kept.get(self._builder).columns[0]

    def _span(self, step: model.Span) -> None:
        begin, service = self._keep_clock(), self._process(step.service, step.at)
        categories = self._categories(step.categories, (step.begins, step.finishes), step.at)
        both = {name: self._bind(value) for name, value in step.fields.items()}
        self._inherited.append(both)
        self._advance(step.opens)
        if step.begins:
            self._record(step.begins, service, (step.started,), begin.get(self._builder).columns[0], categories)
        inherited = self._inherited.pop()
        self._steps(step.steps)
        self._advance(step.takes)
        self._inherited.append(inherited)
        if step.finishes:
            self._record(step.finishes, service, (step.finished,), begin.get(self._builder).columns[0], categories)
        self._inherited.pop()

    def _choose(self, branches: Sequence[tuple[model.Weight, Sequence[model.Step]]]) -> None:
        labels = [self._reserve() for _ in branches]
        after = self._reserve()
        self._branch([weight for weight, _ in branches], labels)
        self._alternatives(labels, [steps for _, steps in branches], after)

    def _branch(self, weights: Sequence[model.Weight], targets: Sequence[int]) -> None:
        if len(targets) == 1:
            self._close(goto(targets[0]))
            return
        self._close(Branch(self.phases.choose(self._builder, weights), tuple(targets)))

    def _alternatives(self, labels: Sequence[int], branches: Sequence[Sequence[model.Step]], after: int) -> None:
        for label, steps in zip(labels, branches, strict=True):
            self._open(label)
            self._steps(steps)
            self._close(goto(after))
        self._open(after)

    def _switch(self, step: model.Switch) -> None:
        binding = self._lookup(step.by.name, step.by.at)
        val = self.emission.texts.flat(self.values.resolve(binding, self._builder))
        texts = self.emission.texts
        cases = tuple(texts.text(case) if isinstance(case, str) else case for case, _ in step.cases)
        if val.constant and isinstance(val.columns[0], Const):
            chosen = dict(zip(cases, (steps for _, steps in step.cases), strict=True)).get(val.columns[0].value, step.otherwise)
            self._steps(chosen)
            return
        labels = [self._reserve() for _ in range(len(cases) + 1)]
        after = self._reserve()
        self._close(Branch(self._builder.apply(Code.MATCH, val.columns[0], table=cases), tuple(labels)))
        self._alternatives(labels, [*(steps for _, steps in step.cases), step.otherwise], after)

    def _loop(self, left: Var, steps: Sequence[model.Step]) -> None:
        """Run the steps while ``left`` is positive, taking one each time."""
        head, body, after = self._reserve(), self._reserve(), self._reserve()
        self._jump(head)
        cell = left.cells[0]
        remaining = self._builder.read(cell)
        self._builder.write(cell, self._builder.apply(Code.SUBTRACT, remaining, 1))
        self._close(Branch(self._builder.apply(Code.POSITIVE, remaining), (body, after)))
        self._open(body)
        self._steps(steps)
        self._close(goto(head))
        self._open(after)

    def _repeat(self, step: model.Repeat) -> None:
        self._loop(self._hold(self.values.integer(step.times, self._builder)), step.steps)

    def _hold(self, operand: Operand) -> Var:
        """Keep a number, even a constant one, in a cell of its own."""
        return self._hidden(Val(Kind.INTEGER, (operand,)))

    def _walk(self, step: model.Walk) -> None:
        left = self._hold(self.values.integer(step.steps_limit, self._builder)) if step.steps_limit is not None else None
        deadline = None
        if step.time_limit is not None:
            limit = self.values.integer(step.time_limit, self._builder)
            deadline = self._hold(self._builder.apply(Code.ADD, self._builder.read(CLOCK), limit))
        labels = {name: self._reserve() for name in step.states}
        after = self._reserve()
        labels[STOP] = after
        self._close(goto(labels[step.start]))
        for name, state in step.states.items():
            self._open(labels[name])
            self._steps(state.steps)
            self._advance(state.dwell)
            self._limits(left, deadline, after)
            if state.by is None:
                self._branch([weight for _, weight in state.next], [labels[target] for target, _ in state.next])
            else:
                self._go_by(state.by, labels)
        self._open(after)

    def _go_by(self, by: model.Variable, labels: Mapping[str, int]) -> None:
        """Go on in the state that a variable names; any other name leaves the walk."""
        val = self.emission.texts.flat(self.values.resolve(self._lookup(by.name, by.at), self._builder))
        if val.kind not in {Kind.TEXT, Kind.NOTHING}:
            raise fault_at(by.at, f"next (${by.name}) must hold a state's name, not {val.kind.phrase}")
        names = tuple(self.emission.texts.text(name) for name in labels)
        chosen = self._builder.apply(Code.MATCH, val.columns[0], table=names)
        self._close(Branch(chosen, (*labels.values(), labels[STOP])))

    def _limits(self, left: Var | None, deadline: Var | None, after: int) -> None:
        if left is not None:
            remaining = self._builder.apply(Code.SUBTRACT, self._builder.read(left.cells[0]), 1)
            self._builder.write(left.cells[0], remaining)
            self._leave_unless(remaining, after)
        if deadline is not None:
            rest = self._builder.apply(Code.SUBTRACT, self._builder.read(deadline.cells[0]), self._builder.read(CLOCK))
            self._leave_unless(rest, after)

    def _leave_unless(self, positive: Operand, after: int) -> None:
        stay = self._reserve()
        self._close(Branch(self._builder.apply(Code.POSITIVE, positive), (stay, after)))
        self._open(stay)

    def _set(self, name: str, value: model.Value, at: model.At) -> None:
        if self.builtins.knows(name):
            val = self.values.compile(value, self._builder)
            for target, part in self.builtins.assigned(name, val, self._builtin_value, self._builder, drawn=isinstance(value, model.UserDraw)):
                self._assign(self._variable(target), part, initial=True, at=at)
            return
        var = self._variable(name)
        most = greatest(value, self._bound)
        var.most = None if most is None or var.most is None else max(most, var.most)
        self._assign(var, self.values.compile(value, self._builder), at=at)

    def _add(self, name: str, value: model.Value) -> None:
        var = self._variable(name)
        var.kind, var.counts = Kind.INTEGER, True
        self._widen(var, 1)
        amount = self.values.integer(value, self._builder)
        self._builder.write(var.cells[0], self._builder.apply(Code.ADD, self._builder.read(var.cells[0]), amount))

    def _use(self, step: model.Use) -> None:
        bound = {name: self._bind(value) for name, value in step.arguments.items()}
        outer, self._scopes = self._scopes, [{}, bound]
        self._inner.append((step.inner, outer))
        self._steps(step.steps)
        self._inner.pop()
        self._scopes = outer

    def _run_inner(self) -> None:
        """The steps that a fragment was given run with the names of the place that gave them."""
        given = self._inner[-1] if self._inner else None
        if given is None:
            return
        steps, scopes = given
        held, self._scopes = self._scopes, scopes
        self._inner.append(self._inner[-2] if len(self._inner) > 1 else None)
        self._steps(steps)
        self._inner.pop()
        self._scopes = held

    def _end(self, step: model.End) -> None:
        self._assign(self._variable("end_reason"), self._text(step.reason), initial=True)
        self._close(goto(self._final))
        self._open(self._reserve())
