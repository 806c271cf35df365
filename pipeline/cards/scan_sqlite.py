"""Looks for card numbers in the records of a SQLite database, its journal and its WAL.

Records lie in a page without separators: a number followed by a month reads as 18 digits, and
an integer is no digits at all. So the values of every page are looked at one by one, in free pages
too, which keep what they held, and in the page images of journals. What lies between the records is
left over from deleted ones; there a number may touch its neighbours, and is looked for at both
ends of a run of digits, unless the same run still stands in a living record.

A value or a rest is taken out of its page only when `scan_prefilter` says that it could hold a
number; so does `scan_sqlite_long_numbers` for integers and floats, and for the numbers of rows,
which stand before records.
"""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from pipeline.cards.number_rules import DIGITS_MAX, is_card_number
from pipeline.cards.scan_ahead import look_ahead
from pipeline.cards.scan_numbers import Sighting
from pipeline.cards.scan_prefilter import ANYWHERE, spans_that_could_hold
from pipeline.cards.scan_sqlite_cells import read_cells, rests
from pipeline.cards.scan_sqlite_long_numbers import pages_with_long_numbers
from pipeline.cards.scan_sqlite_pages import HEAD_BYTES, is_sqlite, joined, read_pages
from pipeline.cards.scan_sqlite_records import records
from pipeline.cards.scan_sqlite_rows import card_rows
from pipeline.cards.scan_streams import search_pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.cards.scan_prefilter import Flags
    from pipeline.cards.scan_sqlite_cells import Cells, Spans
    from pipeline.cards.scan_sqlite_pages import Pages

    Piece: TypeAlias = tuple[tuple[int, bool], bytes]

__all__ = ["HEAD_BYTES", "is_sqlite", "search_sqlite"]

_RUN: Final = re.compile(rb"(?<![0-9])[0-9]{13,40}(?![0-9])")
_LONG_GAP: Final = re.compile(rb"\0{9,}")
_SHORT_GAP: Final = bytes(8)
_TOUCHING_LENGTHS: Final = (16, 15)
_RUNS_AT_ONCE: Final = 200
_TOGETHER_BYTES: Final = 1 << 22


def search_sqlite(stream: IO[bytes]) -> Iterator[tuple[str, Sighting]]:
    """Give every sighting in a database, rollback journal or WAL, by page.

    A number that is cut in two by the border of an overflow page is not found.

    Args:
        stream: A seekable stream.
    """
    left = dict[bytes, int]()
    for (number, living), seen in search_pieces(_pieces(stream, left)):
        # Plain digits outside living records are judged at the end, when all records are known.
        if living or seen.encoding != "plain":
            yield f"page {number}", seen
    numbers = {run: found for run in left if (found := _numbers_in(run))}
    for run in numbers.keys() - _standing(stream, list(numbers)):
        for digits in sorted(numbers[run]):
            yield f"page {left[run]}", Sighting(0, len(digits), "deleted record", digits[-4:])


def _pieces(stream: IO[bytes], left: dict[bytes, int]) -> Iterator[Piece]:
    """Give what could hold a number: values of records (living), and what lies between them.

    Args:
        stream: A seekable stream.
        left: Filled with the runs of digits that lie between records, each with its page.
    """
    for _, look in look_ahead(_look_closely, _suspicious_pages(stream)):
        yield from _living_values(look)
        for place in look.rests:
            rest = _rest(look.pages, look.cells, place)
            for run in _RUN.findall(rest):
                left.setdefault(run, look.pages.numbers[place])
            yield (look.pages.numbers[place], False), _LONG_GAP.sub(_SHORT_GAP, rest)


def _suspicious_pages(stream: IO[bytes]) -> Iterator[Pages]:
    """Give the pages that could hold a number, some megabytes together: few cost as much as many."""
    waiting: list[Pages] = []
    for _, pages in look_ahead(_that_could_hold, read_pages(stream)):
        waiting.append(pages)
        if sum(len(some.block) for some in waiting) >= _TOGETHER_BYTES:
            yield joined(waiting)
            waiting = []
    if waiting:
        yield joined(waiting)


def _that_could_hold(pages: Pages) -> Pages:
    # Whatever is written in a page is seen in the whole of it, too, and most pages hold nothing.
    flags = _pages_with(pages, ANYWHERE)
    return pages.where(flags | pages_with_long_numbers(pages, ~flags))


