"""From a scenario's name or file to checked data; every fault of the file is reported at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dovestorm import resources
from dovestorm.errors import CatalogError, ScenarioError, UsageError, nearest
from dovestorm.scenario import head, units
from dovestorm.scenario.faultlist import FaultList
from dovestorm.scenario.flows import Flows
from dovestorm.scenario.fragments import Folder
from dovestorm.scenario.grammar import SCENARIO
from dovestorm.scenario.model import Arrivals, At, Scenario
from dovestorm.scenario.nodes import Node, Scalar, Table, parse, read_text
from dovestorm.scenario.overrides import overridden
from dovestorm.scenario.pools import Pools
from dovestorm.scenario.reading import Reading, shown
from dovestorm.scenario.tables import tables
from dovestorm.scenario.vocabulary import Vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dovestorm.scenario.fragments import Fragment
    from dovestorm.scenario.place import Place

__all__ = ["check", "find", "load", "load_text", "shipped"]

USUAL_EDITION = "2.3.6"
_LABEL = re.compile(r"[a-z0-9-]+")
_HEAD = re.compile(r"^(scenario|summary):.*$", re.MULTILINE)
_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Source:
    """A scenario's text and where it comes from.

    Attributes:
        text: The YAML text.
        file: How errors name the file.
        stem: The name that it must have, None for any.
        beside: The folder whose ``fragments`` and ``pools`` come first, None for the shipped ones only.
    """

    text: str
    file: str
    stem: str | None = None
    beside: Path | None = None


@dataclass(frozen=True, slots=True)
class Reach:
    """The fragments and pools within reach of a scenario."""

    fragments: Folder
    pools: Pools

    @classmethod
    def of(cls, beside: Path | None) -> Reach:
        """Give those of a folder, and the shipped ones."""
        return cls(Folder(beside), Pools(beside))


def load(name_or_path: str | Path, *, dovecot: str | None = None, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Load a scenario for one edition of the catalog.

    Args:
        name_or_path: A shipped scenario's name, or a path (with a slash or an ending).
        dovecot: The edition; the scenario's own if None.
        overrides: Values that replace those of the head, by dotted key (``duration``, ``population.users``, ``arrivals.rate``).

    Raises:
        UsageError: If there is no such scenario, or an override has no meaning.
        InputError: If the file cannot be read.
        CatalogError: If there is no such edition.
        ScenarioError: With all faults of the scenario.
    """
    return _load(find(name_or_path), dovecot, overrides or {})


def load_text(text: str, *, file: str = "<scenario>", dovecot: str | None = None, overrides: Mapping[str, Any] | None = None) -> Scenario:
    """Load a scenario from its text; ``file`` is how errors name it. Only shipped fragments and pools are within reach.

    Raises:
        CatalogError: If there is no such edition.
        ScenarioError: With all faults of the scenario.
    """
    return _load(Source(text, file), dovecot, overrides or {})


def check(name_or_path: str | Path, *, dovecot: str | None = None) -> str:
    """Check a scenario, or a fragment on its own; gives which of the two it is.

    Raises:
        DovestormError: As ``load`` does.
    """
    source = find(name_or_path)
    faults = FaultList()
    node = parse(source.text, file=source.file, faults=faults)
    if not isinstance(node, Table) or "fragment" not in node.entries:
        _read(node, faults, source, dovecot, {})
        return "scenario"
    beside = source.beside.parent if source.beside is not None and source.beside.name == "fragments" else source.beside
    _, flows = _reading(Vocabulary.of(dovecot or USUAL_EDITION), faults, Reach.of(beside), {})
    try:
        flows.read_fragment(node, Path(source.file).stem)
    except RecursionError:
        faults.add(node.at, "steps nest too deep")
    faults.raise_any()
    return "fragment"


def shipped() -> tuple[tuple[str, str], ...]:
    """Give name and summary of every shipped scenario, reading no more than their heads."""
    found = []
    for path in sorted(resources.scenarios_dir().glob("*.yaml")):
        with path.open(encoding="utf-8") as file:
            lines = "\n".join(match.group() for match in _HEAD.finditer(file.read(4096)))
        node = parse(lines, file=path.name, faults=FaultList())
        summary = node.entries.get("summary") if isinstance(node, Table) else None
        found.append((path.stem, summary.text if isinstance(summary, Scalar) else ""))
    return tuple(found)


def find(name_or_path: str | Path) -> Source:
    """Give the text of a shipped scenario or of a file.

    Raises:
        UsageError: If there is no shipped scenario of that name.
        InputError: If the file cannot be read.
    """
    named = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in named or named.endswith((".yaml", ".yml")):
        path = Path(named)
        own = path.parent.resolve() == resources.scenarios_dir().resolve()
        return Source(read_text(path), named, path.stem if own else None, path.parent)
    names = [path.stem for path in resources.scenarios_dir().glob("*.yaml")]
    if named not in names:
        hint = nearest(named, names) or f", shipped are {', '.join(sorted(names)) or 'none'}; a file is named with its ending .yaml"
        raise UsageError(f"unknown scenario '{named}'{hint}")
    return Source(read_text(resources.scenarios_dir() / f"{named}.yaml"), f"scenarios/{named}.yaml", named)


