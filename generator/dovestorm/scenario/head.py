"""A scenario's head: server, population, arrivals, pools and fault windows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dovestorm.scenario import units
from dovestorm.scenario.grammar import ARRIVALS, LABEL_KINDS, PLANTED, POPULATION, SERVER
from dovestorm.scenario.model import Arrivals, At, FaultWindow, Planted, Population, Server
from dovestorm.scenario.nodes import Node, Scalar, Table
from dovestorm.scenario.place import COUNT, Place
from dovestorm.scenario.reading import Frame, Reading, shown
from dovestorm.scenario.values import Values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovestorm.scenario.pools import Pools

__all__ = ["arrivals", "fault_windows", "planted", "pools", "population", "server"]

LARGEST_POPULATION = 10**12
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", re.IGNORECASE)
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?")
_PROCESSES = ("constant", "poisson", "bursts", "trace")


def server(reading: Reading, node: Node | None) -> Server:
    """Read the server's side."""
    if node is None:
        return Server()
    usual = Server()
    entries = reading.keys(reading.table(node, what="server"), what="server", optional=tuple(SERVER))
    hostname = usual.hostname
    if "hostname" in entries:
        hostname = reading.text(entries["hostname"], what="hostname")
        if not _HOST.fullmatch(hostname):
            reading.faults.add(entries["hostname"].at, f"hostname ({shown(entries['hostname'])}) must be a host name like mail01")
    address = reading.unit(entries["address"], units.ipv4, usual.address, what="address") if "address" in entries else usual.address
    port = reading.whole(entries["port"], what="port", least=1, most=65535) if "port" in entries else usual.port
    return Server(hostname, address, port)


def population(reading: Reading, node: Node | None, stock: Pools) -> Population:
    """Read who logs in; names come from the shipped pools."""
    table = Table({}, {}, At()) if node is None else reading.table(node, what="population")
    entries = reading.keys(table, what="population", optional=tuple(POPULATION))
    usual = Population()
    users = reading.whole(entries["users"], what="users", least=1, most=LARGEST_POPULATION) if "users" in entries else usual.users
    source = entries.get("domains")
    match source:
        case None:
            domains = stock.shipped("domains")
        case Table():
            pool = reading.keys(source, what="domains", required=("pool",)).get("pool")
            domains = reading.pool(pool) if isinstance(pool, Scalar) else ()
        case _:
            domains = tuple(reading.text(item, what="a domain") for item in reading.listing(source, what="domains"))
            if not domains and not isinstance(source, Scalar):
                reading.faults.add(source.at, "domains is empty, give at least one")
    if source is not None:
        for domain in domains:
            if domain and not _DOMAIN.fullmatch(domain):
                reading.faults.add(source.at, f"'{domain}' is not a domain name like mail.example.com")
    return Population(
        users,
        reading.ratio(entries.get("popularity"), what="popularity"),
        stock.shipped("first_names"),
        stock.shipped("last_names"),
        domains,
        reading.networks(entries["clients"], what="clients") if "clients" in entries else usual.clients,
    )


def arrivals(reading: Reading, node: Node) -> Arrivals:
    """Read when sessions begin."""
    table = reading.table(node, what="arrivals")
    entries = reading.keys(table, what="arrivals", optional=tuple(ARRIVALS))
    given = [key for key in _PROCESSES if key in entries]
    if len(given) != 1:
        if isinstance(node, Table):
            what = f"arrivals are one of {' and '.join(given)}, not both" if given else f"arrivals need one of {', '.join(_PROCESSES)}"
            reading.faults.add(node.at, what)
        return Arrivals(at=node.at)
    process = given[0]
    curve, period = _curve(reading, entries, process)
    during = _during(reading, entries["during"], process) if "during" in entries else ()
    if process == "trace":
        return Arrivals(process, trace=_trace(reading, entries["trace"]), at=node.at)
    if process != "bursts":
        return Arrivals(process, reading.unit(entries[process], units.rate, 1.0, what=process), curve, period, during=during, at=node.at)
    body = reading.keys(reading.table(entries["bursts"], what="bursts"), what="bursts", required=("rate", "size"), optional=("spread",))
    values = Values(reading, Frame("arrivals", fragment=False))
    size = values.distribution(body["size"], Place("size", COUNT.kind, COUNT.unit, 1)) if "size" in body else None
    return Arrivals(
        process,
        reading.unit(body["rate"], units.rate, 1.0, what="rate") if "rate" in body else 1.0,
        curve,
        period,
        size,
        _duration(reading, body["spread"], what="spread") if "spread" in body else 0,
        during=during,
        at=node.at,
    )


def _during(reading: Reading, node: Node, process: str) -> tuple[tuple[str, float], ...]:
    if process == "trace":
        reading.faults.add(node.at, "a trace has its own times, it takes no 'during'")
    table = reading.table(node, what="during")
    frame = Frame("arrivals", fragment=False, windows=reading.windows)
    found = [(key, reading.factor(item, what="a factor of the rate", most=1000.0)) for key, item in table.entries.items()]
    return tuple((key, factor) for key, factor in found if reading.window(table.keys[key], frame))


