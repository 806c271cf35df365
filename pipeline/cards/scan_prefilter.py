r"""Says which of many pieces of bytes could hold a card number at all, at the speed of a disk.

One regular expression asks for every encoding at once; Arrow runs it over its own buffers as a
finite automaton. It is looser than `scan_encodings`: brand and check digit are left to the closer
look, which is taken only at the pieces that pass. No piece in which that finds a number is left
out, which a property test holds against a search that looks closely everywhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pipeline.cards.number_rules import DIGITS_MIN, LAYOUTS, PREFIX_DIGITS, RANGES
from pipeline.cards.scan_encodings import (
    BASE64_GROUPS,
    BASE64_SIGNS,
    HEX_DIGIT,
    HEX_NEXT,
    OTHER_DIGITS,
    WRITTEN_GAPS,
)
from pipeline.cards.scan_numbers import GAP_MAX
from pipeline.cards.scan_stretches import SEPARATORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    Flags = npt.NDArray[np.bool_]
    Places = npt.NDArray[np.int64]

LOWEST_NUMBER: Final = RANGES[0].first * 10 ** (DIGITS_MIN - PREFIX_DIGITS)
"""No integer that is a card number is lower."""

SHORTEST_WRITTEN: Final = DIGITS_MIN
"""No number is written in fewer bytes than it has digits."""

_SMALL_BYTES: Final = 1 << 17
"""Up to this size a closer look costs less than to make the automaton (some 5 ms)."""

_WINDOW_BYTES: Final = 1 << 13
_GROUPS_LOOKED_AT: Final = 7


def _any_of(patterns: Iterable[bytes]) -> bytes:
    return b"(?:" + b"|".join(patterns) + b")"


def _run(first: bytes, following: bytes, count: int = DIGITS_MIN) -> bytes:
    return first + b"(?:" + following + b"){%d}" % (count - 1)


def _sign_of(signs: Iterable[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % sign for sign in sorted(set(signs))) + b"]"


def _beginning(layout: Sequence[int]) -> tuple[int, ...]:
    """Give the groups that a layout begins with, as far as its thirteenth digit at most."""
    groups = list[int]()
    for size in layout[:_GROUPS_LOOKED_AT]:
        groups.append(min(size, DIGITS_MIN - sum(groups)))
    return tuple(size for size in groups if size)


# A number in one group, which begins apart from other digits and is no decimal place. Before it may
# stand a written gap that ends with a digit.
_MARKS: Final = {mark[0] for mark, _, _ in WRITTEN_GAPS}
_WRITTEN_BEFORE: Final = _sign_of(_MARKS) + rb"[0-9A-Za-z]{2,5}\.?"
_FIRST_DIGITS: Final = range(ord(str(RANGES[0].first)[0]), ord(str(RANGES[-1].last)[0]) + 1)
_DIGITS: Final = _sign_of(_FIRST_DIGITS) + b"[0-9]{%d}" % (DIGITS_MIN - 1)
_PLAIN: Final = _any_of([rb"\A", rb"[^0-9.]", rb"(?:\A|[^0-9])\.", _WRITTEN_BEFORE]) + _DIGITS
# Or anywhere in a run of digits: of those with which it could begin, the first is followed by most.
_NO_FIRST_DIGIT: Final = _sign_of(set(b"0123456789").difference(_FIRST_DIGITS))
_IN_A_RUN: Final = rb"(?:\A|[^0-9])" + _NO_FIRST_DIGIT + b"*" + _DIGITS
# In groups, with gaps of six bytes at most.
_SEPARATOR: Final = _sign_of(SEPARATORS)
_GAP: Final = _any_of(
    [
        _SEPARATOR + b"{1,%d}" % GAP_MAX,
        _SEPARATOR + b"*" + _sign_of(_MARKS) + b"(?s:.){1,%d}" % (GAP_MAX - 1),
    ]
)
_GROUPED: Final = [
    _GAP.join(b"[0-9]{%d}" % size for size in groups)
    for groups in sorted({_beginning(layout) for layout in LAYOUTS})
]
_OTHER_DIGIT: Final = _any_of(digit.pattern for _, digit, _ in OTHER_DIGITS)
_BASE64_GROUP: Final = b"".join(b"[" + signs + rb"][\r\n]*" for signs in BASE64_SIGNS)
_ENCODED: Final = (
    _run(_OTHER_DIGIT, b"[ -]?" + _OTHER_DIGIT),
    _run(HEX_DIGIT, HEX_NEXT),
    _any_of([_BASE64_GROUP]) + b"{%d}" % BASE64_GROUPS,
    # One digit fewer: the NUL beside the last may be one that stands in for a record taken out.
    _run(rb"[0-9]\x00", rb"(?:[ \-._+\xa0]\x00|[\x00-\x15/] )*[0-9]\x00", DIGITS_MIN - 1),
    _run(rb"\x00[0-9]", rb"(?:\x00[ \-._+\xa0]| [\x00-\x15/])*\x00[0-9]", DIGITS_MIN - 1),
)

APART: Final = b"|".join((_PLAIN, *_GROUPED, *_ENCODED)).decode("ascii")
"""A number in a piece of its own: its first digit stands apart from others."""

ANYWHERE: Final = b"|".join((_IN_A_RUN, *_GROUPED, *_ENCODED)).decode("ascii")
"""A number where values lie side by side with nothing between them."""


def could_hold(pieces: Any, pattern: str = APART) -> Flags:
    """Say of each piece, an Arrow array of binary values, whether it could hold a number."""
    call_function, options = _arrow_functions()
    answers = call_function("match_substring_regex", [pieces], options(pattern))
    is_valid, flags = (_bits(bits, answers) for bits in answers.buffers())
    return flags & is_valid


@cache
def _arrow_functions() -> Any:
    """Give what calls a function of Arrow's by its name, and the options of a search."""
    # The public module makes a documented wrapper of each of its functions when it is imported,
    # which takes as long as the search of some 20 MB. Small pieces are searched without either.
    try:
        from pyarrow._compute import (  # noqa: PLC0415
            MatchSubstringOptions,
            call_function,
        )
    except ImportError:
        from pyarrow.compute import MatchSubstringOptions, call_function  # noqa: PLC0415
    return call_function, MatchSubstringOptions


