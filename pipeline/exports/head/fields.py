"""Tells which column of an export holds which field of a card, by names and by values.

A name alone may lie and values alone may be chance, so a column is taken only where both agree;
where several do, or only one of the two speaks, it is a candidate for a person to choose from.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pipeline.cards.country_codes import country_code
from pipeline.cards.damage import WORDS_FOR_NOTHING
from pipeline.cards.field_formats import without_fractions
from pipeline.cards.number_rules import check_digit_fits
from pipeline.cards.optional_fields import is_email
from pipeline.exports.head.expiry import expirations
from pipeline.exports.head.field_names import RANKS
from pipeline.exports.head.holder import holder
from pipeline.exports.head.naming import rank, ranked, share
from pipeline.exports.head.value_shapes import shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date

_MOST: Final = 0.8
_FEW: Final = 3
_CODE_MAX: Final = 3
_BRAND_CODES: Final = frozenset(
    ("AE", "AM", "AX", "CA", "CB", "CU", "DC", "DI", "DS", "MA", "MC", "JC", "VI")
)
"""What systems write for brands; most are countries as well."""
_SEPARATORS: Final = re.compile(r"[ \t-]")
_DIGITS: Final = re.compile(r"[0-9]{12,19}")
_MASK: Final = re.compile(r"[*xX#•.]{2,}")
_SETTINGS: Final = {"row_id": "legacy_id", "card_id": "legacy_id"}
"""Kinds of names that a setting of another name is made of."""
_OPTIONAL: Final = (
    *("email", "phone_number", "street1", "street2", "city", "state", "postal_code", "country"),
)


@dataclass(slots=True)
class Columns:
    """What is known of an export's columns.

    Attributes:
        sure: Canonical name to source column, or columns, for which names and values agree.
        layouts: The layouts of an `expiration` column that every value fits.
        unsure: Canonical name to candidates, the likeliest first: a column, or several together.
        notes: Canonical name to what is odd about the columns that may hold it.
    """

    sure: dict[str, str | tuple[str, ...]] = field(default_factory=dict)
    layouts: tuple[str, ...] = ()
    unsure: dict[str, tuple[str | tuple[str, ...], ...]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)

    def mapped(self) -> set[str]:
        """Give the columns that something is surely made of."""
        return {*_columns_of(self.sure.values())}

    def asked(self) -> set[str]:
        """Give the columns that are candidates for something."""
        return {*_columns_of(each for sources in self.unsure.values() for each in sources)}


def recognised(table: Mapping[str, Sequence[str]], today: date, *, named: bool = True) -> Columns:
    """Tell the columns of a table's first rows apart.

    Args:
        table: Source column to its texts, a text a row, blanks stripped.
        today: From which the years of a card are counted.
        named: Whether the names were given by whoever made the export, or are positions.
    """
    found = Columns()
    table = {name: [_filled(text) for text in texts] for name, texts in table.items()}
    _find_number(table, found)
    cards = _card_rows(table, found)
    _find_expiration(table, cards, found, today, named=named)
    if not named:
        _find_by_content(table, found)
    _find_name(table, cards, found)
    _find_ids(table, cards, found)
    for name in _OPTIONAL:
        _find_optional(name, table, found)
    return found


def unused(table: Mapping[str, Sequence[str]], found: Columns) -> dict[str, str]:
    """Give the columns that nothing is made of, each with the role that its name speaks for."""
    rest = [name for name in table if name and name not in found.mapped() | found.asked()]
    return {name: _role(name, table[name], found) for name in rest}


def _role(name: str, texts: Sequence[str], found: Columns) -> str:
    kind = next((kind for kind in RANKS if rank(name, kind) is not None), None)
    if kind is None:
        return ""
    kind = _SETTINGS.get(kind, kind)
    if not any(map(_filled, texts)):
        return f"named like {kind}, but empty"
    if kind in found.sure:
        return f"named like {kind}, which another column is"
    return f"named like {kind}, but its values are none"


def _filled(text: str) -> str:
    return "" if text in WORDS_FOR_NOTHING else text


def _find_number(table: Mapping[str, Sequence[str]], found: Columns) -> None:
    fitting = [name for name, texts in table.items() if share(texts, _is_card_number) >= _MOST]
    named = [name for name in ranked(table, "number") if name in fitting]
    if len(fitting) == 1:
        found.sure["number"] = fitting[0]
    elif len(named) == 1 or (named and rank(named[0], "number") != rank(named[1], "number")):
        found.sure["number"] = named[0]
    elif fitting:
        found.unsure["number"] = tuple(fitting[:_FEW])
    else:
        masked = [name for name, texts in table.items() if share(texts, _MASK.search) >= _MOST]
        found.unsure["number"] = tuple(
            [name for name in ranked(table, "number") if name not in masked][:_FEW]
        )


def _is_card_number(text: str) -> bool:
    digits = _SEPARATORS.sub("", without_fractions([text])[0])
    return _DIGITS.fullmatch(digits) is not None and check_digit_fits(digits)


def _card_rows(table: Mapping[str, Sequence[str]], found: Columns) -> list[int]:
    """Give the places of the rows that hold a card; customers without one tell nothing of cards."""
    source = found.sure.get("number")
    rows = max(map(len, table.values()), default=0)
    if not isinstance(source, str):
        return list(range(rows))
    return [place for place, text in enumerate(table[source]) if text]


def _of_cards(texts: Sequence[str], cards: Sequence[int]) -> list[str]:
    return [texts[place] for place in cards]


def _find_expiration(
    table: Mapping[str, Sequence[str]],
    cards: Sequence[int],
    found: Columns,
    today: date,
    *,
    named: bool,
) -> None:
    of_cards = {name: _of_cards(texts, cards) for name, texts in table.items()}
    seen = expirations(of_cards, today, named=named)
    found.sure |= seen.sure
    found.layouts = seen.layouts
    found.unsure |= seen.unsure
    if seen.note:
        kinds = [
            kind
            for kind in ("expiration", "expiration_year")
            if kind in {**seen.sure, **seen.unsure}
        ]
        found.notes[kinds[0]] = seen.note


def _find_name(table: Mapping[str, Sequence[str]], cards: Sequence[int], found: Columns) -> None:
    of_cards = {name: _of_cards(texts, cards) for name, texts in table.items()}
    name, candidates = holder(of_cards, found.mapped())
    if name is None:
        found.unsure["name"] = candidates[:_FEW]
    else:
        found.sure["name"] = name


def _find_ids(table: Mapping[str, Sequence[str]], cards: Sequence[int], found: Columns) -> None:
    taken = found.mapped()
    free = {name: texts for name, texts in table.items() if name not in taken}

    def is_unique(name: str) -> bool:
        texts = _of_cards(free[name], cards)
        return all(texts) and len(set(texts)) == len(texts)

    customers = [name for name in ranked(free, "customer") if any(free[name])]
    own = [name for name in ranked(free, "card_id") if is_unique(name)]
    around = [name for name in ranked(free, "row_id") if name.startswith("..")]
    rows = [name for name in ranked(free, "row_id") if is_unique(name)]
    rows = [name for name in rows if name not in {*customers, *around}]
    if own or rows:
        found.sure["legacy_id"] = (own or rows)[0]
    elif customers and is_unique(customers[0]):
        found.sure["legacy_id"] = customers[0]
    else:
        asked = found.asked()
        unique = [name for name in free if is_unique(name) and name not in asked]
        unique = [name for name in unique if _may_be_ids(free[name])]
        found.unsure["legacy_id"] = tuple(unique[:_FEW])
    plain = [name for name in ranked(free, "row_id") if name != found.sure.get("legacy_id")]
    if customers:
        found.sure["customer"] = customers[0]
    elif around or (plain and own):
        # An `id` around a card, or beside a card's own id, is its customer's.
        found.sure["customer"] = (around or plain)[0]
    for kind in ("customer_id", "is_default"):
        named = [name for name in ranked(free, kind) if any(free[name])]
        if named:
            found.sure[kind] = named[0]


def _may_be_ids(texts: Sequence[str]) -> bool:
    """Tell whether unique texts may name cards: addresses and dates are unique by chance."""
    return share(texts, is_email) < _MOST and not shape(texts).startswith("dates")


def _find_by_content(table: Mapping[str, Sequence[str]], found: Columns) -> None:
    """Find addresses and countries, which tell themselves also where nothing names them."""
    free = {name: texts for name, texts in table.items() if name not in found.sure.values()}
    mails = [name for name, texts in free.items() if share(texts, is_email) >= _MOST]
    lands = [name for name, texts in free.items() if _are_countries(texts)]
    found.sure |= {"email": mails[0]} if len(mails) == 1 else {}
    found.sure |= {"country": lands[0]} if len(lands) == 1 else {}


def _are_countries(texts: Sequence[str]) -> bool:
    """Tell countries from languages (`de`) and from the brands' codes (`VI`, `MC`)."""
    codes = {text for text in texts if text}
    return (
        share(texts, country_code) == 1.0
        and all(text.isupper() or len(text) > _CODE_MAX for text in codes)
        and not any(map(str.isdigit, "".join(codes)))
        and not codes <= _BRAND_CODES
    )


def _columns_of(sources: Iterable[str | tuple[str, ...]]) -> Iterator[str]:
    for source in sources:
        yield from (source,) if isinstance(source, str) else source


_FITS: Final[dict[str, Callable[[str], object]]] = {
    "email": is_email,
    "country": country_code,
    "phone_number": lambda text: sum(map(str.isdigit, text)) >= 6,  # noqa: PLR2004 - a short one.
    "city": lambda text: any(map(str.isalpha, text)),
    "state": lambda text: not text.isdigit(),
}


def _find_optional(kind: str, table: Mapping[str, Sequence[str]], found: Columns) -> None:
    taken = found.mapped()
    fits = _FITS.get(kind, bool)
    named = [name for name in ranked(table, kind) if name not in taken]
    good = [name for name in named if share(table[name], fits) >= _MOST]
    if good:
        found.sure[kind] = good[0]
