"""Where no header names the columns their values tell; what is not used is said, without a value."""

from __future__ import annotations

import tomllib
from datetime import date
from random import Random

import pytest

from pipeline.cards.country_codes import country_code
from pipeline.exports.head.fields import recognised
from pipeline.exports.head.value_shapes import shape
from pipeline.migration.draft_text import rendered
from pipeline.migration.drafting import drafted
from tests.support.cards import card_number

TODAY = date(2026, 11, 27)
ROWS = range(8)
VALUES = {
    "id": [str(70000000 + 17 * place) for place in ROWS],
    "added": [f"20{15 + place}-02-03" for place in ROWS],
    "number": [card_number(Random(place), "Visa") for place in ROWS],
    "name": [f"{given} LEE" for given in ["ANN", "BOB", "CID", "DAN", "EVE", "FAY", "GUS", "HAL"]],
    "ends": [f"20{27 + place % 5}-0{1 + place}-28" for place in ROWS],
    "brand": ["VI", "MC"] * 4,
    "mail": [f"a{place}@mail.example" for place in ROWS],
    "land": ["THA", "DEU", "GBR", "JPN"] * 2,
}


def text_of(columns, *, header=True):
    """Draft an export of these columns and give the text of the settings."""
    lines = ["|".join(columns)] if header else []
    lines += ["|".join(row) for row in zip(*columns.values(), strict=True)]
    draft = drafted(("\n".join(lines) + "\n").encode(), TODAY)
    return rendered(draft, name="a", key=None, sealed=True, file="b")


def test_an_export_without_header_is_drafted_by_its_values():
    """Addresses and countries tell themselves; candidates come with what they look like."""
    text = text_of(VALUES, header=False)
    told = tomllib.loads(text)["export"]

    assert told["columns"] == {"number": "3", "email": "7", "country": "8"}
    assert '# legacy_id = ""  # unsure; candidates: "1" (8 digits)\n' in text
    assert '# name = ""  # unsure; candidates: "4" (two words)\n' in text
    assert 'format = "YYYY-MM-DD" }  # unsure; candidates: "5" (dates 2027 to 2031)\n' in text
    assert '#   "2": dates 2015 to 2022\n' in text
    assert '#   "6": 2 letters\n' in text


@pytest.mark.parametrize("codes", [["VI", "MC"], ["de", "th"], ["EN", "DE"], ["1", "2"]])
def test_codes_of_brands_and_languages_are_no_countries(codes):
    """Most of them are the codes of countries as well."""
    values = {"1": VALUES["number"], "2": codes * 4}
    assert "country" not in recognised(values, TODAY, named=False).sure


def test_columns_that_nothing_is_made_of_are_listed_with_their_role():
    """What a header speaks for and the values speak against is said; nothing is left out silently."""
    named = {
        "Karten-ID": VALUES["id"],
        "Kunden-Nr": ["07", "08"] * 4,
        "Kartennummer": VALUES["number"],
        "Karteninhaber": VALUES["name"],
        "Gültig bis": VALUES["ends"],
        "Land": ["Deutschland", "Österreich", "Schweiz", "Frankreich"] * 2,
        "Telefon": ["-"] * 8,
        "Saldo": ["12,50"] * 8,
    }
    text = text_of(named)
    told = tomllib.loads(text)["export"]["columns"]

    assert told["customer"] == "Kunden-Nr"
    assert "# [attach]\n" in text
    assert "[attach]" not in text_of({name: named[name] for name in [*named][2:]})
    assert told["country"] == "Land"
    assert '#   "Telefon": named like phone_number, but its values are none, ' in text
    assert '#   "Saldo": numbers of 5 signs' in text


def test_an_unsure_column_is_not_taken_by_its_own_name():
    """`name` is what settings mean where they name nothing: it has to be chosen."""
    text = text_of(
        {"id": VALUES["id"], "number": VALUES["number"], "name": VALUES["name"][0].split() * 4,
         "perheen": [name.split()[0] for name in VALUES["name"]]}
    )  # fmt: skip
    assert tomllib.loads(text)["export"]["columns"]["name"] == "choose a column"
    assert '# unsure; candidates: ["name", "perheen"], "name" (' in text


def test_a_customer_that_is_the_card_itself_is_said():
    """A column that names customers and is unique serves as both, and the line says so."""
    text = text_of({"MemberID": VALUES["id"], "card number": VALUES["number"]})
    assert (
        'customer = "MemberID"  # the legacy id as well: each card is its own customer\'s' in text
    )


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["Ann Lee", "Bob Roe", "Cid"], "two words"),
        (["Ann", "Bob"], "3 letters"),
        (["Anna", "Bob"], "one word"),
        (["12", "1234"], "2 to 4 digits"),
        (["a@b.example", "c@d.example"], "e-mail addresses"),
        (["02/27", "03/31"], "dates 2027 to 2031"),
        (["A-12", "B-345"], "4 to 5 signs, digits among them"),
        (["", ""], "empty"),
    ],
)
def test_a_shape_tells_kind_and_length_and_no_value(texts, told):
    """Enough to tell two columns apart."""
    assert shape(texts) == told


@pytest.mark.parametrize(
    ("name", "code"),
    [("Deutschland", "DE"), ("Allemagne", "DE"), ("Österreich", "AT"), ("Suiza", "CH"), ("Niemcy", "DE"),
     ("Германия", "DE"), ("ประเทศไทย", "TH"), ("泰国", "TH"), ("Südkorea", "KR"), ("Y", None), ("Uc", None)],
)  # fmt: skip
def test_countries_are_known_by_name_in_many_languages(name, code):
    """A yes is not Italy, though Vietnamese calls it so."""
    assert country_code(name) == code