# ---------------------------------------------------------------- reading


def _load(source: Source, dovecot: str | None, overrides: Mapping[str, Any]) -> Scenario:
    written = FaultList()
    return _read(parse(source.text, file=source.file, faults=written), written, source, dovecot, overrides)


def _read(node: Node | None, written: FaultList, source: Source, dovecot: str | None, overrides: Mapping[str, Any]) -> Scenario:
    """Read the tree of a scenario's file; ``written`` has what parsing found."""
    if node is None:
        written.raise_any()
    if not isinstance(node, Table):
        written.add(At(source.file) if node is None else node.at, "a scenario must be a mapping that begins with 'scenario: NAME'")
        raise ScenarioError(tuple(written.found))
    node = overridden(node, overrides)
    vocabulary = _edition(node, dovecot, written)
    reach = Reach.of(source.beside)
    numbers: dict[str, Place] = {}
    texts: set[str] = set()
    given: set[str] = set()
    kept: dict[str, Fragment] = {}
    written_tables = tables(_reading(vocabulary, written, reach, kept)[0], node.entries.get("tables"))
    try:
        for _ in range(_ROUNDS):
            faults = FaultList(dict(written.found))
            reading, flows = _reading(vocabulary, faults, reach, kept)
            reading.numbers, reading.texts, reading.given, reading.tables = numbers, texts, given, written_tables
            scenario = _scenario(node, source, reading, flows, reach.pools)
            news = {name: place for name, place in reading.wanted.items() if name not in numbers}
            numbers |= news
            # A literal text that was given to a variable is read again as a number once a place is known to need one.
            if not news.keys() & texts:
                break
            # Faults are told by the last round alone, so whatever has one is read once more.
            kept = {} if faults.found else flows.unaffected(news.keys())
    except RecursionError:
        faults.add(node.at, "steps nest too deep")
    faults.raise_any()
    return scenario


def _edition(node: Table, dovecot: str | None, faults: FaultList) -> Vocabulary:
    if dovecot is not None:
        return Vocabulary.of(dovecot)
    named = node.entries.get("dovecot")
    if named is None:
        return Vocabulary.of(USUAL_EDITION)
    try:
        return Vocabulary.of(named.text if isinstance(named, Scalar) else "")
    except CatalogError as error:
        faults.add(named.at, str(error))
        return Vocabulary.of(USUAL_EDITION)


def _reading(vocabulary: Vocabulary, faults: FaultList, reach: Reach, kept: Mapping[str, Fragment]) -> tuple[Reading, Flows]:
    reading = Reading(
        vocabulary,
        faults,
        {},
        None,
        {},
        pool=lambda scalar: reach.pools.entries(scalar, reading),
        fragment=lambda scalar: flows.fragment(scalar),  # noqa: PLW0108 - flows is not there yet
    )
    flows = Flows(reading, reach.fragments, kept)
    return reading, flows


def _scenario(node: Table, source: Source, reading: Reading, flows: Flows, stock: Pools) -> Scenario:
    faults = reading.faults
    required = [key for key, option in SCENARIO.items() if option.required]
    entries = reading.keys(node, what="a scenario", required=required, optional=tuple(SCENARIO))
    name = reading.text(entries.get("scenario"), what="scenario")
    if "scenario" in entries and not _LABEL.fullmatch(name):
        faults.add(entries["scenario"].at, f"scenario ({shown(entries['scenario'])}) must be lower-case letters, digits and '-'")
    elif source.stem is not None and name != source.stem and "scenario" in entries:
        faults.add(entries["scenario"].at, f"scenario ({name}) must be called '{source.stem}' like its file")
    start = reading.unit(entries["start"], units.instant, 0, what="start") if "start" in entries else 0
    duration = (
        reading.unit(entries["duration"], lambda text: round(units.number(text, unit="duration")), 1, what="duration") if "duration" in entries else 1
    )
    if duration <= 0:
        faults.add(entries["duration"].at, f"duration ({shown(entries['duration'])}) must be > 0")
    windows = head.fault_windows(reading, entries.get("faults"), start=start)
    reading.windows = tuple(dict.fromkeys(window.name for window in windows))
    labels = head.planted(reading, entries.get("labels"))
    named = entries.get("labels")
    reading.labels = named.keys if isinstance(named, Table) else {}
    reading.pools.update(head.pools(reading, entries.get("pools"), stock))
    read = flows.read(entries["flows"]) if "flows" in entries else ()
    for label, scalar in reading.labels.items():
        if label not in reading.given:
            faults.add(scalar.at, f"label '{label}' is given by no step and no flow")
    return Scenario(
        name,
        reading.text(entries.get("summary"), what="summary"),
        reading.vocabulary.version,
        start,
        duration,
        head.population(reading, entries.get("population"), stock),
        head.server(reading, entries.get("server")),
        head.arrivals(reading, entries["arrivals"]) if "arrivals" in entries else Arrivals(),
        windows,
        read,
        source.file,
        labels,
    )
