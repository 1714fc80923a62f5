"""A scenario from a recording: what its sessions did, in what order and how long it took, without whom and where they were."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from dovestorm.errors import InputError, UsageError, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from dovestorm.compare.records import Record
    from dovestorm.learn.visits import Visit

__all__ = ["CROSS", "learn"]

_DEPTH, _LEAST = 3, 6
"""A walk by weights remembers so many steps, where they were met so often."""
_MOST_ROWS = 20_000
CROSS = 0.05
"""The usual chance to go on like another recorded session."""
_FEWEST = 2
_DAY_US = 86_400_000_000
_LATEST_S = 4_000_000_000
_NAME = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)


def learn(
    records: Iterable[Record],
    name: str,
    *,
    dovecot: str = "2.3.19",
    keep: Sequence[str] = (),
    seed: int = 0,
    cross: float = CROSS,
    quantiles: bool = False,
) -> str:
    """Fit a scenario; gives the text of its file.

    Args:
        records: The events of a recording.
        name: What the scenario is to be called: small letters, digits and ``-``.
        dovecot: The edition of the server that was recorded.
        keep: Canonical names of fields whose recorded values may be kept.
        seed: Of the sample that is taken of a large recording, and of the order of sessions.
        cross: The chance of a session to go on like another recorded one, wherever both stand alike; 0 to 1.
        quantiles: Draw every number by itself, from tables of quantiles, rather than keep together what was recorded together.

    Raises:
        InputError: There is no session in it that the edition knows, or the scenario would be too large.
        UsageError: A field to keep is in no event, or the name is none.
        CatalogError: An unknown edition.
    """
    from dovestorm import catalog
    from dovestorm.learn.chains import chain, types
    from dovestorm.learn.visits import MOST_STEPS, MOST_VISITS, visits
    from dovestorm.learn.writing import dumped, flow, followed

    edition = catalog.load(dovecot)
    known = {field for event in edition.events.values() for field in event.fields}
    for field in keep:
        if field not in known:
            raise UsageError(f"unknown field '{field}'{nearest(field, known)}")
    found, unknown = visits(records, edition, seed=seed, most=MOST_VISITS, steps=MOST_STEPS if quantiles else _MOST_ROWS)
    if not found:
        raise InputError(f"nothing to learn from: no event of Dovecot {dovecot} in the recording")
    _check_name(name)
    comment = (
        f"Learnt from {len(found):,} sessions and operations of a recording; {unknown:,} events that Dovecot {dovecot} does not know were left out."
    )
    if not quantiles:
        whole, tables = followed("recorded", chain(found, depth=1, least=1), edition, keep=frozenset(keep), cross=cross, seed=seed)
        return _readable(dumped(_head(name, found, dovecot) | {"flows": [whole]}, comment, tables))
    flows = []
    names: Counter[str] = Counter()
    kinds = types(found)
    common = {kind: members for kind, members in kinds.items() if len(members) >= _FEWEST}
    for kind, members in (common or kinds).items():
        base = _flow_name(kind)
        names[base] += 1
        flows.append(
            flow(f"{base}-{names[base]}" if names[base] > 1 else base, chain(members, depth=_DEPTH, least=_LEAST), edition, keep=frozenset(keep))
        )
    return _readable(dumped(_head(name, found, dovecot) | {"flows": flows}, comment))


def _readable(text: str) -> str:
    """The text, unless it is larger than what a scenario may be."""
    from dovestorm.scenario.nodes import LARGEST_FILE

    if len(text.encode()) > LARGEST_FILE:
        raise InputError(f"the scenario would be larger than {LARGEST_FILE >> 20} MiB and could not be read: keep fewer fields, or use --quantiles")
    return text


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise UsageError(f"scenario name '{name}' must be small letters, digits and -, a letter first")


def _flow_name(kind: tuple[Any, ...]) -> str:
    _, services, event = kind
    main = next((name for name in ("imap", "pop3", "lmtp", "submission", "managesieve", "doveadm") if name in services), services[0] or "event")
    return f"{main}-{event.replace('_', '-')}" if len(services) == 1 else main


def _head(name: str, found: Sequence[Visit], dovecot: str) -> dict[str, Any]:
    import datetime as dt

    from dovestorm.learn.visits import LONGEST_US

    begin, end = found[0].steps[0].start, max(visit.steps[-1].sent for visit in found)
    lasted = min(max(end - begin, 1_000_000), LONGEST_US)
    users = Counter(user for visit in found for step in visit.steps[:1] if isinstance(user := step.values.get("user"), str) and user)
    users.update(
        user for visit in found if visit.named for user in {step.values.get("user") for step in visit.steps} if isinstance(user, str) and user
    )
    start = dt.datetime.fromtimestamp(min(max(begin // 1_000_000, 0), _LATEST_S), tz=dt.UTC)
    popularity = "uniform" if len(users) < 10 else {"zipf": _zipf(sorted(users.values(), reverse=True))}
    return {
        "scenario": name,
        "summary": "Sessions like those of a recording.",
        "dovecot": dovecot,
        "start": f"{start:%Y-%m-%dT%H:%M:%SZ}",
        "duration": f"{-(-lasted // 1_000_000)}s",
        "population": {"users": max(len(users), 1), "popularity": popularity, "domains": ["example.com"], "clients": ["10.0.0.0/8"]},
        "arrivals": {"poisson": f"{max(round(len(found) * _DAY_US / lasted), 1)}/d"},
    }


def _zipf(counts: Sequence[int]) -> float:
    """The exponent whose most popular tenth has the share that it had."""
    top = max(len(counts) // 10, 1)
    share = sum(counts[:top]) / sum(counts)

    def of(exponent: float) -> float:
        weights: list[float] = [(rank + 1) ** -exponent for rank in range(len(counts))]
        return sum(weights[:top]) / sum(weights)

    return min((step / 20 for step in range(41)), key=lambda exponent: abs(of(exponent) - share))
