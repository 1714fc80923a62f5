"""Compiling the values of a scenario into operations on a group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dovestorm.batch import ABSENT
from dovestorm.engine.bindings import Binding, Kind, Texts, Val, Var
from dovestorm.engine.blocks import Builder, Const, Operand
from dovestorm.engine.draws import cumulative_thresholds, zipf_table
from dovestorm.errors import Fault, ScenarioError
from dovestorm.scenario import model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from dovestorm.engine.phases import Phases

__all__ = ["Values", "fault_at", "greatest", "never_negative"]

_LOW_32 = np.uint64(0xFFFFFFFF)
MILLION = 1_000_000


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
                return self._fold(np.add, value.terms, builder)
            case model.Extreme():
                return self._fold(np.maximum if value.largest else np.minimum, value.terms, builder)
            case model.Scale():
                of, by = self.integer(value.of, builder), self.integer(value.by, builder)
                return Val(Kind.INTEGER, (builder.apply(_scale, of, by),))
            case model.Address():
                return Val(Kind.ADDRESS, (_address(value.networks, builder),))
            case model.UserDraw():
                return self.draw_user(builder, value.zipf)
            case model.During():
                return self._during(value, builder)

    def integer(self, value: model.Value, builder: Builder) -> Operand:
        """A value that must be an integer; an absent one counts as 0."""
        return self._number(value, builder).columns[0]

    def _number(self, value: model.Value, builder: Builder) -> Val:
        val = self.compile(value, builder)
        if val.kind not in {Kind.INTEGER, Kind.TIMESTAMP, Kind.NOTHING}:
            raise fault_at(value.at, f"a number is needed here, not {val.kind.phrase}")
        return Val(val.kind, (builder.apply(_present, val.columns[0]),)) if val.optional else val

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
        return Val(Kind.INTEGER, (_quantile(_table(value.quantiles), builder),))

    def _choice(self, value: model.Choice, builder: Builder) -> Val:
        index = self.choose(builder, [weight for _, weight in value.options])
        return self._select(index, [self.compile(option, builder) for option, _ in value.options], builder, value.at)

    def choose(self, builder: Builder, weights: Sequence[model.Weight]) -> Operand:
        """Draw the number of an alternative."""
        rows, phase = self.weight_rows(builder, weights)
        bits, shift = builder.bits()
        bounds = [np.array(row, dtype=np.uint64) for row in rows]
        return builder.apply(_alternative(bounds, shift), bits, phase)

    def weight_rows(self, builder: Builder, weights: Sequence[model.Weight]) -> tuple[list[list[int]], Operand]:
        """Thresholds for each phase, and the phase."""
        matters = any(weight.faults for weight in weights)
        by_phase = [self.phases.pick(weight.normal, weight.faults) for weight in weights]
        rows = [cumulative_thresholds([column[phase] for column in by_phase]) for phase in range(len(self.phases.open_) if matters else 1)]
        return rows, self.phases.current(builder, matters=matters)

    def _during(self, value: model.During, builder: Builder) -> Val:
        phase = self.phases.current(builder, matters=True)
        options = [value.normal, *(option for _, option in value.faults)]
        which = self.phases.pick(0, [(name, number + 1) for number, (name, _) in enumerate(value.faults)])
        table = np.array(which, dtype=np.int64)
        index = builder.apply(lambda phases: table[phases], phase)
        return self._select(index, [self.compile(option, builder) for option in options], builder, value.at)

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
        numbers = np.array([self.texts.text(entry) for entry in value.entries], dtype=np.int64)
        if len(numbers) == 1:
            return Val(Kind.TEXT, (Const(int(numbers[0])),))
        rank = _quantile(zipf_table(len(numbers), value.zipf), builder)
        return Val(Kind.TEXT, (builder.apply(lambda ranks: numbers[ranks >> 8], rank),))

    def _counter(self, value: model.Counter, builder: Builder) -> Val:
        var = self.count(value)
        now = builder.read(var.cells[0])
        builder.write(var.cells[0], builder.apply(np.add, now, Const(1)))
        return Val(Kind.INTEGER, (builder.apply(np.add, now, Const(value.start)),))

    def _fold(self, function: Callable[..., Any], terms: Sequence[model.Value], builder: Builder) -> Val:
        vals = [self._number(term, builder) for term in terms]
        total = vals[0].columns[0]
        for val in vals[1:]:
            total = builder.apply(function, total, val.columns[0])
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
        case _:
            return False


def _all(fold: Callable[[list[int]], int], bounds: list[int | None]) -> int | None:
    known = [bound for bound in bounds if bound is not None]
    return fold(known) if len(known) == len(bounds) else None


@cache
def _table(quantiles: tuple[int, ...]) -> NDArray[np.int64]:
    return np.array(quantiles, dtype=np.int64)


def _present(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(values == ABSENT, 0, values)


def _scale(of: Any, by: Any) -> Any:
    """``of * by // MILLION``, in two parts so that the product of two large numbers stays inside int64."""
    whole = of // MILLION
    # Not %: NumPy divides by a constant several times faster than it takes a remainder.
    return whole * by + (of - whole * MILLION) * by // MILLION


