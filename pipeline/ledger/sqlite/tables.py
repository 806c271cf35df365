"""Makes the ledger's tables in SQLite, and compares those of a file with them, word by word."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sqlalchemy import create_engine, insert
from sqlalchemy.pool import StaticPool

from pipeline.ledger.schema import STATE_TABLES, metadata
from pipeline.ledger.sqlite.rules import triggers
from pipeline.ledger.states import LIVES, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pipeline.ledger.store import Parts

_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_BLANKS: Final = re.compile(r"\s+")
_QUOTED: Final = re.compile(r'"(\w+)"')


def create_tables(connection: Connection) -> None:
    """Make the tables, fill those of states and steps, and make the rules."""
    metadata.create_all(connection)
    for life in LIVES:
        states, steps = STATE_TABLES[life.name]
        connection.execute(insert(states), [{"state": state.value} for state in life.steps])
        pairs = [{"from_state": old, "to_state": new} for old, new in steps_of(life)]
        connection.execute(insert(steps), pairs)
    create_rules(connection)


def create_rules(connection: Connection) -> None:
    """Make the rules; after an upgrade this version's take the place of the older one's."""
    found = connection.exec_driver_sql("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
    for (name,) in found.all():
        connection.exec_driver_sql(f'DROP TRIGGER "{name}"')
    for statement in triggers():
        connection.exec_driver_sql(statement)


def parts_of(connection: Connection) -> Parts:
    """Give every part of a file's schema, however it is named."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError("this is no connection to SQLite")
    return _parts(driver)


@lru_cache(1)
def own_parts() -> Parts:
    """Give every part of the schema that this program makes."""
    return _made_by(create_tables)


def _made_by(create: Callable[[Connection], None]) -> Parts:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    try:
        with engine.begin() as connection:
            create(connection)
            return parts_of(connection)
    finally:
        engine.dispose()


def _parts(driver: sqlite3.Connection) -> Parts:
    with closing(driver.cursor()) as cursor:
        found = {
            (str(kind), str(name), str(table), _plain(sql))
            for kind, name, table, sql in cursor.execute(_SCHEMA).fetchall()
        }
        tables = {name for kind, name, *_ in found if kind == "table"}
        listed = {
            (listing.name, *map(str, values))
            for both in STATE_TABLES.values()
            for listing in both
            if listing.name in tables
            # The name is our own schema's.
            for values in cursor.execute(f"SELECT * FROM {listing.name}").fetchall()  # noqa: S608
        }
    return frozenset(found | listed)


def _plain(sql: str | None) -> str:
    """Give a statement without what SQLite changes in it when a table is renamed or altered."""
    return _BLANKS.sub(" ", _QUOTED.sub(r"\1", sql or "")).strip()
