"""Says what the values of a column look like, so that a person can tell columns without seeing them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from pipeline.cards.field_formats import LAYOUTS, YEARS, split_expirations
from pipeline.cards.optional_fields import is_email
from pipeline.exports.head.naming import share

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST: Final = 0.8
_CODE_MAX: Final = 3
_DATES: Final = tuple(layout for layout in LAYOUTS if not layout.isalpha())
_DATE_YEARS: Final = range(1950, 2100)
_COUNTS: Final = ("no", "one", "two", "three", "four", "five")


def shape(texts: Sequence[str]) -> str:
    """Describe the texts of a column by their kind and length, without any of them.

    Args:
        texts: Blanks stripped; empty ones tell nothing.
    """
    filled = [text for text in texts if text]
    if not filled:
        return "empty"
    if share(filled, is_email) >= _MOST:
        return "e-mail addresses"
    return _dates(filled) or _of_signs(filled)


def _dates(texts: Sequence[str]) -> str:
    for layout in _DATES:
        read = split_expirations(texts, [layout])[1]
        years = [YEARS[year] for year in read if YEARS.get(year, 0) in _DATE_YEARS]
        if len(years) >= _MOST * len(texts):
            first, last = min(years), max(years)
            return f"dates {first} to {last}" if first < last else f"dates of {first}"
    return ""


def _of_signs(texts: Sequence[str]) -> str:
    lengths = [len(text) for text in texts]
    signs = f"{min(lengths)} to {max(lengths)}" if min(lengths) < max(lengths) else str(lengths[0])
    if share(texts, lambda text: text.isascii() and text.isdigit()) >= _MOST:
        return f"{signs} digits"
    if share(texts, lambda text: not text.strip("0123456789.,-+")) >= _MOST:
        return f"numbers of {signs} signs"
    if share(texts, _is_of_letters) < _MOST:
        return f"{signs} signs, digits among them" if share(texts, _has_digit) else f"{signs} signs"
    if max(lengths) <= _CODE_MAX:
        return f"{signs} letters"
    words = Counter(min(len(text.split()), len(_COUNTS) - 1) for text in texts)
    commonest = words.most_common(1)[0][0]
    return f"{_COUNTS[commonest]} {'word' if commonest == 1 else 'words'}"


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text))


def _is_of_letters(text: str) -> bool:
    return any(map(str.isalpha, text)) and not _has_digit(text)
