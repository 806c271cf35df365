"""Tells where the records and values of many SQLite pages lie, all pages at once.

Only pages that are wholly in order are told of: every record whole, in its page, as long as its
values together. The others are named, for `scan_sqlite_records` to take apart one by one.

Source: sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from pipeline.cards.number_rules import DIGITS_MIN, PREFIX_DIGITS, RANGES, is_card_number
from pipeline.cards.scan_prefilter import SHORTEST_WRITTEN, could_be_numbers
from pipeline.cards.scan_sqlite_records import (
    CELL_POINTERS,
    FIRST_BLOB,
    FLOAT,
    INNER_INDEX,
    LEAF_TABLE,
    SIZES,
    VARINT_MAX,
    local_length_max,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    from pipeline.cards.scan_sqlite_pages import Pages

    Places: TypeAlias = npt.NDArray[np.int64]
    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Flags: TypeAlias = npt.NDArray[np.bool_]

_SIX_BYTES, _EIGHT_BYTES = 5, 6
_TOP_BIT: Final = 0x80
_PADDING: Final = 32
_EIGHT: Final = np.arange(8)
_LOWEST_TOP: Final = RANGES[0].first * 10 ** (DIGITS_MIN - PREFIX_DIGITS) >> 32
"""The first two of the six bytes of the lowest number of thirteen digits."""

_LONG_TEXT: Final = 1
_SIZE_OF_TYPE: Final = bytes(
    SIZES[kind] if kind < FIRST_BLOB else (kind - FIRST_BLOB) // 2 if kind < _TOP_BIT else 0
    for kind in range(256)
)
_LOOKS: Final = bytes(
    kind
    if kind in {_SIX_BYTES, _EIGHT_BYTES, FLOAT}
    else _LONG_TEXT * (FIRST_BLOB + 2 * SHORTEST_WRITTEN <= kind < _TOP_BIT)
    for kind in range(256)
)
"""What to look at a value for, by its type: the type of a long number, `_LONG_TEXT`, nothing."""


class Spans(NamedTuple):
    """Stretches of a block, ascending and apart from one another."""

    starts: Places
    ends: Places

    def where(self, flags: Flags) -> Spans:
        """Give those that are flagged."""
        return Spans(self.starts[flags], self.ends[flags])


class Cells(NamedTuple):
    """What lies in the pages of a block."""

    odd: Flags
    """For each page, whether it is not in order; nothing else here speaks of such pages."""
    records: Spans
    values: Spans
    """The texts and blobs that are long enough to hold a written number."""
    numbers: list[tuple[int, int]]
    """Integers (or floats) that are card numbers, each with its page's place in the block."""


class _Values(NamedTuple):
    looks: Bytes
    """What to look at each value for: a type of number, or `_LONG_TEXT`."""
    starts: Places
    sizes: npt.NDArray[np.int32]


class _Records(NamedTuple):
    starts: Places
    ends: Places
    heads: Places
    """How many bytes each record's header has."""


