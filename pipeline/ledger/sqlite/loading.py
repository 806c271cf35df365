"""Inserts many rows at once, and asks the rules for new rows of all of them together, not of each.

For each row of a statement SQLite runs the triggers, and because of them it sets all rows of the
statement aside before it writes the first: together that takes half as long as writing them. So
the rules for new rows are lifted inside a transaction, asked of what was inserted, and back in their
places before it ends. Whoever opens the file finds them there, at whatever instant this process dies.
"""

# Only names of our own schema, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from pipeline.ledger.schema import rows
from pipeline.ledger.sections import MARKED, SECTION_ROWS
from pipeline.ledger.sqlite.connection import driver_of, rule_broken
from pipeline.ledger.sqlite.rules import HAS_RIVAL, SECOND_IN_FORCE, rules_for_new_rows
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Table

_ROWS_A_STATEMENT: Final = 250
_MANY_ROWS: Final = 500
"""For fewer it is not worth to lift rules and put them back."""

_HAVE_RIVALS: Final = (
    f"SELECT 1 FROM rows AS new WHERE new.id BETWEEN ? AND ? AND {HAS_RIVAL} LIMIT 1"
)
_FORGET: Final = (
    f"DELETE FROM sections WHERE number BETWEEN ? / {SECTION_ROWS} AND ? / {SECTION_ROWS} "
    f"AND of IN ({', '.join(map(repr, MARKED[rows.name]))})"
)


def insert_rows(
    connection: Connection,
    table: Table,
    names: Sequence[str],
    columns: Sequence[Sequence[object]],
) -> None:
    """Insert many rows, some at a time: a statement's beginning and end cost as a row does.

    Args:
        connection: In a transaction, which is not committed after a failure.
        table: The table.
        names: Its columns.
        columns: Their values, a value a row, in the order of the names; none for no row.

    Raises:
        VerificationFailed: A rule was broken that is asked of all rows together.
    """
    count = len(columns[0]) if columns else 0
    if not count:
        return
    # For each None the driver looks for an adapter first, for as long as it takes for all the
    # row's other values.
    given = {
        name: column
        for name, column in zip(names, columns, strict=True)
        if column[0] is not None
        or column.count(None) < count
        or table.columns[name].server_default is not None
    }
    if table is rows and count >= _MANY_ROWS:
        ids: Sequence[Any] = columns[names.index("id")]
        has_tokens = RowState.TOKENIZED.value in columns[names.index("state")]
        with _asked_together(connection, min(ids), max(ids), has_tokens=has_tokens):
            _insert(connection, table, given, count)
    else:
        _insert(connection, table, given, count)


def _insert(
    connection: Connection, table: Table, columns: dict[str, Sequence[object]], count: int
) -> None:
    shared = {
        name: column[0]
        for name, column in columns.items()
        # A key that all rows have is the database's to refuse.
        if not table.columns[name].primary_key and _is_one_text(column, count)
    }
    own = {name: column for name, column in columns.items() if name not in shared}
    width = len(own)
    values: list[object] = [None] * (width * count)
    for place, column in enumerate(own.values()):
        values[place::width] = column
    given, names, driver = [*shared.values()], (*shared, *own), driver_of(connection)
    whole = (count - count % _ROWS_A_STATEMENT) * width
    for first, last, rows_each in ((0, whole, _ROWS_A_STATEMENT), (whole, len(values), 1)):
        each = width * rows_each
        # The driver takes lists as they are; tuples of them would be one more copy of all.
        marks = [given + values[start : start + each] for start in range(first, last, each)]
        if marks:
            driver.executemany(_insertion(table, names, len(given), rows_each), marks)


def _is_one_text(column: Sequence[object], count: int) -> bool:
    """Say whether so many rows have one text, which a statement is then given once for all of its rows."""
    first = column[0]
    return (
        count >= _ROWS_A_STATEMENT
        and isinstance(first, str)
        and column[-1] == first
        and column.count(first) == count
    )


@contextmanager
def _asked_together(
    connection: Connection, first_id: int, last_id: int, *, has_tokens: bool
) -> Iterator[None]:
    """Lift the rules for new rows, and ask them of the rows of a range of ids at the end.

    Where none of the new rows is `tokenized` none of them is a second in force.
    """
    rules, driver = rules_for_new_rows(), driver_of(connection)
    for name in rules:
        driver.execute(f"DROP TRIGGER {name}")
    yield
    if has_tokens and driver.execute(_HAVE_RIVALS, (first_id, last_id)).fetchone() is not None:
        raise rule_broken(SECOND_IN_FORCE)
    driver.execute(_FORGET, (first_id, last_id))
    for statement in rules.values():
        driver.execute(statement)


@lru_cache(32)
def _insertion(table: Table, names: tuple[str, ...], shared: int, count: int) -> str:
    """Give the statement that inserts so many rows; the names are our own schema's.

    The first `shared` marks stand for what all rows have, the others for each row's own. Those have
    no numbers: the database looks a number up among all that came before it.
    """
    columns = ", ".join(f'"{name}"' for name in names)
    own = len(names) - shared
    marks_of_a_row = [*(f"?{place}" for place in range(1, shared + 1)), *["?"] * own]
    marks = ", ".join([f"({', '.join(marks_of_a_row)})"] * count)
    return f'INSERT INTO "{table.name}" ({columns}) VALUES {marks}'
