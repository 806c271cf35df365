"""Keeps a ledger in one SQLite file: what SQLite does in its own way, behind the seam of `store`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, inspect

from pipeline.ledger.epoch import require_epoch
from pipeline.ledger.sqlite import connection as opened
from pipeline.ledger.sqlite import streaming, tables
from pipeline.ledger.sqlite.batch import Batches

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine, Select, Table

    from pipeline.errors import CardferryError
    from pipeline.ledger.store import Blocks, Parts, Store, Writing


class SqliteStore:
    """SQLite, as `store.Store` asks for it."""

    errors: tuple[type[Exception], ...] = opened.DATABASE_ERRORS

    def in_our_words(self, error: Exception) -> CardferryError:
        """Give our own error for one of `errors`."""
        return opened.in_our_words(error)

    def trouble(self) -> AbstractContextManager[None]:
        """Turn `errors` into ours."""
        return opened.ledger_trouble()

    def begins_empty(self, connection: Connection) -> bool:
        """Tell whether no table was made here yet."""
        return not inspect(connection).get_table_names()

    def create_tables(self, connection: Connection) -> None:
        """Make the tables and rules."""
        tables.create_tables(connection)

    def create_rules(self, connection: Connection) -> None:
        """Make the rules in place of those that are there."""
        tables.create_rules(connection)

    def parts_of(self, connection: Connection) -> Parts:
        """Give every part of the schema that is there."""
        return tables.parts_of(connection)

    def own_parts(self, connection: Connection) -> Parts:
        """Give every part of the schema that this program makes."""
        del connection
        return tables.own_parts()

    def portable_parts(self, connection: Connection) -> Parts:
        """Give the parts that are there: SQLite's are those that all stores tell."""
        return tables.parts_of(connection)

    def is_sound(self, connection: Connection, *, thorough: bool) -> bool:
        """Let SQLite check its pages, and every index against its table where that is asked for."""
        check = "integrity_check" if thorough else "quick_check"
        return bool(connection.exec_driver_sql(f"PRAGMA {check}(1)").scalar_one() == "ok")

    def fence(self, connection: Connection, epoch: int) -> None:
        """Refuse a run that was overtaken; `BEGIN IMMEDIATE` keeps all others out until the end."""
        require_epoch(connection, epoch)

    def selected(self, connection: Connection, statement: Select[Any]) -> Blocks:
        """Run a statement and give its rows in blocks."""
        return streaming.selected(connection, statement)

    def read_sparingly(self, connection: Connection) -> None:
        """Keep few pages in memory."""
        streaming.read_sparingly(connection)

    def fill(
        self,
        connection: Connection,
        table: Table,
        names: Sequence[str],
        values: Sequence[tuple[object, ...]],
    ) -> None:
        """Insert many rows by one statement that is compiled once."""
        _insertion(connection.engine, table, tuple(names)).many(connection, values)

    def batches(self, writing: Writing, epoch: int) -> Batches:
        """Make what writes the batches of a run."""
        return Batches(writing, epoch)


@lru_cache(16)
def _insertion(engine: Engine, table: Table, names: tuple[str, ...]) -> opened.Prepared:
    statement = insert(table).values({name: bindparam(name) for name in names})
    return opened.Prepared(engine, statement, names)


STORE: Final[Store] = SqliteStore()
