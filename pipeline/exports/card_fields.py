"""Puts the fields of cards together from the source columns that hold them or parts of them.

Columns of texts in, columns of texts under canonical names out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.cards.field_formats import (
    LAYOUTS,
    MONTHS,
    YEARS,
    agreed_expirations,
    split_expirations,
    without_fractions,
)
from pipeline.exports.column_names import METHOD, OTHER_METHOD, part_name, whole_name
from pipeline.exports.records import NO_CARD
from pipeline.failure_codes import Code

if TYPE_CHECKING:
    from pipeline.exports.columns import ReaderOptions

_NUMBERS: Final = frozenset(
    (
        *("number", "expiration", "expiration_month", "expiration_year"),
        *("is_default", "phone_number", "postal_code"),
    )
)
"""What is written in digits, and as a float by programs whose column of numbers has gaps."""

NOT_A_CARD: Final = Code.NOT_A_CARD

_SAMPLE: Final = 200
_NEARLY: Final = 0.9
_YEARS: Final = range(2015, 2046)
"""Years in which stored cards expire; they decide which of two layouts four digits are in."""

_CARDS: Final = frozenset(("", "card", "cards", "credit", "debit", "credit_card", "debit_card"))
"""How a column of payment methods says that a record is a card."""


def card_fields(texts: dict[str, list[str]], options: ReaderOptions) -> dict[str, list[str]]:
    """Give the fields of some rows under canonical names.

    Args:
        texts: Frame column, as `ReaderOptions.wanted` names them, to a text a row, blanks stripped.
        options: Which fields have parts, and which texts mean "empty".

    Returns:
        Canonical name to a text a row: names joined by a blank, and month and year, empty where
        they cannot be told.
    """
    fields = dict(texts)
    if options.null_values:
        fields = {name: _without_nulls(column, options) for name, column in fields.items()}
    for name in fields:
        if whole_name(name) in _NUMBERS:
            fields[name] = without_fractions(fields[name])
    for name, source in options.columns.items():
        if not isinstance(source, str):
            parts = [fields.pop(part_name(name, place)) for place in range(len(source))]
            fields[name] = [" ".join(filter(None, row)) for row in zip(*parts, strict=True)]
    if options.expiration:
        months, years = _expirations(fields, options)
        fields["expiration_month"], fields["expiration_year"] = months, years
    return fields


def other_layouts(
    raw: dict[str, list[str]], fields: dict[str, list[str]], options: ReaderOptions
) -> dict[str, int]:
    """Tell in which other layout the expirations are that could not be read.

    Args:
        raw: Frame column to a text a row, as `card_fields` was given them.
        fields: What it made of them.
        options: In which layouts they were read.

    Returns:
        The one layout that nearly all of them fit with a year that a card may have, and how many
        they are; nothing where a few could not be read, or where several layouts fit.
    """
    months, years = fields["expiration_month"], fields["expiration_year"]
    if MONTHS.keys() >= set(months) and YEARS.keys() >= set(years):
        return {}
    columns = [raw.get(part_name("expiration", place)) for place in range(len(options.expiration))]
    texts = columns[0] if columns and columns[0] else raw.get("expiration_month", [])
    unread = [
        text
        for text, year, month in zip(texts, years, months, strict=False)
        if text and (month not in MONTHS or year not in YEARS)
    ]
    if not unread or len(columns) > 1:
        return {}
    sample = without_fractions(unread[:_SAMPLE])
    fits = [
        layout
        for layout in LAYOUTS
        if sum(_may_be(year) for year in split_expirations(sample, [layout])[1])
        >= _NEARLY * len(sample)
    ]
    return {fits[0]: len(unread)} if len(fits) == 1 else {}


def _may_be(year: str) -> bool:
    return YEARS.get(year, 0) in _YEARS


def _without_nulls(column: list[str], options: ReaderOptions) -> list[str]:
    nulls = options.null_values
    return ["" if text in nulls else text for text in column]


def _expirations(
    fields: dict[str, list[str]], options: ReaderOptions
) -> tuple[list[str], list[str]]:
    columns = []
    for place, (_, layouts) in enumerate(options.expiration):
        texts = fields.pop(part_name("expiration", place), None)
        if texts is not None:
            columns.append((texts, *split_expirations(texts, layouts)))
    if {"expiration_month", "expiration_year"} <= fields.keys():
        months, years = fields["expiration_month"], fields["expiration_year"]
        columns.append(([*map("".join, zip(months, years, strict=True))], months, years))
    if len(columns) == 1:
        return columns[0][1], columns[0][2]
    return agreed_expirations(columns)


def without_cards(fields: dict[str, list[str]], options: ReaderOptions) -> dict[int, str]:
    """Take the columns of payment methods out, and tell the rows that are no card at all.

    Args:
        fields: Canonical name to a text a row, and the columns that tell of other methods.
        options: Whether the legacy id is the card's own or its customer's.

    Returns:
        The place of each such row and its code: `not_a_card` where it is another payment method,
        `no_card` where number, expiration and the card's own id are missing, as of a customer
        without a card. A row that has one of them is a card that lost the others.
    """
    of_customer = options.columns["legacy_id"] == options.columns.get("customer")
    methods = fields.pop(METHOD, None)
    others = [fields.pop(name) for name in list(fields) if whole_name(name) == OTHER_METHOD]
    found: dict[int, str] = {}
    if all(fields["number"]):
        return found
    for place, number in enumerate(fields["number"]):
        if number:
            continue
        if (methods and not is_of_cards(methods[place])) or any(column[place] for column in others):
            found[place] = NOT_A_CARD
        elif (of_customer or not fields["legacy_id"][place]) and not (
            fields["expiration_month"][place] or fields["expiration_year"][place]
        ):
            found[place] = NO_CARD
    return found


def is_of_cards(method: str) -> bool:
    """Say whether the name of a payment method, or none at all, means a card."""
    return method.casefold().replace(" ", "_") in _CARDS
