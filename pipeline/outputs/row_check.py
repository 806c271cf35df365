"""Compares published Parquet files with the ledger's rows, up to the first cell that differs.

Both are read in order, a row group at a time. Only a file whose digest is right is read here:
a Parquet reader is no place for bytes that somebody has changed.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.hashing import hash_total, shown
from pipeline.outputs.parquet import row_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class ParquetTotals:
    """What one published file adds up to, counted while it was compared."""

    def __init__(self) -> None:
        self.rows = 0
        self.by_state: defaultdict[str, int] = defaultdict(int)
        self._legacy_ids = 0

    @property
    def legacy_ids(self) -> str:
        """The hash total over the legacy ids."""
        return shown(self._legacy_ids)

    def add(self, group: pa.Table) -> None:
        """Count a row group."""
        self.rows += group.num_rows
        ids = group.column("legacy_id").drop_null().to_pylist()
        self._legacy_ids = hash_total(self._legacy_ids, ids)
        if "state" in group.column_names:
            for entry in group.column("state").value_counts().to_pylist():
                self.by_state[entry["values"]] += entry["counts"]


def compare_rows(
    path: Path,
    schema: pa.Schema,
    blocks: Iterable[Iterable[Sequence[Any]]],
    totals: ParquetTotals,
) -> str | None:
    """Compare a published file with the ledger's rows.

    Args:
        path: The Parquet file; its digest has been checked.
        schema: The columns that it should have.
        blocks: The rows that it should hold, as the publisher takes them from the ledger.
        totals: Where what the file holds is added up, also beyond the first difference.

    Returns:
        The place of the first difference, or None.
    """
    with pq.ParquetFile(path) as file:
        place = None if file.schema_arrow.equals(_as_stored(schema)) else "the columns"
        wanted = row_groups(schema, blocks)
        for number in range(file.num_row_groups):
            found = file.read_row_group(number)
            totals.add(found)
            if place is None:
                place = _difference(found.cast(schema), next(wanted, None))
    if place is None and next(wanted, None) is not None:
        return f"after row {totals.rows}, where rows are missing"
    return place


def _as_stored(schema: pa.Schema) -> pa.Schema:
    """Give the types as Parquet keeps them: it knows no moments coarser than milliseconds."""
    for place, field in enumerate(schema):
        if pa.types.is_timestamp(field.type):
            schema = schema.set(place, field.with_type(pa.timestamp("ms", tz=field.type.tz)))
    return schema


def _difference(found: pa.Table, wanted: pa.Table | None) -> str | None:
    if wanted is not None and found.equals(wanted):
        return None
    if wanted is None or not found.num_rows:
        return "rows that should not be there"
    rows = min(found.num_rows, wanted.num_rows)
    first = rows, ""
    for name in wanted.column_names:
        same = pc.equal(
            found.column(name).slice(0, rows).combine_chunks(),
            wanted.column(name).slice(0, rows).combine_chunks(),
        )
        both_null = pc.and_(
            found.column(name).slice(0, rows).is_null(),
            wanted.column(name).slice(0, rows).is_null(),
        ).combine_chunks()
        differs = pc.index(pc.or_(pc.fill_null(same, fill_value=False), both_null), value=False)
        at = differs.as_py()
        if 0 <= at < first[0]:
            first = at, name
    at, column = first
    if not column:
        return f"after {_source(found, rows - 1)}, where one has more rows"
    return f"{_source(wanted, at)}, column {column}"


def _source(table: pa.Table, place: int) -> str:
    """Name a row as an operator finds it: by its export's row number."""
    return f"source row {table.column('source_row')[place].as_py()}"
