"""Says which pages of a SQLite database hold integers or floats whose digits could be a card number.

An integer is no digits in a file, so no search of its bytes can find one. The cells of many pages
are read at once here, column by column, and only their large numbers are looked at.

Source: sqlite.org/fileformat2.html, sections 1.6 and 2.1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from pipeline.cards.brands import PREFIX_DIGITS, RANGES
from pipeline.cards.card_number import DIGITS_MIN, is_card_number

if TYPE_CHECKING:
    import numpy.typing as npt

    Places: TypeAlias = npt.NDArray[np.int64]
    Bytes: TypeAlias = npt.NDArray[np.uint8]

_LEAF_TABLE: Final = 0x0D
_LEAF_INDEX: Final = 0x0A
_INNER_INDEX: Final = 0x02
_POINTERS: Final = {_LEAF_TABLE: 8, _LEAF_INDEX: 8, _INNER_INDEX: 12}
_SIZES: Final = np.array([0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0], dtype=np.int64)
_SIX_BYTES, _EIGHT_BYTES, _FLOAT, _FIRST_TEXT = 5, 6, 7, 12
_VARINT_MAX: Final = 9
_TOP_BIT: Final = 0x80
_PADDING: Final = 32
_EIGHT: Final = np.arange(8)
_NUMBERS: Final = tuple(
    (RANGES[0].first * 10**zeros, (RANGES[-1].last + 1) * 10**zeros)
    for zeros in range(DIGITS_MIN - PREFIX_DIGITS, 19 - PREFIX_DIGITS + 1)
)


def pages_with_large_numbers(pages: bytes, size: int) -> set[int]:
    """Give the places of the pages with a number of which a card number's digits could be made.

    Pages whose records go on in other pages are among them, whatever they hold.

    Args:
        pages: Whole pages, one behind the other.
        size: How many bytes a page has.
    """
    whole = np.frombuffer(pages + bytes(_PADDING), dtype=np.uint8)
    found = set[int]()
    for kind, pointers in _POINTERS.items():
        starts = np.flatnonzero(whole[: len(pages) : size] == kind) * size
        cells = _cells(whole, starts, pointers, size)
        if len(cells):
            found |= _suspects(whole, cells, kind, size)
    return found


def could_be_numbers(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Say which integers or floats begin as a card number does and have as many digits."""
    sizes = np.abs(values)
    fits = np.zeros(len(values), dtype=np.bool_)
    for lowest, behind in _NUMBERS:
        fits |= (sizes >= lowest) & (sizes < behind)
    return fits


def _cells(whole: Bytes, starts: Places, pointers: int, size: int) -> Places:
    """Give where all cells of these pages begin."""
    counts = (whole[starts + 3].astype(np.int64) << 8) | whole[starts + 4]
    counts = np.minimum(counts, (size - pointers) // 2)
    pages = np.repeat(starts, counts)
    slots = np.arange(len(pages)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = pages + pointers + 2 * slots
    cells = (whole[places].astype(np.int64) << 8) | whole[places + 1]
    found: Places = (pages + cells)[cells < size]
    return found


def _suspects(whole: Bytes, cells: Places, kind: int, size: int) -> set[int]:
    pages = cells // size
    length, start = _varints(whole, cells + 4 if kind == _INNER_INDEX else cells)
    if kind == _LEAF_TABLE:
        _, start = _varints(whole, start)
    most = size - 35 if kind == _LEAF_TABLE else (size - 12) * 64 // 255 - 23
    goes_on = (length < 0) | (length > most)
    found = set(pages[goes_on].tolist())
    pages, start = pages[~goes_on], start[~goes_on]
    head, place = _varints(whole, start)
    ends, body = start + head, start + head
    while len(pages):
        more = (place < ends) & (ends < len(whole)) & (head > 0)
        pages, place, ends, body, head = (part[more] for part in (pages, place, ends, body, head))
        kinds, place = _varints(whole, place)
        found |= _with_number(whole, kinds, body, pages)
        body = body + _width(kinds)
        head = np.where((kinds >= 0) & (body <= len(whole)), head, 0)
    return found


def _width(kinds: Places) -> Places:
    return np.where(
        kinds >= _FIRST_TEXT, (kinds - _FIRST_TEXT) // 2, _SIZES[np.clip(kinds, 0, _FIRST_TEXT - 1)]
    )


def _with_number(whole: Bytes, kinds: Places, body: Places, pages: Places) -> set[int]:
    """Give the pages in which this column is a number whose digits are a card number."""
    found = set[int]()
    for kind, first in ((_SIX_BYTES, 2), (_EIGHT_BYTES, 0), (_FLOAT, 0)):
        here = np.flatnonzero((kinds == kind) & (body < len(whole) - len(_EIGHT)))
        if not len(here):
            continue
        raw = np.zeros((len(here), 8), dtype=np.uint8)
        raw[:, first:] = whole[body[here, None] + _EIGHT[: 8 - first]]
        if first:
            raw[:, :first] = np.where(raw[:, first, None] >= _TOP_BIT, 0xFF, 0)
        values = raw.reshape(-1).view(">f8" if kind == _FLOAT else ">i8")
        for place in np.flatnonzero(_in_range(values)).tolist():
            value = values[place].item()
            if value == int(value) and is_card_number(str(abs(int(value)))):
                found.add(int(pages[here[place]]))
    return found


def _in_range(values: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    # The lowest integer has no positive counterpart, and what is no number compares as false.
    with np.errstate(all="ignore"):
        return could_be_numbers(values)


def _varints(whole: Bytes, places: Places) -> tuple[Places, Places]:
    """Read a varint at each place; give the values (64 bits, signed) and the places behind."""
    values = np.zeros(len(places), dtype=np.int64)
    places = np.minimum(places, len(whole) - _PADDING)
    behind = places.copy()
    going = np.arange(len(places))
    for step in range(1, _VARINT_MAX + 1):
        read = whole[behind[going]].astype(np.int64)
        behind[going] += 1
        if step == _VARINT_MAX:
            values[going] = (values[going] << 8) | read
            break
        values[going] = (values[going] << 7) | (read & (_TOP_BIT - 1))
        going = going[read >= _TOP_BIT]
        if not len(going):
            break
    return values, behind
