"""Ids and phone numbers that pass as card numbers by chance, and what is none of them."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pytest

from pipeline.cards.detect import contains_pan
from pipeline.cards.lookalikes import ids_by_chance, phones
from tests.support.cards import card_number, row
from tests.support.chunks import code_of, validated

VISA = "4242424242424242"
LOOKALIKE = "5454545454545454"


def test_no_card_falls_to_a_phone_number_of_thirteen_digits():
    """Two hundred good cards with random phones, in the ways that people write them: none rejected."""
    seed = Random(6)
    ways = ("+{0}{1}", "{0}{1}", "+{0} {1}", "00{0} {1}", "+{0} (0) {1}", "{0}-{1}")
    rows = [
        row(
            id=f"c{place}",
            card_number=card_number(seed),
            phone_number=ways[place % len(ways)].format(
                seed.choice(["49", "44", "48"]), f"{seed.randrange(10**11):011d}"
            ),
        )
        for place in range(200)
    ]

    assert sum(contains_pan(one["phone_number"]) for one in rows) > 0
    assert validated(*rows).rejections == ()


def test_no_card_falls_to_a_numeric_id_where_lookalikes_are_allowed():
    """Two hundred good cards with date-shaped ids, carried ones too: none rejected, and counted."""
    seed = Random(7)
    day = date(2026, 1, 1)
    rows = [
        row(
            id=f"{day + timedelta(place):%d%m%y}{seed.randrange(10**10):010d}",
            card_number=card_number(seed),
            ref=f"{seed.randrange(2, 5)}{seed.randrange(10**15):015d}",
        )
        for place in range(200)
    ]
    allowed = validated(*rows, carry=("ref",), lookalike_ids="allow")
    refused = validated(*rows, carry=("ref",))

    assert allowed.rejections == ()
    assert allowed.lookalikes == refused.lookalikes
    assert len(refused.rejections) >= max(refused.lookalikes.values()) > 0


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (row(id=VISA), "legacy_id_is_card_number"),
        (row(id=VISA[::-1]), "legacy_id_is_card_number"),
        (row(id=f"a{VISA}b"), "legacy_id_is_card_number"),
        (row(id="5555 5555 5555 4444"), "legacy_id_is_card_number"),
        (row(id="id-5555-5555-5555-4444"), "legacy_id_is_card_number"),
        (row(id="5555555555554444=30121010000"), "legacy_id_is_card_number"),
        (row(id=b"5555555555554444".hex()), "legacy_id_is_card_number"),
        (row(ref="5555.5555.5555.4444"), "field_contains_card_number"),
        (row(ref=VISA), "field_contains_card_number"),
        (row(city=LOOKALIKE), "field_contains_card_number"),
        (row(card_holder=LOOKALIKE), "field_contains_card_number"),
    ],
)
def test_what_is_no_chance_is_refused_where_lookalikes_are_allowed(bad, code):
    """The row's own number, a card's groups, a track, an encoded number; and only ids may pass."""
    assert code_of(bad, carry=("ref",) if "ref" in bad else (), lookalike_ids="allow") == code


@pytest.mark.parametrize(
    "phone", [VISA, f"+{VISA}", "5555 5555 5555 4444", "5555555555554444 x12", "4222222222222222"]
)
def test_a_card_number_is_no_phone(phone):
    """Sixteen digits are no phone number, with or without a plus sign."""
    assert phones([phone]) == [False]


def test_a_phone_that_is_the_rows_own_number_is_refused():
    """An old Visa of thirteen digits in the phone column, and a number in a card's order."""
    own = "4222222222222"
    amex = "378282246310005"

    assert phones([own, f"+{amex}"]) == [True, True]
    assert code_of(row(phone_number=f"+{amex}", card_number=amex)) == "field_contains_card_number"
    assert code_of(row(phone_number=own)) is None


def test_chance_is_told_by_the_form_of_an_id():
    """One run of digits, or groups that no card has."""
    texts = [LOOKALIKE, f"INV{LOOKALIKE}", "54545454-54545454", "5454-5454-5454-5454", "cus_1"]

    assert ids_by_chance(texts) == [True, True, True, False, False]
