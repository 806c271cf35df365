"""Writes blocks of rows as one Parquet file: same rows, same bytes, whatever the blocks were.

Row groups are cut by a fixed count and not by block, since the cut shows in the bytes.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from itertools import chain, islice
from typing import IO, TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from io import BufferedIOBase

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
_CONVERTED_AT_ONCE: Final = 5_000
"""Tuples that wait as Python values; Arrow's own columns take a tenth of their room."""


def write_parquet(
    target: IO[bytes] | BufferedIOBase,
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


def row_groups(schema: pa.Schema, blocks: Iterable[Iterable[Sequence[Any]]]) -> Iterator[pa.Table]:
    """Give the tables that `write_parquet` makes row groups of.

    Raises:
        TypeError: A value does not fit its column; the message does not repeat it.
    """
    rows = chain.from_iterable(blocks)
    while group := _group(rows, schema):
        yield group


def _group(rows: Iterator[Sequence[Any]], schema: pa.Schema) -> pa.Table | None:
    parts = []
    for _ in range(ROW_GROUP_ROWS // _CONVERTED_AT_ONCE):
        part = list(islice(rows, _CONVERTED_AT_ONCE))
        if part:
            parts.append(_table(part, schema))
        if len(part) < _CONVERTED_AT_ONCE:
            break
    # One chunk a column: how the conversion was cut must not show in the bytes.
    return pa.concat_tables(parts).combine_chunks() if parts else None


def _table(part: list[Sequence[Any]], schema: pa.Schema) -> pa.Table:
    try:
        arrays = [
            pa.array(column, field.type)
            for column, field in zip(zip(*part, strict=True), schema, strict=True)
        ]
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Arrow prints the value that it cannot convert.
        raise TypeError("a row does not fit the file's columns") from None
    return pa.table(arrays, schema=schema)
