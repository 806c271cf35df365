"""Digests what each table of the ledger holds, over bytes that do not depend on the database.

A table's digest is SHA-256 over its rows as canonical JSON (RFC 8785): one array of arrays, the
rows in the order of their key, the columns in the schema's order, bytes as hexadecimal text. So
`json.dumps` of what any store's driver gives finds the same digest.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import LargeBinary, func, select

from pipeline.ledger.schema import DIGESTED, runs
from pipeline.ledger.store import WATCH, store_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Select, Table

    from pipeline.ledger.store import Watch


def table_digests(connection: Connection) -> dict[str, dict[str, int | str]]:
    """Digest what every table holds, and the schema with its rules.

    What this connection has digested before and never written to is not read again.

    Returns:
        Table name to `rows` and `sha256`; `schema` stands for the tables' own definitions.
    """
    known = _still_known(connection)
    digests = {
        str(table.name): known.get(table.name) or _digest(_rows_of(connection, table))
        for table in DIGESTED
    }
    watch: Watch | None = connection.info.get(WATCH)
    if watch is not None:
        watch.digests = digests
    return digests | {"schema": _digest([sorted(store_of(connection).portable_parts(connection))])}


def _still_known(connection: Connection) -> dict[str, dict[str, int | str]]:
    """Give the digests of tables that cannot have changed since this connection digested them."""
    watch: Watch | None = connection.info.get(WATCH)
    if watch is None or not watch.is_alone():
        return {}
    return {name: told for name, told in watch.digests.items() if name not in watch.written}


def digest_of_earlier_runs(connection: Connection) -> str:
    """Digest the table of runs without the last of them."""
    last = select(func.max(runs.c.epoch)).scalar_subquery()
    earlier = select(runs).where(runs.c.epoch < last)
    return str(_digest(_rows_of(connection, runs, earlier))["sha256"])


def _rows_of(
    connection: Connection, table: Table, asked: Select[Any] | None = None
) -> Iterable[Sequence[Sequence[Any]]]:
    statement = (select(table) if asked is None else asked).order_by(*table.primary_key)
    blocks = store_of(connection).selected(connection, statement)
    binary = {n for n, column in enumerate(table.columns) if isinstance(column.type, LargeBinary)}
    if not binary:
        return blocks
    return (
        [[v.hex() if n in binary else v for n, v in enumerate(row)] for row in block]
        for block in blocks
    )


def _digest(blocks: Iterable[Sequence[Sequence[Any]]]) -> dict[str, int | str]:
    digest, count = hashlib.sha256(b"["), 0
    for block in blocks:
        if count:
            digest.update(b",")
        count += len(block)
        digest.update(orjson.dumps(block)[1:-1])
    digest.update(b"]")
    return {"rows": count, "sha256": digest.hexdigest()}