def read_cells(pages: Pages) -> Cells:
    """Take pages apart; the first of a database is odd, as its own header stands before it."""
    size = pages.size
    whole = np.frombuffer(pages.block + bytes(_PADDING), dtype=np.uint8)
    odd = np.asarray(pages.numbers) == 1
    records = _records(whole, size, odd)
    values = _values(whole, records, size, odd)
    kept = ~odd[records.starts // size]
    texts = values.looks == _LONG_TEXT
    starts = values.starts[texts]
    numbers = list(_card_numbers(whole, values.looks[~texts], values.starts[~texts]))
    return Cells(
        odd,
        Spans(records.starts[kept], records.ends[kept]),
        Spans(starts, starts + values.sizes[texts]),
        [(place // size, number) for place, number in numbers],
    )


def rests(cells: Cells, size: int) -> Spans:
    """Give what lies between the records of the pages in order, and may be long enough."""
    pages = np.arange(len(cells.odd), dtype=np.int64) * size
    # A record without length at every page's beginning and end: no rest goes over a border.
    order = np.argsort(
        np.concatenate((pages, cells.records.starts, pages + (size - 1))), kind="stable"
    )
    starts = np.concatenate((pages, cells.records.starts, pages + size))[order]
    ends = np.concatenate((pages, cells.records.ends, pages + size))[order]
    starts, ends = ends[:-1], starts[1:]
    fits = (ends - starts >= SHORTEST_WRITTEN) & ~cells.odd[
        np.minimum(starts // size, len(pages) - 1)
    ]
    return Spans(starts[fits], ends[fits])


def _records(whole: Bytes, size: int, odd: Flags) -> _Records:
    """Give the records of all pages in order of place; the pages of strange ones become odd."""
    parts = [_records_of_kind(whole, size, kind, len(odd)) for kind in CELL_POINTERS]
    starts, lengths, pages, within = (np.concatenate(part) for part in zip(*parts, strict=True))
    heads = whole[np.minimum(starts, len(whole) - 1)].astype(np.int64)
    fits = within & (starts + lengths <= (pages + 1) * size)
    fits &= (heads > 0) & (heads < _TOP_BIT) & (heads <= lengths)
    odd[pages[~fits]] = True
    kept = ~odd[pages]
    starts, lengths, heads = starts[kept], lengths[kept], heads[kept]
    order = np.argsort(starts, kind="stable")
    starts, lengths, heads = starts[order], lengths[order], heads[order]
    ends = starts + lengths
    odd[starts[1:][starts[1:] < ends[:-1]] // size] = True
    return _Records(starts, ends, heads)


def _records_of_kind(
    whole: Bytes, size: int, kind: int, count: int
) -> tuple[Places, Places, Places, Flags]:
    """Give where records begin, their lengths and pages, and whether each lies in its page."""
    pages = np.flatnonzero(whole[: count * size : size] == kind)
    cells, pages = _cells(whole, pages, CELL_POINTERS[kind], size)
    lengths, starts = _varints(whole, cells + 4 if kind == INNER_INDEX else cells)
    if kind == LEAF_TABLE:
        starts = _behind_varints(whole, starts)
    return starts, lengths, pages, (lengths > 0) & (lengths <= local_length_max(size, kind))


def _cells(whole: Bytes, pages: Places, pointers: int, size: int) -> tuple[Places, Places]:
    """Give where all cells of these pages begin, and the page of each."""
    starts = pages * size
    counts = (whole[starts + 3].astype(np.int64) << 8) | whole[starts + 4]
    counts = np.minimum(counts, (size - pointers) // 2)
    slots = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts, pages = np.repeat(starts, counts), np.repeat(pages, counts)
    places = starts + pointers + 2 * slots
    cells = (whole[places].astype(np.int64) << 8) | whole[places + 1]
    # What points nowhere is no record.
    there = cells < size
    return (starts + cells)[there], pages[there]


def _values(whole: Bytes, records: _Records, size: int, odd: Flags) -> _Values:
    """Give the values worth a look; the pages of records that are not in order become odd."""
    counts = records.heads - 1
    behind = np.cumsum(counts)
    firsts = behind - counts
    places = np.repeat(records.starts + 1 - firsts, counts)
    places += np.arange(len(places))
    header = whole[places].tobytes()
    looks = np.frombuffer(bytearray(header.translate(_LOOKS)), dtype=np.uint8)
    sizes = np.frombuffer(header.translate(_SIZE_OF_TYPE), dtype=np.uint8).astype(np.int32)
    types = np.frombuffer(header, dtype=np.uint8)
    longer = np.flatnonzero(types >= _TOP_BIT)
    strange = _two_byte_types(types, longer, sizes, looks)
    # Half a type at the end of a header is one of three bytes as well, as far as this goes.
    strange = np.concatenate((strange, longer[np.isin(longer + 1, behind)]))
    odd[places[strange] // size] = True
    ends = np.cumsum(sizes, dtype=np.int64)
    shifts = records.starts + records.heads - _before(ends, firsts)
    wrong = shifts + _before(ends, behind) != records.ends
    odd[records.starts[wrong] // size] = True
    chosen = np.flatnonzero(looks)
    starts = (ends[chosen] - sizes[chosen]) + np.repeat(shifts, counts)[chosen]
    kept = ~odd[places[chosen] // size]
    return _Values(looks[chosen][kept], starts[kept], sizes[chosen][kept])


def _before(ends: Places, places: Places) -> Places:
    """Give how many bytes the values before each of these places have together."""
    return np.where(places > 0, ends[places - 1], 0) if len(ends) else np.zeros_like(places)


def _two_byte_types(
    types: Bytes, longer: Places, sizes: npt.NDArray[np.int32], looks: Bytes
) -> Places:
    """Enter the sizes of types of two bytes; give the places of those with more.

    Args:
        types: The bytes of all headers.
        longer: The places of the bytes after which a type goes on.
        sizes: The size of the value of each type's last byte, none for a byte before it.
        looks: What to look at each value for.
    """
    longer = longer[longer + 1 < len(types)]
    last = types[longer + 1]
    kinds = ((types[longer].astype(np.int32) - _TOP_BIT) << 7) | last
    long = kinds >= FIRST_BLOB
    sizes[longer + 1] = np.where(long, (kinds - FIRST_BLOB) >> 1, 0)
    looks[longer + 1] = _LONG_TEXT
    looks[longer] = 0
    # A type below 128 in two bytes is not written by SQLite.
    return longer[(last >= _TOP_BIT) | (kinds < _TOP_BIT)]


def _card_numbers(whole: Bytes, kinds: Places, places: Places) -> list[tuple[int, int]]:
    """Give the places of the integers and floats that are card numbers, with their values."""
    found = list[tuple[int, int]]()
    for kind, first in ((_SIX_BYTES, 2), (_EIGHT_BYTES, 0), (FLOAT, 0)):
        here = places[(kinds == kind) & (places < len(whole) - len(_EIGHT))]
        if kind == _SIX_BYTES:
            # Most are times in milliseconds, which are too low by their first two bytes.
            here = here[(whole[here].astype(np.int32) << 8) + whole[here + 1] >= _LOWEST_TOP]
        if not len(here):
            continue
        raw = np.zeros((len(here), 8), dtype=np.uint8)
        raw[:, first:] = whole[here[:, None] + _EIGHT[: 8 - first]]
        if first:
            raw[:, :first] = np.where(raw[:, first, None] >= _TOP_BIT, 0xFF, 0)
        values = raw.reshape(-1).view(">f8" if kind == FLOAT else ">i8")
        for place in np.flatnonzero(could_be_numbers(values)).tolist():
            value = values[place].item()
            if value == int(value) and is_card_number(str(abs(int(value)))):
                found.append((int(here[place]), int(value)))
    return found


def _varints(whole: Bytes, places: Places) -> tuple[Places, Places]:
    """Read a varint at each place; give the values (64 bits, signed) and the places behind."""
    behind = _behind_varints(whole, places)
    first = np.minimum(places, len(whole) - _PADDING)
    values = whole[first].astype(np.int64)
    longer = np.flatnonzero(values >= _TOP_BIT)
    values[longer] &= _TOP_BIT - 1
    for step in range(1, VARINT_MAX):
        longer = longer[behind[longer] > first[longer] + step]
        read = whole[first[longer] + step].astype(np.int64)
        if step == VARINT_MAX - 1:
            values[longer] = (values[longer] << 8) | read
        else:
            values[longer] = (values[longer] << 7) | (read & (_TOP_BIT - 1))
    return values, behind


def _behind_varints(whole: Bytes, places: Places) -> Places:
    """Give where the varint at each place ends (behind its last byte)."""
    behind = np.minimum(places, len(whole) - _PADDING) + 1
    longer = np.flatnonzero(whole[behind - 1] >= _TOP_BIT)
    for _ in range(1, VARINT_MAX):
        if not len(longer):
            break
        behind[longer] += 1
        longer = longer[whole[behind[longer] - 1] >= _TOP_BIT]
    return behind
