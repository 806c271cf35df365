"""Lists the columns of every table that is published: name, what the ledger calls it, Arrow type."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import orjson
import pyarrow as pa

from pipeline.failure_codes import FAILURE_CODES
from pipeline.ledger.card_questions import CUSTOMERS as CUSTOMERS_ASKED
from pipeline.ledger.card_questions import SUPERSEDED as SUPERSEDED_ASKED
from pipeline.ledger.listings import FAILED, MAPPED

Values = Sequence[Any]
"""One column of a block."""

Columns = Sequence[Values]
"""A block of rows, column by column."""


class Column(NamedTuple):
    """A column of a published table.

    Attributes:
        name: Its name in the file.
        asked: The name under which the ledger gives it.
        type: Its Arrow type.
        required: Whether every row has a value.
        made: Makes the file's values of the ledger's, where they differ.
    """

    name: str
    asked: str
    type: pa.DataType
    required: bool = False
    made: Callable[[Values], Values] | None = None


class PublishedTable(NamedTuple):
    """A published table: its columns, and what the ledger gives of a row, in order."""

    columns: tuple[Column, ...]
    asked: tuple[str, ...]

    @property
    def schema(self) -> pa.Schema:
        """The columns as Arrow sees them."""
        return pa.schema([pa.field(c.name, c.type, nullable=not c.required) for c in self.columns])

    def columns_of(self, block: Iterable[Values]) -> Columns:
        """Give the file's columns for a block of the ledger's rows, of which there is one at least."""
        given = dict(zip(self.asked, zip(*block, strict=True), strict=True))
        return [
            given[column.asked] if column.made is None else column.made(given[column.asked])
            for column in self.columns
        ]

    def carrying(self, names: Sequence[str]) -> PublishedTable:
        """Give the same table with the columns that an export's owner asked for."""
        carried = (Column(name, "carry", TEXT, made=_member(name)) for name in names)
        return self._replace(columns=(*self.columns, *carried))


def _truth(values: Values) -> Values:
    return [None if value is None else bool(value) for value in values]


def _stages(codes: Values) -> Values:
    return [FAILURE_CODES[code].stage.value for code in codes]


def _retryable(codes: Values) -> Values:
    return [FAILURE_CODES[code].retryable for code in codes]


def _member(name: str) -> Callable[[Values], Values]:
    return lambda carries: [orjson.loads(text).get(name) if text else None for text in carries]


TEXT: Final = pa.string()
_MOMENT: Final = pa.timestamp("s", tz="UTC")
_EXACT_MOMENT: Final = pa.timestamp("ms", tz="UTC")

MAPPING: Final = PublishedTable(
    (
        Column("legacy_id", "legacy_id", TEXT, required=True),
        Column("token_id", "token_id", TEXT, required=True),
        Column("card_id", "card_id", TEXT, required=True),
        Column("customer_id", "customer_id", TEXT),
        Column("brand", "brand", TEXT, required=True),
        Column("last_digits", "last_digits", TEXT, required=True),
        Column("expiration_month", "expiration_month", pa.int8(), required=True),
        Column("expiration_year", "expiration_year", pa.int16(), required=True),
        Column("fingerprint", "fingerprint", TEXT),
        Column("livemode", "livemode", pa.bool_(), required=True, made=_truth),
        Column("created_at", "created_s", _MOMENT, required=True),
        Column("attempts", "attempts", pa.int32(), required=True),
        Column("source_file", "source_file", TEXT, required=True),
        Column("source_row", "source_row", pa.int64(), required=True),
        Column("run_id", "run_id", TEXT, required=True),
        Column("customer_origin", "customer_origin", TEXT),
        Column("is_default", "is_default", pa.bool_(), made=_truth),
    ),
    MAPPED,
)
"""Each legacy id with its token; carried columns follow."""

FAILURES: Final = PublishedTable(
    (
        Column("legacy_id", "legacy_id", TEXT),
        Column("source_file", "source_file", TEXT, required=True),
        Column("source_row", "source_row", pa.int64(), required=True),
        Column("stage", "code", TEXT, required=True, made=_stages),
        Column("code", "code", TEXT, required=True),
        Column("field", "field", TEXT),
        Column("retryable", "code", pa.bool_(), required=True, made=_retryable),
        Column("state", "state", TEXT, required=True),
        Column("attempts", "attempts", pa.int32(), required=True),
        Column("last_digits", "last_digits", TEXT),
        Column("vault_code", "vault_code", TEXT),
        Column("request_id", "request_id", TEXT),
        Column("customer_id", "customer_id", TEXT),
        Column("card_id", "card_id", TEXT),
        Column("hint", "hint", TEXT),
    ),
    FAILED,
)
"""Each row that is open: it did not move, and no later row of its legacy id did."""

CUSTOMERS: Final = PublishedTable(
    (
        Column("legacy_customer_id", "legacy_customer_id", TEXT, required=True),
        Column("customer_id", "customer_id", TEXT, required=True),
        Column("origin", "origin", TEXT, required=True),
        Column("cards", "cards", pa.int32(), required=True),
        Column("default_card", "default_card", TEXT),
        Column("livemode", "livemode", pa.bool_(), made=_truth),
        Column("created_at", "created_s", _MOMENT),
        Column("run_id", "run_id", TEXT, required=True),
    ),
    CUSTOMERS_ASKED,
)
"""Each customer that cards were attached to."""

SUPERSEDED: Final = PublishedTable(
    (
        Column("legacy_id", "legacy_id", TEXT, required=True),
        Column("token_id", "token_id", TEXT, required=True),
        Column("card_id", "card_id", TEXT, required=True),
        Column("customer_id", "customer_id", TEXT),
        Column("replaced_by_row", "replaced_by_row", pa.int64(), required=True),
        Column("kept", "kept", pa.bool_(), required=True, made=_truth),
        Column("at", "at_ms", _EXACT_MOMENT, required=True),
        Column("run_id", "run_id", TEXT, required=True),
    ),
    SUPERSEDED_ASKED,
)
"""Each row whose card a newer one of the same legacy id replaced, with the token it had."""
