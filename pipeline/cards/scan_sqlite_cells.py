"""Tells where the records and values of many SQLite pages lie, all pages at once.

Only pages that are wholly in order are told of: every record in its page, or as much of it as lies
there, and as long as its values together. The others are named, for `scan_sqlite_records` to take
apart one by one.

Source: sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from pipeline.cards.number_rules import is_card_number
from pipeline.cards.scan_prefilter import LOWEST_NUMBER, SHORTEST_WRITTEN, could_be_numbers
from pipeline.cards.scan_sqlite_records import (
    CELL_POINTERS,
    FIRST_BLOB,
    FLOAT,
    INNER_INDEX,
    LEAF_TABLE,
    SIZES,
    WITH_RECORDS,
    local_length,
    local_length_max,
)
from pipeline.cards.scan_sqlite_varints import PADDING, TOP_BIT, behind_varints, varints

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from pipeline.cards.scan_sqlite_pages import Pages

    Places: TypeAlias = npt.NDArray[np.int64]
    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Flags: TypeAlias = npt.NDArray[np.bool_]

SIX_BYTES, EIGHT_BYTES = 5, 6
"""The types of the integers that are long enough for a card number."""

_EIGHT: Final = np.arange(8)
_LOWEST_TOP: Final = LOWEST_NUMBER >> 32
"""The first two of the six bytes of the lowest number of thirteen digits."""

_LONG_TEXT: Final = 1
SIZE_OF_TYPE: Final = bytes(
    SIZES[kind] if kind < FIRST_BLOB else (kind - FIRST_BLOB) // 2 if kind < TOP_BIT else 0
    for kind in range(256)
)
"""Bytes of a value, by its type; 0 for the first byte of a longer type."""

_LOOKS: Final = bytes(
    kind
    if kind in {SIX_BYTES, EIGHT_BYTES, FLOAT}
    else _LONG_TEXT * (kind >= FIRST_BLOB + 2 * SHORTEST_WRITTEN)
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


class Numbers(NamedTuple):
    """The integers and floats of some pages that are card numbers."""

    odd: Flags
    """For each page, whether it is not in order; nothing else here speaks of such pages."""
    found: list[tuple[int, int]]
    """Each number after its page's place."""


class Cells(NamedTuple):
    """What lies in some pages."""

    numbers: Numbers
    records: Spans
    texts: Spans
    """The texts and blobs that are long enough to hold a written number."""


class _Records(NamedTuple):
    starts: Places
    ends: Places
    """Where what lies in the page of each ends; the rest lies in overflow pages."""
    lengths: Places
    """The bytes of each, those in overflow pages among them."""
    bodies: Places
    """Where the values of each begin, behind its header."""
    pages: Places

    def where(self, chosen: Flags | Places) -> _Records:
        return _Records(*(part[chosen] for part in self))


class _Values(NamedTuple):
    looks: Bytes
    """What to look at each value for: a type of number, or `_LONG_TEXT`."""
    starts: Places
    ends: Places
    pages: Places

    def where(self, chosen: Flags | Places) -> _Values:
        at = (self.starts[chosen], self.ends[chosen], self.pages[chosen])
        return _Values(self.looks[chosen], *at)


def read_cells(pages: Pages) -> Cells:
    """Take pages apart; the first of a database is odd, as its own header stands before it."""
    whole, records, odd = _opened(pages)
    order = np.argsort(records.starts, kind="stable")
    records = records.where(order)
    odd[records.pages[1:][records.starts[1:] < records.ends[:-1]]] = True
    values = _values(whole, records, odd)
    is_text = values.looks == _LONG_TEXT
    texts = values.where(is_text & ~odd[values.pages])
    texts = texts.where(np.argsort(texts.starts))
    records = records.where(~odd[records.pages])
    return Cells(
        _numbers(whole, values.where(~is_text), odd),
        Spans(records.starts, records.ends),
        Spans(texts.starts, texts.ends),
    )


