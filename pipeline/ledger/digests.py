r"""Digests what each table of the ledger holds, over bytes that do not depend on the database.

A table's digest is SHA-256 over its rows in the order of their key, each as PostgreSQL's text
format of COPY has it: UTF-8, columns in the schema's order with a tab between them, a line feed at
the end; `\N` for what is absent, `\\ \b \t \n \v \f \r` for those characters, `\\x` and hexadecimal
for bytes. Any store can write these lines by itself, so a million rows take a second.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

from sqlalchemy import LargeBinary, Text

from pipeline.ledger.schema import DIGESTED
from pipeline.ledger.sqlite.streaming import blocks
from pipeline.ledger.sqlite.tables import parts_of

if TYPE_CHECKING:
    from sqlalchemy import Column, Connection, Table

_ESCAPES: Final = ((92, "\\"), (8, "b"), (9, "t"), (10, "n"), (11, "v"), (12, "f"), (13, "r"))
_WORTH_ESCAPING: Final = (
    "*[' || char(92) || char(8) || '-' || char(13) || ']*"  # A backslash, or control 8 to 13.
)


def table_digests(connection: Connection) -> dict[str, dict[str, int | str]]:
    """Digest what every table holds, and the schema with its rules.

    Returns:
        Table name to `rows` and `sha256`; `schema` stands for the tables' own definitions.
    """
    digests = {str(table.name): _digest(connection, _lines_of(table)) for table in DIGESTED}
    return digests | {"schema": _schema_digest(connection)}


def _schema_digest(connection: Connection) -> dict[str, int | str]:
    parts = sorted(parts_of(connection))
    digest = hashlib.sha256("".join("\t".join(part) + "\n" for part in parts).encode())
    return {"rows": len(parts), "sha256": digest.hexdigest()}


def _lines_of(table: Table) -> str:
    columns = " || char(9) || ".join(_text_of(column) for column in table.columns)
    key = ", ".join(f'"{column.name}"' for column in table.primary_key)
    # Every name is our own schema's.
    return f"SELECT {columns} FROM {table.name} ORDER BY {key}"  # noqa: S608


def _text_of(column: Column[object]) -> str:
    name = f'"{column.name}"'
    if isinstance(column.type, LargeBinary):
        name = f"'\\\\x' || lower(hex({name}))"
    elif isinstance(column.type, Text):
        escaped = name
        for code, letter in _ESCAPES:
            escaped = f"replace({escaped}, char({code}), '\\{letter}')"
        # Hardly any text needs it, and looking costs a fraction of seven copies.
        needed = f"({name} GLOB '{_WORTH_ESCAPING}' OR instr({name}, char(0)))"
        name = f"CASE WHEN {needed} THEN {escaped} ELSE {name} END"
    return f"ifnull({name}, '\\N')" if column.nullable else f"({name})"


def _digest(connection: Connection, query: str) -> dict[str, int | str]:
    digest, count = hashlib.sha256(), 0
    for block in blocks(connection, query):
        count += len(block)
        digest.update("".join([f"{line}\n" for (line,) in block]).encode())
    return {"rows": count, "sha256": digest.hexdigest()}
