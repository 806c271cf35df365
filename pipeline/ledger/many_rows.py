"""Runs one statement for many rows, put into words once for each database.

`Connection.execute` works the words and the order of the parameters out anew for every batch; with
a dozen rows a batch that took more time than the database did.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Delete, Dialect, Insert, Update


class _Words(NamedTuple):
    """A statement in a database's words.

    Attributes:
        text: The words.
        order: Names of the parameters, one for each mark; None where they go by name.
        fixed: The parameters that the statement itself gives.
    """

    text: str
    order: tuple[str, ...] | None
    fixed: dict[str, Any]


def run_for_each(
    connection: Connection,
    statement: Insert | Update | Delete,
    rows: Sequence[Mapping[str, Any]],
) -> int:
    """Run a statement once for each of these rows, in one call of the driver.

    Args:
        connection: In a transaction.
        statement: A statement that is kept: it is compiled once and remembered for good.
        rows: Its parameters, a mapping for each time; all have the same keys.

    Returns:
        How many rows of the database were changed.
    """
    if not rows:
        return 0
    words = _words(statement, connection.dialect, tuple(rows[0]))
    given: list[Any]
    if words.order is None:
        given = [{**words.fixed, **row} for row in rows]
    else:
        fixed, order = words.fixed, words.order
        given = [tuple([row[n] if n in row else fixed[n] for n in order]) for row in rows]
    return connection.exec_driver_sql(words.text, given).rowcount


@cache
def _words(statement: Insert | Update | Delete, dialect: Dialect, names: tuple[str, ...]) -> _Words:
    keys = list(names) if statement.is_insert else None
    compiled = statement.compile(dialect=dialect, column_keys=keys)
    fixed = {name: value for name, value in compiled.params.items() if name not in names}
    order = compiled.positiontup if compiled.positional else None
    return _Words(str(compiled), None if order is None else tuple(order), fixed)
