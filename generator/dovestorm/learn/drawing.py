"""How what differs from event to event is told: each number by itself, or all numbers of an event as they were recorded together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dovestorm.learn.quantities import chosen, quantity

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ROW", "Alone", "Together", "cell", "session_word"]

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

    def word(self, column: str, values: Sequence[str]) -> Any:  # noqa: ARG002 - as its twin
        """A word that a session has throughout: a variable, set at its beginning."""
        return f"${session_word(column)}"


class Together:
    """All that differs stands in a table, a row for each event, so that what was recorded together stays together.

    Attributes:
        table: The table's name.
        columns: Name to the values, one for each row.
    """

    def __init__(self, table: str) -> None:
        self.table = table
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
        self.columns[column] = [escaped(value) for value in values]
        return cell(self.table, column)

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
    text = value.replace("${", "$${")
    return f"${text}" if text.startswith("$") and not text.startswith("$$") else text
