"""Defines the ledger's tables; the rules that the database keeps on them stand in `rules`.

    exports ── rows ── attempts ── outcomes      runs, events (hash chain), meta
                │ └─── tokens, retired_tokens    <life>_states, <life>_steps
                ├───── attachments
    customers ──┘

A row's id is `export id * ROW_SPAN + row`, so a range of ids is an export or a chunk, and an
auditor reads both numbers off the id. Exports are numbered in order, but with gaps
(`export_numbers`). Moments are whole milliseconds since 1970 (UTC).
Nothing here is derived from a card number but its last four digits, brand and expiration.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
    text,
)

from pipeline.ledger.schema_parts import (
    CONDITION,
    Text,
    big,
    id_column,
    index_where,
    state_column,
    states_of,
)
from pipeline.ledger.states import LIVES

SCHEMA_VERSION: Final = 2
"""Version 1 was never released; a ledger of it is refused in words."""

metadata = MetaData()
STATE_TABLES: Final = {life.name: states_of(metadata, life.name) for life in LIVES}


def tell_conditions(dialect: str) -> None:
    """Tell another database than SQLite which rows the indexes are for, before tables are made."""
    for index in (index for table in metadata.tables.values() for index in table.indexes):
        if CONDITION in index.info:
            index.dialect_options[dialect]["where"] = text(index.info[CONDITION])


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
    id_column("epoch"),
    Column("run_id", Text, nullable=False, unique=True),
    big("started_ms", nullable=False),
    big("ended_ms"),
    Column("exit_code", Integer),
    Column("facts", Text, nullable=False, comment="JSON: who, where, version, settings, guards"),
    Column("statistics", Text, comment="JSON: retries, 429s, rates and latencies seen"),
    sqlite_strict=True,
)

exports = Table(
    "exports",
    metadata,
    id_column(),
    Column("name", Text, nullable=False),
    big("size", nullable=False),
    Column("sha256", Text, nullable=False, unique=True),
    Column("block_digests", LargeBinary, nullable=False, comment="SHA-256 of each sealed block"),
    Column("kind", Text, nullable=False),
    Column("engine", Text),
    Column("key_fingerprint", Text),
    Column("signer", Text),
    Column("as_of", Text, nullable=False, comment="the day expirations are judged on"),
    big("rows"),
    Column("legacy_id_sum", Text, comment="hash total over the legacy ids read"),
    state_column("export"),
    big("epoch", ForeignKey("runs.epoch"), nullable=False),
    Column("reading_points", Text, comment="JSON: where in the text a reading may begin"),
    sqlite_strict=True,
)

customers = Table(
    "customers",
    metadata,
    id_column(),
    Column("legacy_customer_id", Text, nullable=False, unique=True),
    Column("given_id", Text, comment="an existing customer that the export named"),
    Column("customer_id", Text, unique=True, comment="the vault's, once it is known"),
    state_column("customer"),
    Column("code", Text),
    Column("livemode", Integer),
    big("created_s", comment="the vault's created_at"),
    big("epoch"),
    sqlite_strict=True,
)
index_where("customers_by_given_id", customers.c.given_id, "given_id IS NOT NULL")

rows = Table(
    "rows",
    metadata,
    id_column(),
    Column("legacy_id", Text),
    state_column("row"),
    Column("code", Text),
    Column("field", Text),
    Column("last_digits", Text),
    Column("brand", Text),
    Column("expiration_month", Integer),
    Column("expiration_year", Integer),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Attempts whose token may exist unseen.
    Column("unknowns", Integer, nullable=False, server_default=text("0"), comment="sums to U"),
    Column("vault_code", Text),
    Column("request_id", Text),
    Column("hint", Text, comment="what is known of a failure beyond its code"),
    big("supersedes", comment="the row whose token this one replaces"),
    big("superseded_by"),
    Column("carry", Text, comment="JSON: columns copied into the mapping"),
    big("customer", ForeignKey("customers.id")),
    Column("is_default", Integer),
    CheckConstraint("last_digits IS NULL OR length(last_digits) <= 4", name="no_more_digits"),
    sqlite_strict=True,
)
# With the state, so that what became of an id's other rows is found without a look at each of them:
# a sender may give a hundred thousand rows one id.
Index("rows_by_legacy_id", rows.c.legacy_id, rows.c.state)
OTHER_DETAILS: Final = "other details"
"""The hint of a row whose card is known, and whose carried columns or customer differ from then."""
WITH_OTHER_DETAILS: Final = text(f"rows.hint = '{OTHER_DETAILS}'")
"""What the index below is for, word by word."""
index_where("rows_with_other_details", rows.c.id, f"hint = '{OTHER_DETAILS}'")
HAS_FAILED: Final = text(
    "(rows.state = 'failed' OR rows.state = 'held' OR rows.state = 'rejected')"
)
"""The condition on a row that it failed, word by word as the index below has it."""
index_where(
    "rows_that_failed", rows.c.id, "state = 'failed' OR state = 'held' OR state = 'rejected'"
)
index_where("superseded_rows", rows.c.superseded_by, "superseded_by IS NOT NULL")
index_where("flagged_rows_by_customer", rows.c.customer, "is_default = 1")

attempts = Table(
    "attempts",
    metadata,
    id_column(),
    big("row_id", ForeignKey("rows.id"), nullable=False),
    Column("step", Text, nullable=False, server_default=text("'tokenize'")),
    Column("number", Integer, nullable=False),
    big("epoch", nullable=False),
    big("at_ms", nullable=False),
    UniqueConstraint("row_id", "step", "number"),
    sqlite_strict=True,
)

NOT_FOR_TOKENS: Final = text("attempts.step <> 'tokenize'")
"""What the index below is for, word by word, or the database would not take it."""
index_where("attempts_about_cards", attempts.c.id, "step <> 'tokenize'")

outcomes = Table(
    "outcomes",
    metadata,
    id_column("attempt_id", ForeignKey("attempts.id")),
    Column("kind", Text, nullable=False),
    Column("evidence", Text, nullable=False),
    Column("vault_code", Text),
    Column("request_id", Text),
    big("latency_us", nullable=False),
    big("at_ms", nullable=False),
    sqlite_strict=True,
)


def _token_columns() -> list[Column[Any]]:
    return [
        Column("card_id", Text, nullable=False),
        Column("brand", Text, nullable=False),
        Column("fingerprint", Text),
        Column("country", Text),
        Column("livemode", Integer, nullable=False),
        big("created_s", nullable=False, comment="the vault's created_at"),
        big("epoch", nullable=False),
    ]


tokens = Table(
    "tokens",
    metadata,
    id_column("row_id", ForeignKey("rows.id")),
    Column("token_id", Text, nullable=False, unique=True),
    *_token_columns(),
    comment="the one live token of a row",
    sqlite_strict=True,
)

retired_tokens = Table(
    "retired_tokens",
    metadata,
    Column("token_id", Text, primary_key=True),
    big("row_id", ForeignKey("rows.id"), nullable=False),
    *_token_columns(),
    Column("reason", Text, nullable=False),
    big("retired_ms", nullable=False),
    big("retired_epoch", nullable=False),
    comment="tokens that a row had before its live one",
    sqlite_strict=True,
    sqlite_with_rowid=False,
)

attachments = Table(
    "attachments",
    metadata,
    id_column("row_id", ForeignKey("rows.id")),
    big("customer", ForeignKey("customers.id"), nullable=False),
    state_column("attachment"),
    Column("code", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    # Attempts whose card may exist unseen.
    Column("unknowns", Integer, nullable=False, server_default=text("0"), comment="sums to V"),
    Column("card_id", Text, comment="the card on the customer, once it was seen there"),
    Column("is_default", Integer, comment="whether it is the customer's default card"),
    Column("vault_code", Text),
    Column("request_id", Text),
    big("attached_ms"),
    big("deleted_ms", comment="when this ledger had the card deleted, after another took over"),
    CheckConstraint("unknowns >= 0", name="no_doubt_below_none"),
    sqlite_strict=True,
)
Index("attachments_by_customer", attachments.c.customer)
_ENDED_BADLY: Final = "state = 'attach_failed' OR state = 'attach_held'"
CARD_HAS_FAILED: Final = text(f"({_ENDED_BADLY.replace('state', 'attachments.state')})")
"""The condition on an attachment that its card came on no customer, in the words of the index."""
index_where("cards_that_failed", attachments.c.row_id, _ENDED_BADLY)

events = Table(
    "events",
    metadata,
    id_column("seq"),
    Column("body", Text, nullable=False, comment="canonical JSON"),
    Column("hash", Text, nullable=False),
    sqlite_strict=True,
)