def _duration(reading: Reading, node: Node, *, what: str) -> int:
    value = reading.unit(node, lambda text: round(units.number(text, unit="duration")), 0, what=what)
    if value < 0:
        reading.faults.add(node.at, f"{what} ({shown(node)}) must be >= 0")
    return value


def _trace(reading: Reading, node: Node) -> tuple[int, ...]:
    items = reading.listing(node, what="trace")
    if not items and not isinstance(node, Scalar):
        reading.faults.add(node.at, "trace is empty, give at least one offset")
    offsets = tuple(_duration(reading, item, what="an offset") for item in items)
    for item, before, after in zip(items[1:], offsets, offsets[1:], strict=False):
        if after < before:
            reading.faults.add(item.at, f"offset ({shown(item)}) comes before the one in front of it, a trace ascends")
            break
    return offsets


def _curve(reading: Reading, entries: Mapping[str, Node], process: str) -> tuple[tuple[tuple[int, float], ...], int]:
    given = [key for key in ("daily", "weekly") if key in entries]
    if not given:
        return (), 0
    kind = given[0]
    node = entries[kind]
    if len(given) == 2:
        reading.faults.add(entries["weekly"].at, "arrivals have a daily or a weekly curve, not both")
    if process == "trace":
        reading.faults.add(node.at, f"a trace has its own times, it takes no {kind} curve")
    table = reading.table(node, what=kind)
    points: dict[int, float] = {}
    for key, item in table.entries.items():
        offset = reading.unit(table.keys[key], units.time_of_day if kind == "daily" else units.time_of_week, -1, what=kind)
        if offset in points and offset >= 0:
            reading.faults.add(table.keys[key].at, f"'{key}' stands twice in the {kind} curve")
        points[offset] = reading.factor(item, what="a curve's factor", most=1000.0)
    if isinstance(node, Table) and not any(points.values()):
        reading.faults.add(node.at, f"the {kind} curve is 0 everywhere, some factor must be > 0")
    return tuple(sorted(points.items())), units.DAY if kind == "daily" else units.WEEK


def pools(reading: Reading, node: Node | None, stock: Pools) -> dict[str, tuple[str, ...]]:
    """Read the scenario's own pools."""
    found: dict[str, tuple[str, ...]] = {}
    if node is None:
        return found
    values = Values(reading, Frame("pools", fragment=False))
    table = reading.table(node, what="pools")
    for name, item in table.entries.items():
        reading.name(table.keys[name], what="a pool's name")
        if isinstance(item, Table):
            source = reading.keys(item, what="a pool", required=("file",)).get("file")
            if source is not None:
                found[name] = stock.file(source, reading)
            continue
        items = reading.listing(item, what="a pool")
        found[name] = values.texts(item) if not isinstance(item, Scalar) else ()
        if not items and not isinstance(item, Scalar):
            reading.faults.add(item.at, f"pool '{name}' is empty, give it at least one entry")
    return found


def fault_windows(reading: Reading, node: Node | None, *, start: int) -> tuple[FaultWindow, ...]:
    """Read the stretches of time in which something is wrong."""
    windows = []
    for item in reading.listing(node, what="faults") if node is not None else ():
        entries = reading.keys(reading.table(item, what="a fault"), what="a fault", required=("fault", "from", "to"))
        if len(entries) < 3:
            continue
        name = reading.name(entries["fault"], what="a fault's name")
        begin, end = (reading.unit(entries[key], lambda text: units.moment(text, start=start), -1, what=key) for key in ("from", "to"))
        if begin >= 0 and 0 <= end <= begin:
            reading.faults.add(entries["to"].at, f"to ({shown(entries['to'])}) must come after from ({shown(entries['from'])})")
        windows.append(FaultWindow(name, begin, end))
    return tuple(windows)


def planted(reading: Reading, node: Node | None) -> tuple[Planted, ...]:
    """Read the planted behaviours."""
    table = Table({}, {}, At()) if node is None else reading.table(node, what="labels")
    if node is table and not table.entries:
        reading.faults.add(table.at, "labels is empty, give it at least one")
    found = []
    for name, item in table.entries.items():
        reading.name(table.keys[name], what="a label's name")
        body = reading.table(item, what="a label")
        if body is not item:
            continue
        optional = [key for key, option in PLANTED.items() if not option.required]
        entries = reading.keys(body, what=f"label '{name}'", required=("kind",), optional=optional)
        kind = entries.get("kind")
        if kind is not None and not isinstance(kind, Scalar):
            reading.faults.add(kind.at, f"kind ({shown(kind)}) must be one of {', '.join(LABEL_KINDS)}")
        elif kind is not None and reading.known(kind, LABEL_KINDS, what="kind of label"):
            found.append(Planted(name, kind.text, reading.text(entries.get("summary"), what="summary")))
    return tuple(found)
