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

    import pandas as pd

    from pipeline.outputs.sinks import Sink

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
    target: Sink, form: MappingFormat, schema: pa.Schema, frames: Iterable[pd.DataFrame]
) -> int:
    """Write mapping rows in a form.

    Args:
        target: Where the bytes go.
        form: The form.
        schema: The columns and their Arrow types, in order.
        frames: The rows, a block at a time: these columns, moments as texts, and for Stripe's forms
            `old_customer_id`.

    Returns:
        How many rows were written.

    Raises:
        SettingsRefused: A value has no place in the form.
    """
    counted = _Counted(frames)
    _WRITERS[form](target, schema, counted)
    return counted.rows


class _Counted:
    """Passes blocks on and counts their rows."""

    def __init__(self, frames: Iterable[pd.DataFrame]) -> None:
        self._frames = frames
        self.rows = 0

    def __iter__(self) -> Iterator[pd.DataFrame]:
        for frame in self._frames:
            self.rows += len(frame)
            yield frame


def _values(frame: pd.DataFrame, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """Give rows as tuples of these columns; what is missing is None."""
    columns = frame[list(names)].astype(object)
    return columns.where(columns.notna(), None).itertuples(index=False, name=None)


def _write_csv(target: Sink, schema: pa.Schema, frames: Iterable[pd.DataFrame]) -> None:
    _write_columns(target, {name: name for name in schema.names}, frames)


def _write_stripe(target: Sink, _: pa.Schema, frames: Iterable[pd.DataFrame]) -> None:
    _write_columns(target, STRIPE_COLUMNS, frames)


def _write_columns(
    target: Sink, columns: Mapping[str, str], frames: Iterable[pd.DataFrame]
) -> None:
    target.write(csv_lines([list(columns)]))
    own = list(columns.values())
    for frame in frames:
        target.write(csv_lines([*map(_plain, row)] for row in _values(frame, own)))


def _write_jsonl(target: Sink, schema: pa.Schema, frames: Iterable[pd.DataFrame]) -> None:
    names = schema.names
    for frame in frames:
        rows = (dict(zip(names, row, strict=True)) for row in _values(frame, names))
        target.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))


def _write_stripe_json(target: Sink, _: pa.Schema, frames: Iterable[pd.DataFrame]) -> None:
    """Write cards by their old customer; a card that is on none stands under its own old id."""
    customers: dict[str, dict[str, Any]] = {}
    told = ("old_customer_id", "legacy_id", "customer_id")
    for frame in frames:
        for old_id, legacy_id, customer_id, *card in _values(
            frame, (*told, *_STRIPE_CARD.values())
        ):
            customer = customers.setdefault(old_id or legacy_id, {"id": customer_id, "cards": {}})
            customer["cards"][legacy_id] = dict(zip(_STRIPE_CARD, card, strict=True))
    target.write(orjson.dumps(customers, option=orjson.OPT_APPEND_NEWLINE))


def _write_sql(target: Sink, schema: pa.Schema, frames: Iterable[pd.DataFrame]) -> None:
    """Write what `psql` takes: the table, if it is not there yet, and its rows as COPY."""
    names = [f'"{name.replace(chr(34), chr(34) * 2)}"' for name in schema.names]
    columns = ", ".join(
        f"{name} {_SQL_TYPES[field.type]}{'' if field.nullable else ' NOT NULL'}"
        for name, field in zip(names, schema, strict=True)
    )
    target.write(f"CREATE TABLE IF NOT EXISTS {TABLE_NAME} ({columns});\n".encode())
    target.write(f"COPY {TABLE_NAME} ({', '.join(names)}) FROM stdin;\n".encode())
    for frame in frames:
        rows = _values(frame, schema.names)
        target.write("".join("\t".join(map(_copied, row)) + "\n" for row in rows).encode())
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


_WRITERS: Final[dict[MappingFormat, Callable[[Sink, pa.Schema, Iterable[pd.DataFrame]], None]]] = {
    MappingFormat.CSV: _write_csv,
    MappingFormat.JSONL: _write_jsonl,
    MappingFormat.STRIPE: _write_stripe,
    MappingFormat.STRIPE_JSON: _write_stripe_json,
    MappingFormat.SQL: _write_sql,
}
