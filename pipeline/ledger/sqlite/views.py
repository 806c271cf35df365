"""Makes views that take rows apart by triggers, and inserts many rows into one at once.

View and triggers belong to one connection and are no part of the file: whichever program opens a
ledger brings its own.
"""

# Only names of our own, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pipeline.ledger.batches import ROWS_AT_ONCE

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence

ROWS_STEP: Final = 16
"""Statements are for a fence and 16, 32, 48 ... rows, so that few texts are ever compiled; the rest
is empty."""


def create_view(
    driver: sqlite3.Connection,
    view: str,
    columns: Sequence[str],
    triggers: Mapping[str, tuple[str, str]],
) -> None:
    """Make a view and its triggers known to a connection, if it does not know them yet."""
    empty = ", ".join(f"NULL AS {column}" for column in columns)
    driver.execute(f"CREATE TEMP VIEW IF NOT EXISTS {view} AS SELECT {empty}")
    for name, (condition, body) in triggers.items():
        driver.execute(
            f"CREATE TEMP TRIGGER IF NOT EXISTS {view}_{name} INSTEAD OF INSERT ON {view} "
            f"WHEN {condition} BEGIN {body} END"
        )


def insert_rows(
    driver: sqlite3.Connection, view: str, fence: Sequence[object], values: list[object]
) -> None:
    """Insert rows into a view, a fence before them.

    Args:
        driver: The connection.
        view: One that `create_view` made.
        fence: The fence's row, as wide as the view.
        values: The values of all rows, one after the other; they are filled up to whole steps.

    Raises:
        sqlite3.Error: The disk or the database failed, or a trigger or a rule refused.
    """
    columns = len(fence)
    values += (0,) * (columns * (-(len(values) // columns) % ROWS_STEP))
    at_once = columns * ROWS_AT_ONCE
    for start in range(0, len(values), at_once):
        part = (*fence, *values[start : start + at_once])
        # `execute` would let go of the interpreter lock once more, for the last row's id.
        driver.executemany(_insert_of(view, columns, len(part) // columns), (part,))


@lru_cache(2 * ROWS_AT_ONCE // ROWS_STEP)
def _insert_of(view: str, columns: int, rows: int) -> str:
    """Give the statement for so many rows of a view with so many columns."""
    marks = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {view} VALUES {', '.join([marks] * rows)}"