def _quantile(table: NDArray[np.int64], builder: Builder) -> Operand:
    from dovestorm.kernel import quantile_into

    bits, shift = builder.bits()
    table = np.ascontiguousarray(table)

    def draw(random: NDArray[np.uint64]) -> NDArray[np.int64]:
        out = np.empty(len(random), dtype=np.int64)
        quantile_into(random, shift, table, out)
        return out

    return builder.apply(draw, bits)


def _alternative(bounds: list[NDArray[np.uint64]], shift: int) -> Callable[..., Any]:
    """The number of the alternative for each draw: how many bounds it is not below."""
    places = np.uint64(shift)

    def count(half: NDArray[np.uint64], row: NDArray[np.uint64]) -> NDArray[np.int64]:
        return row.searchsorted(half, side="right")

    def single(random: NDArray[np.uint64], _phase: object) -> NDArray[np.int64]:
        return count((random >> places) & _LOW_32, bounds[0])

    def phased(random: NDArray[np.uint64], phase: NDArray[np.int64]) -> NDArray[np.int64]:
        half = (random >> places) & _LOW_32
        out = np.zeros(len(random), dtype=np.int64)
        for number, row in enumerate(bounds):
            mask = phase == number
            if mask.any():
                out[mask] = count(half[mask], row)
        return out

    return single if len(bounds) == 1 else phased


def _pick(index: Operand, options: list[Operand], builder: Builder) -> Operand:
    if all(isinstance(option, Const) for option in options):
        numbers = [option.value for option in options if isinstance(option, Const)]
        if len(set(numbers)) == 1:
            return Const(numbers[0])
        table = np.array(numbers, dtype=np.int64)
        return builder.apply(lambda which: table[which], index)
    if isinstance(index, Const):
        return options[index.value]

    def gather(which: NDArray[np.int64], *values: Any) -> NDArray[np.int64]:
        out = np.empty(len(which), dtype=np.int64)
        for number, value in enumerate(values):
            np.copyto(out, value, where=which == number)
        return out

    return builder.apply(gather, index, *options)


def _address(networks: Sequence[tuple[int, int]], builder: Builder) -> Operand:
    bits, shift = builder.bits()
    sizes = np.array([size for _, size in networks], dtype=np.int64)
    before = np.cumsum(sizes) - sizes
    bases = np.array([base for base, _ in networks], dtype=np.int64) - before
    total = int(sizes.sum())
    places = np.uint64(shift)

    def draw(random: NDArray[np.uint64]) -> NDArray[np.int64]:
        half = ((random >> places) & _LOW_32).astype(np.int64)
        # Two steps of 16 bits keep the product inside int64 for up to 2**32 addresses.
        place = ((half >> 16) * total + ((half & 0xFFFF) * total >> 16)) >> 16
        return place + bases[np.searchsorted(before, place, side="right") - 1]

    return builder.apply(draw, bits)
