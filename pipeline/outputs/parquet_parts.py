"""Writes a Parquet file in parts that can be taken over, byte for byte, into the next one.

A part is a row group, or none where it has no rows. What each part is made of stands in the file's
metadata, with the byte at which it ends; so a part that did not change is copied from the file that
was published last, wherever it comes to stand, and only the others are asked of the ledger. A row
group's own bytes name no place; the footer does, and is put together here. The bytes of the file are
the same whether its parts were made or taken over.
"""

from __future__ import annotations

import io
from itertools import accumulate, pairwise
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from pipeline.outputs.parquet import file_of_one_group, parquet_writer
from pipeline.outputs.thrift_compact import (
    I64,
    LIST,
    STRUCT,
    Elements,
    Field,
    Struct,
    read_struct,
    write_struct,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from pipeline.outputs.columns import Columns
    from pipeline.outputs.sinks import Sink

_PARTS: Final = "cardferry.parts"
"""The file's metadata: JSON [[what the part is made of, byte at which it ends], ...]."""
_MAGIC: Final = b"PAR1"
_COMPARED_AT_ONCE: Final = 1 << 20
_LINE_FEED: Final = 10
_ENDING: Final = 8
"""Bytes behind the footer: its length, and the magic word once more."""

# Numbers of the fields of Parquet's own structures (apache/parquet-format, parquet.thrift).
_ROWS, _GROUPS, _METADATA, _WRITTEN_BY = 3, 4, 5, 6  # of the footer
_COLUMNS, _GROUP_ROWS, _GROUP_AT, _ORDINAL = 1, 3, 5, 7  # of a row group
_CHUNK = 3  # of a column in it
_CHUNK_AT: Final = (2, 4, 6)  # likewise: itself, and its indexes
_PAGES_AT: Final = (
    9,
    10,
    11,
    14,
)  # of what is told of that column: data, index, dictionary, filter
_KEY, _VALUE = 1, 2  # of an entry of the metadata


class Part(NamedTuple):
    """A part to be written.

    Attributes:
        made_of: A digest of everything that its rows are made of.
        ids: The first and the last id of a row that may be in it.
        blocks: Asks for its rows, in blocks of columns; they are one row group.
    """

    made_of: str
    ids: tuple[int, int]
    blocks: Callable[[], Iterable[Columns]]


class _Group(NamedTuple):
    """A row group: its bytes, what a footer says of it, and the byte at which it stands by that."""

    content: bytes
    told: Struct | None
    at: int


class EarlierParts:
    """The parts of a file that was published earlier.

    Args:
        source: The file, open and unchanged since; the caller closes it.
    """

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        footer = _footer_of(source)
        self.written_by: Any = footer[_WRITTEN_BY].value
        known = footer.get(_METADATA)
        told = {e[_KEY].value: e[_VALUE].value for e in known.value.values} if known else {}
        listed = orjson.loads(told.get(_PARTS.encode(), b"[]"))
        groups: Iterator[Struct] = iter(footer[_GROUPS].value.values)
        self._parts: dict[str, tuple[int, int, Struct | None]] = {}
        start = len(_MAGIC)
        for made_of, end in listed:
            self._parts[made_of] = start, end, next(groups) if end > start else None
            start = end

    def sizes(self) -> list[tuple[str, int]]:
        """Give what each part is made of, and how many rows it has, in order."""
        return [
            (made_of, 0 if told is None else int(told[_GROUP_ROWS].value))
            for made_of, (_, _, told) in self._parts.items()
        ]

    def __contains__(self, made_of: str) -> bool:
        return made_of in self._parts

    def group(self, made_of: str) -> _Group | None:
        """Give a part as it stands in the file; None if it is not there."""
        part = self._parts.get(made_of)
        if part is None:
            return None
        start, end, told = part
        self._source.seek(start)
        return _Group(self._source.read(end - start), told, start)


class EarlierSheet:
    """The lines of a CSV file that was published earlier, cut as the Parquet file of the same rows.

    Args:
        source: The file, open and unchanged since; the caller closes it.
        parts: The Parquet file's.
    """

    def __init__(self, source: IO[bytes], parts: EarlierParts) -> None:
        self._source = source
        sizes = parts.sizes()
        # The first line names the columns.
        starts = _starts_of_lines(source, list(accumulate((n for _, n in sizes), initial=1)))
        # A value with a line end makes more lines than rows, and nobody knows which is whose.
        self._ends = (
            {}
            if starts is None
            else {made_of: ends for (made_of, _), ends in zip(sizes, pairwise(starts), strict=True)}
        )

    def lines(self, made_of: str) -> bytes | None:
        """Give the lines of a part; None if it is not there."""
        ends = self._ends.get(made_of)
        if ends is None:
            return None
        self._source.seek(ends[0])
        return self._source.read(ends[1] - ends[0])


def write_parts(
    target: Sink,
    schema: pa.Schema,
    parts: Sequence[Part],
    metadata: Mapping[str, str],
    earlier: EarlierParts | None = None,
    made: Callable[[Sequence[Part]], Iterable[bytes]] | None = None,
) -> None:
    """Write parts as one Parquet file.

    Args:
        target: An open binary file.
        schema: Column names and types.
        parts: In the order of the file.
        metadata: Key-value metadata of the file, as text.
        earlier: A file with the same columns whose parts may be taken over, if this very writer
            made them.
        made: Makes those that are not taken over, in order, as files of one group; default: here,
            of their rows.

    Raises:
        TypeError: A value does not fit its column; the message does not repeat it.
    """
    if earlier is not None and earlier.written_by != _empty(schema, {})[_WRITTEN_BY].value:
        earlier = None
    missing = [part for part in parts if earlier is None or part.made_of not in earlier]
    files = iter(
        made(missing) if made else (file_of_one_group(schema, p.blocks()) for p in missing)
    )
    # As bytes: what is told of each column of a group fills forty kilobytes as it is read.
    groups: list[bytes] = []
    rows = 0
    listed: list[tuple[str, int]] = []
    target.write(_MAGIC)
    at = len(_MAGIC)
    for part in parts:
        group = earlier.group(part.made_of) if earlier is not None else None
        if group is None:
            group = _group_of(next(files))
        if group.told is not None:
            groups.append(write_struct(_moved(group.told, at - group.at, len(groups))))
            rows += group.told[_GROUP_ROWS].value
        target.write(group.content)
        at += len(group.content)
        listed.append((part.made_of, at))
    whole = _empty(schema, {**metadata, _PARTS: orjson.dumps(listed).decode()})
    whole[_ROWS] = Field(I64, rows)
    whole[_GROUPS] = Field(LIST, Elements(STRUCT, groups))
    footer = write_struct(whole)
    target.write(footer + len(footer).to_bytes(4, "little") + _MAGIC)


def _starts_of_lines(source: IO[bytes], wanted: Sequence[int]) -> list[int] | None:
    """Give the bytes at which some lines begin, in order, counted from 0; the last is the file's end.

    None where the file has another number of lines.
    """
    source.seek(0)
    starts: list[int] = []
    lines = at = 0
    while block := source.read(_COMPARED_AT_ONCE):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == _LINE_FEED)
        here = [n for n in wanted[len(starts) :] if n <= lines + len(ends)]
        starts += [at + int(ends[n - lines - 1]) + 1 for n in here]
        lines += len(ends)
        at += len(block)
    return starts if lines == wanted[-1] and at == starts[-1] else None


