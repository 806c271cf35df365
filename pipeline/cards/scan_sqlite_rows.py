"""Looks for card numbers among the numbers of rows, which are a table's `INTEGER PRIMARY KEY`.

Such a column is no value of its records: the number stands before each, and in the inner pages of
a table alone, as a border between two other pages.

Source: sqlite.org/fileformat2.html, section 1.6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from pipeline.cards.number_rules import is_card_number
from pipeline.cards.scan_prefilter import LOWEST_NUMBER, could_be_numbers
from pipeline.cards.scan_sqlite_cells import cell_places
from pipeline.cards.scan_sqlite_records import CELL_POINTERS, INNER_TABLE, LEAF_TABLE
from pipeline.cards.scan_sqlite_varints import PADDING, behind_varints, varints

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from pipeline.cards.scan_sqlite_pages import Pages

    Places: TypeAlias = npt.NDArray[np.int64]
    Bytes: TypeAlias = npt.NDArray[np.uint8]
    Flags: TypeAlias = npt.NDArray[np.bool_]

_BITS_OF_BYTE: Final = 7
ROW_BYTES_MIN: Final = -(-LOWEST_NUMBER.bit_length() // _BITS_OF_BYTE)
_LOWEST_SIGN: Final = 0x80 | LOWEST_NUMBER >> _BITS_OF_BYTE * (ROW_BYTES_MIN - 1)
"""How many bytes the lowest card number has as the number of a row, and the first of them."""


def row_places(whole: Bytes, size: int, kind: int, of_kind: Places) -> tuple[Places, Places]:
    """Give where the numbers of rows begin in pages of a table, and the page of each.

    Args:
        whole: All pages; behind those of `LEAF_TABLE`, `PADDING` bytes more.
        size: The bytes of a page.
        kind: `LEAF_TABLE` or `INNER_TABLE`.
        of_kind: The places of pages of this kind.
    """
    cells, pages = cell_places(whole, of_kind, CELL_POINTERS[kind], size)
    # The length of the record, or the number of a page, stands first.
    return behind_varints(whole, cells) if kind == LEAF_TABLE else cells + 4, pages


def could_be_rows(whole: Bytes, starts: Places, ends: Places) -> Flags:
    """Say which numbers of rows begin as a card number does and have as many digits.

    Most are lower than any, which their bytes tell before they are read.

    Args:
        whole: All pages.
        starts: Where each number begins; `PADDING` bytes follow it.
        ends: Where it ends (behind its last byte).
    """
    sizes = ends - starts
    could: Flags = sizes >= ROW_BYTES_MIN
    at = np.flatnonzero(could)
    at = at[(sizes[at] > ROW_BYTES_MIN) | (whole[starts[at]] >= _LOWEST_SIGN)]
    could[:] = False
    if len(at):
        could[at] = could_be_numbers(varints(whole, starts[at])[0])
    return could


def card_rows(pages: Pages, odd: Flags) -> Iterator[tuple[int, int]]:
    """Give the numbers of rows that are card numbers, each after its page's place.

    Args:
        pages: Any pages.
        odd: For each, whether it is not in order, and so not looked at here.
    """
    whole = np.frombuffer(pages.block + bytes(PADDING), dtype=np.uint8)
    kinds = whole[: len(odd) * pages.size : pages.size]
    for kind in (LEAF_TABLE, INNER_TABLE):
        starts, places = row_places(whole, pages.size, kind, np.flatnonzero((kinds == kind) & ~odd))
        ends = behind_varints(whole, starts)
        could = could_be_rows(whole, starts, ends) & (ends <= (places + 1) * pages.size)
        rows, _ = varints(whole, starts[could])
        for place, row in zip(places[could].tolist(), rows.tolist(), strict=True):
            if is_card_number(str(abs(row))):
                yield place, row
