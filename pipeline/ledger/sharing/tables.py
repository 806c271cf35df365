"""Defines the tables by which carriers share the work; they stand beside the ledger in PostgreSQL.

Nothing of them is published or digested: what became of a row stands in the ledger's own tables, and
what became of carriers in its trail. All moments are milliseconds since 1970 by the server's clock.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import Column, Integer, MetaData, Table, literal_column, text

from pipeline.ledger.schema_parts import BIG, Text

sharing = MetaData()

NOW_MS: Final = literal_column("(extract(epoch FROM clock_timestamp()) * 1000)::bigint", BIG)
"""The server's clock, which alone judges whether a session has expired."""

SERVER_STARTED_MS: Final = literal_column(
    "(extract(epoch FROM pg_postmaster_start_time()) * 1000)::bigint", BIG
)
"""When the server was started: before that nobody could renew a session."""


def _id(name: str) -> Column[Any]:
    return Column(name, BIG, primary_key=True, autoincrement=False)


def _zero() -> dict[str, Any]:
    return {"nullable": False, "server_default": text("0")}


jobs = Table(
    "jobs",
    sharing,
    _id("epoch"),
    Column("version", Text, nullable=False, comment="of Cardferry; carriers must have the same"),
    Column("settings_digest", Text, nullable=False, comment="what results mean; likewise"),
    Column("orders", Text, nullable=False, comment="JSON: pace, retries, exports, what is left"),
    Column("in_flight_max", Integer, nullable=False, comment="C, of all carriers together"),
    Column("term_ms", BIG, nullable=False, comment="how long a session lasts unless renewed"),
    Column("retries_of_unknown", Integer, nullable=False),
    Column("server_started_ms", BIG, nullable=False, comment="of the server, as the job began"),
    Column("leases", BIG, **_zero()),
    Column("closed_until_ms", BIG, **_zero(), comment="a Retry-After that holds for all"),
    Column("is_over", Integer, **_zero(), comment="carriers are to drain and leave"),
    comment="the sending of a run that carriers do",
)

sessions = Table(
    "sessions",
    sharing,
    _id("id"),
    Column("epoch", BIG, nullable=False),
    Column("origin", Text, nullable=False, comment="host:pid"),
    Column("state", Text, nullable=False, comment="live, left, reaped"),
    Column("joined_ms", BIG, nullable=False),
    Column("expires_ms", BIG, nullable=False),
    Column("slots", Integer, **_zero(), comment="cards that it may have under way"),
    Column("good_per_ks", BIG, comment="sends in 1,000 s that a vault bore which had refused some"),
    Column("figures", Text, comment="JSON: what it has sent and met; null: not begun"),
    Column("trouble", Text, comment="JSON: why it left early"),
    comment="carriers, by the terms for which they hold chunks",
)

chunks = Table(
    "chunks",
    sharing,
    _id("first_id"),
    Column("last_id", BIG, nullable=False),
    Column("export_id", BIG, nullable=False),
    Column("session", BIG, comment="who has it; null: nobody"),
    Column("lease", BIG, **_zero(), comment="under which number it was taken last"),
    Column("passes", Integer, **_zero(), comment="how often it was given back with rows left"),
    Column("is_done", Integer, **_zero()),
    comment="ranges of rows that are carried as one",
)

owners = Table(
    "owners",
    sharing,
    _id("customer"),
    Column("session", BIG, nullable=False),
    comment="whose cards only this session puts on customers",
)

cards_under_way = Table(
    "cards_under_way",
    sharing,
    _id("row_id"),
    Column("session", BIG, nullable=False),
    Column("card", Text, nullable=False, unique=True, comment="what an answer is compared with"),
    comment="sent by a carrier and not answered: no two carriers send two that are alike at once",
)

commits = Table(
    "commits",
    sharing,
    _id("epoch"),
    _id("session"),
    Column("number", BIG, nullable=False),
    comment="the last commit of each run and carrier, to be found after a connection was lost",
)

changes = Table(
    "changes",
    sharing,
    Column("writer", Text, primary_key=True, comment="a server process, or a carrier"),
    Column("xact", BIG, nullable=False, comment="the last transaction in which it wrote"),
    comment="who wrote to the ledger's own tables, kept by a rule (postgres.changes)",
)

notes = Table(
    "notes",
    sharing,
    _id("id"),
    Column("body", Text, nullable=False, comment="JSON: what the trail is to tell"),
    comment="what carriers have to say until the run that has the trail enters it",
)
