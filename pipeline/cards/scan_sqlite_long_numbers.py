"""Asks which SQLite pages could hold an integer or a float that is a card number.

This is the cheap question before `scan_sqlite_cells` takes records apart: of a record it reads the
header, the values that are long enough and the number of its row, and does not ask whether the
record is in order. What cannot be read so (a long header, a payload that goes on in overflow pages)
passes.

Source: sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from pipeline.cards.scan_prefilter import LOWEST_NUMBER, could_be_numbers
from pipeline.cards.scan_sqlite_cells import (
    SIX_BYTES,
    SIZE_OF_TYPE,
    cell_places,
)
from pipeline.cards.scan_sqlite_records import (
    CELL_POINTERS,
    FLOAT,
    INNER_INDEX,
    INNER_TABLE,
    LEAF_TABLE,
    WITH_RECORDS,
    local_length_max,
)
from pipeline.cards.scan_sqlite_rows import ROW_BYTES_MIN, could_be_rows, row_places
from pipeline.cards.scan_sqlite_varints import TOP_BIT, behind_varints

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import numpy.typing as npt

    from pipeline.cards.scan_sqlite_pages import Pages

    Places: TypeAlias = npt.NDArray[np.int64]
    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Flags: TypeAlias = npt.NDArray[np.bool_]

_BEFORE_BYTES: Final = 9
"""How much is read of what stands before a record: its length and, in a table, its row."""

_HEADER_BYTES: Final = 32
_READ_BYTES: Final = _BEFORE_BYTES + _HEADER_BYTES
_WORD_BYTES: Final = 8
_PATTERNS_MAX: Final = 16
"""How many of the commonest kinds of record are read at once, each for itself."""

_NOT_LONG: Final = bytes(set(range(256)) - set(range(SIX_BYTES, FLOAT + 1)))
_ABOVE_SIX_BYTES: Final = 16
"""Bits of eight bytes that lie above the last six."""


class _Records(NamedTuple):
    starts: Places
    ends: Places
    """Where each ends; 0 where that is not known or lies in an overflow page."""
    pages: Places

    def where(self, chosen: Flags | Places) -> _Records:
        return _Records(self.starts[chosen], self.ends[chosen], self.pages[chosen])


class _Values(NamedTuple):
    types: Bytes
    ends: Places
    pages: Places


def pages_with_long_numbers(pages: Pages, chosen: Flags) -> Flags:
    """Say which of the chosen pages could hold such a number; not all that are flagged do."""
    whole = np.frombuffer(pages.block, dtype=np.uint8)
    # The first page of a database begins with a header of its own.
    flags: Flags = np.asarray(pages.numbers) == 1
    kinds = whole[:: pages.size]
    values = list[_Values]()
    _flag_inner_tables(whole, pages.size, chosen & (kinds == INNER_TABLE), flags)
    for kind in WITH_RECORDS:
        of_kind = np.flatnonzero(chosen & (kinds == kind))
        records = _records(whole, pages.size, kind, of_kind, flags)
        values += _long_values(whole, pages.size, records, flags)
    if values:
        types, ends, places = (np.concatenate(part) for part in zip(*values, strict=True))
        flags[places[_could_be(whole, types, ends)]] = True
    flags &= chosen
    return flags


def _records(whole: Bytes, size: int, kind: int, pages: Places, flags: Flags) -> _Records:
    """Give the records of pages of one kind; the pages of those that cannot be read are flagged."""
    cells, pages = cell_places(whole, pages, CELL_POINTERS[kind], size)
    if kind == INNER_INDEX:
        cells += 4
    is_last = cells > len(whole) - _READ_BYTES
    if is_last.any():
        flags[pages[is_last]] = True
        cells, pages = cells[~is_last], pages[~is_last]
    before = _bytes_at(whole, cells, _BEFORE_BYTES)
    integers = 2 if kind == LEAF_TABLE else 1
    ended, skipped = np.zeros((2, len(cells)), dtype=np.uint8)
    for column in before.T:
        if ended.min(initial=integers) >= integers:
            break
        skipped += ended < integers
        ended += column < TOP_BIT
    if (ended < integers).any():
        flags[pages[ended < integers]] = True
    starts = cells + skipped
    if kind == LEAF_TABLE:
        flags[pages[_rows_could_be(whole, cells, starts)]] = True
    return _Records(starts, starts + _local_lengths(before, size, kind), pages)


def _rows_could_be(whole: Bytes, cells: Places, starts: Places) -> Flags:
    """Say of cells of a table, and the records in them, whether the row's number could be one."""
    flags: Flags = starts - cells > ROW_BYTES_MIN
    at = np.flatnonzero(flags)
    flags[at] = could_be_rows(whole, behind_varints(whole, cells[at]), starts[at])
    return flags


def _flag_inner_tables(whole: Bytes, size: int, chosen: Flags, flags: Flags) -> None:
    """Flag inner pages of tables in which the number of a row could be one."""
    rows, pages = row_places(whole, size, INNER_TABLE, np.flatnonzero(chosen))
    is_last = rows > len(whole) - _READ_BYTES
    flags[pages[is_last]] = True
    rows, pages = rows[~is_last], pages[~is_last]
    flags[pages[could_be_rows(whole, rows, behind_varints(whole, rows))]] = True


def _local_lengths(before: Bytes, size: int, kind: int) -> Places:
    """Give the lengths of records that lie wholly in their page, and a page's for all others."""
    lengths = before[:, 0].astype(np.int64)
    longer = np.flatnonzero(lengths >= TOP_BIT)
    second = before[longer, 1]
    lengths[longer] = ((lengths[longer] - TOP_BIT) << 7) | second
    lengths[longer[second >= TOP_BIT]] = size
    lengths[lengths > local_length_max(size, kind)] = size
    return lengths


