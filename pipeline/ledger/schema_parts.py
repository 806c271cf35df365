"""Holds what the ledger's tables are made of, alike in every store: columns, indexes, states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, text
from sqlalchemy import Text as AnyText

if TYPE_CHECKING:
    from sqlalchemy.types import TypeEngine

CONDITION: Final = "condition"
"""In an index's `info`: which rows it is for."""

BIG: Final[TypeEngine[Any]] = BigInteger().with_variant(Integer, "sqlite")
"""Ids and moments: eight bytes in every store; SQLite's strict tables know one integer only."""

Text: Final[TypeEngine[Any]] = AnyText().with_variant(AnyText(collation="C"), "postgresql")
"""Text in the order of its bytes, in every store; else outputs would depend on the server."""


def big(name: str, *rest: Any, **options: Any) -> Column[Any]:
    """Give a column of numbers of eight bytes."""
    return Column(name, BIG, *rest, **options)


def id_column(name: str = "id", *rest: Any) -> Column[Any]:
    """Give the column of numbers that tells the rows of a table apart."""
    return big(name, *rest, primary_key=True, autoincrement=False)


def index_where(name: str, column: Column[Any], condition: str) -> None:
    """Index the rows of a table that a condition names."""
    # Named here for PostgreSQL, too, the condition would load all its drivers: a tenth of a second.
    Index(name, column, sqlite_where=text(condition), info={CONDITION: condition})


def states_of(metadata: MetaData, life: str) -> tuple[Table, Table]:
    """Give the table of a life's states and the table of the steps between them."""
    states = Table(
        f"{life}_states",
        metadata,
        Column("state", Text, primary_key=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    steps = Table(
        f"{life}_steps",
        metadata,
        Column("from_state", Text, ForeignKey(f"{life}_states.state"), primary_key=True),
        Column("to_state", Text, ForeignKey(f"{life}_states.state"), primary_key=True),
        sqlite_strict=True,
        sqlite_with_rowid=False,
    )
    return states, steps


def state_column(life: str) -> Column[Any]:
    """Give the column of a life's states."""
    return Column("state", Text, ForeignKey(f"{life}_states.state"), nullable=False)
