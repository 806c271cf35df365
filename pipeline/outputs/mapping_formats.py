"""Writes mapping rows in the forms of systems that read no Parquet: CSV, JSON lines, Stripe's, SQL.

The columns of Stripe's CSV and the shape of its JSON are those of its own card mapping files.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from pipeline.errors import SettingsRefused
from pipeline.outputs.csv_text import csv_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pipeline.outputs.sinks import Sink

Row = dict[str, Any]
"""A mapping row by column name; moments are text. Stripe's forms also need `old_customer_id`."""

TABLE_NAME: Final = "cardferry_mapping"
STRIPE_COLUMNS: Final = {
    "old_customer_id": "old_customer_id",
    "customer_id": "customer_id",
    "old_card_id": "legacy_id",
    "card_id": "card_id",
    "card_fingerprint": "fingerprint",
    "card_last4": "last_digits",
    "card_exp_month": "expiration_month",
    "card_exp_year": "expiration_year",
    "card_brand": "brand",
}
"""Stripe's name of a column, and ours."""

_STRIPE_CARD: Final = {
    "id": "card_id",
    "fingerprint": "fingerprint",
    "last4": "last_digits",
    "exp_month": "expiration_month",
    "exp_year": "expiration_year",
    "brand": "brand",
}
_SQL_TYPES: Final = {
    pa.string(): "text",
    pa.bool_(): "boolean",
    pa.int8(): "smallint",
    pa.int16(): "smallint",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.timestamp("s", tz="UTC"): "timestamptz",
}
_COPY_ESCAPES: Final = {
    ord("\\"): r"\\",
    ord("\n"): r"\n",
    ord("\r"): r"\r",
    ord("\t"): r"\t",
    ord("\b"): r"\b",
    ord("\f"): r"\f",
    ord("\v"): r"\v",
}


class MappingFormat(StrEnum):
    """How the mapping is written."""

    CSV = "csv"
    JSONL = "jsonl"
    STRIPE = "stripe"
    STRIPE_JSON = "stripe-json"
    SQL = "sql"


def write_mapping(
    target: Sink, form: MappingFormat, schema: pa.Schema, blocks: Iterable[Sequence[Row]]
) -> int:
    """Write mapping rows in a form.

    Args:
        target: Where the bytes go.
        form: The form.
        schema: The columns and their Arrow types, in order.
        blocks: Rows by column name, a block at a time.

    Returns:
        How many rows were written.

    Raises:
        SettingsRefused: A value has no place in the form.
    """
    counted = _Counted(blocks)
    _WRITERS[form](target, schema, counted)
    return counted.rows


class _Counted:
    """Passes blocks on and counts their rows."""

    def __init__(self, blocks: Iterable[Sequence[Row]]) -> None:
        self._blocks = blocks
        self.rows = 0

    def __iter__(self) -> Iterator[Sequence[Row]]:
        for block in self._blocks:
            self.rows += len(block)
            yield block


def _write_csv(target: Sink, schema: pa.Schema, blocks: Iterable[Sequence[Row]]) -> None:
    _write_columns(target, {name: name for name in schema.names}, blocks)


def _write_stripe(target: Sink, _: pa.Schema, blocks: Iterable[Sequence[Row]]) -> None:
    _write_columns(target, STRIPE_COLUMNS, blocks)


def _write_columns(
    target: Sink, columns: Mapping[str, str], blocks: Iterable[Sequence[Row]]
) -> None:
    target.write(csv_lines([list(columns)]))
    for block in blocks:
        target.write(csv_lines([_plain(row[own]) for own in columns.values()] for row in block))


def _write_jsonl(target: Sink, schema: pa.Schema, blocks: Iterable[Sequence[Row]]) -> None:
    names = schema.names
    for block in blocks:
        lines = (orjson.dumps({name: row[name] for name in names}) + b"\n" for row in block)
        target.write(b"".join(lines))


def _write_stripe_json(target: Sink, _: pa.Schema, blocks: Iterable[Sequence[Row]]) -> None:
    """Write cards by their old customer; a card that is on none stands under its own old id."""
    customers: dict[str, dict[str, Any]] = {}
    for block in blocks:
        for row in block:
            key = row["old_customer_id"] or row["legacy_id"]
            customer = customers.setdefault(key, {"id": row["customer_id"], "cards": {}})
            card = {theirs: row[own] for theirs, own in _STRIPE_CARD.items()}
            customer["cards"][row["legacy_id"]] = card
    target.write(orjson.dumps(customers, option=orjson.OPT_APPEND_NEWLINE))


def _write_sql(target: Sink, schema: pa.Schema, blocks: Iterable[Sequence[Row]]) -> None:
    """Write what `psql` takes: the table, if it is not there yet, and its rows as COPY."""
    names = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in schema.names]
    columns = ", ".join(
        f"{name} {_SQL_TYPES[field.type]}{'' if field.nullable else ' NOT NULL'}"
        for name, field in zip(names, schema, strict=True)
    )
    target.write(f"CREATE TABLE IF NOT EXISTS {TABLE_NAME} ({columns});\n".encode())
    target.write(f"COPY {TABLE_NAME} ({', '.join(names)}) FROM stdin;\n".encode())
    for block in blocks:
        lines = ("\t".join(_copied(row[name]) for name in schema.names) + "\n" for row in block)
        target.write("".join(lines).encode())
    target.write(b"\\.\n")


def _copied(value: Any) -> str:
    if value is None:
        return r"\N"
    text = _plain(value)
    if "\0" in text:
        problem = "--format sql: an id holds a NUL sign, which PostgreSQL cannot keep"
        raise SettingsRefused([problem], next_step="Take another format.")
    return text.translate(_COPY_ESCAPES)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


_WRITERS: Final[dict[MappingFormat, Callable[[Sink, pa.Schema, Iterable[Sequence[Row]]], None]]] = {
    MappingFormat.CSV: _write_csv,
    MappingFormat.JSONL: _write_jsonl,
    MappingFormat.STRIPE: _write_stripe,
    MappingFormat.STRIPE_JSON: _write_stripe_json,
    MappingFormat.SQL: _write_sql,
}
