"""Digests what each table of the ledger holds, over bytes that do not depend on the database.

The bytes of rows are canonical JSON (RFC 8785): one array of arrays, the rows in the order of their
key, the columns in the schema's order, bytes as hexadecimal text. So `json.dumps` of what any
store's driver gives finds the same bytes. A small table's digest is SHA-256 over them. A table that
grows with cards is cut into sections of a thousand ids, and its digest is SHA-256 over the array of
[number, digest] of its sections, so that what did not change need not be read again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import LargeBinary, select

from pipeline.ledger.lasting_proof import lasting_digest, what_lasts
from pipeline.ledger.publications import LASTING
from pipeline.ledger.schema import (
    attachments,
    attempts,
    customers,
    exports,
    meta,
    outcomes,
    retired_tokens,
    rows,
    runs,
    tokens,
)
from pipeline.ledger.sections import (
    SECTIONED,
    Digested,
    digest_of,
    digest_sections,
    digests_known,
    numbers,
)
from pipeline.ledger.store import store_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Table

    from pipeline.ledger.lasting_proof import Lasting


DIGESTED: Final = (
    *(meta, runs, exports, customers, rows, attempts, outcomes, tokens, retired_tokens),
    attachments,
)
"""Every table but the events, which carry their own chain, the states, which are the schema's, and
what is worked out of the others."""


def table_digests(
    connection: Connection,
    *,
    kept: bool,
    epoch: int | None = None,
    parts: Mapping[str, Sequence[Digested]] | None = None,
    lasting: Sequence[Lasting] | None = None,
) -> dict[str, dict[str, int | str]]:
    """Digest what every table holds, the schema with its rules, and what lasts of all rows.

    Args:
        connection: A reading connection.
        kept: Go by what is kept of sections, and read only those of which nothing is.
        epoch: Leave runs out that came after this one, which brought nothing; default: none.
        parts: What `digested_tables` gave, where it was asked before.
        lasting: What `what_lasts` gave, likewise.

    Returns:
        Table name to `rows` and `sha256`; `schema` stands for the tables' own definitions,
        `lasting` for what no later run may change.
    """
    if parts is None:
        parts = digested_tables(connection, kept=kept)
    if lasting is None:
        lasting = what_lasts(connection, kept=kept)
    large = {str(table.name): digest_of(parts[table.name]) for table in SECTIONED}
    small = small_tables(connection, epoch)
    return large | small | {LASTING: lasting_digest(lasting, epoch)}


def small_tables(connection: Connection, epoch: int | None) -> dict[str, dict[str, int | str]]:
    """Digest the tables that do not grow with cards, and the schema; `epoch` as above."""
    digests = {
        str(table.name): _digest(_rows_of(connection, table, epoch))
        for table in DIGESTED
        if table not in SECTIONED
    }
    schema = _digest([sorted(store_of(connection).portable_parts(connection))])
    return digests | {"schema": schema}


def digested_tables(connection: Connection, *, kept: bool) -> dict[str, list[Digested]]:
    """Digest the sections of every table that is cut, by its name; `kept` as above."""
    return {table.name: digested(connection, table, kept=kept) for table in SECTIONED}


def digested(connection: Connection, table: Table, *, kept: bool) -> list[Digested]:
    """Digest the sections of a table, in order; `kept` as for `table_digests`."""
    if not kept:
        return list(digest_sections(connection, table))
    known = digests_known(connection, table)
    there = numbers(connection, table)
    missing = [number for number in there if number not in known]
    known |= {part.number: part for part in digest_sections(connection, table, missing)}
    return [known[number] for number in there]


def _rows_of(
    connection: Connection, table: Table, epoch: int | None
) -> Iterable[Sequence[Sequence[Any]]]:
    statement = select(table).order_by(*table.primary_key)
    if table is runs and epoch is not None:
        statement = statement.where(runs.c.epoch <= epoch)
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
