r"""Finds the places of card numbers in ASCII bytes.

This is the strict way to ask for them, at disk speed (`pipeline.cards.detect` says why there are
two). What digits are a card number is `number_rules`' question. Excluded are:

- a run of more than 19 digits, and a run that is a part of a longer one;
- the digits after a decimal point (`0.4242...`) and after `0x`;
- a run inside a word that is all hexadecimal with letters and 16, 24, 32, ... long: a digest;
- groups parted by unlike or unusual separators, or not laid out as cards are (`LAYOUTS`);
- groups parted by dashes with a hexadecimal letter at either end: a UUID;
- four numbers of a drawing's path (`Q 1547 4250 1301 3770`), which fonts in SVG are full of.

Times need no rule: seconds, milli-, micro- and nanoseconds since 1970 begin with 1 and dates
with 20, and no brand does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from pipeline.cards.number_rules import (
    DIGITS_MAX,
    DIGITS_MIN,
    GROUP_IN_LISTS_MAX,
    LAYOUTS,
    RANGES,
    check_digits_fit,
    is_card_number,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    Places: TypeAlias = npt.NDArray[np.intp]

_FIRST_LENGTHS: Final = {layout[0] for layout in LAYOUTS}
_GROUPS_MIN: Final = 2
_KEY_BITS: Final = 32
_SEPARATORS: Final = b" -._+"
_GAP_MAX: Final = 6
_GAP: Final = re.compile(rb" {1,6}|-{1,6}|[._+]| - ")
_ZERO: Final = ord("0")
_LOWEST_SIGN: Final = ord(str(RANGES[0].first)[0])
_HIGHEST_SIGN: Final = ord(str(RANGES[-1].last)[0])
_FROM_END: Final = np.arange(DIGITS_MAX, 0, -1)
_TO_ZEROS: Final = bytes(_ZERO if 48 <= byte <= 57 else 46 for byte in range(256))
_WORTH_A_LOOK: Final = b"0" * DIGITS_MIN
_HEX_BEFORE: Final = re.compile(rb"[0-9a-fA-F]*\Z")
_HEX_AFTER: Final = re.compile(rb"[0-9a-fA-F]*")
_DIGEST: Final = re.compile(rb"(?:[0-9]*[a-f][0-9a-f]*|[0-9]*[A-F][0-9A-F]*)")
_DIGEST_STEP: Final = 8
_DIGEST_LOOK: Final = 128
"""A hexadecimal word longer than this, either side, is a dump whatever its length is."""
_PATH_BEFORE: Final = re.compile(rb"(?:\A|[\s\"'])[MmLlHhVvCcSsQqTtAaZz][ ,]?\Z")
_PATH_AFTER: Final = re.compile(rb"\s*(?:[MmLlHhVvCcSsQqTtAaZz](?:[\s\"'\d-]|\Z)|[\"'])")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A card number in a block of bytes: where it begins and ends, how it is written, its tail."""

    start: int
    end: int
    encoding: str
    last_digits: str


def find_numbers(block: bytes) -> Iterator[Sighting]:
    """Give the card numbers that stand in a block as ASCII digits, plain or in groups.

    The block's ends count as borders of a number: hand in more than the stretch of interest.
    """
    if _WORTH_A_LOOK not in block.translate(_TO_ZEROS, _SEPARATORS):
        return
    signs = np.frombuffer(block, dtype=np.uint8)
    starts, ends = _runs(signs)
    yield from _plain(block, signs, starts, ends)
    # A number of 19 digits may hold one of 16.
    yield from longest(_grouped(block, signs, starts, ends))


def _runs(signs: npt.NDArray[np.uint8]) -> tuple[Places, Places]:
    """Give where every run of digits starts and where it ends."""
    digit = np.zeros(len(signs) + 2, dtype=np.bool_)
    np.less(signs - np.uint8(_ZERO), 10, out=digit[1:-1])
    edges = np.flatnonzero(digit[1:] != digit[:-1])
    return edges[0::2], edges[1::2]


def _plain(
    block: bytes, signs: npt.NDArray[np.uint8], starts: Places, ends: Places
) -> Iterator[Sighting]:
    lengths = ends - starts
    fits = (lengths >= DIGITS_MIN) & (lengths <= DIGITS_MAX)
    starts, ends = starts[fits], ends[fits]
    # Times since 1970 begin with 1, which no brand does; they are most of what is left.
    fits = (signs[starts] >= _LOWEST_SIGN) & (signs[starts] <= _HIGHEST_SIGN)
    starts, ends = starts[fits], ends[fits]
    fits = _checks_out(signs, starts, ends)
    for start, end in zip(starts[fits].tolist(), ends[fits].tolist(), strict=True):
        digits = block[start:end].decode("ascii")
        if is_card_number(digits) and not _looks_otherwise(block, start, end):
            yield Sighting(start, end, "plain", digits[-4:])


