"""What a validation found: findings by rule, each with its count and first examples."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dovestorm.validate.rules import RULES, Severity

__all__ = ["Example", "Finding", "Ledger", "Report"]

_REASON_LIMIT = 400
_VALUE_LIMIT = 80


@dataclass(frozen=True, slots=True)
class Example:
    """One place where a rule was broken.

    Attributes:
        position: 1-based line, or number of the record in a msgpack stream.
        event: Name of the event, empty when it could not be read.
        field: Name of the field, empty when the whole record is meant.
        reason: What is wrong, with the value, and what would be right.
    """

    position: int
    event: str
    field: str
    reason: str


@dataclass(slots=True)
class Finding:
    """How often a rule was broken, and the first examples."""

    rule: str
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        examples = [{"position": e.position, "event": e.event, "field": e.field, "reason": e.reason} for e in self.examples]
        return {"rule": self.rule, "severity": str(RULES[self.rule].severity), "count": self.count, "examples": examples}


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a validation.

    Attributes:
        edition: The Dovecot version whose catalog was used.
        unit: ``line`` or ``record``: what positions count.
        events: Records that were read as events.
        skipped: Of these, events outside the asked sections, or unknown ones that were to be ignored.
        sessions: Sessions seen, or None when no event of the edition names one.
        faults: Findings that make the stream invalid, by rule.
        notes: Findings that do not, by rule.
    """

    edition: str
    unit: str
    events: int
    skipped: int
    sessions: int | None
    faults: dict[str, Finding]
    notes: dict[str, Finding]

    @property
    def valid(self) -> bool:
        """Whether no fault was found."""
        return not self.faults

    @property
    def fault_count(self) -> int:
        """All faults together."""
        return sum(finding.count for finding in self.faults.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "valid": self.valid,
            "edition": self.edition,
            "unit": self.unit,
            "events": self.events,
            "skipped": self.skipped,
            "sessions": self.sessions,
            "fault_count": self.fault_count,
            "faults": [finding.to_dict() for finding in self.faults.values()],
            "notes": [finding.to_dict() for finding in self.notes.values()],
        }

    def to_text(self) -> str:
        """A few lines for a person."""
        sessions = "" if self.sessions is None else f", {self.sessions:,} sessions"
        skipped = f" ({self.skipped:,} not checked)" if self.skipped else ""
        verdict = "valid" if self.valid else f"INVALID: {self.fault_count:,} faults of {len(self.faults)} kinds"
        lines = [f"{self.events:,} events{skipped}{sessions}, Dovecot {self.edition}: {verdict}"]
        for title, findings in (("faults", self.faults), ("notes", self.notes)):
            for finding in findings.values():
                lines.append(f"{title[:-1]} {finding.rule}: {finding.count:,}x. {RULES[finding.rule].about}")
                lines += [f"  {self.unit} {e.position}: {_subject(e)}{e.reason}" for e in finding.examples]
        return "\n".join(lines)


def _subject(example: Example) -> str:
    parts = [part for part in (example.event, example.field) if part]
    return f"{' '.join(parts)}: " if parts else ""


@dataclass(slots=True)
class Ledger:
    """Where the checks write what they find; it knows which record is being read.

    Attributes:
        max_examples: How many examples to keep for each rule.
        position: Of the record being read.
        event: Its name.
    """

    max_examples: int = 5
    position: int = 0
    event: str = ""
    findings: dict[str, Finding] = field(default_factory=dict)

    def add(self, rule: str, name: str, reason: str) -> None:
        """Book a breach by the record being read."""
        self.add_at(rule, self.position, self.event, name, reason)

    def add_at(self, rule: str, position: int, event: str, name: str, reason: str) -> None:
        """Book a breach by an earlier record."""
        finding = self.findings.get(rule)
        if finding is None:
            finding = self.findings[rule] = Finding(rule)
        finding.count += 1
        if len(finding.examples) < self.max_examples:
            finding.examples.append(Example(position, printable(event), printable(name), printable(reason, _REASON_LIMIT)))

    def wants(self, rule: str) -> bool:
        """Whether another example would be kept, so that one is worth wording well."""
        finding = self.findings.get(rule)
        return finding is None or len(finding.examples) < self.max_examples

    def split(self) -> tuple[dict[str, Finding], dict[str, Finding]]:
        """Faults and notes, in the order of the rule table."""
        order = [self.findings[name] for name in RULES if name in self.findings]
        faults = {f.rule: f for f in order if RULES[f.rule].severity is Severity.FAULT}
        return faults, {f.rule: f for f in order if f.rule not in faults}


def printable(text: str, limit: int = _VALUE_LIMIT) -> str:
    """The text without control characters or lone surrogates, so that a hostile value cannot write on a terminal; cut to ``limit``."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in shown)


def shown(value: object) -> str:
    """A value as an error text shows it: quoted, short."""
    if isinstance(value, str):
        return f"'{printable(value)}'"
    if isinstance(value, (dict, list, tuple, bytes)):
        return f"{type(value).__name__} of {len(value)}"
    return printable(repr(value)) if not isinstance(value, int) or value.bit_length() < 256 else "a giant integer"
