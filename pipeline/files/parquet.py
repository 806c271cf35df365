"""Blocks of rows in, one Parquet file out: same rows, same bytes, whatever the blocks were.

Row groups are cut by a fixed count and not by block, since the cut shows in the bytes.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ROW_GROUP_ROWS: Final = 50_000


def write_parquet(
    target: IO[bytes],
    schema: pa.Schema,
    blocks: Iterable[Iterable[Sequence[Any]]],
    metadata: Mapping[str, str],
) -> int:
    """Write rows as Parquet.

    Args:
        target: An open binary file.
        schema: Column names and types, in the order of the tuples.
        blocks: Rows as tuples, in blocks of any size.
        metadata: Key-value metadata of the file, as text.

    Returns:
        The number of rows written.

    Raises:
        TypeError: A value does not fit its column; the message does not repeat it.
    """
    rows = chain.from_iterable(blocks)
    written = 0
    with pq.ParquetWriter(
        target, schema, compression="zstd", version="2.6", data_page_version="2.0"
    ) as writer:
        while group := list(islice(rows, ROW_GROUP_ROWS)):
            writer.write_table(_table(group, schema), row_group_size=ROW_GROUP_ROWS)
            written += len(group)
        writer.add_key_value_metadata(dict(metadata))
    return written


def _table(group: list[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    try:
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(zip(*group, strict=True), schema, strict=True)
        ]
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Arrow prints the value that it cannot convert.
        raise TypeError("a row does not fit the file's columns") from None
    return pa.table(arrays, schema=schema)
