"""The rules that a row is judged by, one at a time, and what a verdict tells."""

from __future__ import annotations

import base64
from datetime import date
from random import Random

import numpy as np
import pytest

from pipeline.cards.customer_rules import CustomerRules
from pipeline.cards.detect import contains_pan
from pipeline.cards.rows import Cards
from pipeline.failure_codes import FAILURE_CODES, Stage
from tests.support.cards import card_number, row
from tests.support.chunks import ALL_BRANDS, code_of, validated
from tests.support.frames import frame_of

VISA = "4242424242424242"
FULL_WIDTH = "".join(chr(ord(digit) + 0xFEE0) for digit in VISA)

REJECTED = {
    "legacy_id_missing": [row(id=""), row(id="   ")],
    "legacy_id_is_card_number": [
        row(id=VISA),
        row(id="cus-4242-4242-4242-4242"),
        row(id=f"{VISA}-1230"),
        row(id=FULL_WIDTH),
        row(id="4242.4242.4242.4242"),
        row(id="4242%204242%204242%204242"),
        row(id=base64.b64encode(f"a{VISA}b".encode()).decode()),
        row(id=VISA.encode().hex()),
        row(id="42424242-4242-4242-0000-000000000000"),
        row(id="a 42424242-4242-4242-aaaa-aaaaaaaaaaaa"),
    ],
    "number_missing": [row(card_number=""), row(card_number=" - ")],
    "number_not_digits": [
        row(card_number="424242424242424O"),
        row(card_number="'" + VISA),
        row(card_number=f'="{VISA}"'),
        row(card_number=FULL_WIDTH),
        row(card_number="n/a"),
    ],
    "number_length": [
        row(card_number=VISA[:11]),
        row(card_number=VISA[:12]),
        row(card_number=VISA + "424"),
        row(card_number=VISA + "4242"),
        row(card_number="42"),
        row(card_number="37828224631000"),
        row(card_number="0" * 11),
    ],
    "number_checksum": [row(card_number="4242424242424241"), row(card_number="1234567812345678")],
    "number_masked": [
        row(card_number="424242******4242"),
        row(card_number="xxxx-xxxx-xxxx-4242"),
        row(card_number="•••• 4242"),
    ],
    "number_damaged": [
        row(card_number="4.24E+15"),
        row(card_number="4,24242424242424E+15"),
        row(card_number="4242424242424242424.0"),
        row(card_number=VISA + ".5"),
    ],
    "brand_unsupported": [
        row(card_number="0000000000000000"),
        row(card_number="1234567812345670"),
        row(card_number="6759649826438453"),
    ],
    "expiration_invalid": [
        row(exp_month="0"),
        row(exp_month="00"),
        row(exp_month="13"),
        row(exp_month="012"),
        row(exp_month=""),
        row(exp_month="Dec"),
        row(exp_month="13.0"),
        row(exp_month="12.5"),
        row(exp_month="-1"),
        row(exp_month="\u0e51\u0e52"),
        row(exp_year=""),
        row(exp_year="7"),
        row(exp_year="027"),
        row(exp_year="20270"),
        row(exp_year="2027.00"),
        row(exp_year="0000"),
        row(exp_year="2099"),
        row(exp_year="99"),
        row(exp_month="", exp_year=""),
    ],
    "card_expired": [
        row(exp_month="10", exp_year="2026"),
        row(exp_month="12", exp_year="2025"),
        row(exp_month="1", exp_year="20"),
        row(exp_month="1", exp_year="1999"),
    ],
    "name_missing": [row(card_holder=""), row(card_holder="  ")],
    "name_too_long": [row(card_holder="N" * 256), row(card_holder="N" * 1024)],
    "country_invalid": [
        row(country="Thai"),
        row(country="000"),
        row(country="XX"),
        row(country="XK"),
        row(country="T"),
        row(country="\u00df"),
    ],
    "value_damaged": [
        row(id='="00123"'),
        row(id="'00124"),
        row(id="1.23457E+11"),
        row(id="#REF!"),
        row(id="NULL"),
        row(id="\\N"),
        row(id='"cus_1"'),
        row(id="cus\u200b1"),
        row(id="\u0e01\ufeff1"),
        row(card_holder="#N/A"),
        row(card_holder="None"),
        row(card_holder='"SOMCHAI PRASERT"'),
        row(card_holder="O\\'Neil"),
        row(card_holder="Jos\\u00e9"),
        row(card_holder="########"),
        row(city="nan"),
    ],
    "field_contains_card_number": [
        row(card_holder=f"Somchai {VISA}"),
        row(card_holder="4242 4242 4242 4242"),
        row(city=f"Bangkok {VISA}"),
        row(city=";4242424242424242=30121010000000000000?"),
        row(card_holder=f"%B{VISA}^PRASERT/SOMCHAI^30121010000000000000?"),
    ],
    "malformed_row": [
        row(id="i" * 256),
        row(id="i" * 10_240),
        row(id="a\nb"),
        row(id="a\tb"),
        row(id="a\u202eb"),
        row(card_holder="SOMCHAI\r\nPRASERT"),
        row(card_holder="SOMCHAI\u2028PRASERT"),
    ],
}