class _Look(NamedTuple):
    """What of some pages has to be searched."""

    pages: Pages
    cells: Cells
    """What lies in these."""
    numbers: list[tuple[int, int]]
    """The card numbers that are no texts, each after its page's place."""
    texts: list[tuple[int, int]]
    """Where the texts and blobs lie in these that could hold a number."""
    rests: list[int]
    """The places of those between whose records one could lie, odd pages among them."""


def _look_closely(pages: Pages) -> _Look:
    cells = read_cells(pages)
    texts, between = _spans_with(pages.block, cells.texts, rests(cells, pages.size))
    places = set((between.starts // pages.size).tolist())
    odd = np.flatnonzero(cells.numbers.odd).tolist()
    ends = zip(texts.starts.tolist(), texts.ends.tolist(), strict=True)
    numbers = [*cells.numbers.found, *card_rows(pages, cells.numbers.odd)]
    return _Look(pages, cells, numbers, list(ends), sorted(places.union(odd)))


def _spans_with(block: bytes, texts: Spans, between: Spans) -> tuple[Spans, Spans]:
    """Give those of each that could hold a number: asked together, as to begin asking costs most."""
    starts, ends = (np.concatenate(part) for part in zip(texts, between, strict=True))
    order = np.argsort(starts, kind="stable")
    flags = np.empty(len(starts), dtype=np.bool_)
    flags[order] = spans_that_could_hold(block, starts[order], ends[order], ANYWHERE)
    count = len(texts.starts)
    return texts.where(flags[:count]), between.where(flags[count:])


def _told(look: _Look) -> Iterator[Piece]:
    """Give the numbers of the pages in order, and whatever stands in records of the odd ones."""
    pages = look.pages
    for place, number in look.numbers:
        yield (pages.numbers[place], True), str(number).encode()
    for place in np.flatnonzero(look.cells.numbers.odd).tolist():
        for _, _, values in _odd_records(pages, place):
            yield from (((pages.numbers[place], True), value) for value in values)


def _pages_with(pages: Pages, pattern: str) -> Flags:
    starts = np.arange(len(pages.numbers), dtype=np.int64) * pages.size
    return spans_that_could_hold(pages.block, starts, starts + pages.size, pattern)


def _living_values(look: _Look) -> Iterator[Piece]:
    pages = look.pages
    yield from _told(look)
    for start, end in look.texts:
        yield (pages.numbers[start // pages.size], True), pages.block[start:end]


def _rest(pages: Pages, cells: Cells, place: int) -> bytes:
    """Give a page in which all records are overwritten with NULs."""
    rest = bytearray(pages.page(place))
    for start, end in _record_spans(pages, cells, place):
        rest[start:end] = bytes(end - start)
    return bytes(rest)


def _record_spans(pages: Pages, cells: Cells, place: int) -> list[tuple[int, int]]:
    """Give where the records of a page begin and end in it."""
    if cells.numbers.odd[place]:
        return [(start, end) for start, end, _ in _odd_records(pages, place)]
    base = place * pages.size
    low, high = np.searchsorted(cells.records.starts, (base, base + pages.size)).tolist()
    starts, ends = cells.records.starts[low:high] - base, cells.records.ends[low:high] - base
    return list(zip(starts.tolist(), ends.tolist(), strict=True))


def _odd_records(pages: Pages, place: int) -> Iterator[tuple[int, int, list[bytes]]]:
    return records(pages.page(place), HEAD_BYTES if pages.numbers[place] == 1 else 0)


def _standing(stream: IO[bytes], runs: list[bytes]) -> set[bytes]:
    """Give those of the runs of digits that stand in a record, older copies of which may lie about."""
    found = set[bytes]()
    if not runs:
        return found
    for pages in read_pages(stream):
        hits = np.zeros(len(pages.numbers), dtype=np.bool_)
        for first in range(0, len(runs), _RUNS_AT_ONCE):
            hits |= _pages_with(pages, b"|".join(runs[first : first + _RUNS_AT_ONCE]).decode())
        if not hits.any():
            continue
        some = pages.where(hits)
        cells = read_cells(some)
        for place in range(len(some.numbers)):
            page = some.page(place)
            for start, end in _record_spans(some, cells, place):
                found.update(_RUN.findall(page[start:end]))
    return found


def _numbers_in(run: bytes) -> set[str]:
    digits = run.decode("ascii")
    whole = {digits} if len(digits) <= DIGITS_MAX else set()
    ends = {part for size in _TOUCHING_LENGTHS for part in (digits[:size], digits[-size:])}
    return {number for number in whole or ends if is_card_number(number)} or {
        number for number in ends if is_card_number(number)
    }
