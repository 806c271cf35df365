"""Reads months and years from the expirations that exports write.

Only plain ASCII digits count. A two-digit year is of this century (ISO/IEC 7813 cards carry two).
Exports hold few different expirations, so each different text is read once.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final, get_args

from pipeline.config.layouts import Layout

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

_PARTS: Final = re.compile("YYYY|YY|MMM|MM|DD")
_DIGITS: Final = {
    "MM": "(?P<month>[0-9]{2})",
    "MMM": r"(?P<month>[^\W\d_]{3})",
    "YY": "(?P<year>[0-9]{2})",
    "YYYY": "(?P<year>[0-9]{4})",
    "DD": "(?:0?[1-9]|[12][0-9]|3[01])",
}
_TIME: Final = "(?:[T ] *[0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)? *(?:Z|[+-][0-9:]{2,6})?)?"
_NAMES: Final = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NAMES_ELSEWHERE: Final = {
    1: "ene gen",
    2: "fev fév",
    3: "mrz mär mrt",
    4: "abr avr",
    5: "mai maj mag mei",
    6: "giu",
    7: "lug",
    8: "ago aoû",
    9: "set",
    10: "okt ott out",
    12: "dez dic déc",
}
"""Months in German, French, Spanish, Portuguese, Italian, Dutch, Swedish; none has two meanings."""
_MONTH_NAMES: Final = {name: str(month) for month, name in enumerate(_NAMES, 1)} | {
    name: str(month) for month, names in _NAMES_ELSEWHERE.items() for name in names.split()
}
_CENTURY: Final = 2000
_WHOLE_FLOAT: Final = re.compile(r"([0-9]+)\.0")
_EXACT_MAX: Final = 2**53
"""Integers up to here are exact as floats (IEEE 754 binary64); a longer number was rounded."""

MONTHS: Final = {
    **{str(month): month for month in range(1, 13)},
    **{f"{month:02d}": month for month in range(1, 13)},
}
"""Every way to write a month."""

YEARS: Final = {
    **{f"{year:02d}": _CENTURY + year for year in range(100)},
    **{str(year): year for year in range(1950, 2200)},
}
"""Every way to write a year of which a card could tell."""

BUDDHIST_YEARS: Final = frozenset(map(str, range(2493, 2643)))
"""Years of the Buddhist era that stand for 1950 to 2099; no card is read by them, but they are told."""

YEARS_AHEAD_MAX: Final = 20
"""Years ahead beyond which an expiration is told as odd: issuers print far fewer on a card."""

LAYOUTS: Final[tuple[str, ...]] = get_args(Layout)
"""Every way to write month and year in one column; a time of day may follow a whole date."""


def without_fractions(texts: Sequence[str]) -> list[str]:
    """Give whole numbers that a program wrote as floats (`12.0`) without their fraction.

    Programs write them so where a column has gaps. Up to 2^53 no digit of them was lost; beyond
    that the text is left as it is.
    """
    joined = "\n".join(texts)
    # One sign is found ten times as fast as two of which the second is common.
    if "." not in joined or ".0" not in joined:
        return list(texts)
    found = [_WHOLE_FLOAT.fullmatch(text) for text in texts]
    return [
        match[1] if match and int(match[1]) < _EXACT_MAX else text
        for match, text in zip(found, texts, strict=True)
    ]


def split_expirations(texts: Sequence[str], layouts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split expirations of one column into the texts of months and years.

    Args:
        texts: Expirations as exported, blanks stripped.
        layouts: The layouts that a text may have, of `LAYOUTS`. Where there is a sign between
            month and year the month may have one digit, and blanks may stand around the sign.

    Returns:
        Months and years as numbers are written; two empty texts where a text has none of the
        layouts, or where two of them read another month or year in it.
    """
    patterns = [_pattern(layout) for layout in layouts]
    known = {text: _only(_readings(text, patterns)) for text in set(texts)}
    pairs = [known[text] for text in texts]
    return [month for month, _ in pairs], [year for _, year in pairs]


def agreed_expirations(
    columns: Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]],
) -> tuple[list[str], list[str]]:
    """Give the one expiration of each row that has it in several columns.

    Args:
        columns: For each column its texts, and the months and years that were read in them.

    Returns:
        Months and years; two empty texts where no column has a text, where one of them could not
        be read, or where two differ.
    """
    pairs = []
    for row in zip(*(zip(*column, strict=True) for column in columns), strict=True):
        found = {_numbers(month, year) for text, month, year in row if text}
        pairs.append(_only(found))
    return [month for month, _ in pairs], [year for _, year in pairs]


def _numbers(month: str, year: str) -> tuple[str, str]:
    if month not in MONTHS or (year not in YEARS and year not in BUDDHIST_YEARS):
        return "", ""
    # A year of another era stays as it is, for whoever judges it to say so.
    return str(MONTHS[month]), str(YEARS.get(year, year))


def _only(found: AbstractSet[tuple[str, str]]) -> tuple[str, str]:
    return next(iter(found)) if len(found) == 1 else ("", "")


def _readings(text: str, patterns: Sequence[re.Pattern[str]]) -> set[tuple[str, str]]:
    found = set()
    for pattern in patterns:
        match = pattern.fullmatch(text)
        if match is not None:
            month = match["month"].casefold()
            pair = _numbers(_MONTH_NAMES.get(month, month), match["year"])
            # A month 13 is not that layout; alone it is no expiration either.
            found |= {pair} - {("", "")}
    return found


@lru_cache(maxsize=len(LAYOUTS))
def _pattern(layout: str) -> re.Pattern[str]:
    parts = _PARTS.findall(layout)
    signs = [sign for sign in _PARTS.split(layout) if sign]
    digits = _DIGITS | ({"MM": "(?P<month>[0-9]{1,2})"} if signs else {})
    between = rf" *{re.escape(signs[0])} *" if signs else ""
    text = between.join(digits[part] for part in parts)
    return re.compile(text + _TIME if "DD" in parts else text, re.IGNORECASE)