@pytest.mark.parametrize(
    ("code", "bad"), [(code, bad) for code, rows in REJECTED.items() for bad in rows]
)
def test_a_row_that_breaks_a_rule_is_rejected_under_its_code(code, bad):
    """Each kind of bad row has its one code, and the rejection holds no number."""
    verdict = validated(row(id="cus_0"), bad, row(id="cus_2"))

    assert [(found.row, found.code) for found in verdict.rejections] == [(2, code)]
    assert frame_of(verdict.cards).index.tolist() == [1, 3]
    assert not contains_pan(repr(verdict.rejections))


def test_every_code_of_the_validator_has_its_rows_here():
    """No validate code is left out, but for those that need more than one row or another mode."""
    elsewhere = {"legacy_id_duplicate", "test_card_in_live_mode", "real_card_in_test_mode"}
    elsewhere |= {"customer_missing", "customer_id_invalid", "customer_conflict"}
    expected = {code for code, meta in FAILURE_CODES.items() if meta.stage is Stage.VALIDATE}

    assert expected - elsewhere == set(REJECTED) - {"malformed_row"}


@pytest.mark.parametrize(
    "good",
    [
        row(),
        row(card_number="4242 4242 4242 4242"),
        row(card_number="4242-4242-4242-4242"),
        row(exp_month="1", exp_year="27"),
        row(exp_month="01", exp_year="2027"),
        row(exp_month="11", exp_year="2026"),
        row(exp_month="11", exp_year="76"),
        row(country="th"),
        row(country="THA"),
        row(country="Thailand"),
        row(country="764"),
        row(country="uk"),
        row(exp_month="1.0", exp_year="2030.0"),
        row(card_number=VISA + ".0"),
        row(country=""),
        row(city=""),
        row(city="Soi 4\nBangkok"),
        row(card_holder="N" * 255),
        row(id="i" * 255),
        row(card_holder="สมชาย ประเสริฐ"),
        row(card_holder='O\'Brien-Smith, "Jr" <b>&amp;</b> 🙂'),
        row(card_holder="=1+1"),
        row(id="=cmd()"),
        row(id="12E4"),
        row(id="125.0"),
        row(id="O'1"),
        row(card_holder="Nan"),
        row(card_holder="Null"),
        row(card_holder="'t Hooft"),
        row(card_holder="Cid \\ Co"),
        row(card_holder='Ann "Nan" Lee'),
        row(card_holder="ก\u200bข"),
        row(id="../../x"),
        row(id="<script>"),
        row(id="123456789012"),
    ],
)
def test_a_row_that_breaks_no_rule_may_be_sent(good):
    """Odd is not wrong: what a vault can take is not rejected."""
    assert code_of(good) is None


@pytest.mark.parametrize("brand", sorted(ALL_BRANDS))
def test_a_brand_that_the_account_does_not_take_is_unsupported(brand):
    """Only brands of the rules may be sent."""
    number = card_number(Random(7), brand)

    assert code_of(row(card_number=number)) is None
    assert code_of(row(card_number=number), brands=ALL_BRANDS - {brand}) == "brand_unsupported"


def test_any_brand_is_sent_where_the_vault_decides():
    """With `*` an unknown brand and another length are sent; a wrong check digit is not."""
    every = {"brands": frozenset(("*",))}

    assert code_of(row(card_number="1234567812345670"), **every) is None
    assert code_of(row(card_number="4242424242424"), **every) == "number_checksum"
    assert code_of(row(card_number="4222222222222"), **every) is None
    assert code_of(row(card_number="42424242424"), **every) == "number_length"
    assert code_of(row(card_number="1234567812345678"), **every) == "number_checksum"


