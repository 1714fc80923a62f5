"""Tables: what belongs together, row by row, so that a session can take several values from the same row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dovestorm.scenario.nodes import Node, Scalar
from dovestorm.scenario.reading import Column, Reading, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["tables"]


def tables(reading: Reading, node: Node | None) -> dict[str, dict[str, Column]]:
    """Read the scenario's tables: the columns of each by name."""
    found: dict[str, dict[str, Column]] = {}
    if node is None:
        return found
    written = reading.table(node, what="tables")
    for name, item in written.entries.items():
        reading.name(written.keys[name], what="a table's name")
        entries = reading.keys(reading.table(item, what="a table"), what=f"table '{name}'", required=("columns", "rows"))
        if len(entries) < 2:
            continue
        columns = _columns(reading, entries["columns"], name)
        rows = [_row(reading, row, name, columns) for row in reading.listing(entries["rows"], what="rows")]
        if not rows and not isinstance(entries["rows"], Scalar):
            reading.faults.add(entries["rows"].at, f"table '{name}' is empty, give it at least one row")
        if columns and rows and all(rows):
            found[name] = {column: Column(tuple(row[place] for row in rows)) for place, column in enumerate(columns)}
    return found


def _columns(reading: Reading, node: Node, table: str) -> list[str]:
    columns: list[str] = []
    for item in reading.listing(node, what="columns"):
        name = reading.name(item, what="a column's name")
        if name in columns:
            reading.faults.add(item.at, f"column '{name}' of table '{table}' stands twice")
        columns.append(name)
    if not columns and not isinstance(node, Scalar):
        reading.faults.add(node.at, f"table '{table}' has no columns, name at least one")
    return columns


def _row(reading: Reading, node: Node, table: str, columns: Sequence[str]) -> tuple[Scalar, ...]:
    """A row's cells; none after a fault."""
    cells = reading.listing(node, what="a row")
    if isinstance(node, Scalar):
        return ()
    if len(cells) != len(columns):
        reading.faults.add(node.at, f"a row of table '{table}' has {len(cells)} cells, its columns are {len(columns)} ({', '.join(columns)})")
        return ()
    row = tuple(cell for cell in cells if isinstance(cell, Scalar))
    for cell in cells:
        if not isinstance(cell, Scalar):
            reading.faults.add(cell.at, f"a cell of table '{table}' ({shown(cell)}) must be a number, a text or null")
    return row if len(row) == len(cells) else ()
