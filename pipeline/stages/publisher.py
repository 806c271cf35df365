"""A ledger in, the files that the user asked for out: each whole or absent, the last one last.

Every file is a function of the ledger alone, so publishing twice gives the same bytes.
"""

from __future__ import annotations

import csv
import io
from typing import IO, TYPE_CHECKING, Any, Final

import orjson
import pyarrow as pa

from pipeline.files.atomic import write_together
from pipeline.files.parquet import write_parquet
from pipeline.ledger import counts
from pipeline.model import FAILURE_CODES
from pipeline.stages.figures import gather

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection

    from pipeline.ledger.ledger import Ledger

MAPPING_NAME: Final = "mapping.parquet"
FAILURES_NAME: Final = "failures.parquet"
FAILURES_CSV_NAME: Final = "failures.csv"
REPORT_NAME: Final = "report.json"

MAPPING_SCHEMA: Final = pa.schema(
    [
        pa.field("legacy_id", pa.string(), nullable=False),
        pa.field("token_id", pa.string(), nullable=False),
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("customer_id", pa.string()),
        pa.field("brand", pa.string(), nullable=False),
        pa.field("last_digits", pa.string(), nullable=False),
        pa.field("expiration_month", pa.int8(), nullable=False),
        pa.field("expiration_year", pa.int16(), nullable=False),
        pa.field("fingerprint", pa.string()),
        pa.field("livemode", pa.bool_(), nullable=False),
        pa.field("created_at", pa.timestamp("s", tz="UTC"), nullable=False),
        pa.field("attempts", pa.int16(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_row", pa.int64(), nullable=False),
        pa.field("run_id", pa.string(), nullable=False),
    ]
)
"""The mapping's columns (the contract's *Migration folder*); carried columns follow."""

FAILURES_SCHEMA: Final = pa.schema(
    [
        pa.field("legacy_id", pa.string()),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_row", pa.int64(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("field", pa.string()),
        pa.field("retryable", pa.bool_(), nullable=False),
        pa.field("state", pa.string(), nullable=False),
        pa.field("attempts", pa.int16(), nullable=False),
        pa.field("last_digits", pa.string()),
        pa.field("vault_code", pa.string()),
        pa.field("request_id", pa.string()),
    ]
)
"""The failure report's columns."""

_LIVEMODE = counts.MAPPED.index("livemode")
_RUNS_IN_SHEETS: Final = ("=", "+", "-", "@", "\t", "\r", "\0")
"""First characters that make a spreadsheet run a cell (OWASP ASVS 1.2.10)."""


def publish(ledger: Ledger, folder: Path, version: str) -> dict[str, Any]:
    """Write every output of a migration.

    Args:
        ledger: The ledger; its counts must balance.
        folder: The migration folder.
        version: Cardferry's version, for the files' metadata.

    Returns:
        The report's figures.

    Raises:
        LocalStorageFailed: The disk refused; the files of before are still whole.
    """
    carried = _carried(ledger)
    with ledger.reading() as connection, write_together(folder) as staged:
        metadata = _metadata(connection, version)
        write_parquet(
            staged.new_file(MAPPING_NAME),
            _with_carried(MAPPING_SCHEMA, carried),
            _mapping_blocks(connection, carried),
            metadata,
        )
        write_parquet(
            staged.new_file(FAILURES_NAME),
            FAILURES_SCHEMA,
            map(_failure_tuples, counts.failed_rows(connection)),
            metadata,
        )
        _write_csv(
            staged.new_file(FAILURES_CSV_NAME),
            map(_failure_tuples, counts.failed_rows(connection)),
        )
        figures = gather(connection, version)
        staged.new_file(REPORT_NAME).write(
            orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )
    return figures


def _carried(ledger: Ledger) -> list[str]:
    return list(orjson.loads(ledger.recall("carry") or "[]"))


def _with_carried(schema: pa.Schema, carried: Sequence[str]) -> pa.Schema:
    for name in carried:
        schema = schema.append(pa.field(name, pa.string()))
    return schema


def _metadata(connection: Connection, version: str) -> dict[str, str]:
    return {
        "cardferry.version": version,
        "cardferry.runs": ",".join(run.run_id for run in counts.all_runs(connection)),
        "cardferry.exports": ",".join(e.sha256 for e in counts.all_exports(connection)),
    }


def _mapping_blocks(
    connection: Connection, carried: Sequence[str]
) -> Iterator[Iterator[tuple[Any, ...]]]:
    for block in counts.mapped_rows(connection):
        yield (_mapping_tuple(row, carried) for row in block)


def _mapping_tuple(row: Sequence[Any], carried: Sequence[str]) -> tuple[Any, ...]:
    *fixed, carry = row
    fixed[_LIVEMODE] = bool(fixed[_LIVEMODE])
    if carried:
        values = orjson.loads(carry or "{}")
        fixed.extend(values.get(name) for name in carried)
    return tuple(fixed)


def _failure_tuples(block: Iterable[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    for legacy_id, name, row, code, field, state, *rest in block:
        kind = FAILURE_CODES[code]
        yield (legacy_id, name, row, kind.stage.value, code, field, kind.retryable, state, *rest)


def _write_csv(target: IO[bytes], blocks: Iterable[Iterable[Sequence[Any]]]) -> None:
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(FAILURES_SCHEMA.names)
    for block in blocks:
        writer.writerows([_cell(value) for value in row] for row in block)
    text.detach()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(_RUNS_IN_SHEETS):
        return "'" + value
    return value