def test_a_card_is_good_until_its_months_last_day():
    """The month of judgement itself has not expired, the one before has."""
    card = row(exp_month="2", exp_year="2028")

    assert code_of(card, as_of=date(2028, 2, 29)) is None
    assert code_of(card, as_of=date(2028, 3, 1)) == "card_expired"


def test_expired_cards_are_sent_where_the_rules_say_so():
    """With `tokenize`, an expired card is a card."""
    assert code_of(row(exp_month="1", exp_year="2020"), expired="tokenize") is None


def test_test_cards_and_real_cards_are_kept_apart():
    """Live mode takes no published number; a test vault elsewhere takes nothing else."""
    real = row(card_number=card_number(Random(7)))
    apart = {"livemode": False, "loopback_vault": False}

    assert code_of(row(), livemode=True) == "test_card_in_live_mode"
    assert code_of(real, livemode=True) is None
    assert code_of(real, **apart) == "real_card_in_test_mode"
    assert code_of(row(), **apart) is None
    assert code_of(real) is None


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (row(id="", card_number="", exp_month="", card_holder=""), "legacy_id_missing"),
        (row(id=VISA, card_number=""), "legacy_id_is_card_number"),
        (row(card_number="", exp_month="13"), "number_missing"),
        (row(card_number="4242424242424241", exp_month="13"), "number_checksum"),
        (row(exp_month="13", card_holder=""), "expiration_invalid"),
        (row(exp_year="2020", card_holder=""), "card_expired"),
        (row(card_holder="", country="XX"), "name_missing"),
        (row(country="XX", city=VISA), "country_invalid"),
    ],
)
def test_the_first_rule_in_order_names_a_row_with_several_faults(bad, code):
    """A row has one verdict: that of the first rule it breaks."""
    assert code_of(bad) == code


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (row(exp_month="13"), "expiration_month"),
        (row(exp_year="x"), "expiration_year"),
        (row(exp_month="", exp_year=""), "expiration"),
        (row(city=VISA), "city"),
        (row(card_holder=VISA), "name"),
        (row(id=VISA), "legacy_id"),
    ],
)
def test_a_rejection_names_the_field(bad, field):
    """The field is named by its canonical name."""
    assert validated(bad).rejections[0].field == field


def test_carried_columns_are_kept_and_searched():
    """A carried column goes along under its own prefix; a number in it rejects the row."""
    rows = (row(ref="a-1"), row(id="cus_2", ref=f"x{VISA}"))
    verdict = validated(*rows, carry=("ref",))

    assert frame_of(verdict.cards)["carry:ref"].tolist() == ["a-1"]
    assert [(r.row, r.code, r.field) for r in verdict.rejections] == [
        (2, "field_contains_card_number", "carry:ref")
    ]


def test_a_rejection_repeats_a_legacy_id_only_when_that_is_safe():
    """The id and the last digits are told where they are known and hold no number."""
    verdict = validated(
        row(id="cus_1", exp_month="13"),
        row(id=VISA),
        row(id="a\nb"),
        row(id="cus_4", card_number="4.24E+15"),
    )

    assert [(r.legacy_id, r.last_digits) for r in verdict.rejections] == [
        ("cus_1", "4242"),
        (None, "4242"),
        (None, "4242"),
        ("cus_4", None),
    ]


def test_cards_hold_what_the_vault_and_the_ledger_need():
    """A card's columns are typed, in order, and its number is beside it."""
    verdict = validated(
        row(id="", card_number=""),
        row(id="cus_2", card_number="378282246310005", exp_month="3", exp_year="31"),
    )
    cards = verdict.cards
    frame = frame_of(cards)

    assert isinstance(cards, Cards)
    assert len(cards) == 1
    assert list(frame.columns) == [
        *("legacy_id", "name", "brand", "last_digits", "expiration_month", "expiration_year"),
        *("city", "country"),
    ]
    assert frame.loc[2].tolist() == [
        *("cus_2", "SOMCHAI PRASERT", "American Express", "0005", 3, 2031, "Bangkok", "TH")
    ]
    assert (frame["expiration_month"].dtype, frame["expiration_year"].dtype) == (np.int8, np.int16)
    assert cards.numbers.reveal(0) == b"378282246310005"


def test_a_chunk_without_a_good_row_gives_no_cards():
    """Nothing to send is an empty frame with the same columns."""
    verdict = validated(row(id=""))

    assert len(verdict.cards) == len(verdict.cards.numbers) == 0
    assert "brand" in frame_of(verdict.cards).columns


