"""Looks for card numbers in the decoded cells and the metadata of a Parquet file.

Compression and dictionaries hide numbers from a search of the raw bytes, and integers and
decimals never look like digits, so every column is read and its cells turned back into text.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.cards.scan_encodings import suspicious_places
from pipeline.cards.scan_sqlite_numbers import could_be_numbers
from pipeline.cards.scan_streams import BORDER, search_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cards.scan_numbers import Sighting

    Place: TypeAlias = tuple[int, int]

MAGIC: Final = b"PAR1"
_BATCH_ROWS: Final = 10_000
_SHORTEST_WRITTEN: Final = 13
"""No number is written in fewer bytes than it has digits."""

_TEXTS: Final = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
)  # fmt: skip


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
    """Give the cells that may hold a number, each with its row and column."""
    first_row = 1
    for batch in source.iter_batches(batch_size=_BATCH_ROWS):
        for column, values in enumerate(batch.columns, start=1):
            for place, cell in _suspicious_cells(values):
                yield (first_row + place, column), _as_bytes(cell)
        first_row += batch.num_rows


def _suspicious_cells(values: Any) -> Iterator[tuple[int, object]]:
    """Give the cells of a column, with their places, that a cheap question does not clear."""
    kind = values.type
    if pa.types.is_temporal(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return
    if pa.types.is_dictionary(kind):
        values, kind = values.dictionary_decode(), kind.value_type
    if any(is_text(kind) for is_text in _TEXTS):
        places = _suspicious_texts(values)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = pc.fill_null(values, 0).to_numpy(zero_copy_only=False)
        places = np.flatnonzero(could_be_numbers(numbers)).tolist()
    else:
        places = list(range(len(values)))
    yield from ((place, values[place].as_py()) for place in places)


def _suspicious_texts(values: Any) -> list[int]:
    """Give the places of texts or blobs that hold something like a number."""
    if (pc.max(pc.binary_length(values)).as_py() or 0) < _SHORTEST_WRITTEN:
        return []
    texts = pc.fill_null(values.cast(pa.binary()), b"")
    sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False) + len(BORDER)
    ends = np.cumsum(sizes)
    whole = pa.ListArray.from_arrays([0, len(texts)], texts)
    joined = pc.binary_join(whole, BORDER)[0].as_py()
    suspects = set[int]()
    for start, end in suspicious_places(joined):
        first, last = np.searchsorted(ends, [start, end - 1], side="right").tolist()
        suspects.update(range(first, min(last, len(ends) - 1) + 1))
    return sorted(suspects)


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
