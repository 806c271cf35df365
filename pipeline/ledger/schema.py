"""Defines the ledger's tables and the rules that the database itself keeps.

    exports ── rows ── attempts ── outcomes      runs, events (hash chain), meta
                 └──── tokens

A row's id is `export id * ROW_SPAN + row`, so a range of ids is an export or a chunk, and an
auditor reads both numbers off the id. Moments are whole milliseconds since 1970 (UTC).
Nothing here is derived from a card number but its last four digits, brand and expiration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from pipeline.ledger.records import ROW_SPAN, ExportState
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA_VERSION: Final = 1


def _is_one_of(column: str, values: Iterable[str]) -> str:
    """Give the condition in SQL; for `IN` SQLite would fill a table anew for every row it checks."""
    return " OR ".join(f"{column} = '{value}'" for value in values)


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    return CheckConstraint(_is_one_of(column, values), name=f"{column}_is_known")


metadata = MetaData()

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

runs = Table(
    "runs",
    metadata,
    Column("epoch", Integer, primary_key=True, autoincrement=False),
    Column("run_id", Text, nullable=False, unique=True),
    Column("started_ms", Integer, nullable=False),
    Column("ended_ms", Integer),
    Column("exit_code", Integer),
    Column("facts", Text, nullable=False, comment="JSON: who, where, version, settings, guards"),
    Column("statistics", Text, comment="JSON: retries, 429s, rates and latencies seen"),
    sqlite_strict=True,
)

exports = Table(
    "exports",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("block_digests", LargeBinary, nullable=False, comment="SHA-256 of each sealed block"),
    Column("kind", Text, nullable=False),
    Column("engine", Text),
    Column("key_fingerprint", Text),
    Column("signer", Text),
    Column("as_of", Text, nullable=False, comment="the day expirations are judged on"),
    Column("rows", Integer),
    Column("legacy_id_sum", Text, comment="hash total over the legacy ids read"),
    Column("state", Text, nullable=False),
    Column("epoch", Integer, ForeignKey("runs.epoch"), nullable=False),
    _one_of("state", tuple(ExportState)),
    sqlite_strict=True,
)

rows = Table(
    "rows",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("legacy_id", Text),
    Column("state", Text, nullable=False),
    Column("code", Text),
    Column("field", Text),
    Column("last_digits", Text),
    Column("brand", Text),
    Column("expiration_month", Integer),
    Column("expiration_year", Integer),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column(
        "unknowns",
        Integer,
        nullable=False,
        server_default=text("0"),
        comment="attempts whose token may exist unseen; their sum is U",
    ),
    Column("vault_code", Text),
    Column("request_id", Text),
    Column("supersedes", Integer, comment="the row whose token this one replaces"),
    Column("superseded_by", Integer),
    Column("carry", Text, comment="JSON: columns copied into the mapping"),
    _one_of("state", tuple(RowState)),
    CheckConstraint("last_digits IS NULL OR length(last_digits) <= 4", name="no_more_digits"),
    sqlite_strict=True,
)
Index("rows_by_legacy_id", rows.c.legacy_id)
Index(
    "one_token_for_each_legacy_id",
    rows.c.legacy_id,
    unique=True,
    sqlite_where=text("state = 'tokenized' AND superseded_by IS NULL"),
    postgresql_where=text("state = 'tokenized' AND superseded_by IS NULL"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("row_id", Integer, ForeignKey("rows.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("at_ms", Integer, nullable=False),
    UniqueConstraint("row_id", "number"),
    sqlite_strict=True,
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("attempt_id", Integer, ForeignKey("attempts.id"), primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("vault_code", Text),
    Column("request_id", Text),
    Column("latency_us", Integer, nullable=False),
    Column("at_ms", Integer, nullable=False),
    sqlite_strict=True,
)

tokens = Table(
    "tokens",
    metadata,
    Column("row_id", Integer, ForeignKey("rows.id"), primary_key=True, autoincrement=False),
    Column("token_id", Text, nullable=False, unique=True),
    Column("card_id", Text, nullable=False),
    Column("customer_id", Text),
    Column("brand", Text, nullable=False),
    Column("fingerprint", Text),
    Column("country", Text),
    Column("livemode", Integer, nullable=False),
    Column("created_s", Integer, nullable=False, comment="the vault's created_at"),
    Column("epoch", Integer, nullable=False),
    sqlite_strict=True,
)

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False, comment="canonical JSON"),
    Column("hash", Text, nullable=False),
    sqlite_strict=True,
)

_APPEND_ONLY = ("attempts", "outcomes", "events")

_STEPS: Final[dict[RowState, tuple[RowState, ...]]] = {
    RowState.PLANNED: (
        RowState.SENT,
        RowState.REJECTED,
        RowState.ALREADY_TOKENIZED,
        RowState.HELD,
    ),
    RowState.SENT: (
        RowState.TOKENIZED,
        RowState.REJECTED,
        RowState.FAILED,
        RowState.PLANNED,
        RowState.AMBIGUOUS,
        RowState.HELD,
    ),
    RowState.AMBIGUOUS: (RowState.SENT, RowState.HELD, RowState.ALREADY_TOKENIZED),
    # A token whose identity is in doubt is frozen; there is no other way out of tokenized.
    RowState.TOKENIZED: (RowState.HELD,),
    RowState.REJECTED: (),
    RowState.FAILED: (RowState.PLANNED,),
    RowState.HELD: (RowState.PLANNED,),
    RowState.ALREADY_TOKENIZED: (),
}
"""The steps that a row may take; whatever is not listed the database refuses."""


def sqlite_triggers() -> list[str]:
    """Give the triggers that make SQLite keep the rules by itself."""
    allowed = " OR ".join(
        f"(old.state = '{state}' AND ({_is_one_of('new.state', steps)}))"
        for state, steps in _STEPS.items()
        if steps
    )
    doubted = "old.state <> 'tokenized' OR coalesce(new.code, '') = 'answer_mismatch'"
    proving = f"SELECT state = 'proving' FROM exports WHERE id = old.id / {ROW_SPAN}"  # noqa: S608
    kept = ("row_id", "token_id", "card_id", "brand", "fingerprint", "country", "livemode")
    return [
        *(_refuse(f"{verb} ON {table}") for table in _APPEND_ONLY for verb in ("UPDATE", "DELETE")),
        _refuse(
            "UPDATE OF state ON rows",
            f"old.state <> new.state AND NOT (({allowed}) AND ({doubted}))",
        ),
        _refuse("DELETE ON rows", f"NOT coalesce(({proving}), 1)"),
        _refuse("DELETE ON exports", "old.state <> 'proving'"),
        _refuse("DELETE ON tokens"),
        _refuse(f"UPDATE OF {', '.join(kept)}, created_s, epoch ON tokens"),
    ]


def _refuse(change: str, condition: str = "1") -> str:
    name = "refuse_" + "".join(c if c.isalnum() else "_" for c in change.lower())
    return (
        f"CREATE TRIGGER {name} BEFORE {change} WHEN {condition} "
        "BEGIN SELECT RAISE(ABORT, 'the ledger refuses this change'); END"
    )