def rests(cells: Cells, size: int) -> Spans:
    """Give what lies between the records of the pages in order, and may be long enough."""
    odd = cells.numbers.odd
    pages = np.arange(len(odd), dtype=np.int64) * size
    # A record without length at every page's beginning and end: no rest goes over a border.
    order = np.argsort(
        np.concatenate((pages, cells.records.starts, pages + (size - 1))), kind="stable"
    )
    starts = np.concatenate((pages, cells.records.starts, pages + size))[order]
    ends = np.concatenate((pages, cells.records.ends, pages + size))[order]
    starts, ends = ends[:-1], starts[1:]
    fits = ends - starts >= SHORTEST_WRITTEN
    starts, ends = starts[fits], ends[fits]
    in_order = ~odd[starts // size]
    return Spans(starts[in_order], ends[in_order])


def _opened(pages: Pages) -> tuple[Bytes, _Records, Flags]:
    """Give the bytes of all pages, their records kind by kind, and which pages are not in order."""
    whole = np.frombuffer(pages.block + bytes(PADDING), dtype=np.uint8)
    odd = np.asarray(pages.numbers) == 1
    parts = [_records_of_kind(whole, pages.size, kind, len(odd)) for kind in WITH_RECORDS]
    starts, lengths, local, places = (np.concatenate(part) for part in zip(*parts, strict=True))
    heads = whole[np.minimum(starts, len(whole) - 1)]
    fits = (lengths > 0) & (starts + local <= (places + 1) * pages.size)
    fits &= (heads > 0) & (heads < TOP_BIT) & (heads <= local)
    odd[places[~fits]] = True
    records = _Records(starts, starts + local, lengths, starts + heads, places)
    return whole, records.where(~odd[places]), odd


def _records_of_kind(
    whole: Bytes, size: int, kind: int, count: int
) -> tuple[Places, Places, Places, Places]:
    """Give where records begin, their lengths, how much of it lies in their pages, and these."""
    pages = np.flatnonzero(whole[: count * size : size] == kind)
    cells, pages = cell_places(whole, pages, CELL_POINTERS[kind], size)
    lengths, starts = varints(whole, cells + 4 if kind == INNER_INDEX else cells)
    if kind == LEAF_TABLE:
        starts = behind_varints(whole, starts)
    local = lengths.copy()
    for place in np.flatnonzero(lengths > local_length_max(size, kind)).tolist():
        local[place] = local_length(int(lengths[place]), size, kind)
    return starts, lengths, local, pages


def cell_places(whole: Bytes, pages: Places, pointers: int, size: int) -> tuple[Places, Places]:
    """Give where all cells of these pages begin, and the page of each.

    Args:
        whole: All pages.
        pages: The places of pages of one kind.
        pointers: Where in these the pointers to their cells begin (bytes).
        size: The bytes of a page.
    """
    starts = pages * size
    counts = (whole[starts + 3].astype(np.int64) << 8) | whole[starts + 4]
    counts = np.minimum(counts, (size - pointers) // 2)
    slots = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts, pages = np.repeat(starts, counts), np.repeat(pages, counts)
    places = starts + pointers + 2 * slots
    # A page and what stands before its pointers are an even number of bytes.
    cells = whole[: len(whole) // 2 * 2].view(">u2")[places >> 1].astype(np.int64)
    # What points nowhere is no record.
    there = cells < size
    return (starts + cells)[there], pages[there]


def _values(whole: Bytes, records: _Records, odd: Flags) -> _Values:
    """Give the values worth a look; the pages of records that are not in order become odd.

    One type after the other is read, of all records at once.

    Args:
        whole: All pages.
        records: Some records in them.
        odd: For each page, whether it is not in order.
    """
    found = [_Values(whole[:0], *(np.zeros(0, dtype=np.int64),) * 3)]
    places, behind, bodies = records.starts + 1, records.bodies, records.bodies
    whole_ends = records.starts + records.lengths
    ends, pages = records.ends, records.pages
    while True:
        going = places < behind
        if not going.all():
            # A last type that goes on behind its header, or values of another length in all.
            wrong = (places > behind) | (bodies != whole_ends)
            odd[pages[wrong & ~going]] = True
            places, behind, bodies, whole_ends, ends, pages = (
                part[going] for part in (places, behind, bodies, whole_ends, ends, pages)
            )
        if not len(places):
            break
        types = whole[places].tobytes()
        sizes = np.frombuffer(types.translate(SIZE_OF_TYPE), dtype=np.uint8).astype(np.int64)
        longer = np.flatnonzero(np.frombuffer(types, dtype=np.uint8) >= TOP_BIT)
        if len(longer):
            sizes[longer], more, strange = _sizes_of_long(whole, places[longer])
            odd[pages[longer[strange]]] = True
            places[longer] += more
        hits = np.frombuffer(types.translate(_LOOKS), dtype=np.uint8)
        at = np.flatnonzero(hits)
        places, starts, bodies = places + 1, bodies, bodies + sizes
        found.append(_within(_Values(hits[at], starts[at], bodies[at], pages[at]), ends[at], odd))
    return _Values(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _within(values: _Values, ends: Places, odd: Flags) -> _Values:
    """Give values as far as they lie in their pages; the page of a number that is cut becomes odd."""
    is_cut = values.ends > ends
    if is_cut.any():
        odd[values.pages[is_cut & (values.looks != _LONG_TEXT)]] = True
        at = (np.minimum(values.starts, ends), np.minimum(values.ends, ends))
        return _Values(values.looks, *at, values.pages)
    return values


def _sizes_of_long(whole: Bytes, places: Places) -> tuple[Places, Places, Flags]:
    """Read the types of two or three bytes that begin here.

    Returns:
        The sizes of their values, how many bytes of each type follow its first, and which types
        are neither.
    """
    first, second, third = (whole[places + step].astype(np.int64) for step in range(3))
    goes_on = second >= TOP_BIT
    types = ((first - TOP_BIT) << 7) | (second & (TOP_BIT - 1))
    # A type that would go into fewer bytes is not written by SQLite.
    strange = (types < TOP_BIT) | (goes_on & (third >= TOP_BIT))
    types = np.where(goes_on, (types << 7) | third, types)
    return (types - FIRST_BLOB) >> 1, 1 + goes_on, strange


def _numbers(whole: Bytes, values: _Values, odd: Flags) -> Numbers:
    """Give the card numbers among the integers and floats in pages that are in order."""
    return Numbers(odd, list(_card_numbers(whole, values.where(~odd[values.pages]))))


def _card_numbers(whole: Bytes, values: _Values) -> Iterator[tuple[int, int]]:
    for kind, first in ((SIX_BYTES, 2), (EIGHT_BYTES, 0), (FLOAT, 0)):
        of_kind = values.looks == kind
        here, pages = values.starts[of_kind], values.pages[of_kind]
        if kind == SIX_BYTES:
            # Most are times in milliseconds, which are too low by their first two bytes.
            high = (whole[here].astype(np.int32) << 8) + whole[here + 1] >= _LOWEST_TOP
            here, pages = here[high], pages[high]
        raw = np.zeros((len(here), 8), dtype=np.uint8)
        raw[:, first:] = whole[here[:, None] + _EIGHT[: 8 - first]]
        if first:
            raw[:, :first] = np.where(raw[:, first, None] >= TOP_BIT, 0xFF, 0)
        numbers = raw.reshape(-1).view(">f8" if kind == FLOAT else ">i8")
        for place in np.flatnonzero(could_be_numbers(numbers)).tolist():
            number = numbers[place].item()
            if number == int(number) and is_card_number(str(abs(int(number)))):
                yield int(pages[place]), int(number)
