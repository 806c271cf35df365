"""Digests what each table of the ledger holds.

A table's digest is SHA-256 over its rows in the order of their ids, each as SQLite's own
`json_array` of all columns (blobs as hexadecimal) and a line feed. The database writes the
texts, so a million rows take a second and `sqlite3` alone can find the same digest.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import LargeBinary

from pipeline.ledger.schema import attempts, exports, meta, outcomes, rows, runs, tokens
from pipeline.ledger.sqlite.streaming import blocks

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

_DIGESTED: Final = (meta, runs, exports, rows, attempts, outcomes, tokens)
"""Every table but the events, which carry their own chain."""


def table_digests(connection: Connection) -> dict[str, dict[str, int | str]]:
    """Digest what every table holds, and the schema with its rules.

    Returns:
        Table name to `rows` and `sha256`; `schema` stands for the tables' own definitions.
    """
    digests = {str(table.name): _digest(connection, _table_query(table)) for table in _DIGESTED}
    schema = (
        "SELECT json_array(type, name, tbl_name, sql) FROM sqlite_schema "
        "WHERE name NOT LIKE 'sqlite%' ORDER BY type, name"
    )
    return digests | {"schema": _digest(connection, schema)}


def _table_query(table: Table) -> str:
    names = (
        f"hex({column.name})" if isinstance(column.type, LargeBinary) else f'"{column.name}"'
        for column in table.columns
    )
    key = ", ".join(column.name for column in table.primary_key)
    # Every name is our own schema's.
    return f"SELECT json_array({', '.join(names)}) FROM {table.name} ORDER BY {key}"  # noqa: S608


def _digest(connection: Connection, query: str) -> dict[str, int | str]:
    digest, count = hashlib.sha256(), 0
    for block in blocks(connection, query):
        count += len(block)
        digest.update("".join([f"{line}\n" for (line,) in block]).encode())
    return {"rows": count, "sha256": digest.hexdigest()}
