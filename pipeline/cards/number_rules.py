"""Says which digits are a card number: a known brand's range and length, and the check digit.

This is the one rule for digits that somebody came upon. Around it stand three questions:

- what may be sent (`PanColumn`): the column of numbers is judged by brand, by the brand's own
  lengths and by the check digit, each with a code of its own;
- what a text holds (`detect.contains_pan`), in two strictnesses: loosely for the texts of an
  export and for log lines, strictly for files of any origin (`scan_numbers`);
- whether a text repeats a number that is known (`detect.repeats_number`), where no rule is needed.

Check digit: ISO/IEC 7812-1, annex B. Ranges and lengths are the rules of Omise's iOS SDK
(`CardBrand.swift`), the only published ones; where its patterns overlap (622126-622925), UnionPay,
which it lists first, is taken.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Flags: TypeAlias = npt.NDArray[np.bool_]

CARD_DIGITS_MIN: Final = 12
"""Digits that a card has at least."""
DIGITS_MIN: Final = 13
"""Digits that a card number in a text has at least: too many ids have twelve."""
DIGITS_MAX: Final = 19
PREFIX_DIGITS: Final = 6

LAYOUTS: Final = (
    (4, 4, 4, 4),
    (4, 6, 5),
    (4, 6, 4),
    (4, 4, 4, 1),
    (4, 4, 4, 2),
    (4, 4, 4, 3),
    (4, 4, 4, 4, 3),
    (6, 13),
    *((1,) * count for count in range(DIGITS_MIN, DIGITS_MAX + 1)),
    *((2,) * count for count in (7, 8, 9)),
)
"""How many digits stand between separators on cards and forms, and digit by digit."""

GROUP_IN_LISTS_MAX: Final = 2
"""Groups as small as this are a number only if they are no part of a longer list of numbers."""


@dataclass(frozen=True, slots=True)
class BrandRange:
    """Card numbers whose first six digits lie from `first` to `last`, both included."""

    first: int
    last: int
    brand: str
    digits_min: int
    digits_max: int


_SENT_LENGTHS: Final = {
    "Visa": (16, 16),
    "MasterCard": (16, 16),
    "JCB": (16, 16),
    "American Express": (15, 15),
    "Diners Club": (14, 14),
    "Discover": (16, 19),
    "UnionPay": (16, 19),
    "Maestro": (12, 19),
}


def _range(first: int, last: int, brand: str) -> BrandRange:
    return BrandRange(first, last, brand, *_SENT_LENGTHS[brand])


UNKNOWN: Final = BrandRange(0, -1, "", CARD_DIGITS_MIN, DIGITS_MAX)
"""What stands for a number of no known brand: an empty name and every length a card can have."""

RANGES: Final = (
    _range(222100, 272099, "MasterCard"),
    _range(300000, 305999, "Diners Club"),
    _range(340000, 349999, "American Express"),
    _range(352800, 358999, "JCB"),
    _range(360000, 369999, "Diners Club"),
    _range(370000, 379999, "American Express"),
    _range(380000, 399999, "Diners Club"),
    _range(400000, 499999, "Visa"),
    _range(500000, 509999, "Maestro"),
    _range(510000, 559999, "MasterCard"),
    _range(560000, 589999, "Maestro"),
    _range(601100, 601199, "Discover"),
    _range(620000, 629999, "UnionPay"),
    _range(630400, 630499, "Maestro"),
    _range(644000, 659999, "Discover"),
    _range(675900, 675999, "Maestro"),
    _range(676100, 676399, "Maestro"),
)
"""Every known range, ascending and without overlap."""

_FIRSTS: Final = [known.first for known in RANGES]
_LENGTHS: Final = {
    UNKNOWN.brand: (),
    **{
        known.brand: tuple(range(max(known.digits_min, DIGITS_MIN), known.digits_max + 1))
        for known in RANGES
    },
    "Visa": (13, 16, 19),  # Older and newer cards than the vault takes.
}
_VALUES: Final = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED: Final = bytes.maketrans(bytes(range(10)), bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_HIGHEST_TO_DOUBLE: Final = 4


def range_of(prefix: int) -> BrandRange:
    """Give the range that a number's first six digits lie in, or `UNKNOWN`."""
    place = bisect_right(_FIRSTS, prefix) - 1
    return RANGES[place] if place >= 0 and prefix <= RANGES[place].last else UNKNOWN


def is_card_number(digits: str) -> bool:
    """Say whether ASCII digits, all of them, are a card number."""
    return len(digits) in lengths_of_brand(digits) and check_digit_fits(digits)


def lengths_of_brand(digits: str) -> tuple[int, ...]:
    """Give the lengths of card numbers that begin like these digits; none for an unknown brand."""
    return _LENGTHS[range_of(int(digits[:PREFIX_DIGITS] or 0)).brand]


def holds_card_numbers(first: int, last: int) -> bool:
    """Say whether integers in a row, ten of them or more, could be read as card numbers.

    Brands and lengths alone are asked for: of ten integers in a row, one has the right check digit.

    Args:
        first: The lowest of them, with six digits at least.
        last: The highest, with as many digits as `first`.
    """
    lowest, highest = (int(str(end)[:PREFIX_DIGITS]) for end in (first, last))
    return any(
        known.first <= highest and lowest <= known.last
        for known in RANGES
        if len(str(first)) in _LENGTHS[known.brand]
    )


def check_digit_fits(digits: str) -> bool:
    """Say whether the last of these ASCII digits is the check digit of the others."""
    values = digits.encode().translate(_VALUES)
    return (sum(values[::-2]) + sum(values[-2::-2].translate(_DOUBLED))) % 10 == 0


def check_digits_fit(values: npt.NDArray[np.uint8]) -> Flags:
    """Say of many numbers at once whether the last digit is the check digit of the others.

    Args:
        values: A row of digits (0 to 9, not ASCII) a number, right-aligned, zeros on the left.

    Returns:
        True or false for each row.
    """
    # A digit's place in all numbers lies side by side here: sums along short rows take ten times as
    # long.
    by_place = values.T.copy()
    doubled = by_place[-2::-2]
    # Twice a digit above four has a digit sum of nine less, which is one more to the ten.
    above = (doubled > _HIGHEST_TO_DOUBLE).sum(axis=0, dtype="u2")
    sums = by_place[::-2].sum(axis=0, dtype="u2") + 2 * doubled.sum(axis=0, dtype="u2") + above
    by_place[:] = 0
    fits: Flags = sums % 10 == 0
    return fits
