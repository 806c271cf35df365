"""Tells which columns hold the expirations of cards, and in which layout.

A card is valid for some years: dates that are all past are no expirations, and years that lie far
ahead were written in another era or in another layout.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.cards.field_formats import (
    BUDDHIST_YEARS,
    LAYOUTS,
    MONTHS,
    YEARS,
    YEARS_AHEAD_MAX,
    split_expirations,
    without_fractions,
)
from pipeline.exports.head.naming import rank, ranked, share

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

_MOST: Final = 0.8
_HALF: Final = 0.5
_FEW: Final = 3
_YEARS_BACK: Final = 11
_OF_EXPIRATIONS: Final = ("expiration", "expiration_month", "expiration_year")
IN_BUDDHIST_YEARS: Final = "its years are of the Buddhist era (25xx), which we do not read; ask for years of the common era"
_FAR_AHEAD: Final = (
    f"its years would lie more than {YEARS_AHEAD_MAX} years ahead: of the Buddhist era (25xx) in two "
    "digits, or in another format; ask for years of the common era"
)
_UNREADABLE: Final = "named like one, but its values are in no format that we read"


@dataclass(slots=True)
class Expirations:
    """What is known of an export's expirations.

    Attributes:
        sure: Canonical name to source column.
        layouts: The layouts that every value of one column fits.
        unsure: Canonical name to candidates, the likeliest first.
        note: What is odd about them.
    """

    sure: dict[str, str] = field(default_factory=dict)
    layouts: tuple[str, ...] = ()
    unsure: dict[str, tuple[str, ...]] = field(default_factory=dict)
    note: str = ""


def expirations(table: Mapping[str, Sequence[str]], today: date, *, named: bool) -> Expirations:
    """Find the expirations of cards.

    Args:
        table: Source column to its texts, a text a row that holds a card.
        today: From which the years of a card are counted.
        named: Whether the columns' names were given by whoever made the export.
    """
    seen = _Values({name: without_fractions(texts) for name, texts in table.items()}, today)
    month = [name for name in ranked(table, "expiration_month") if name in seen.months]
    year = [name for name in ranked(table, "expiration_year") if name in seen.years]
    whole = [name for name in ranked(table, "expiration") if seen.layouts(name)]
    if month and year:
        found = Expirations({"expiration_month": month[0], "expiration_year": year[0]})
        found.note = seen.some_far_ahead(year[0])
        return found
    if whole:
        found = Expirations({"expiration": whole[0]}, seen.layouts(whole[0]))
        found.note = seen.some_far_ahead(whole[0])
        return found
    return _unsure(seen, named=named)


def _unsure(seen: _Values, *, named: bool) -> Expirations:
    together = [name for name in seen.texts if seen.layouts(name) and not seen.are_past(name)]
    if seen.months and seen.years and not (named and together):
        years = [name for name in seen.years if name not in seen.months[:1]]
        return Expirations(
            unsure={
                "expiration_month": tuple(seen.months[:_FEW]),
                "expiration_year": tuple(years[:_FEW]),
            }
        )
    if together:
        return Expirations(
            layouts=seen.layouts(together[0]), unsure={"expiration": tuple(together[:_FEW])}
        )
    told = [
        name for name in seen.texts if any(rank(name, kind) is not None for kind in _OF_EXPIRATIONS)
    ]
    told = [name for name in told if any(seen.texts[name])] or seen.of_another_era()
    return Expirations(
        unsure={"expiration": tuple(told[:_FEW])},
        note=next(filter(None, map(seen.oddity, told)), _UNREADABLE) if told else "",
    )


class _Values:
    """The texts of columns, asked for months, years and expirations."""

    def __init__(self, texts: Mapping[str, Sequence[str]], today: date) -> None:
        self.texts = texts
        self._this_year = today.year
        self._near = range(today.year - _YEARS_BACK, today.year + YEARS_AHEAD_MAX + 1)
        self._read: dict[str, tuple[str, ...]] = {}
        self.months = [name for name in texts if share(texts[name], MONTHS.__contains__) >= _MOST]
        self.years = [name for name in texts if share(texts[name], self._is_near) >= _MOST]

    def layouts(self, name: str) -> tuple[str, ...]:
        """Give the layouts in which nearly every text is an expiration that a card may have."""
        if name not in self._read:
            self._read[name] = tuple(
                layout
                for layout in LAYOUTS
                if self._has_most(name, list(filter(self._is_near, self._years(name, layout))))
            )
        return self._read[name]

    def are_past(self, name: str) -> bool:
        """Tell whether nearly all years of a column of dates lie behind us."""
        years = self._years(name, self.layouts(name)[0])
        return share(years, lambda year: YEARS.get(year, 0) >= self._this_year) < 1 - _MOST

    def some_far_ahead(self, name: str) -> str:
        """Say how many of the years lie too far ahead, if any do."""
        layouts = self.layouts(name)
        years = self._years(name, layouts[0]) if layouts else self.texts[name]
        far = sum(map(self._is_far, years))
        filled = sum(map(bool, years))
        return f"{far} of the first {filled}: {_FAR_AHEAD}" if far else ""

    def of_another_era(self) -> list[str]:
        """Give the columns whose texts would be expirations in another era."""
        return [name for name in self.texts if self.oddity(name)]

    def oddity(self, name: str) -> str:
        """Say which era or layout the years of a column may be of."""
        for layout in ("", *LAYOUTS):
            years = self._years(name, layout) if layout else self.texts[name]
            if not self._has_most(name, years):
                continue
            if share(years, BUDDHIST_YEARS.__contains__) > _HALF:
                return IN_BUDDHIST_YEARS
            if layout and share(years, self._is_far) > _HALF:
                return _FAR_AHEAD
        return ""

    def _has_most(self, name: str, years: Sequence[str]) -> bool:
        """Tell whether nearly every text of a column gave one of these years."""
        filled = sum(map(bool, self.texts[name]))
        return sum(map(bool, years)) >= _MOST * filled > 0

    def _years(self, name: str, layout: str) -> list[str]:
        return split_expirations([text for text in self.texts[name] if text], [layout])[1]

    def _is_near(self, text: str) -> bool:
        return YEARS.get(text, 0) in self._near

    def _is_far(self, text: str) -> bool:
        return YEARS.get(text, 0) > self._near[-1]