def _bits(bits: Any, answers: Any) -> Flags:
    # Neither `to_numpy` nor `fill_null`, which import pandas.
    if bits is None:
        return np.ones(len(answers), dtype=np.bool_)
    places = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little").view(np.bool_)
    return places[answers.offset : answers.offset + len(answers)]


def regions_that_could_hold(block: bytes, reach: int) -> list[tuple[int, int]]:
    """Give the regions of a block in which a number could lie, ascending and apart.

    Args:
        block: Any bytes, some megabytes of them for the speed of it.
        reach: No number, with what has to be known around it, is longer than this (bytes).
    """
    if len(block) < _SMALL_BYTES:
        return [(0, len(block))]
    edges = np.append(np.arange(0, len(block), _WINDOW_BYTES), len(block))
    # What lies across the edge of two windows lies wholly in the seam over it.
    seams = np.clip(edges[1:-1] - reach, 0, None), np.clip(edges[1:-1] + reach, None, len(block))
    hits = list[tuple[int, int]]()
    for starts, ends in ((edges[:-1], edges[1:]), seams):
        found = spans_that_could_hold(block, starts, ends, APART)
        hits += zip(starts[found].tolist(), ends[found].tolist(), strict=True)
    regions = list[tuple[int, int]]()
    for start, end in sorted(hits):
        if regions and start <= regions[-1][1]:
            regions[-1] = regions[-1][0], max(end, regions[-1][1])
        else:
            regions.append((start, end))
    return regions


def spans_that_could_hold(block: Any, starts: Places, ends: Places, pattern: str) -> Flags:
    """Say of each span of a block whether it could hold a number.

    Args:
        block: Any bytes, or a buffer of Arrow's.
        starts: Where each span begins, ascending; no span begins before the one before it ends.
        ends: Where each ends (behind its last byte).
        pattern: `APART` or `ANYWHERE`.
    """
    if not len(starts):
        return np.zeros(0, dtype=np.bool_)
    if np.array_equal(starts[1:], ends[:-1]):
        return could_hold(_values(block, np.append(starts, ends[-1])), pattern)
    # What lies between two spans is a value, too, but one that is null; it is dropped, because the
    # automaton would run over nulls as well.
    offsets = np.empty(2 * len(starts) + 1, dtype=np.int64)
    offsets[0], offsets[1::2], offsets[2::2] = 0, starts, ends
    is_span = np.full(len(starts) // 4 + 1, 0b10101010, dtype=np.uint8)
    call_function, _ = _arrow_functions()
    spans = call_function("drop_null", [_values(block, offsets, is_span)])
    return could_hold(spans, pattern)


def _values(block: Any, offsets: Places, is_valid: npt.NDArray[np.uint8] | None = None) -> Any:
    """Give the bytes between offsets as an array of Arrow's; nothing is copied."""
    import pyarrow as pa  # noqa: PLC0415 - as above.

    valid = None if is_valid is None else pa.py_buffer(is_valid)
    buffers = [valid, pa.py_buffer(offsets), pa.py_buffer(block)]
    return pa.Array.from_buffers(pa.large_binary(), len(offsets) - 1, buffers)


_NUMBERS: Final = tuple(
    (RANGES[0].first * 10**zeros, (RANGES[-1].last + 1) * 10**zeros)
    for zeros in range(DIGITS_MIN - PREFIX_DIGITS, 19 - PREFIX_DIGITS + 1)
)


def could_be_numbers(values: npt.NDArray[np.generic]) -> Flags:
    """Say which integers or floats begin as a card number does and have as many digits."""
    # The lowest integer has no positive counterpart, and what is no number compares as false.
    with np.errstate(all="ignore"):
        sizes = np.abs(values)
        fits = np.zeros(len(values), dtype=np.bool_)
        for lowest, behind in _NUMBERS:
            fits |= (sizes >= lowest) & (sizes < behind)
    return fits
