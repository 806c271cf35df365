"""Looks for card numbers in the decoded cells and the metadata of a Parquet file.

Compression and dictionaries hide numbers from a search of the raw bytes, and integers and
decimals never look like digits, so every column is read and its cells turned back into text.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.cards.scan_prefilter import (
    ANYWHERE,
    APART,
    SHORTEST_WRITTEN,
    could_be_numbers,
    could_hold,
    spans_that_could_hold,
)
from pipeline.cards.scan_streams import search_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from pipeline.cards.scan_numbers import Sighting

    Place: TypeAlias = tuple[int, int]

MAGIC: Final = b"PAR1"
_BATCH_ROWS: Final = 1 << 17
_GROUP_ROWS: Final = 16
_NARROW_BITS: Final = 32
"""An integer of so many bits has fewer digits than a card number."""


_TEXTS: Final = (
    pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary,
)  # fmt: skip
_WITHOUT_NUMBERS: Final = (pa.types.is_temporal, pa.types.is_boolean, pa.types.is_null)


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
    """Give the cells that could hold a number, each with its row and column."""
    first_row = 1
    for batch in source.iter_batches(batch_size=_BATCH_ROWS):
        columns = dict(enumerate(map(_without_dictionary, batch.columns), start=1))
        texts = {
            column: values
            for column, values in columns.items()
            if any(is_text(values.type) for is_text in _TEXTS)
        }
        for column, place, text in _suspicious_texts(texts):
            yield (first_row + place, column), text
        for column in columns.keys() - texts.keys():
            for place in _suspicious_values(columns[column]):
                yield (first_row + place, column), _as_bytes(columns[column][place].as_py())
        first_row += batch.num_rows


def _without_dictionary(values: Any) -> Any:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _suspicious_values(values: Any) -> Sequence[int]:
    """Give the places of the values, of any type but texts, that could be numbers."""
    kind = values.type
    if any(never(kind) for never in _WITHOUT_NUMBERS):
        return ()
    if pa.types.is_integer(kind) and kind.bit_width <= _NARROW_BITS:
        return ()
    if not pa.types.is_integer(kind) and not pa.types.is_floating(kind):
        return range(len(values))
    # As they lie in memory: what stands there for a null is seen to be one when it is read.
    letter = "f" if pa.types.is_floating(kind) else "u" if str(kind)[0] == "u" else "i"
    numbers = np.frombuffer(values.buffers()[1], dtype=f"{letter}{kind.bit_width // 8}")
    fits = could_be_numbers(numbers[values.offset : values.offset + len(values)])
    return np.flatnonzero(fits).tolist()


def _suspicious_texts(columns: dict[int, Any]) -> Iterator[tuple[int, int, bytes]]:
    """Give the texts or blobs that could hold a number, each with its column and its place."""
    texts = {column: _Texts.of(values) for column, values in columns.items()}
    texts = {column: each for column, each in texts.items() if each.longest >= SHORTEST_WRITTEN}
    if not texts:
        return
    groups = [each.in_groups() for each in texts.values()]
    hits = could_hold(pa.concat_arrays(groups), ANYWHERE)
    ends = np.cumsum([len(group) for group in groups])
    for (column, each), found in zip(texts.items(), np.split(hits, ends[:-1]), strict=True):
        places = np.flatnonzero(np.repeat(found, _GROUP_ROWS)[: len(each.offsets) - 1])
        starts, behind = each.offsets[places], each.offsets[places + 1]
        for hit in np.flatnonzero(
            spans_that_could_hold(each.whole, starts, behind, APART)
        ).tolist():
            yield column, int(places[hit]), each.whole[starts[hit] : behind[hit]].to_pybytes()


class _Texts(NamedTuple):
    """The texts or blobs of a column, one behind the other as they lie in memory."""

    offsets: npt.NDArray[np.int64]
    whole: Any

    @classmethod
    def of(cls, values: Any) -> _Texts:
        _, offsets, whole = values.buffers()
        is_large = pa.types.is_large_string(values.type) or pa.types.is_large_binary(values.type)
        read = np.frombuffer(offsets, dtype=np.int64 if is_large else np.int32)
        read = read[values.offset : values.offset + len(values) + 1]
        return cls(read.astype(np.int64), whole or pa.py_buffer(b""))

    @property
    def longest(self) -> int:
        return int(np.diff(self.offsets).max(initial=0))

    def in_groups(self) -> Any:
        """Give the texts of some rows each as one."""
        ends = np.append(self.offsets[:-1:_GROUP_ROWS], self.offsets[-1])
        buffers = [None, pa.py_buffer(ends), self.whole]
        return pa.Array.from_buffers(pa.large_binary(), len(ends) - 1, buffers)


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
