"""Compiling the values of a scenario into operations on a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from dovestorm.batch import ABSENT
from dovestorm.engine.bindings import Binding, Kind, Texts, Val, Var
from dovestorm.engine.blocks import Builder, Const, Operand
from dovestorm.engine.draws import address_at, zipf_rank
from dovestorm.errors import Fault, ScenarioError
from dovestorm.kernel.instructions import MILLION, Code
from dovestorm.scenario import model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dovestorm.engine.phases import Phases

__all__ = ["Values", "fault_at", "greatest", "never_negative"]


def fault_at(at: model.At, message: str) -> ScenarioError:
    """An error at a place of the scenario."""
    return ScenarioError([Fault(at.file, at.line, at.column, message)])


@dataclass(slots=True)
class Values:
    """Turns ``model.Value`` into ``Val`` in the current block. ``lookup`` finds a name's binding, ``user`` draws a user (packed)."""

    texts: Texts
    phases: Phases
    lookup: Callable[[str, model.At], Binding]
    count: Callable[[model.Counter], Var]
    draw_user: Callable[[Builder, float], Val]

    def compile(self, value: model.Value, builder: Builder) -> Val:
        """The value's operands; draws happen here, once."""
        match value:
            case model.Literal():
                return self._literal(value)
            case model.Variable():
                return self.resolve(self.lookup(value.name, value.at), builder)
            case model.Text():
                return Val(Kind.TEXT, parts=tuple(p if isinstance(p, str) else self.compile(p, builder) for p in value.parts))
            case model.Distribution():
                return self._distribution(value, builder)
            case model.Choice():
                return self._choice(value, builder)
            case model.Pool():
                return self._pool(value, builder)
            case model.Counter():
                return self._counter(value, builder)
            case model.Sum():
                return self._fold(Code.ADD, value.terms, builder)
            case model.Extreme():
                return self._fold(Code.MAXIMUM if value.largest else Code.MINIMUM, value.terms, builder)
            case model.Scale():
                of, by = self.integer(value.of, builder), self.integer(value.by, builder)
                return Val(Kind.INTEGER, (builder.apply(Code.SCALE, of, by),))
            case model.Address():
                return Val(Kind.ADDRESS, (address_at(builder, builder.draw(Code.SPREAD, sum(size for _, size in value.networks)), value.networks),))
            case model.UserDraw():
                return self.draw_user(builder, value.zipf)
            case model.During():
                return self._during(value, builder)
            case model.Entry():
                return self._entry(value, builder)

    def integer(self, value: model.Value, builder: Builder) -> Operand:
        """A value that must be an integer; an absent one counts as 0."""
        return self._number(value, builder).columns[0]

    def _number(self, value: model.Value, builder: Builder) -> Val:
        val = self.compile(value, builder)
        if val.kind not in {Kind.INTEGER, Kind.TIMESTAMP, Kind.NOTHING}:
            raise fault_at(value.at, f"a number is needed here, not {val.kind.phrase}")
        return Val(val.kind, (builder.apply(Code.PRESENT, val.columns[0]),)) if val.optional else val

    def resolve(self, binding: Binding, builder: Builder) -> Val:
        """A binding's value in this block."""
        if isinstance(binding, Val):
            return binding
        if isinstance(binding, Var):
            return binding.get(builder)
        return Val(Kind.TEXT, parts=tuple(p if isinstance(p, str) else self.resolve(p, builder) for p in binding.parts))

    def _literal(self, value: model.Literal) -> Val:
        match value.value:
            case None:
                return Val(Kind.NOTHING, (Const(ABSENT),), optional=True)
            case str(text):
                return Val(Kind.TEXT, (Const(self.texts.text(text)),))
            case tuple(items):
                return Val(Kind.LIST, (Const(self.texts.text(items)),))
            case int(number):
                return Val(Kind.INTEGER, (Const(number),))

    def _distribution(self, value: model.Distribution, builder: Builder) -> Val:
        if value.quantiles[0] == value.quantiles[-1]:
            return Val(Kind.INTEGER, (Const(value.quantiles[0]),))
        return Val(Kind.INTEGER, (builder.draw(Code.QUANTILE, table=value.quantiles),))

    def _choice(self, value: model.Choice, builder: Builder) -> Val:
        index = self.choose(builder, [weight for _, weight in value.options])
        return self._select(index, [self.compile(option, builder) for option, _ in value.options], builder, value.at)

    def choose(self, builder: Builder, weights: Sequence[model.Weight]) -> Operand:
        """Draw the number of an alternative."""
        return self.phases.choose(builder, weights)

    def _during(self, value: model.During, builder: Builder) -> Val:
        phase = self.phases.current(builder, matters=True)
        options = [value.normal, *(option for _, option in value.faults)]
        which = self.phases.pick(0, [(name, number + 1) for number, (name, _) in enumerate(value.faults)])
        index = builder.apply(Code.LOOKUP, phase, table=tuple(which))
        return self._select(index, [self.compile(option, builder) for option in options], builder, value.at)

    def _entry(self, value: model.Entry, builder: Builder) -> Val:
        count = len(value.column)
        place = builder.apply(Code.REMAINDER, self.integer(value.row, builder), count) if count > 1 else Const(0)
        numbers = tuple(cell for cell in value.column if isinstance(cell, int))
        if len(numbers) == count:
            return Val(Kind.INTEGER, (builder.apply(Code.LOOKUP, place, table=numbers) if count > 1 else Const(numbers[0]),))
        return self._select(place, [self._literal(model.Literal(cell)) for cell in value.column], builder, value.at)

    def _select(self, index: Operand, options: list[Val], builder: Builder, at: model.At) -> Val:
        options = [self.texts.flat(option) for option in options]
        kinds = {option.kind for option in options} - {Kind.NOTHING}
        if len(kinds) > 1:
            raise fault_at(at, f"the alternatives must be of one kind, not {' and '.join(sorted(kind.value for kind in kinds))}")
        kind = kinds.pop() if kinds else Kind.NOTHING
        width = max(len(option.columns) for option in options)
        columns = tuple(
            _pick(index, [option.columns[column] if column < len(option.columns) else Const(0) for option in options], builder)
            for column in range(width)
        )
        return Val(kind, columns, optional=any(option.optional for option in options))

    def _pool(self, value: model.Pool, builder: Builder) -> Val:
        numbers = tuple(self.texts.text(entry) for entry in value.entries)
        if len(numbers) == 1:
            return Val(Kind.TEXT, (Const(numbers[0]),))
        rank = zipf_rank(builder, len(numbers), value.zipf)
        return Val(Kind.TEXT, (builder.apply(Code.LOOKUP, rank, table=numbers),))

    def _counter(self, value: model.Counter, builder: Builder) -> Val:
        var = self.count(value)
        now = builder.read(var.cells[0])
        builder.write(var.cells[0], builder.apply(Code.ADD, now, 1))
        return Val(Kind.INTEGER, (builder.apply(Code.ADD, now, value.start),))

    def _fold(self, code: Code, terms: Sequence[model.Value], builder: Builder) -> Val:
        vals = [self._number(term, builder) for term in terms]
        total = vals[0].columns[0]
        for val in vals[1:]:
            total = builder.apply(code, total, val.columns[0])
        # A moment and some time after it are a moment.
        return Val(Kind.TIMESTAMP if any(val.kind is Kind.TIMESTAMP for val in vals) else Kind.INTEGER, (total,))


