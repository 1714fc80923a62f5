"""How what differs from event to event is told: each number by itself, or all numbers of an event as they were recorded together."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from dovestorm.learn.quantities import chosen, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ROW", "Alone", "Together", "cell", "session_word"]

_VARIABLE = re.compile(r"\$[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)

ROW = "row"
"""The variable that holds the session's place in the present state's table."""


class Alone:
    """Every number is drawn by itself: from a table of quantiles, or from a few values by weight."""

    def amount(self, column: str, amounts: Sequence[int]) -> Any:  # noqa: ARG002 - as its twin
        """A number: microseconds, bytes or pieces."""
        return quantity(amounts)

    def one(self, column: str, values: Sequence[Any]) -> Any:  # noqa: ARG002 - as its twin
        """One of the values."""
        return chosen([escaped(value) for value in values])

    def numbered(self, column: str, shape: str, values: Sequence[Any]) -> Any:  # noqa: ARG002 - as its twin
        """A text of the shape, its hole ``${n}`` one of as many numbers as there were values."""
        different = len(set(map(str, values)))
        return {"text": shape, "n": {"uniform": [1, different]}} if different > 1 else shape.replace("${n}", "1")

    def word(self, column: str, values: Sequence[str]) -> Any:  # noqa: ARG002 - as its twin
        """A word that a session has throughout: a variable, set at its beginning."""
        return f"${session_word(column)}"


class Together:
    """All that differs stands in a table, a row for each event, so that what was recorded together stays together.

    Args:
        table: The table's name.
        order: Which of the values goes into the first row, into the second ...
        numbers: For each field the numbers of its texts, the same for all tables.

    Attributes:
        table: The table's name.
        columns: Name to the values, one for each row.
    """

    def __init__(self, table: str, order: Sequence[int], numbers: dict[str, dict[str, int]]) -> None:
        self.table = table
        self._order = order
        self._numbers = numbers
        self.columns: dict[str, list[Any]] = {}

    def amount(self, column: str, amounts: Sequence[int]) -> Any:
        """A number: microseconds, bytes or pieces."""
        return self.one(column, amounts)

    def one(self, column: str, values: Sequence[Any]) -> Any:
        """One of the values: itself where there is only one."""
        if any(isinstance(value, list) for value in values):
            return chosen(values)
        if all(value == values[0] for value in values):
            return escaped(values[0])
        self.columns[column] = [escaped(values[at]) for at in self._order]
        return cell(self.table, column)

    def numbered(self, column: str, shape: str, values: Sequence[Any]) -> Any:
        """A text of the shape, its hole ``${n}`` the value's number: the same wherever the recording had the same."""
        known = self._numbers.setdefault(column, {})
        number = self.one(column, [known.setdefault(str(value), len(known) + 1) for value in values])
        return shape.replace("${n}", str(number)) if isinstance(number, int) else {"text": shape, "n": number}

    def word(self, column: str, values: Sequence[str]) -> Any:
        """A word that a session has throughout: it stands in each row."""
        return self.one(column, values)

    def written(self) -> dict[str, Any] | None:
        """The table as the scenario has it; None where nothing differs."""
        if not self.columns:
            return None
        return {"columns": list(self.columns), "rows": [list(row) for row in zip(*self.columns.values(), strict=True)]}


def session_word(name: str) -> str:
    """The variable that holds a word of the whole session."""
    return f"the_{name}"


def cell(table: str, column: str, row: str = f"${ROW}") -> dict[str, str]:
    """The value that stands in a column of the session's row."""
    return {"table": table, "column": column, "row": row}


def escaped(value: Any) -> Any:
    """A text as the language takes it for itself, whatever is in it."""
    if not isinstance(value, str):
        return value
    return f"${value}" if _VARIABLE.fullmatch(value) else value.replace("${", "$${")