def _bytes_at(whole: Bytes, places: Places, count: int) -> Bytes:
    """Give so many bytes at each place, a row each."""
    spans = np.ndarray((len(whole) - count + 1,), f"V{count}", whole, strides=(1,))
    return spans[places].view(np.uint8).reshape(-1, count)


def _is_long(types: Bytes) -> Flags:
    return (types >= SIX_BYTES) & (types <= FLOAT)


def _long_values(whole: Bytes, size: int, records: _Records, flags: Flags) -> Iterator[_Values]:
    """Give the values that are long enough; the pages of records that cannot be read are flagged."""
    heads = whole[records.starts]
    for head in np.flatnonzero(np.bincount(heads)).tolist():
        at = np.flatnonzero(heads == head)
        if head > _HEADER_BYTES:
            flags[records.pages[at]] = True
            continue
        if 1 < head <= _WORD_BYTES + 1:
            at = yield from _values_by_pattern(whole, size, records, at, flags)
        if head > 1 and len(at):
            types = _bytes_at(whole, records.starts[at] + 1, head - 1)
            yield _values_of(np.ascontiguousarray(types.T), size, records.where(at), flags)


def _values_by_pattern(
    whole: Bytes, size: int, records: _Records, at: Places, flags: Flags
) -> Generator[_Values, None, Places]:
    """Give the long values of the records here that have the commonest types; return where others are.

    Most records of a table have the same few types, and so their values at the same places.

    Args:
        whole: All pages.
        size: The bytes of a page.
        records: Records.
        at: The places of those among them whose header is as long as that of the first of these.
        flags: For each page whether a record of it could hold a number, or cannot be read.
    """
    columns = int(whole[records.starts[at[0]]]) - 1
    words = np.ndarray((len(whole) - _WORD_BYTES + 1,), "<u8", whole, strides=(1,))
    patterns = words[records.starts[at] + 1] & np.uint64((1 << 8 * columns) - 1)
    for _ in range(_PATTERNS_MAX):
        if not len(at):
            break
        pattern = patterns[0]
        is_same = patterns == pattern
        types = int(pattern).to_bytes(_WORD_BYTES, "little")[:columns]
        if types.translate(None, _NOT_LONG):
            yield from _values_alike(types, size, records.where(at[is_same]), flags)
        at, patterns = at[~is_same], patterns[~is_same]
    return at


def _values_alike(types: bytes, size: int, records: _Records, flags: Flags) -> Iterator[_Values]:
    """Give the long values of records that all have these types."""
    is_cut = records.ends > (records.pages + 1) * size
    is_cut |= max(types) >= TOP_BIT
    flags[records.pages[is_cut]] = True
    records = records.where(~is_cut)
    behind = 1 + len(types)
    for kind in types:
        behind += SIZE_OF_TYPE[kind]
        if SIX_BYTES <= kind <= FLOAT:
            kinds = np.full(len(records.starts), kind, dtype=np.uint8)
            yield _within(kinds, records.starts + behind, records, flags)


def _within(types: Bytes, ends: Places, records: _Records, flags: Flags) -> _Values:
    """Give a value of each record as far as it lies in it; the pages of the others are flagged."""
    is_cut = (ends > records.ends) | (ends < _WORD_BYTES)
    if is_cut.any():
        flags[records.pages[is_cut]] = True
        return _Values(types[~is_cut], ends[~is_cut], records.pages[~is_cut])
    return _Values(types, ends, records.pages)


def _values_of(types: Bytes, size: int, records: _Records, flags: Flags) -> _Values:
    """Give the long values of records of one kind.

    Args:
        types: The first types of all records, then the second ones, and so on.
        size: The bytes of a page.
        records: As many records.
        flags: For each page whether a record of it could hold a number, or cannot be read.
    """
    some = np.flatnonzero(_is_long(types).any(axis=0))
    types, records = types[:, some], records.where(some)
    is_cut = (types >= TOP_BIT).any(axis=0) | (records.ends > (records.pages + 1) * size)
    flags[records.pages[is_cut]] = True
    types, records = types[:, ~is_cut], records.where(~is_cut)
    sizes = np.frombuffer(types.tobytes().translate(SIZE_OF_TYPE), dtype=np.uint8)
    behind = np.cumsum(sizes.reshape(types.shape), axis=0, dtype=np.uint16)
    at = np.flatnonzero(_is_long(types))
    columns, count = types.shape
    records = records.where(at % count)
    ends = records.starts + (columns + 1) + behind.reshape(-1)[at]
    return _within(types.reshape(-1)[at], ends, records, flags)


def _could_be(whole: Bytes, types: Bytes, ends: Places) -> Flags:
    """Say which of the values that end here, integers and floats, could be card numbers."""
    words = np.ndarray((len(whole) - _WORD_BYTES + 1,), ">i8", whole, strides=(1,))
    values = words[ends - _WORD_BYTES].astype(np.int64)
    six = (values << _ABOVE_SIX_BYTES) >> _ABOVE_SIX_BYTES
    values = np.where(types == SIX_BYTES, six, values)
    is_float = types == FLOAT
    could: Flags = is_float | (np.abs(values) >= LOWEST_NUMBER)
    # Most are times in milliseconds or numbers of rows, which are too low.
    at = np.flatnonzero(could)
    values, is_float = values[at], is_float[at]
    as_floats = could_be_numbers(values.view(np.float64))
    could[at] = np.where(is_float, as_floats, could_be_numbers(values))
    return could