def greatest(value: model.Value | None, bound_of: Callable[[str], int | None]) -> int | None:
    """An upper bound of an integer value that is known before the run, or None; ``bound_of`` gives a variable's."""

    def bound(inner: model.Value) -> int | None:
        return greatest(inner, bound_of)

    match value:
        case model.Literal(value=int(number)):
            return number
        case model.Literal(value=None):
            return 0
        case model.Variable():
            return bound_of(value.name)
        case model.Distribution():
            return value.quantiles[-1]
        case model.During():
            return _all(max, [bound(value.normal), *(bound(option) for _, option in value.faults)])
        case model.Choice():
            return _all(max, [bound(option) for option, _ in value.options])
        case model.Sum():
            return _all(sum, [bound(term) for term in value.terms])
        case model.Extreme():
            return _all(max if value.largest else min, [bound(term) for term in value.terms])
        case model.Scale():
            of, by = bound(value.of), bound(value.by)
            return None if of is None or by is None else of * by // MILLION
        case model.Entry():
            return max((cell for cell in value.column if isinstance(cell, int)), default=0)
        case _:
            return None


def never_negative(value: model.Value, sure: Callable[[str], bool]) -> bool:
    """Whether an integer value is surely 0 or more; ``sure`` tells it of a variable."""

    def fine(*inner: model.Value) -> bool:
        return all(never_negative(one, sure) for one in inner)

    match value:
        case model.Literal(value=int(number)):
            return number >= 0
        case model.Variable():
            return sure(value.name)
        case model.Distribution():
            return value.quantiles[0] >= 0
        case model.During():
            return fine(value.normal, *(option for _, option in value.faults))
        case model.Choice():
            return fine(*(option for option, _ in value.options))
        case model.Sum() | model.Extreme():
            return fine(*value.terms)
        case model.Scale():
            return fine(value.of, value.by)
        case model.Entry():
            return all(isinstance(cell, int) and cell >= 0 for cell in value.column)
        case _:
            return False


def _all(fold: Callable[[list[int]], int], bounds: list[int | None]) -> int | None:
    known = [bound for bound in bounds if bound is not None]
    return fold(known) if len(known) == len(bounds) else None


def _pick(index: Operand, options: list[Operand], builder: Builder) -> Operand:
    if all(isinstance(option, Const) for option in options):
        numbers = [option.value for option in options if isinstance(option, Const)]
        return Const(numbers[0]) if len(set(numbers)) == 1 else builder.apply(Code.LOOKUP, index, table=tuple(numbers))
    return options[index.value] if isinstance(index, Const) else builder.apply(Code.SELECT, index, *options)
