"""Reads card parameters as a card, or as every problem with them in one sentence.

Problems come in the recorded order (month, name, year, date, number, brand) and are joined as the
real vault joins them: "a", "a and b", "a, b, and c". No sentence repeats what was sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.sandbox.brands import brand_of, issuer_of, number_is_sound
from pipeline.sandbox.refusals import fraud_check_failed, invalid_card
from pipeline.sandbox.testcards import FAILURES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.sandbox.assumptions import Assumptions

ADDRESS_FIELDS: Final = ("street1", "street2", "city", "state", "phone_number", "postal_code")
"""The card's free texts, in the order in which a card object shows them."""

FRAUD_WORDS: Final = "FAIL FRAUD CHECK"
"""A cardholder name that holds these words, in any case, is refused with `failed_fraud_check`."""

_MONTHS: Final = range(1, 13)
_YEARS: Final = range(1950, 2101)
_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_SEPARATORS: Final = str.maketrans("", "", " -")
_NO_DIGITS: Final = re.compile(r"\D+")
_REMOVED: Final = "[removed]"


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides on a card besides its own fields."""

    brands: frozenset[str]
    today: tuple[int, int]
    assume: Assumptions


@dataclass(frozen=True, slots=True)
class SoundCard:
    """A card that passed every check; its number lives no longer than the request."""

    number: str
    brand: str
    name: str
    expiration_month: int
    expiration_year: int
    country: str
    bank: str
    financing: str
    address: dict[str, str | None]
    email: str | None
    security_code_check: bool
    failure_code: str | None


def text_of(value: object) -> str:
    """Give a parameter as text; None, true, false, lists and hashes are no text and give ''."""
    if isinstance(value, str):
        return value if value.strip() else ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return ""


def whole_number(value: object) -> int | None:
    """Give a parameter as a whole number of at most 18 digits, or None when it is none."""
    text = text_of(value).strip()
    return int(text) if _WHOLE.fullmatch(text) else None


def join(problems: list[str]) -> str:
    """Join sentences the way Rails joins them."""
    *most, last = problems
    if len(most) > 1:
        return f"{', '.join(most)}, and {last}"
    return " and ".join(problems)


def read_year(value: object) -> int | None:
    """Give a year of two or four digits as four, or None when it is neither."""
    year = whole_number(value)
    if year is not None and len(text_of(value).strip()) in (1, 2):
        year += 2000
    return year if year in _YEARS else None


def holder_problems(card: Mapping[str, Any], rules: Rules) -> list[str]:
    """Give what is wrong with month, name, year and date, in the recorded order."""
    month = whole_number(card.get("expiration_month"))
    year = read_year(card.get("expiration_year"))
    month_is_blank = not text_of(card.get("expiration_month"))
    problems = []
    if month_is_blank:
        problems.append("expiration month can't be blank")
    if month not in _MONTHS:
        problems.append("expiration month is not between 1 and 12")
    problems += _name_problems(text_of(card.get("name")), rules.assume.name_length_max)
    if year is None:
        problems.append("expiration year is invalid")
    return problems + _date_problems(month, year, rules, month_is_blank=month_is_blank)


def _name_problems(name: str, length_max: int) -> list[str]:
    if not name:
        return ["name can't be blank"]
    if len(name) > length_max:
        return [f"name is too long (maximum is {length_max} characters)"]
    return []


def _date_problems(
    month: int | None, year: int | None, rules: Rules, *, month_is_blank: bool
) -> list[str]:
    if month not in _MONTHS:
        # Recorded: a blank month spares the date its problem, an impossible one does not.
        return [] if month_is_blank else ["expiration date is invalid"]
    if year is not None and (year, month) < rules.today:
        return ["expiration date cannot be in the past"]
    return []


def _number_problems(digits: str, brand: str | None, rules: Rules) -> list[str]:
    problems = []
    if not digits:
        problems.append("number can't be blank")
    elif not (digits.isascii() and digits.isdecimal() and number_is_sound(digits, brand)):
        problems.append("number is invalid")
    if brand is None:
        problems.append("brand not supported (unknown)")
    elif brand not in rules.brands:
        problems.append(f"brand not supported ({brand})")
    return problems


def read_country(value: object, default: str) -> tuple[str, list[str]]:
    """Give a country's two letters in lower case, the default for none, and what is wrong."""
    text = text_of(value).strip()
    if not text:
        return default, []
    if _COUNTRY.fullmatch(text):
        return text.lower(), []
    return default, ["country is invalid"]


def _address(card: Mapping[str, Any], number: str) -> dict[str, str | None]:
    """Give the free texts, without the card's own number should one of them repeat it."""
    texts = {name: text_of(card.get(name)) or None for name in ADDRESS_FIELDS}
    return {name: text and without_number(text, number) for name, text in texts.items()}


def without_number(text: str, number: str) -> str:
    """Give the text, or a mark in its place when it holds this card number, however written."""
    return _REMOVED if number in _digits_of(text) else text


def without_own_number(text: str, last_digits: str) -> str:
    """Give the text, or a mark in its place when it is a card number that ends like this card's.

    A card that is changed has no number any more to compare with.
    """
    digits = _digits_of(text)
    is_number = digits.endswith(last_digits) and number_is_sound(digits, brand_of(digits))
    return _REMOVED if is_number else text


def _digits_of(text: str) -> str:
    """Give a text's digits, those of other scripts as ASCII."""
    digits = _NO_DIGITS.sub("", text)
    return digits if digits.isascii() else "".join(str(int(digit)) for digit in digits)


def read_card(card: Mapping[str, Any], rules: Rules) -> SoundCard:
    """Check the thirteen parameters of a card.

    Raises:
        Refusal: `invalid_card` with every problem, or `failed_fraud_check`.
    """
    digits = text_of(card.get("number")).translate(_SEPARATORS)
    brand = brand_of(digits)
    problems = holder_problems(card, rules) + _number_problems(digits, brand, rules)
    issuer = None if problems else issuer_of(digits)
    country, country_problems = read_country(card.get("country"), issuer.country if issuer else "")
    problems += country_problems
    if problems or brand is None or issuer is None:
        raise invalid_card(join(problems))
    name = text_of(card["name"])
    if FRAUD_WORDS in name.upper():
        raise fraud_check_failed()
    failure_code = FAILURES.get(digits)
    has_code = bool(text_of(card.get("security_code")))
    return SoundCard(
        number=digits,
        brand=brand,
        name=without_number(name, digits),
        expiration_month=whole_number(card["expiration_month"]) or 0,
        expiration_year=read_year(card["expiration_year"]) or 0,
        country=country,
        bank=issuer.bank,
        financing=issuer.financing,
        address=_address(card, digits),
        email=without_number(text_of(card.get("email")), digits) or None,
        security_code_check=failure_code != "invalid_security_code"
        and (has_code or rules.assume.security_code_check_without_code == "true"),
        failure_code=failure_code,
    )
