"""Makes the ledger's tables in SQLite, and compares those of a file with them, word by word.

Which blanks stand between two words says nothing to SQLite, nor do quotes around the name of a table
or column of ours, and it adds such quotes itself. All else in a statement counts: quotes around any
other word make a text of it, and a blank in a text belongs to that text.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from pipeline.ledger.schema import STATE_TABLES, metadata
from pipeline.ledger.sqlite.connection import driver_of
from pipeline.ledger.sqlite.rules import triggers
from pipeline.ledger.states import LIVES, steps_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pipeline.ledger.store import Parts

_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_schema"
_NAMES: Final = frozenset(
    name for table in metadata.tables.values() for name in (table.name, *table.columns.keys())
)
_UNSAID: Final = re.compile(
    r"""'[^']*'|(?<![\w"])"(?P<name>\w+)"(?![\w"])|"[^"]*"|(?P<blanks>[ \t\n\f\r]+)"""
)
"""Texts, names in quotes, whatever else is in quotes, and what SQLite takes for blanks, no more."""
_KEPT: Final = 256
"""How many statements are kept as they are compared: more than a ledger has."""


def create_tables(connection: Connection) -> None:
    """Make the tables, fill those of states and steps, and make the rules."""
    _create_tables(driver_of(connection))


def _create_tables(driver: sqlite3.Connection) -> None:
    for statement in _statements():
        driver.execute(statement)
    for life in LIVES:
        states, steps = (table.name for table in STATE_TABLES[life.name])
        # The names are our own schema's.
        to_states = f"INSERT INTO {states} (state) VALUES (?)"  # noqa: S608
        driver.executemany(to_states, [(state.value,) for state in life.steps])
        to_steps = f"INSERT INTO {steps} (from_state, to_state) VALUES (?, ?)"  # noqa: S608
        driver.executemany(to_steps, steps_of(life))
    _create_rules(driver)


@lru_cache(1)
def _statements() -> tuple[str, ...]:
    """Give the statements that make tables and indexes: put together once, as that takes long."""
    dialect = sqlite.dialect()
    statements = []
    for table in metadata.sorted_tables:
        statements.append(str(CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda one: str(one.name))
        statements += [str(CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return tuple(statements)


def create_rules(connection: Connection) -> None:
    """Make the rules; after an upgrade this version's take the place of the older one's."""
    _create_rules(driver_of(connection))


def _create_rules(driver: sqlite3.Connection) -> None:
    found = driver.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    for (name,) in found:
        driver.execute(f'DROP TRIGGER "{name}"')
    for statement in triggers():
        driver.execute(statement)


def parts_of(connection: Connection) -> Parts:
    """Give every part of a file's schema, however it is named."""
    return _parts(driver_of(connection))


@lru_cache(1)
def own_parts() -> Parts:
    """Give every part of the schema that this program makes."""
    return _made_by(_create_tables)


def _made_by(create: Callable[[sqlite3.Connection], None]) -> Parts:
    with closing(sqlite3.connect(":memory:")) as driver:
        create(driver)
        return _parts(driver)


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


@lru_cache(_KEPT)
def _plain(sql: str | None) -> str:
    """Give a statement without what says nothing in it: kinds of blanks, quotes around our names."""
    return _UNSAID.sub(_said, sql or "").strip(" ")


def _said(found: re.Match[str]) -> str:
    if found["blanks"]:
        return " "
    return found["name"] if found["name"] in _NAMES else found[0]
