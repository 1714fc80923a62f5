"""What every session is born with: its user, its addresses and ports, its session id. All of it is computed from hashes, nothing is stored.

A user is a number in [0, users). Its name is a permutation of that number split into a first name, a last name and a suffix, so that no two users
share a name and a hundred million users need no table. A user's addresses are hashes of its number too, so the same user comes from the same
few places every day.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd
from typing import TYPE_CHECKING

from dovestorm.batch import Encoding, Hole
from dovestorm.engine.bindings import Kind, Texts, Val
from dovestorm.engine.blocks import CLOCK, SESSION, Builder, Const, Operand
from dovestorm.engine.draws import address_at, zipf_rank
from dovestorm.errors import UsageError
from dovestorm.kernel.instructions import Code

if TYPE_CHECKING:
    from collections.abc import Callable

    from dovestorm.scenario.model import Scenario

__all__ = ["Builtins"]

_NAMES = ("user", "username", "domain", "session", "session_number", "client_ip", "client_port", "server_ip", "server_port", "end_reason")
_CLIENT_PORTS = (32_768, 28_232)
"""First of Linux's ephemeral ports and how many there are."""
_FIRST_BITS = _LAST_BITS = _DOMAIN_BITS = 12
_SUFFIX_BITS = 20
_DOMAIN_SHIFT = _FIRST_BITS + _LAST_BITS + _SUFFIX_BITS


@dataclass(slots=True)
class Builtins:
    """The built-in variables of one flow. ``set_in_flow`` names those that its steps give another value."""

    scenario: Scenario
    texts: Texts
    set_in_flow: frozenset[str] = frozenset()
    _shapes: dict[str, tuple[int, int]] = field(default_factory=dict)
    _born: dict[str, Operand] = field(default_factory=dict)

    @staticmethod
    def names() -> tuple[str, ...]:
        """The names of all of them."""
        return _NAMES

    @staticmethod
    def knows(name: str) -> bool:
        """Whether it is one of them."""
        return name in _NAMES

    def never_set(self, name: str) -> bool:
        """Whether a built-in keeps its first value throughout the flow."""
        follows = {"username": "user", "domain": "user", "session": "client_ip"}
        return name in _NAMES and name != "end_reason" and not {name, follows.get(name, name)} & self.set_in_flow

    def constant(self, name: str) -> Val | None:
        """Its value where that is the same for all sessions."""
        if name == "server_ip" and self.never_set(name):
            return Val(Kind.ADDRESS, (Const(self.scenario.server.address),))
        if name == "server_port" and self.never_set(name):
            return Val(Kind.INTEGER, (Const(self.scenario.server.port),))
        return None

    def first(self, name: str, builder: Builder) -> Val:
        """The value at the session's beginning."""
        match name:
            case "user" | "username" | "domain":
                return self._user_text(name, self._user(builder), builder)
            case "client_ip":
                return Val(Kind.ADDRESS, (self._client_address(builder),))
            case "client_port":
                return Val(Kind.INTEGER, (self._client_port(builder),))
            case "session":
                return self._session(builder)
            case "session_number":
                return Val(Kind.INTEGER, (builder.read(SESSION),))
            case "server_ip":
                return Val(Kind.ADDRESS, (Const(self.scenario.server.address),))
            case "server_port":
                return Val(Kind.INTEGER, (Const(self.scenario.server.port),))
            case _:
                return Val(Kind.TEXT, (Const(self.texts.text("Connection closed")),))

    def held(self, name: str) -> tuple[Kind, int]:
        """What its first value will be, and how many columns that has; nothing is computed or kept for it."""
        val = Builtins(self.scenario, Texts()).first(name, Builder())
        return val.kind, len(val.columns)

    def assigned(self, name: str, val: Val, value_of: Callable[[str], Val], builder: Builder, *, drawn: bool) -> list[tuple[str, Val]]:
        """All that changes when a flow sets a built-in: a drawn user changes its parts too, another address the session id."""
        if name == "user" and drawn:
            return [("user", val), *((part, self._unpacked(part, val.columns[1], builder)) for part in ("username", "domain"))]
        if name == "client_ip":
            return [(name, val), ("session", Val(Kind.SESSION, (value_of("session").columns[0], val.columns[0])))]
        return [(name, val)]

    def draw_user(self, builder: Builder, zipf: float) -> Val:
        """Another user of the population."""
        return self._user_text("user", self._rank(builder, zipf), builder)

    # ------------------------------------------------------------ users

    def _rank(self, builder: Builder, zipf: float) -> Operand:
        return zipf_rank(builder, self.scenario.population.users, zipf)

    def _user(self, builder: Builder) -> Operand:
        if "user" not in self._born:
            self._born["user"] = self._rank(builder, self.scenario.population.zipf)
        return self._born["user"]

    def _user_text(self, name: str, rank: Operand, builder: Builder) -> Val:
        born = rank is self._born.get("user")
        packed = self._born.get("packed") if born else None
        if packed is None:
            packed = _packed(self.scenario, rank, builder)
            if born:
                self._born["packed"] = packed
        return self._unpacked(name, packed, builder)

    def _unpacked(self, name: str, packed: Operand, builder: Builder) -> Val:
        """A user's full name, name or domain from its packed parts."""
        if name == "domain":
            return Val(Kind.TEXT, (builder.apply(Code.ADD, builder.apply(Code.SHIFT_RIGHT, packed, _DOMAIN_SHIFT), self._base("domain")),))
        bare, numbered = self._shape(name)
        if _suffixes(self.scenario) == 1:
            return Val(Kind.TEXT, (Const(bare), packed))
        suffix = builder.apply(Code.AND, builder.apply(Code.SHIFT_RIGHT, packed, _FIRST_BITS + _LAST_BITS), (1 << _SUFFIX_BITS) - 1)
        shape = builder.apply(Code.LOOKUP, builder.apply(Code.MINIMUM, suffix, 1), table=(bare, numbered))
        return Val(Kind.TEXT, (shape, packed))

    def _base(self, pool: str) -> int:
        if pool not in self._shapes:
            population = self.scenario.population
            entries = {"first": population.first_names, "last": population.last_names, "domain": population.domains}[pool]
            if not 0 < len(entries) <= 1 << _FIRST_BITS:
                raise UsageError(f"{self.scenario.file}: population: {pool} names: {len(entries)} given, between 1 and {1 << _FIRST_BITS} fit")
            self._shapes[pool] = (self.texts.run(entries), 0)
        return self._shapes[pool][0]

    def _shape(self, name: str) -> tuple[int, int]:
        """The shapes of a user's name without and with a number."""
        if name not in self._shapes:
            first = Hole(0, Encoding.TEXT, 0, _FIRST_BITS, self._base("first"))
            last = Hole(0, Encoding.TEXT, _FIRST_BITS, _LAST_BITS, self._base("last"))
            number = Hole(0, Encoding.INTEGER, _FIRST_BITS + _LAST_BITS, _SUFFIX_BITS)
            tail: tuple[str | Hole, ...] = ()
            if name == "user":
                tail = ("@", Hole(0, Encoding.TEXT, _DOMAIN_SHIFT, _DOMAIN_BITS, self._base("domain")))
            self._shapes[name] = (self.texts.shape((first, ".", last, *tail)), self.texts.shape((first, ".", last, number, *tail)))
        return self._shapes[name]

    # ------------------------------------------------------------ connection

    def _client_address(self, builder: Builder) -> Operand:
        if "client_ip" not in self._born:
            # One of the user's four addresses: the user's number and two random bits choose a place in the networks.
            which = builder.apply(Code.AND, builder.draw(Code.HALF), 3)
            networks = self.scenario.population.clients
            key = builder.apply(Code.ADD, builder.apply(Code.MULTIPLY, self._user(builder), 4), which)
            place = builder.apply(Code.REMAINDER, builder.apply(Code.HASH, key, 0), sum(size for _, size in networks))
            self._born["client_ip"] = address_at(builder, place, networks)
        return self._born["client_ip"]

    def _client_port(self, builder: Builder) -> Operand:
        if "client_port" not in self._born:
            low, count = _CLIENT_PORTS
            self._born["client_port"] = builder.apply(Code.ADD, builder.draw(Code.SPREAD, count), low)
        return self._born["client_port"]

    def _session(self, builder: Builder) -> Val:
        address, port = self._client_address(builder), self._client_port(builder)
        moment = builder.apply(Code.AND, builder.read(CLOCK), (1 << 48) - 1)
        # A port has 16 bits: in the highest 16 it may make the number negative, which changes no bit.
        return Val(Kind.SESSION, (builder.apply(Code.ADD, moment, builder.apply(Code.SHIFT_LEFT, port, 48)), address))


