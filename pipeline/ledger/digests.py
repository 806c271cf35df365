"""A ledger in, what auditors' papers rest on out: its events, and one digest for each table.

A table's digest is SHA-256 over its rows in the order of their ids, each as SQLite's own
`json_array` of all columns (blobs as hexadecimal) and a line feed. The database writes the
texts, so a million rows take a second and `sqlite3` alone can find the same digest.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import LargeBinary, func, select

from pipeline import hashing
from pipeline.ledger.schema import (
    ROW_SPAN,
    attempts,
    events,
    exports,
    meta,
    outcomes,
    rows,
    runs,
    tokens,
)
from pipeline.ledger.sqlite.streaming import FETCHED_AT_ONCE, blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Table

PUBLICATION: Final = "outputs_published"
"""The event that a publication leaves; it names the manifest's digest and the signing key's."""
VERIFICATION: Final = "outputs_verified"
"""The event that a verification leaves; it names the manifest's digest and what was found."""

_DIGESTED: Final = (meta, runs, exports, rows, attempts, outcomes, tokens)
"""Every table but the events, which carry their own chain."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication that the ledger knows of: its event's number and what it said."""

    seq: int
    manifest: str
    signature: str | None
    signing_key: str | None


@dataclass(frozen=True, slots=True)
class Account:
    """How far the events go that outputs speak of, and which publications there were.

    Publications and verifications after the last other event are not part of the trail that was
    published, so that publishing an unchanged ledger again gives the same trail. The next run's
    trail has them.
    """

    length: int
    head: str
    publications: tuple[Publication, ...]

    @property
    def latest(self) -> Publication | None:
        """The publication of the ledger as it stands, if there was one."""
        last = self.publications[-1] if self.publications else None
        return last if last is not None and last.seq > self.length else None

    @property
    def previous_manifest(self) -> str | None:
        """The manifest's digest of the last publication before the ledger changed."""
        earlier = [known for known in self.publications if known.seq < self.length]
        return earlier[-1].manifest if earlier else None


def account(connection: Connection) -> Account:
    """Find out which events outputs speak of."""
    is_publication = _is(PUBLICATION)
    found = connection.execute(
        select(events.c.seq, events.c.body).where(is_publication).order_by(events.c.seq)
    )
    publications = tuple(_publication(seq, body) for seq, body in found)
    last = connection.execute(
        select(events.c.seq, events.c.hash)
        .where(~is_publication, ~_is(VERIFICATION))
        .order_by(events.c.seq.desc())
        .limit(1)
    ).first()
    length, head = (0, hashing.GENESIS) if last is None else (int(last.seq), str(last.hash))
    return Account(length, head, publications)


def _is(kind: str) -> ColumnElement[bool]:
    return events.c.body.contains(f'"event":"{kind}"', autoescape=True)


def _publication(seq: int, body: str) -> Publication:
    detail = orjson.loads(body)["detail"]
    return Publication(
        int(seq), str(detail["manifest"]), detail.get("signature"), detail.get("signing_key")
    )


def event_lines(connection: Connection, length: int | None = None) -> Iterator[tuple[str, str]]:
    """Give (canonical body, hash) of the first `length` events, or of all, in order."""
    statement = select(events.c.body, events.c.hash).order_by(events.c.seq)
    if length is not None:
        statement = statement.where(events.c.seq <= length)
    result = connection.execution_options(yield_per=FETCHED_AT_ONCE).execute(statement)
    for body, own in result:
        yield str(body), str(own)


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


def legacy_ids_by_ending(
    connection: Connection,
) -> Iterator[Sequence[tuple[str, bool, str]]]:
    """Give (state, whether its token was superseded, legacy id) of every row that has an id."""
    proving = "SELECT id FROM exports WHERE state = 'proving'"
    # The number is our own schema's.
    query = (
        "SELECT state, superseded_by IS NOT NULL, legacy_id FROM rows WHERE legacy_id IS NOT NULL "  # noqa: S608
        f"AND id / {ROW_SPAN} NOT IN ({proving})"
    )
    return blocks(connection, query)


def answers(connection: Connection) -> Iterator[Sequence[tuple[int, str, int]]]:
    """Give (moment in ms, kind, latency in µs) of every outcome, in no order."""
    return blocks(connection, "SELECT at_ms, kind, latency_us FROM outcomes")


def mapped_fingerprints(connection: Connection) -> Iterator[Sequence[tuple[str | None]]]:
    """Give the vault's card fingerprints of the mapping, in no order."""
    return blocks(
        connection,
        "SELECT fingerprint FROM tokens JOIN rows ON rows.id = tokens.row_id "
        "WHERE rows.state = 'tokenized' AND rows.superseded_by IS NULL",
    )


def superseded_rows(connection: Connection, at_most: int) -> tuple[int, list[Any]]:
    """Give how many rows were replaced by a newer card, and the first of them.

    Each as legacy id, and export name and row of the old and the new card.
    """
    changed = rows.c.superseded_by.is_not(None)
    count = connection.execute(select(func.count()).where(changed)).scalar_one()
    new_export = exports.alias("new_export")
    found = connection.execute(
        select(
            rows.c.legacy_id,
            exports.c.name,
            rows.c.id % ROW_SPAN,
            new_export.c.name,
            rows.c.superseded_by % ROW_SPAN,
        )
        .join(exports, exports.c.id == rows.c.id // ROW_SPAN)
        .join(new_export, new_export.c.id == rows.c.superseded_by // ROW_SPAN)
        .where(changed)
        .order_by(rows.c.id)
        .limit(at_most)
    )
    return int(count), list(found.all())