def _checks_out(
    signs: npt.NDArray[np.uint8], starts: Places, ends: Places
) -> npt.NDArray[np.bool_]:
    """Say which runs have the right check digit: nine in ten are out before any Python sees them."""
    places = ends[:, None] - _FROM_END
    digits = np.where(places >= starts[:, None], signs[places] - np.uint8(_ZERO), 0)
    return check_digits_fit(digits)


def _looks_otherwise(block: bytes, start: int, end: int) -> bool:
    before = block[max(0, start - 2) : start]
    if before[-1:] == b"." and before[:1].isdigit():
        return True
    if before in {b"0x", b"0X"}:
        return True
    left = _HEX_BEFORE.search(block, max(0, start - _DIGEST_LOOK), start)
    right = _HEX_AFTER.match(block, end, end + _DIGEST_LOOK)
    first = left.start() if left else start
    last = right.end() if right else end
    if not _DIGEST.fullmatch(block, first, last):
        return False
    if max(start - first, last - end) >= _DIGEST_LOOK:
        return True
    around = block[max(0, first - 1) : first] + block[last : last + 1]
    return (last - first) % _DIGEST_STEP == 0 and not any(map(_is_letter, around))


def _is_letter(byte: int) -> bool:
    return chr(byte).isascii() and chr(byte).isalpha()


def _grouped(
    block: bytes, signs: npt.NDArray[np.uint8], starts: Places, ends: Places
) -> Iterator[Sighting]:
    if len(starts) < _GROUPS_MIN:
        return
    lengths = ends - starts
    # One key for a gap's width and first sign; the gap after the last run is like no other.
    gaps = np.append((starts[1:] - ends[:-1]) + (signs[ends[:-1]].astype(np.intp) << _KEY_BITS), -1)
    near = np.append(starts[1:] - ends[:-1] <= _GAP_MAX, False)
    begins = {length: np.flatnonzero((lengths == length) & near) for length in _FIRST_LENGTHS}
    for layout in LAYOUTS:
        for first in _laid_out(layout, begins[layout[0]], lengths, gaps):
            sighting = _sighting_at(block, starts, ends, first, layout)
            if sighting is not None:
                yield sighting


def _laid_out(layout: tuple[int, ...], places: Places, lengths: Places, gaps: Places) -> list[int]:
    """Give the runs at which groups of this layout begin, all parted by like gaps."""
    steps = len(layout)
    places = places[places + steps <= len(lengths)]
    for step in range(1, steps):
        fits = lengths[places + step] == layout[step]
        fits &= (gaps[places + step] == gaps[places]) | (step == steps - 1)
        places = places[fits]
    if layout[0] <= GROUP_IN_LISTS_MAX:
        after = gaps[places + steps - 1] == gaps[places]
        before = (places > 0) & (gaps[places - 1] == gaps[places])
        places = places[~before & ~after]
    return [int(place) for place in places]


def _sighting_at(
    block: bytes, starts: Places, ends: Places, first: int, layout: tuple[int, ...]
) -> Sighting | None:
    final = first + len(layout) - 1
    start, end = int(starts[first]), int(ends[final])
    gap = block[ends[first] : starts[first + 1]]
    groups = block[start:end].split(gap)
    if not _GAP.fullmatch(gap) or tuple(map(len, groups)) != layout:
        return None
    digits = b"".join(groups).decode("ascii")
    if not is_card_number(digits) or _is_drawing(block, start, end):
        return None
    if gap == b"-" and _is_uuid(block, start, end):
        return None
    return Sighting(start, end, "grouped", digits[-4:])


def longest(sightings: Iterable[Sighting]) -> Iterator[Sighting]:
    """Give the longest of those that overlap, the first of like ones, in order of place."""
    kept: Sighting | None = None
    for sighting in sorted(sightings, key=lambda seen: seen.start):
        if kept is None or sighting.start >= kept.end:
            if kept is not None:
                yield kept
            kept = sighting
        elif sighting.end - sighting.start > kept.end - kept.start:
            kept = sighting
    if kept is not None:
        yield kept


def _is_uuid(block: bytes, start: int, end: int) -> bool:
    around = block[max(0, start - 1) : start] + block[end : end + 1]
    return any(byte in b"abcdefABCDEF" for byte in around)


def _is_drawing(block: bytes, start: int, end: int) -> bool:
    return bool(
        _PATH_BEFORE.search(block, max(0, start - 4), start) and _PATH_AFTER.match(block, end)
    )
