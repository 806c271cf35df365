"""Writes blocks of rows as one Parquet file: same rows, same bytes, whatever the blocks were.

Row groups are cut by a fixed count and not by block, since the cut shows in the bytes.
"""

from __future__ import annotations

import io
import sys
from importlib.abc import MetaPathFinder
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from io import BufferedIOBase

    from pipeline.outputs.columns import Columns

# Arrow's own allocator keeps sixty megabytes that nobody needs any more; malloc gives them back.
pa.set_memory_pool(pa.system_memory_pool())


class _NoPandas(MetaPathFinder):
    """Finds everything but pandas."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError(fullname)


def _keep_arrow_from_loading_pandas() -> None:
    """Let Arrow look for pandas when there is none to be found.

    It looks once, before it makes the first array, in case the values are pandas' own. Ours never
    are, and loading it costs a small run a fifth of its time and 15 MB. A frame that somebody asks
    Arrow for later is made all the same.
    """
    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, finder := _NoPandas())
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(finder)


_keep_arrow_from_loading_pandas()

ROW_GROUP_ROWS: Final = 25_000


def write_parquet(
    target: IO[bytes] | BufferedIOBase,
    schema: pa.Schema,
    blocks: Iterable[Columns],
    metadata: Mapping[str, str],
) -> int:
    """Write rows as Parquet.

    Args:
        target: An open binary file.
        schema: Column names and types.
        blocks: The rows in blocks of any size, each as columns in that order.
        metadata: Key-value metadata of the file, as text.

    Returns:
        The number of rows written.

    Raises:
        TypeError: A value does not fit its column; the message does not repeat it.
    """
    written = 0
    with parquet_writer(target, schema) as writer:
        for group in row_groups(schema, blocks):
            writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
            written += group.num_rows
        writer.add_key_value_metadata(dict(metadata))
    return written


def parquet_writer(target: Any, schema: pa.Schema, **options: Any) -> pq.ParquetWriter:
    """Open a file for writing as all of ours are written; closing it closes no `target`."""
    return pq.ParquetWriter(
        target, schema, compression="zstd", version="2.6", data_page_version="2.0", **options
    )


def file_of_one_group(schema: pa.Schema, blocks: Iterable[Columns]) -> bytes:
    """Give a Parquet file with rows as its one group; empty where there are none.

    Args:
        schema: Column names and types.
        blocks: At most `ROW_GROUP_ROWS` rows, in blocks.

    Raises:
        TypeError: A value does not fit its column; the message does not repeat it.
    """
    rows = next(row_groups(schema, blocks), None)
    if rows is None:
        return b""
    file = io.BytesIO()
    with parquet_writer(file, schema) as writer:
        writer.write_table(rows, row_group_size=rows.num_rows)
    return file.getvalue()


def row_groups(schema: pa.Schema, blocks: Iterable[Columns]) -> Iterator[pa.Table]:
    """Give the tables that `write_parquet` makes row groups of.

    Raises:
        TypeError: A value does not fit its column; the message does not repeat it.
    """
    # As Arrow's own columns, as they take a tenth of the room of Python's values.
    waiting: list[pa.Table] = []
    size = 0
    for columns in blocks:
        waiting.append(_table(columns, schema))
        size += waiting[-1].num_rows
        while size >= ROW_GROUP_ROWS:
            together = pa.concat_tables(waiting)
            # One chunk a column: how the blocks were cut must not show in the bytes.
            yield together.slice(0, ROW_GROUP_ROWS).combine_chunks()
            waiting = [together.slice(ROW_GROUP_ROWS)]
            size -= ROW_GROUP_ROWS
    if size:
        yield pa.concat_tables(waiting).combine_chunks()


def _table(columns: Columns, schema: pa.Schema) -> pa.Table:
    try:
        arrays = [
            pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)
        ]
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Arrow prints the value that it cannot convert.
        raise TypeError("a row does not fit the file's columns") from None
    return pa.table(arrays, schema=schema)
