"""Writes what stands in PostgreSQL in place of the foreign keys that every card would go through.

A foreign key has the server look up each row by itself, and lock what it refers to so that nobody
takes that away meanwhile; for one card that came to more work than writing it down. Here one look
serves all rows of a statement, and nothing is locked, as what is referred to stays for good:

- of an attempt nobody may change or delete anything, so an outcome has its attempt for ever;
- attempts and tokens may only be of rows of a planned export, and those nobody may delete. Whoever
  deletes rows of an export that is still read holds it until the end of the transaction (`FOR
  SHARE`), so it is not planned meanwhile: whoever sees it planned sees which rows it has;
- a row's state is one of those that the rules themselves name (`rules`).

Whoever may switch rules off could write what refers to nothing, so proofs look for that
(`are_kept`).
"""

# Only names of our own schema, and our own words, are put together here.
# ruff: noqa: S608

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, or_, select

from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.schema import metadata

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, ForeignKeyConstraint

KEPT_BY_RULES: Final = (
    ("rows", "state"),
    ("attempts", "row_id"),
    ("outcomes", "attempt_id"),
    ("tokens", "row_id"),
)
"""Columns that refer to another table, and have no foreign key in PostgreSQL."""

MADE: Final = "made"
"""The name under which a rule sees all rows that a statement has inserted."""

_OPERATOR: Final = re.compile(r" (=|<>|/) ")


def by_the_servers_own(words: str) -> str:
    """Name the operators of a condition so that no session's path leads to others of that name.

    They bind alike then, from the left, so parentheses have to stand where that is not meant.
    """
    return _OPERATOR.sub(r" OPERATOR(pg_catalog.\1) ", words)


def to_an_attempt(schema: str) -> str:
    """Give the condition that an outcome among those made has no attempt."""
    return by_the_servers_own(_some_without(schema, "attempts", "attempt_id"))


def to_a_planned_row(schema: str) -> str:
    """Give the condition that something made is of no row, or of one that could still go."""
    state = f"(SELECT state FROM {schema}.exports WHERE id = whose.export)"
    of_another = (
        f"EXISTS (SELECT FROM (SELECT DISTINCT row_id / {ROW_SPAN} AS export FROM {MADE}) whose "
        f"WHERE ({state} = 'planned') IS NOT TRUE)"
    )
    return by_the_servers_own(f"{_some_without(schema, 'rows', 'row_id')} OR {of_another}")


def may_go(schema: str) -> str:
    """Give the condition that a row is of an export that is still read; it stays so until the end."""
    whose = f"SELECT state FROM {schema}.exports WHERE id = (OLD.id / {ROW_SPAN}) FOR SHARE"
    return by_the_servers_own(f"coalesce(({whose}), '') = 'proving'")


def _some_without(schema: str, table: str, column: str) -> str:
    # Put so that each is looked up: joined, one of the tables might be gone through.
    found = f"SELECT there.id FROM {schema}.{table} there WHERE there.id = {MADE}.{column}"
    return f"EXISTS (SELECT FROM {MADE} WHERE ({found}) IS NULL)"


def is_kept_by_rules(key: ForeignKeyConstraint) -> bool:
    """Tell whether a foreign key of the ledger's tables is none in PostgreSQL."""
    return (key.table.name, *key.column_keys) in KEPT_BY_RULES


def are_kept(connection: Connection) -> bool:
    """Tell whether nothing in the ledger refers to what is not there, as foreign keys would see to."""
    # Asked at once, for one way to the server and back.
    return not connection.execute(select(or_(*(_lost(*one) for one in KEPT_BY_RULES)))).scalar()


def _lost(table: str, column: str) -> ColumnElement[bool]:
    refers = metadata.tables[table].c[column]
    (key,) = refers.foreign_keys
    return select(refers).where(~exists().where(key.column == refers)).exists()
