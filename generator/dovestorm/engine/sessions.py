"""What every session is born with: its user, its addresses and ports, its session id. All of it is computed from hashes, nothing is stored.

A user is a number in [0, users). Its name is a permutation of that number split into a first name, a last name and a suffix, so that no two users
share a name and a hundred million users need no table. A user's addresses are hashes of its number too, so the same user comes from the same
few places every day.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from dovestorm.batch import Encoding, Hole
from dovestorm.engine.bindings import Kind, Texts, Val
from dovestorm.engine.blocks import CLOCK, Builder, Const, Operand
from dovestorm.engine.draws import quantile_array, zipf_table
from dovestorm.errors import UsageError
from dovestorm.hashing import mix_array

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from dovestorm.scenario.model import Scenario

__all__ = ["Builtins"]

_NAMES = ("user", "username", "domain", "session", "client_ip", "client_port", "server_ip", "server_port", "end_reason")
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
            case "server_ip":
                return Val(Kind.ADDRESS, (Const(self.scenario.server.address),))
            case "server_port":
                return Val(Kind.INTEGER, (Const(self.scenario.server.port),))
            case _:
                return Val(Kind.TEXT, (Const(self.texts.text("Connection closed")),))

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
        table = zipf_table(self.scenario.population.users, zipf)
        bits, shift = builder.bits()
        return builder.apply(lambda random: quantile_array(random, shift, table) >> 8, bits)

    def _user(self, builder: Builder) -> Operand:
        if "user" not in self._born:
            self._born["user"] = self._rank(builder, self.scenario.population.zipf)
        return self._born["user"]

    def _user_text(self, name: str, rank: Operand, builder: Builder) -> Val:
        born = rank is self._born.get("user")
        packed = self._born.get("packed") if born else None
        if packed is None:
            packed = builder.apply(_packer(self.scenario), rank)
            if born:
                self._born["packed"] = packed
        return self._unpacked(name, packed, builder)

    def _unpacked(self, name: str, packed: Operand, builder: Builder) -> Val:
        """A user's full name, name or domain from its packed parts."""
        if name == "domain":
            return Val(Kind.TEXT, (builder.apply(_domain_of(self._base("domain")), packed),))
        bare, numbered = self._shape(name)
        if _suffixes(self.scenario) == 1:
            return Val(Kind.TEXT, (Const(bare), packed))
        mask = (1 << _SUFFIX_BITS) - 1
        shape = builder.apply(lambda p: np.where((p >> (_FIRST_BITS + _LAST_BITS)) & mask != 0, numbered, bare), packed)
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
            bits, shift = builder.bits()
            self._born["client_ip"] = builder.apply(_home_address(self.scenario.population.clients, shift), self._user(builder), bits)
        return self._born["client_ip"]

    def _client_port(self, builder: Builder) -> Operand:
        if "client_port" not in self._born:
            bits, shift = builder.bits()
            low, count = _CLIENT_PORTS
            places = np.uint64(shift)

            def port(random: NDArray[np.uint64]) -> NDArray[np.int64]:
                return low + ((((random >> places) & np.uint64(0xFFFFFFFF)).astype(np.int64) * count) >> 32)

            self._born["client_port"] = builder.apply(port, bits)
        return self._born["client_port"]

    def _session(self, builder: Builder) -> Val:
        address, port = self._client_address(builder), self._client_port(builder)

        def pack(clock: NDArray[np.int64], ports: NDArray[np.int64]) -> NDArray[np.int64]:
            return (clock & ((1 << 48) - 1)) | (ports << 48)

        return Val(Kind.SESSION, (builder.apply(pack, builder.read(CLOCK), port), address))


def _suffixes(scenario: Scenario) -> int:
    names = len(scenario.population.first_names) * len(scenario.population.last_names)
    needed = -(-scenario.population.users // max(names, 1))
    if needed > 1 << _SUFFIX_BITS:
        raise UsageError(f"{scenario.file}: population: {scenario.population.users} users are more than names can be made for")
    return needed


def _packer(scenario: Scenario) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    """From a user's number to first name, last name, suffix and domain in one integer."""
    population = scenario.population
    firsts, lasts = len(population.first_names), len(population.last_names)
    total = firsts * lasts * _suffixes(scenario)
    stride = next(n for n in range(int(total * 0.618) | 1, total * 3 + 3, 2) if gcd(n, total) == 1)
    domains = np.uint64(len(population.domains))

    def pack(rank: NDArray[np.int64]) -> NDArray[np.int64]:
        place = rank * stride % total
        rest, first = np.divmod(place, firsts)
        suffix, last = np.divmod(rest, lasts)
        domain = (mix_array(rank.astype(np.uint64)) % domains).astype(np.int64)
        packed: NDArray[np.int64] = first | (last << _FIRST_BITS) | (suffix << (_FIRST_BITS + _LAST_BITS)) | (domain << _DOMAIN_SHIFT)
        return packed

    return pack


def _domain_of(base: int) -> Callable[[NDArray[np.int64]], NDArray[np.int64]]:
    def domain(packed: NDArray[np.int64]) -> NDArray[np.int64]:
        number: NDArray[np.int64] = (packed >> _DOMAIN_SHIFT) + base
        return number

    return domain


def _home_address(networks: tuple[tuple[int, int], ...], shift: int) -> Callable[[NDArray[np.int64], NDArray[np.uint64]], NDArray[np.int64]]:
    """One of a user's four addresses."""
    sizes = np.array([size for _, size in networks], dtype=np.int64)
    before = np.cumsum(sizes) - sizes
    bases = np.array([base for base, _ in networks], dtype=np.int64) - before
    total = int(sizes.sum())
    places = np.uint64(shift)

    def address(rank: NDArray[np.int64], random: NDArray[np.uint64]) -> NDArray[np.int64]:
        which = (random >> places) & np.uint64(3)
        place = (mix_array(rank.astype(np.uint64) * np.uint64(4) + which) % np.uint64(total)).astype(np.int64)
        return place + bases[np.searchsorted(before, place, side="right") - 1]

    return address
