"""Optional fields of cards: countries however they are written, and what is left out."""

from __future__ import annotations

from itertools import product

import pycountry
import pytest

from pipeline.cards.country_codes import country_code
from pipeline.cards.optional_fields import optional_fields
from pipeline.config.policies import OnInvalidOptional

DROP, REJECT = OnInvalidOptional.DROP, OnInvalidOptional.REJECT

WRITTEN = {
    "TH": ("TH", "th", "THA", "764", "764.0", "Thailand", "THAILAND", "ประเทศไทย", "ไทย"),
    "GB": ("UK", "U.K.", "United Kingdom", "Great Britain", "England", "gbr"),
    "US": ("USA", "U.S.A.", "United States", "United States of America", "840"),
    "AU": ("36", "036", "australia"),
    "CI": ("Côte d'Ivoire", "Cote d'Ivoire", "Ivory Coast", "COTE D\u2019IVOIRE"),
    "KR": ("South Korea", "Korea, Republic of", "Republic of Korea"),
    "TR": ("Turkey", "Türkiye"),
    "CZ": ("Czechia", "Czech Republic"),
    "LC": ("St. Lucia", "Saint Lucia"),
    "TT": ("Trinidad & Tobago", "Trinidad and Tobago"),
    "NL": ("The Netherlands", "Holland"),
    "VN": ("Viet Nam", "Vietnam"),
    "JP": ("日本", "Japan"),
}
NONE = (
    "",
    "XX",
    "XK",
    "N/A",
    "000",
    "999",
    "1",
    "T",
    "ß",
    "Thai",
    "IT'S",
    "unknown",
    "-",
    "\uff34\uff28\uff11",
)


@pytest.mark.parametrize(("code", "text"), [(c, t) for c, all_ in WRITTEN.items() for t in all_])
def test_a_country_is_known_by_code_number_and_name(code, text):
    """However people write it, a country has one code."""
    assert country_code(text) == code


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_country_has_no_code(text):
    """Nothing is guessed: an unknown text, a German sharp s, a code that is not assigned."""
    assert country_code(text) is None


def test_every_country_of_the_standard_is_known_by_both_codes_and_its_number():
    """ISO 3166-1 whole, and no code hides another."""
    for country in pycountry.countries:
        texts = (country.alpha_2, country.alpha_3, country.numeric, country.name)
        assert {country_code(form(text)) for text, form in product(texts, (str, str.lower))} == {
            country.alpha_2
        }


def test_an_unusable_optional_field_is_left_out_and_counted():
    """With `drop` the card goes without it; a field that holds a card number stays, to be refused."""
    texts = {
        "country": ["Thailand", "Nowhere", "", "4242424242424242"],
        "email": ["a@b.example", "none", "", "x y@z"],
        "city": ["#REF!", "Bangkok", "NULL", "O'Fallon"],
        "phone_number": ["+66 2 123 4567", "6.68E+10", '="0812345678"', ""],
    }

    tidy, left_out = optional_fields(texts, DROP)

    assert tidy == {
        "country": ["TH", "", "", "4242424242424242"],
        "email": ["a@b.example", "", "", ""],
        "city": ["", "Bangkok", "", "O'Fallon"],
        "phone_number": ["+66 2 123 4567", "", "", ""],
    }
    assert left_out == {"city": 2, "country": 1, "email": 2, "phone_number": 2}


def test_without_drop_nothing_is_left_out():
    """An unusable field stays as it is, for its row to be rejected."""
    texts = {"country": ["uk", "Nowhere"], "city": ["#REF!", "x"], "legacy_id": ["#REF!", "Japan"]}

    tidy, left_out = optional_fields(texts, REJECT)

    assert tidy == texts | {"country": ["GB", "Nowhere"]}
    assert left_out == {}