def test_an_export_without_addresses_is_judged_without_them():
    """Columns that the settings do not name are neither needed nor judged."""
    bare = {name: row()[name] for name in row() if name not in {"city", "country"}}

    assert code_of(bare) is None


@pytest.mark.parametrize(
    "identity",
    [
        "42424242-4242-4242-aaaa-aaaaaaaaaaaa",
        "42424242-4242-4242-AAAA-AAAAAAAAAAAA",
        f"abcdef{VISA}abcdefabcd",
        f"c0ffee{VISA}" + "ab" * 21,
    ],
)
def test_a_uuid_or_a_digest_is_no_card_number_by_chance(identity):
    """Of a million UUIDs some hundreds have the digits of a card in a row; they are ids.

    Unless they are the digits of the row's own card: that is no chance.
    """
    assert not contains_pan(identity)
    assert code_of(row(id=identity, card_number="5555555555554444")) is None
    assert "legacy_id_is_card_number" == code_of(row(id=identity, card_number=VISA))


OWN = "4242424242424242"
MIR, WRONG = "2200000000000004", "4242424242424241"
WAYS = {
    "plain": lambda pan: pan,
    "parted by colons": ":".join,
    "by bars": "|".join,
    "by stars": "*".join,
    "by commas": ",".join,
    "by letters": "x".join,
    "in fours by letters": lambda pan: "-A-".join(pan[at : at + 4] for at in range(0, len(pan), 4)),
    "backwards": lambda pan: pan[::-1],
    "inside a longer run": lambda pan: f"99{pan}77",
    "in other digits": lambda pan: pan.translate(str.maketrans("0123456789", "๐๑๒๓๔๕๖๗๘๙")),
}


@pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("number", [OWN, MIR, WRONG], ids=["Visa", "Mir", "wrong check digit"])
def test_a_legacy_id_that_repeats_the_rows_own_number_is_never_repeated(number, write):
    """Whatever the brand, the check digit and the signs between the digits."""
    verdict = validated(row(card_number=number, id=write(number)))

    assert ["legacy_id_is_card_number"] == [r.code for r in verdict.rejections]
    assert [None] == [r.legacy_id for r in verdict.rejections]


@pytest.mark.parametrize("write", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("field", ["card_holder", "city", "memo"])
def test_another_field_that_repeats_the_rows_own_number_rejects_the_row(field, write):
    """What is sent, and what the mapping would carry, holds the number in no form."""
    bad = row(card_number=OWN, **{"city": "Bangkok", "memo": "x", field: write(OWN)})

    assert "field_contains_card_number" == code_of(bad, carry=["memo"])


def test_the_last_digits_and_other_peoples_digits_are_no_repetition():
    """Only the row's whole number counts; a long id of other digits is an id."""
    assert code_of(row(card_number=OWN, id="cust-2026112700000000-4242")) is None


CUSTOMERS = CustomerRules(is_required=True, is_existing=lambda text: text.startswith("cust_"))


@pytest.mark.parametrize(
    ("customer", "customer_id", "code"),
    [
        ("anna", "", None),
        ("anna", "cust_1", None),
        ("", "", "customer_missing"),
        ("", "cust_1", "customer_missing"),
        ("anna", "1", "customer_id_invalid"),
        ("a\u202enna", "", "malformed_row"),
        ("a" * 256, "", "malformed_row"),
        (VISA, "", "field_contains_card_number"),
    ],
)
def test_a_card_is_judged_by_its_customer_where_it_is_to_come_to_one(customer, customer_id, code):
    """A missing one, an existing one that is no id, and what no report should show."""
    given = row() | {"customer": customer, "customer_id": customer_id}

    assert code_of(given, customers=CUSTOMERS) == code


def test_nobody_needs_a_customer_where_cards_come_to_none():
    """Without `[attach]`, or with `without_customer = "own"`."""
    nobody = CustomerRules(is_required=False, is_existing=bool)

    assert code_of(row() | {"customer": ""}) is None
    assert code_of(row(), customers=nobody) is None
    assert code_of(row(), customers=CUSTOMERS) == "customer_missing"


@pytest.mark.parametrize(
    ("year", "told"),
    [("2573", "Buddhist era"), ("78", "50 years ahead"), ("2080", "50 years ahead"), ("x", None)],
)
def test_a_year_of_another_era_is_told_as_what_it_is(year, told):
    """Four digits name the era; two of them lie further ahead than any card is valid."""
    (rejection,) = validated(row(exp_year=year)).rejections

    assert rejection.code == "expiration_invalid"
    assert rejection.hint is None if told is None else told in rejection.hint
