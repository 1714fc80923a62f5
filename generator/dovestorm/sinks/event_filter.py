"""Dovecot's language of event filters, as the stats process sends it to its clients: what to send, and what nobody asks for.

Answers are three: yes, no, and *perhaps*, for what the language of one version or another decides differently; what is perhaps asked for is sent,
since the stats process looks once more itself.

Source: Dovecot 2.3.13 to 2.4.4, read: AND and OR bind alike, from left to right, NOT binds tighter; ``*`` and ``?`` in all values; names of
events in exact case, texts of fields in any; no comparison of texts by size.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["NEED_FIELDS", "Event", "Filter", "parse_filter"]

Value = int | str | list[str] | None
Answer = bool | None

NEED_FIELDS = "fields"
"""Stands for the fields of an event that has not been read yet."""

_TOKEN = re.compile(r'\s*(?:([()])|([<>]=?|=)|"((?:[^"\\]|\\.)*)"|([A-Za-z0-9:.*_?/%+-]+))')
_SPACE = re.compile(r"\s*")
_WHOLE = re.compile(r"-?[0-9]+")
_DIGITS = re.compile(r"[0-9*?]+")
_QUANTITY = re.compile(r"[0-9]+\s*[A-Za-z]+")
_LOG_TYPES = frozenset({"debug", "info", "warning", "error", "fatal", "panic"})
_DEEPEST = 200


class _FieldsNeededError(Exception):
    """The answer hangs on fields."""


class _SyntaxError(Exception):
    """Not the language that we know."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a filter asks about.

    Attributes:
        name: Its name; None for any.
        categories: All its categories, inherited ones included; None for any.
        fields: Its fields by name, those of its parents included; or ``NEED_FIELDS``.
    """

    name: str | None
    categories: frozenset[str] | None
    fields: Mapping[str, Value] | str


class Filter:
    """A filter that was read.

    Attributes:
        wants_all: Whether it asks for every event that has a name.
    """

    def __init__(self, ask: Callable[[Event], Answer]) -> None:
        self._ask = ask
        try:
            self.wants_all = ask(Event(None, None, NEED_FIELDS)) is True
        except _FieldsNeededError:
            self.wants_all = False

    def wants(self, event: Event) -> bool | None:
        """Whether an event is asked for; None when that hangs on fields that were not given."""
        try:
            return self._ask(event) is not False
        except _FieldsNeededError:
            return None


def parse_filter(text: str) -> Filter:
    """Read a filter. An empty one asks for nothing; one that we cannot read, for everything."""
    try:
        return Filter(_Reader(text).all())
    except _SyntaxError:
        return Filter(lambda _: True)


class _Reader:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def all(self) -> Callable[[Event], Answer]:
        if not self._tokens:
            return lambda _: False
        ask = self._chain(0)
        if self._at < len(self._tokens):
            raise _SyntaxError
        return ask

    def _chain(self, depth: int) -> Callable[[Event], Answer]:
        ask = self._term(depth)
        while self._word() in {"and", "or"}:
            both = _and if self._word() == "and" else _or
            self._at += 1
            ask = both(ask, self._term(depth))
        return ask

    def _term(self, depth: int) -> Callable[[Event], Answer]:
        if depth > _DEEPEST:
            raise _SyntaxError
        if self._word() == "not":
            self._at += 1
            return _not(self._term(depth + 1))
        kind, text = self._take()
        if (kind, text) == ("bracket", "("):
            ask = self._chain(depth + 1)
            if self._take() != ("bracket", ")"):
                raise _SyntaxError
            return ask
        if kind not in {"word", "quoted"}:
            raise _SyntaxError
        operator_kind, operator = self._take()
        value_kind, value = self._take()
        if operator_kind != "operator" or value_kind not in {"word", "quoted"}:
            raise _SyntaxError
        return _comparison(text, operator, value)

    def _take(self) -> tuple[str, str]:
        if self._at >= len(self._tokens):
            raise _SyntaxError
        self._at += 1
        return self._tokens[self._at - 1]

    def _word(self) -> str:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        return text.lower() if kind == "word" else ""


def _tokens(text: str) -> list[tuple[str, str]]:
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            if _SPACE.fullmatch(text, at):
                break
            raise _SyntaxError
        bracket, operator, quoted, word = match.groups()
        if bracket:
            found.append(("bracket", bracket))
        elif operator:
            found.append(("operator", operator))
        elif quoted is not None:
            found.append(("quoted", re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL)))
        else:
            found.append(("word", word))
        at = match.end()
    return found


def _and(left: Callable[[Event], Answer], right: Callable[[Event], Answer]) -> Callable[[Event], Answer]:
    return lambda event: _either(event, left, right, decisive=False)


def _or(left: Callable[[Event], Answer], right: Callable[[Event], Answer]) -> Callable[[Event], Answer]:
    return lambda event: _either(event, left, right, decisive=True)


def _not(ask: Callable[[Event], Answer]) -> Callable[[Event], Answer]:
    def turned(event: Event) -> Answer:
        answer = ask(event)
        return None if answer is None else not answer

    return turned


def _either(event: Event, left: Callable[[Event], Answer], right: Callable[[Event], Answer], *, decisive: bool) -> Answer:
    """AND (``decisive`` False) or OR; a side that decides makes the other one's fields needless."""
    answers: list[Answer] = []
    unread = False
    for ask in (left, right):
        try:
            answer = ask(event)
        except _FieldsNeededError:
            unread = True
            continue
        if answer is decisive:
            return decisive
        answers.append(answer)
    if unread:
        raise _FieldsNeededError
    return None if None in answers else not decisive


