"""Tells a card number's brand, whether its check digit is right, and its issuer.

Brands are spelled as the API spells them. Ranges and lengths are those of the official mobile
client (the server's own are unknown), except that a 19-digit Discover is a published test card.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

BRANDS: Final = (
    ("Visa", re.compile(r"4"), range(16, 17)),
    ("MasterCard", re.compile(r"5[1-5]|2(22[1-9]|2[3-9]|[3-6]|7[01]|720)"), range(16, 17)),
    ("JCB", re.compile(r"35(2[89]|[3-8])"), range(16, 17)),
    ("American Express", re.compile(r"3[47]"), range(15, 16)),
    ("Diners Club", re.compile(r"3(0[0-5]|[689])"), range(14, 15)),
    ("UnionPay", re.compile(r"62"), range(16, 20)),
    ("Discover", re.compile(r"6011|65|64[4-9]"), range(16, 20)),
    ("Maestro", re.compile(r"5[06-8]|6304|6759|676[1-3]"), range(12, 20)),
    ("Laser", re.compile(r"6706|6709|6771"), range(16, 20)),
)
BRAND_NAMES: Final = tuple(name for name, _, _ in BRANDS)

_DOUBLED: Final = str.maketrans("0123456789", "0246813579")


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who issued a card, by its first digits."""

    country: str
    bank: str
    financing: str


# The first line is recorded, the others are made up: real tables are not public.
_ISSUERS: Final = (
    ("424242", Issuer("us", "JPMORGAN CHASE BANK N.A.", "credit")),
    ("4111", Issuer("us", "JPMORGAN CHASE BANK N.A.", "credit")),
    ("5555", Issuer("us", "CITIBANK N.A.", "credit")),
    ("5454", Issuer("us", "CITIBANK N.A.", "credit")),
    ("35", Issuer("jp", "JCB CO., LTD.", "credit")),
    ("34", Issuer("us", "AMERICAN EXPRESS", "credit")),
    ("37", Issuer("us", "AMERICAN EXPRESS", "credit")),
    ("3", Issuer("us", "DINERS CLUB INTERNATIONAL", "credit")),
    ("644", Issuer("us", "DISCOVER BANK", "credit")),
    ("625", Issuer("cn", "INDUSTRIAL AND COMMERCIAL BANK OF CHINA", "credit")),
)
_OTHERS: Final = (
    Issuer("th", "BANGKOK BANK PUBLIC CO., LTD.", "debit"),
    Issuer("th", "KASIKORNBANK PUBLIC CO., LTD.", "credit"),
    Issuer("jp", "SUMITOMO MITSUI CARD CO., LTD.", "credit"),
    Issuer("sg", "DBS BANK LTD.", "debit"),
    Issuer("gb", "BARCLAYS BANK PLC", "debit"),
    Issuer("us", "BANK OF AMERICA, N.A.", "credit"),
    Issuer("my", "MALAYAN BANKING BERHAD", "prepaid"),
)


def brand_of(digits: str) -> str | None:
    """Give the brand whose range the number lies in, or None."""
    for name, pattern, _ in BRANDS:
        if pattern.match(digits):
            return name
    return None


def number_is_sound(digits: str, brand: str | None) -> bool:
    """Tell whether length and Luhn checksum are right.

    Args:
        digits: ASCII digits only.
        brand: Its brand; None allows any length a card may have.
    """
    lengths = next((lengths for name, _, lengths in BRANDS if name == brand), range(12, 20))
    if len(digits) not in lengths:
        return False
    total = sum(map(int, digits[-1::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))
    return total % 10 == 0


def issuer_of(digits: str) -> Issuer:
    """Give country, bank and financing for the number's range, always the same for a range."""
    for prefix, issuer in _ISSUERS:
        if digits.startswith(prefix):
            return issuer
    return _OTHERS[int(digits[:6]) % len(_OTHERS)]
