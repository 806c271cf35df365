"""Looks for card numbers in the decoded cells and the metadata of a Parquet file.

Compression and dictionaries hide numbers from a search of the raw bytes, and integers and
decimals never look like digits, so every column is read and its cells turned back into text.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.support.reference_scan.scan_streams import search_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.reference_scan.scan_numbers import Sighting

    Place: TypeAlias = tuple[int, int]

MAGIC: Final = b"PAR1"
_BATCH_ROWS: Final = 10_000
_SMALLEST_NUMBER: Final = 10**12


class ParquetUnreadable(ValueError):
    """The file begins as Parquet does, but cannot be read as Parquet."""


def search_parquet(stream: IO[bytes]) -> Iterator[tuple[str, Sighting]]:
    """Give every sighting in the cells (`row N, column M`; both from 1) and in the metadata.

    Raises:
        ParquetUnreadable: The file is damaged or encrypted; the error carries no text of it.
    """
    try:
        source = pq.ParquetFile(stream)
        for _, seen in search_pieces((None, text) for text in _metadata(source.metadata)):
            yield "metadata", seen
        for (row, column), seen in search_pieces(_cells(source)):
            yield f"row {row}, column {column}", seen
    except (pa.ArrowException, OSError, ValueError, OverflowError):
        raise ParquetUnreadable("the file cannot be read as Parquet") from None


def _metadata(metadata: Any) -> Iterator[bytes]:
    yield from (part for pair in (metadata.metadata or {}).items() for part in pair)
    yield from (metadata.schema.column(i).path.encode() for i in range(metadata.num_columns))


def _cells(source: Any) -> Iterator[tuple[Place, bytes]]:
    first_row = 1
    for batch in source.iter_batches(batch_size=_BATCH_ROWS):
        for column, values in enumerate(batch.columns, start=1):
            if _can_hold_numbers(values):
                for row, cell in enumerate(values.to_pylist(), start=first_row):
                    yield (row, column), _as_bytes(cell)
        first_row += batch.num_rows


def _can_hold_numbers(values: Any) -> bool:
    kind = values.type
    if pa.types.is_temporal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return False
    if pa.types.is_integer(kind):
        return (pc.max(values).as_py() or 0) >= _SMALLEST_NUMBER
    return True


def _as_bytes(cell: object) -> bytes:
    """Give a cell as text, nested ones flattened, whole floats without their `.0`."""
    text: object = cell
    match cell:
        case bytes():
            return cell
        case float():
            text = int(cell) if cell.is_integer() else ""
        case dict():
            return b"\n".join(_as_bytes(part) for pair in cell.items() for part in pair)
        case list() | tuple():
            return b"\n".join(_as_bytes(part) for part in cell)
        case _:
            pass
    return str(text).encode("utf-8", "surrogatepass")
