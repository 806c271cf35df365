"""Says which digits are a card number: a known brand's range and length, and the check digit.

This is the one rule for digits that somebody came upon. Around it stand three questions:

- what may be sent (`PanColumn`): the column of numbers is judged by brand, by the brand's own
  lengths and by the check digit, each with a code of its own;
- what a text holds (`detect.contains_pan`), in two strictnesses: loosely for the texts of an
  export and for log lines, strictly for files of any origin (`scan_numbers`);
- whether a text repeats a number that is known (`own_number`), where no rule is needed.

Check digit: ISO/IEC 7812-1, annex B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from pipeline.cards.brands import DIGITS_MAX, PREFIX_DIGITS, RANGES, UNKNOWN, range_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Flags: TypeAlias = npt.NDArray[np.bool_]

DIGITS_MIN: Final = 13
"""Digits that a card number in a text has at least: too many ids have twelve."""

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


def is_card_number(digits: str) -> bool:
    """Say whether ASCII digits, all of them, are a card number."""
    return len(digits) in lengths_of_brand(digits) and check_digit_fits(digits)


def lengths_of_brand(digits: str) -> tuple[int, ...]:
    """Give the lengths of card numbers that begin like these digits; none for an unknown brand."""
    return _LENGTHS[range_of(int(digits[:PREFIX_DIGITS] or 0)).brand]


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
    doubled = values[:, -2::-2]
    # Twice a digit above four has a digit sum of nine less, which is one more to the ten.
    above = (doubled > _HIGHEST_TO_DOUBLE).sum(axis=1, dtype="u2")
    sums = values[:, ::-2].sum(axis=1, dtype="u2") + 2 * doubled.sum(axis=1, dtype="u2") + above
    fits: Flags = sums % 10 == 0
    return fits