def _suffixes(scenario: Scenario) -> int:
    names = len(scenario.population.first_names) * len(scenario.population.last_names)
    needed = -(-scenario.population.users // max(names, 1))
    if needed > 1 << _SUFFIX_BITS:
        raise UsageError(f"{scenario.file}: population: {scenario.population.users} users are more than names can be made for")
    return needed


def _packed(scenario: Scenario, rank: Operand, builder: Builder) -> Operand:
    """From a user's number to first name, last name, suffix and domain in one integer."""
    population = scenario.population
    firsts, lasts = len(population.first_names), len(population.last_names)
    total = firsts * lasts * _suffixes(scenario)
    stride = next(n for n in range(int(total * 0.618) | 1, total * 3 + 3, 2) if gcd(n, total) == 1)
    place = builder.apply(Code.REMAINDER, builder.apply(Code.MULTIPLY, rank, stride), total)
    rest = builder.apply(Code.DIVIDE, place, firsts)
    parts = (
        (builder.apply(Code.REMAINDER, place, firsts), 0),
        (builder.apply(Code.REMAINDER, rest, lasts), _FIRST_BITS),
        (builder.apply(Code.DIVIDE, rest, lasts), _FIRST_BITS + _LAST_BITS),
        (builder.apply(Code.REMAINDER, builder.apply(Code.HASH, rank, 0), len(population.domains)), _DOMAIN_SHIFT),
    )
    packed: Operand = Const(0)
    for part, shift in parts:
        packed = builder.apply(Code.ADD, packed, builder.apply(Code.SHIFT_LEFT, part, shift))
    return packed
