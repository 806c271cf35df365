"""Tells whether a text repeats one known card number, however it is written.

Looking for *any* card number in a text needs rules of brands, lengths and check digits, and misses
what has none. A row's own number is known, so all that counts is its digits: in any grouping, with
any signs between them, forwards or backwards, alone or inside a longer run.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))


def repeats_number(texts: Iterable[str | None], number: bytes | memoryview) -> bool:
    """Say whether one of the texts holds the number's digits.

    Args:
        texts: Texts of the number's own row or answer; `None` is a field that is not there.
        number: The digits in ASCII.
    """
    length = len(number)
    for text in texts:
        if text is None or len(text) < length:
            continue
        written = text if text.isascii() else _digits_in_ascii(text)
        digits = written.encode("ascii").translate(None, _NO_DIGITS)
        if len(digits) >= length:
            forwards = bytes(number)
            if forwards in digits or forwards[::-1] in digits:
                return True
    return False


def _digits_in_ascii(text: str) -> str:
    return "".join(str(unicodedata.digit(sign)) for sign in text if sign.isdigit())