def _comparison(key: str, operator: str, value: str) -> Callable[[Event], Answer]:
    if key == "event":
        return _naming(operator, value)
    if key == "category":
        if value in _LOG_TYPES:
            return lambda _: operator == "=" and value == "debug"
        return lambda event: None if event.categories is None else operator == "=" and value in event.categories
    if key == "source_location":
        return lambda _: False
    compare = _field_comparison(operator, value)

    def ask(event: Event) -> Answer:
        if isinstance(event.fields, str):
            raise _FieldsNeededError
        if key not in event.fields:
            return operator == "=" and value == ""
        return compare(event.fields[key])

    return ask


def _naming(operator: str, pattern: str) -> Callable[[Event], Answer]:
    named = _glob(pattern, any_case=False)
    every = set(pattern) == {"*"}

    def ask(event: Event) -> Answer:
        if operator != "=":
            return False
        if event.name is None:
            return True if every else None
        return named(event.name)

    return ask


def _field_comparison(operator: str, value: str) -> Callable[[Value], Answer]:
    fits = _glob(value, any_case=True)
    number = int(value) if _WHOLE.fullmatch(value) else None
    quantity = _QUANTITY.fullmatch(value) is not None

    def compare(have: Value) -> Answer:
        if isinstance(have, bool) or have is None:
            return False
        if isinstance(have, int):
            if number is not None:
                return _compared(have, operator, number)
            if quantity:
                return None
            return operator == "=" and _DIGITS.fullmatch(value) is not None and fits(str(have))
        if operator != "=":
            return False
        if isinstance(have, list):
            return any(map(fits, have)) if have else value == ""
        return fits(have) or (None if "/" in value else False)

    return compare


def _compared(have: int, operator: str, number: int) -> bool:
    match operator:
        case "=":
            return have == number
        case ">":
            return have > number
        case "<":
            return have < number
        case ">=":
            return have >= number
        case _:
            return have <= number


@lru_cache(maxsize=256)
def _glob(pattern: str, *, any_case: bool) -> Callable[[str], bool]:
    if set(pattern) == {"*"}:
        return lambda _: True
    parts = [".*" if piece[0] == "*" else "." if piece == "?" else re.escape(piece) for piece in re.findall(r"\*+|\?|[^*?]+", pattern)]
    match = re.compile("".join(parts), re.DOTALL | (re.IGNORECASE if any_case else 0)).fullmatch
    return lambda text: match(text) is not None and (text != "" or pattern == "")
