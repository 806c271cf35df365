"""Judges a chunk of rows, a column at a time: the cards that may be sent, and a rejection for each other row.

The first rule that a row breaks names it: its legacy id, then its number (what the text looks like
before its arithmetic), expiration, name, country, card numbers in other fields, what a spreadsheet
damaged, test against live.
Beyond what the codes themselves say:

- a legacy id longer than 255 characters, or a legacy id or name with control characters (line
  breaks and overrides of the writing direction too), is a `malformed_row` of that field: no
  sender means such a text, and no report should show it;
- an expiration more than 50 years after the day it is judged on is `expiration_invalid`;
- a card is expired after the last day of its month;
- a rejection repeats a legacy id only where it is well-formed and holds no card number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from pipeline.cards.checked_rows import CheckedRows, is_repeated
from pipeline.cards.customer_rules import broken_rules
from pipeline.cards.detect import texts_containing_pan
from pipeline.cards.field_formats import BUDDHIST_YEARS, MONTHS, YEARS
from pipeline.cards.lookalikes import ids_by_chance, phones
from pipeline.cards.optional_fields import unknown_countries
from pipeline.cards.pan import Shape
from pipeline.cards.rows import CARRY_PREFIX, Cards, Chunk
from pipeline.cards.text_faults import holding_encoded_numbers, too_long, with_controls
from pipeline.config.policies import OnExpired, OnLookalike
from pipeline.failure_codes import Code
from pipeline.model import Rejection

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    import numpy.typing as npt

    from pipeline.cards.customer_rules import CustomerRules

    Flags: TypeAlias = npt.NDArray[np.bool_]

VALID_YEARS_MAX: Final = 50
"""Years that an expiration may lie ahead of the day it is judged on."""
_OTHER_ERA: Final = "a year of the Buddhist era (25xx); ask for years of the common era"
_FAR_AHEAD: Final = (
    f"more than {VALID_YEARS_MAX} years ahead: a year of the Buddhist era (25xx) in two digits, or "
    "another `export.columns.expiration.format`"
)

ANY_BRAND: Final = "*"
"""Among the brands of the rules: every brand."""

_MONTHS_A_YEAR: Final = 12
_IDS: Final = frozenset(("legacy_id", "customer", "customer_id"))


@dataclass(frozen=True, slots=True)
class Rules:
    """What a row is judged by.

    Args:
        as_of: The day (UTC) on which expirations are judged.
        expired: `reject` expired cards or `tokenize` them.
        brands: The brands that the account takes, spelled as the vault spells them; with `*` the
            vault decides, and any number of 12 to 19 digits with a right check digit is sent.
        livemode: Whether real cards go to a live vault.
        loopback_vault: Whether the vault is on this machine, where any number may go.
        customers: How the customers of cards are judged; None where cards come to none.
        lookalike_ids: `allow` ids that pass as a card number by chance, in every column of ids.
    """

    as_of: date
    expired: OnExpired
    brands: frozenset[str]
    livemode: bool
    loopback_vault: bool
    customers: CustomerRules | None = None
    lookalike_ids: OnLookalike = OnLookalike.REJECT


@dataclass(frozen=True, slots=True)
class Validated:
    """The cards that may be sent and one rejection for every other row of the chunk.

    `lookalikes` counts, by column of ids, those that pass as a card number by chance; `plain` names
    the columns in which nothing is odd in any row.
    """

    cards: Cards
    rejections: tuple[Rejection, ...]
    lookalikes: Mapping[str, int] = field(default_factory=dict)
    plain: frozenset[str] = frozenset()


class _ByText(dict[str, int]):
    """Gives zero for a text that it does not know, and keeps none of them."""

    def __missing__(self, text: str) -> int:
        return 0


_MONTHS: Final = _ByText(MONTHS)
_YEARS: Final = _ByText(YEARS)


def validate(chunk: Chunk, rules: Rules) -> Validated:
    """Judge a chunk's rows.

    Args:
        chunk: Rows as read; it is not changed.
        rules: What they are judged by.

    Returns:
        The cards, which hold their own copy of the numbers, and the rejections in row order.
    """
    checked = CheckedRows(chunk)
    safe_ids = _judge_ids(chunk, rules, checked)
    _judge_numbers(chunk, rules, checked)
    months, years = _judge_expirations(chunk, rules, checked)
    _judge_texts(chunk, rules, checked)
    published = chunk.numbers.is_published_test_number()
    if rules.livemode:
        checked.reject(Code.TEST_CARD_IN_LIVE_MODE, "number", published)
    elif not rules.loopback_vault:
        checked.reject(Code.REAL_CARD_IN_TEST_MODE, "number", ~published)
    if rules.customers is not None:
        for code, field, rows_that_break in broken_rules(
            chunk.columns, len(chunk.rows), rules.customers
        ):
            checked.reject(code, field, rows_that_break)
    last_digits = chunk.numbers.last_digits()
    rows = chunk.rows
    brands = chunk.numbers.brands()
    rejections = tuple(
        Rejection(
            *(int(rows[place]), code, field, safe_ids[place], last_digits[place], hint),
            *(
                (str(brands[place]), (int(months[place]), int(years[place])))
                if code == Code.CARD_EXPIRED
                else ()
            ),
        )
        for place, code, field, hint in checked.rejected()
    )
    kept = checked.accepted
    columns: dict[str, list[str] | npt.NDArray[Any]] = {
        "legacy_id": chunk.columns["legacy_id"],
        "name": chunk.columns["name"],
        "brand": brands,
        "last_digits": last_digits,
        "expiration_month": months.astype(np.int8),
        "expiration_year": years,
        **{name: chunk.columns[name] for name in checked.further},
    }
    if not kept.all():
        columns = {name: _kept(values, kept) for name, values in columns.items()}
    cards = Cards(rows[kept], columns, chunk.numbers.take(kept))
    return Validated(cards, rejections, checked.lookalikes, checked.plain)


def _kept(values: list[str] | npt.NDArray[Any], kept: Flags) -> list[str] | npt.NDArray[Any]:
    return values[kept] if isinstance(values, np.ndarray) else list(compress(values, kept.tolist()))


def is_id_column(name: str) -> bool:
    """Say whether a column holds ids: of cards, of customers, or what is carried along."""
    return name in _IDS or name.startswith(CARRY_PREFIX)


def _judge_ids(chunk: Chunk, rules: Rules, checked: CheckedRows) -> Sequence[str | None]:
    """Judge the legacy ids and give those that a report may repeat."""
    ids = checked.texts["legacy_id"]
    if "legacy_id" in checked.plain and all(ids):
        return ids
    missing = _which(not text for text in ids)
    card_numbers = _card_numbers(chunk, "legacy_id", rules, checked)
    malformed = too_long(ids) | with_controls(ids)
    checked.reject(Code.MALFORMED_ROW, "legacy_id", malformed & ~card_numbers)
    checked.reject(Code.LEGACY_ID_MISSING, "legacy_id", missing)
    checked.reject(Code.LEGACY_ID_IS_CARD_NUMBER, "legacy_id", card_numbers)
    checked.reject_damaged("legacy_id", ids, ids=True)
    unsafe = missing | card_numbers | malformed
    return [None if hidden else text for text, hidden in zip(ids, unsafe.tolist(), strict=True)]


def _judge_numbers(chunk: Chunk, rules: Rules, checked: CheckedRows) -> None:
    numbers = chunk.numbers
    for code, shape in (
        (Code.NUMBER_MISSING, Shape.MISSING),
        (Code.NUMBER_NOT_DIGITS, Shape.NOT_DIGITS),
        (Code.NUMBER_MASKED, Shape.MASKED),
        (Code.NUMBER_DAMAGED, Shape.DAMAGED),
    ):
        checked.reject(code, "number", numbers.shapes == shape)
    any_brand = ANY_BRAND in rules.brands
    checked.reject(Code.NUMBER_LENGTH, "number", ~numbers.length_fits(any_brand=any_brand))
    checked.reject(Code.NUMBER_CHECKSUM, "number", ~numbers.luhn())
    if not any_brand:
        checked.reject(Code.BRAND_UNSUPPORTED, "number", ~numbers.of_brands(rules.brands))


def _judge_expirations(
    chunk: Chunk, rules: Rules, checked: CheckedRows
) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """Judge the expirations and give months and years, zero where there is none."""
    month_texts = chunk.columns["expiration_month"]
    year_texts = chunk.columns["expiration_year"]
    months, years = _looked_up(_MONTHS, month_texts), _looked_up(_YEARS, year_texts)
    unread = np.flatnonzero((months == 0) & (years == 0)).tolist()
    neither = np.zeros(len(months), dtype=np.bool_)
    neither[[place for place in unread if not month_texts[place] and not year_texts[place]]] = True
    checked.reject(Code.EXPIRATION_INVALID, "expiration", neither)
    checked.reject(Code.EXPIRATION_INVALID, "expiration_month", months == 0)
    beyond = years > rules.as_of.year + VALID_YEARS_MAX
    if (years == 0).any():
        other_era = np.fromiter(map(BUDDHIST_YEARS.__contains__, year_texts), np.bool_, len(years))
        checked.reject(Code.EXPIRATION_INVALID, "expiration_year", other_era, _OTHER_ERA)
    checked.reject(Code.EXPIRATION_INVALID, "expiration_year", beyond, _FAR_AHEAD)
    checked.reject(Code.EXPIRATION_INVALID, "expiration_year", years == 0)
    if rules.expired == OnExpired.REJECT:
        today = rules.as_of.year * _MONTHS_A_YEAR + rules.as_of.month
        ends = years.astype(np.int32) * _MONTHS_A_YEAR + months
        checked.reject(Code.CARD_EXPIRED, "expiration", ends < today)
    return months, years


def _card_numbers(chunk: Chunk, name: str, rules: Rules, checked: CheckedRows) -> Flags:
    """Say in which rows a column that is meant to hold something else holds a card number."""
    texts = checked.texts[name]
    found = _which(texts_containing_pan(texts))
    if found.any() and is_id_column(name):
        by_chance = _which(ids_by_chance(texts))
        if by_chance.any():
            checked.lookalikes[name] = int(by_chance.sum())
        if rules.lookalike_ids == OnLookalike.ALLOW:
            found &= ~by_chance
    elif found.any() and name == "phone_number":
        found &= ~_which(phones(texts))
    if is_repeated(name):
        found |= holding_encoded_numbers(texts)
    return found | chunk.numbers.repeated_in(texts)


def _judge_texts(chunk: Chunk, rules: Rules, checked: CheckedRows) -> None:
    names = checked.texts["name"]
    if not all(names):
        checked.reject(Code.NAME_MISSING, "name", _which(not name for name in names))
    odd = [name for name in ("name", *checked.further) if name not in checked.plain]
    if "name" in odd:
        checked.reject(Code.NAME_TOO_LONG, "name", too_long(names))
    if "country" in checked.further:
        unknown = _which(unknown_countries(checked.texts["country"]))
        checked.reject(Code.COUNTRY_INVALID, "country", unknown)
    _judge_odd_texts(chunk, rules, checked, odd)


def _judge_odd_texts(chunk: Chunk, rules: Rules, checked: CheckedRows, odd: Sequence[str]) -> None:
    texts = checked.texts
    if "customer" in odd:
        malformed = too_long(texts["customer"]) | with_controls(texts["customer"])
        checked.reject(Code.MALFORMED_ROW, "customer", malformed)
    for name in odd:
        found = _card_numbers(chunk, name, rules, checked)
        checked.reject(Code.FIELD_CONTAINS_CARD_NUMBER, name, found)
    if "name" in odd:
        checked.reject(Code.MALFORMED_ROW, "name", with_controls(texts["name"]))
    for name in odd:
        if not name.startswith(CARRY_PREFIX):
            checked.reject_damaged(name, texts[name], ids=name in _IDS)


def _looked_up(known: _ByText, texts: Sequence[str]) -> npt.NDArray[np.int16]:
    return np.fromiter(map(known.__getitem__, texts), dtype=np.int16, count=len(texts))


def _which(claims: Iterable[bool]) -> Flags:
    return np.array(list(claims), dtype=np.bool_)
