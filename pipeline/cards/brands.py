"""Tells the brand of a number by its first digits, and the lengths that the brand has.

Ranges and lengths are the rules of Omise's iOS SDK (`CardBrand.swift`), the only published ones;
where its patterns overlap (622126-622925), UnionPay, which it lists first, is taken.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

DIGITS_MIN: Final = 12
DIGITS_MAX: Final = 19
PREFIX_DIGITS: Final = 6


@dataclass(frozen=True, slots=True)
class BrandRange:
    """Card numbers whose first six digits lie from `first` to `last`, both included."""

    first: int
    last: int
    brand: str
    digits_min: int
    digits_max: int


_LENGTHS: Final = {
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
    return BrandRange(first, last, brand, *_LENGTHS[brand])


UNKNOWN: Final = BrandRange(0, -1, "", DIGITS_MIN, DIGITS_MAX)
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


def range_of(prefix: int) -> BrandRange:
    """Give the range that a number's first six digits lie in, or `UNKNOWN`."""
    place = bisect_right(_FIRSTS, prefix) - 1
    return RANGES[place] if place >= 0 and prefix <= RANGES[place].last else UNKNOWN
