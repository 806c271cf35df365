"""Reads months and years from the expirations that exports write.

Only plain ASCII digits count. A two-digit year is of this century (ISO/IEC 7813 cards carry two).
Exports hold few different expirations, so each different text is read once.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_PARTS: Final = re.compile("YYYY|YY|MM")
_CENTURY: Final = 2000

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


def split_expirations(texts: Sequence[str], layout: str) -> tuple[list[str], list[str]]:
    """Split expirations of one column into the texts of months and years.

    Args:
        texts: Expirations as exported, blanks stripped.
        layout: `MM`, `YY` or `YYYY` in any order with any separator, such as `MM/YY` or `YYYYMM`.
            Where there is a separator the month may have one digit.

    Returns:
        Months and years; two empty texts where the text is not laid out so.
    """
    separated = bool(_PARTS.sub("", layout))
    digits = {"MM": "([0-9]{1,2})" if separated else "([0-9]{2})"}
    digits |= {"YY": "([0-9]{2})", "YYYY": "([0-9]{4})"}
    parts = _PARTS.findall(layout)
    literals = [re.escape(literal) for literal in _PARTS.split(layout)]
    pattern = re.compile(
        literals[0]
        + "".join(digits[part] + literal for part, literal in zip(parts, literals[1:], strict=True))
    )
    month_first = parts[0] == "MM"
    known: dict[str, tuple[str, str]] = {}
    for text in set(texts):
        found = pattern.fullmatch(text)
        if found is None:
            known[text] = ("", "")
        else:
            known[text] = (found[1], found[2]) if month_first else (found[2], found[1])
    pairs = [known[text] for text in texts]
    return [month for month, _ in pairs], [year for _, year in pairs]
