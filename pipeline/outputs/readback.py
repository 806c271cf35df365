"""Writes `readback.parquet`: what reading the vault back found of each card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from pipeline.disk import write_atomically
from pipeline.outputs.parquet import write_parquet
from pipeline.outputs.sinks import MeasuredFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

READBACK_NAME: Final = "readback.parquet"
READBACK: Final = pa.schema(
    [
        pa.field("legacy_id", pa.string()),
        pa.field("source_file", pa.string()),
        pa.field("source_row", pa.int64()),
        pa.field("customer_id", pa.string()),
        pa.field("card_id", pa.string()),
        pa.field("token_id", pa.string()),
        pa.field("finding", pa.string(), nullable=False),
        pa.field("fields", pa.string(), nullable=False),
    ]
)
"""`finding` is ok, missing, changed or stranger; `fields` names what differs."""


def write_readback(
    folder: Path, blocks: Iterable[Sequence[Sequence[Any]]], facts: Mapping[str, str]
) -> str:
    """Write what was found; give the file's SHA-256.

    Args:
        folder: The migration folder.
        blocks: Rows in the order of the columns, in blocks of any size.
        facts: Key-value metadata of the file.

    Raises:
        LocalStorageFailed: The disk refused.
    """
    with write_atomically(folder / READBACK_NAME) as target:
        file = MeasuredFile(target)
        columns = (list(zip(*rows, strict=True)) for rows in blocks if rows)
        write_parquet(file, READBACK, columns, facts)
    return file.sha256
