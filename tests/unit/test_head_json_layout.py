"""Of a JSON export the object that holds the card number is the record."""

from __future__ import annotations

import json
from datetime import date
from random import Random

import pytest

from pipeline.migration.drafting import drafted
from tests.support.cards import card_number

TODAY = date(2026, 11, 27)


def customers(seed, **inner):
    """Give customers with cards, each with objects and lists of its own."""
    return [
        {
            "customerId": f"c{place}",
            "cards": [
                {
                    "cardRef": f"r{place}",
                    "pan": card_number(seed, "Visa"),
                    "holder": "Ann Lee",
                    "expiry": {"month": 1 + place, "year": 2030},
                    **inner,
                }
            ],
        }
        for place in range(6)
    ]


@pytest.mark.parametrize(
    "inner",
    [
        {},
        {"billing": {"country": "TH", "zip": "10110"}},
        {"uses": [{"id": "u1", "at": "2026-01-01"}, {"id": "u2", "at": "2026-01-02"}]},
        {"holders": [{"name": "Bob Roe"}]},
    ],
)
@pytest.mark.parametrize("around", [lambda rows: rows, lambda rows: {"data": {"customers": rows}}])
def test_what_lies_deeper_than_the_number_is_no_record(inner, around):
    """An object or a list within a card may be missing; the card is a row all the same."""
    head = json.dumps(around(customers(Random(4), **inner))).encode()
    draft = drafted(head, TODAY)
    path = draft.export["records"]

    assert path.split(".")[-2:] == ["cards", "*"]
    assert draft.columns.sure["number"] == "pan"
    assert draft.columns.sure["legacy_id"] == "cardRef"
    assert draft.columns.sure["expiration_month"] == "expiry.month"
    assert draft.columns.sure["customer"].endswith("..customerId")