def have_same_rows(one: IO[bytes], other: IO[bytes]) -> bool:
    """Tell whether two files of ours have the same row groups to the byte, whatever else they say."""
    left = _footer_at(one)
    if left != _footer_at(other):
        return False
    one.seek(0)
    other.seek(0)
    while left:
        size = min(left, _COMPARED_AT_ONCE)
        if one.read(size) != other.read(size):
            return False
        left -= size
    return True


def _group_of(made: bytes) -> _Group:
    """Give the one row group of a file that was made."""
    start = len(_MAGIC)
    if not made:
        return _Group(b"", None, start)
    file = io.BytesIO(made)
    (told,) = _footer_of(file)[_GROUPS].value.values
    return _Group(made[start : _footer_at(file)], told, start)


def _moved(told: Struct, by: int, ordinal: int) -> Struct:
    """Give what a footer says of a row group that stands so many bytes further, as this many-th."""
    columns = []
    for column in told[_COLUMNS].value.values:
        chunk = _further(column[_CHUNK].value, _PAGES_AT, by)
        moved = _further(column, _CHUNK_AT, by)
        columns.append(moved | {_CHUNK: Field(STRUCT, chunk)})
    group = _further(told, (_GROUP_AT,), by)
    group[_COLUMNS] = Field(LIST, Elements(STRUCT, columns))
    if _ORDINAL in group:
        group[_ORDINAL] = group[_ORDINAL]._replace(value=ordinal)
    return group


def _further(struct: Struct, names: Sequence[int], by: int) -> Struct:
    """Move the places that a structure names; 0 is none."""
    moved = dict(struct)
    for name in names:
        if name in moved and moved[name].value:
            moved[name] = moved[name]._replace(value=moved[name].value + by)
    return moved


def _empty(schema: pa.Schema, metadata: Mapping[str, str]) -> Struct:
    """Give the footer of a file without rows."""
    file = io.BytesIO()
    with parquet_writer(file, schema) as writer:
        writer.add_key_value_metadata(dict(metadata))
    return _footer_of(file)


def _footer_of(file: IO[bytes]) -> Struct:
    file.seek(_footer_at(file))
    return read_struct(file.read())


def _footer_at(file: IO[bytes]) -> int:
    """Give the byte at which a file's footer begins."""
    end = file.seek(-_ENDING, io.SEEK_END)
    return end - int.from_bytes(file.read(4), "little")
