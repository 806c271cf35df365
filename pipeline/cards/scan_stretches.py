"""Says where in a block of bytes digits stand of which a card number could be made.

This is the cheap question before `scan_numbers` looks closely: brand, length and check digit of
every 13 to 19 digits in a row, whatever separates them, worked out for a whole block at once.
What is no card number here is none for any closer look, so most of a block is never looked at.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from pipeline.cards.number_rules import (
    DIGITS_MAX,
    DIGITS_MIN,
    PREFIX_DIGITS,
    RANGES,
    lengths_of_brand,
)

if TYPE_CHECKING:
    import numpy.typing as npt

    Places: TypeAlias = npt.NDArray[np.intp]

SEPARATORS: Final = b" -._+"
"""The signs that may stand between the groups of a number in ASCII."""

_DIGITS: Final = b"0123456789"
_TO_ZEROS: Final = bytes(_DIGITS[0] if byte in _DIGITS else 1 for byte in range(256))
_WORTH_A_LOOK: Final = b"0" * DIGITS_MIN
_DIGIT, _BETWEEN, _BORDER = 0, 1, 2
_LENGTHS: Final = range(DIGITS_MIN, DIGITS_MAX + 1)
_DOUBLED: Final = np.array([0, 2, 4, 6, 8, 1, 3, 5, 7, 9], dtype=np.uint8)


class Stretch(NamedTuple):
    """From the first to behind the last digit of a run; between them only digits and separators."""

    start: int
    end: int


def stretches(block: bytes, separators: bytes = SEPARATORS) -> list[Stretch]:
    """Give the runs of digits and separators that hold a card number's digits in a row.

    Args:
        block: Any bytes.
        separators: The bytes that do not end a run.
    """
    if _WORTH_A_LOOK not in block.translate(_TO_ZEROS, separators):
        return []
    kinds = np.frombuffer(block.translate(_kinds(separators)), dtype=np.uint8)
    places = np.flatnonzero(kinds == _DIGIT)
    runs = np.cumsum(kinds == _BORDER, dtype=np.int32)[places]
    long = _in_long_runs(runs)
    places, runs = places[long], runs[long]
    digits = np.frombuffer(block, dtype=np.uint8)[places] - np.uint8(_DIGITS[0])
    apart = np.diff(places, prepend=-2, append=len(block) + 1) > 1
    # Each once, ascending; `np.unique` loads a module of NumPy's that nothing else here needs.
    hits = np.flatnonzero(np.bincount(runs[_number_starts(digits, runs, apart)]))
    firsts = places[np.searchsorted(runs, hits, side="left")]
    lasts = places[np.searchsorted(runs, hits, side="right") - 1]
    return [Stretch(*ends) for ends in zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)]


@cache
def _kinds(separators: bytes) -> bytes:
    return bytes(
        _DIGIT if byte in _DIGITS else _BETWEEN if byte in separators else _BORDER
        for byte in range(256)
    )


@cache
def _lengths_by_prefix() -> npt.NDArray[np.uint8]:
    """Give for every six first digits a bit for each length that a number of that brand has."""
    lengths = np.zeros(10**PREFIX_DIGITS, dtype=np.uint8)
    for known in RANGES:
        fitting = lengths_of_brand(f"{known.first:0{PREFIX_DIGITS}d}")
        lengths[known.first : known.last + 1] = sum(1 << length - DIGITS_MIN for length in fitting)
    return lengths


def _in_long_runs(runs: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Say which digits lie in runs of as many digits as a number has."""
    edges = np.flatnonzero(runs[1:] != runs[:-1]) + 1
    sizes = np.diff(edges, prepend=0, append=len(runs))
    return np.repeat(sizes >= DIGITS_MIN, sizes)


def _number_starts(
    digits: npt.NDArray[np.uint8],
    runs: npt.NDArray[np.int32],
    apart: npt.NDArray[np.bool_],
) -> Places:
    """Give the digits at which a card number could begin.

    Args:
        digits: All digits of a block, 0 to 9.
        runs: The run that each belongs to, ascending.
        apart: Whether a digit stands apart from the one before it, and at the end one more: a
            number begins and ends so.
    """
    near = runs[: 1 - DIGITS_MIN] == runs[DIGITS_MIN - 1 :]
    starts = np.flatnonzero(near & apart[:-DIGITS_MIN])
    prefixes = np.zeros(len(starts), dtype=np.int32)
    for place in range(PREFIX_DIGITS):
        prefixes = prefixes * 10 + digits[starts + place]
    lengths = _lengths_by_prefix()[prefixes]
    starts, lengths = starts[lengths > 0], lengths[lengths > 0]
    if not len(starts):
        return starts
    sums = _check_sums(digits)
    hits = [starts[:0]]
    for length in _LENGTHS:
        here = starts[(lengths >> (length - DIGITS_MIN)) & 1 == 1]
        here = here[here + length <= len(digits)]
        here = here[runs[here] == runs[here + length - 1]]
        here = here[apart[here + length]]
        last = here + length - 1
        total = sums[last % 2, last + 1] - sums[last % 2, here]
        hits.append(here[total % 10 == 0])
    return np.concatenate(hits)


def _check_sums(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Add up check values from the left, once for numbers that end at even places, once for odd.

    The last digit of a number is not doubled, the one before it is, and so on to the left.
    """
    sums = np.zeros((2, len(digits) + 1), dtype=np.int64)
    for parity in (0, 1):
        values = digits.copy()
        values[1 - parity :: 2] = _DOUBLED[values[1 - parity :: 2]]
        np.cumsum(values, dtype=np.int64, out=sums[parity, 1:])
    return sums
