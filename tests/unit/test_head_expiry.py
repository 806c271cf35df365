"""Expirations are of years that a card may have; past dates and other eras are told apart."""

from __future__ import annotations

from datetime import date

import pytest

from pipeline.exports.head.expiry import expirations
from pipeline.migration.draft_text import rendered
from pipeline.migration.drafting import drafted

TODAY = date(2026, 11, 27)
FAR = "more than 20 years ahead"
BUDDHIST = "Buddhist era"


def of(values, *, named=True):
    return expirations(values, TODAY, named=named)


@pytest.mark.parametrize(
    ("name", "texts", "note"),
    [
        ("expiry", ["07/73", "01/75", "12/71"], FAR),
        ("วันหมดอายุ", ["07/73", "01/75", "12/71"], FAR),
        ("expiry", ["11/2572", "01/2573", "02/2571"], BUDDHIST),
        ("expiry", ["2572-11-30", "2573-01-31", "2574-01-31"], BUDDHIST),
        ("exp_year", ["2572", "2573", "2571"], BUDDHIST),
        ("expiry", ["soon", "later", "never"], "no format"),
        ("expiry", ["Jul 32", "Aug 33", "Sep 31"], "no format"),
    ],
)
def test_a_column_that_cannot_be_read_is_named_with_what_is_odd(name, texts, note):
    """Not `no column of that kind seen`: the column is a candidate, and its note says what it holds."""
    found = of({"id": ["a", "b", "c"], name: texts})
    assert found.sure == {}
    assert found.unsure == {"expiration": (name,)}
    assert note in found.note


@pytest.mark.parametrize("texts", [["11/2572", "01/2573"], ["07/2573", "01/2575"]])
def test_another_era_is_told_where_no_name_helps(texts):
    """Columns without a header, or of odd names."""
    found = of({"1": ["a", "b"], "2": texts}, named=False)
    assert found.unsure == {"expiration": ("2",)}
    assert BUDDHIST in found.note


def test_some_years_far_ahead_are_counted():
    """A few among good ones do not hide the column; they are told."""
    found = of({"expiry": [*["07/30"] * 9, "07/73"]})
    assert found.sure == {"expiration": "expiry"}
    assert found.note.startswith("1 of the first 10")
    assert of({"expiry": ["07/30"] * 9}).note == ""


def test_dates_that_are_all_past_are_no_expirations():
    """Without a name that says so, the days on which cards were added are no candidates."""
    added, ends = (
        ["2019-02-01", "2024-03-04", "2025-01-01"],
        ["2027-02-28", "2031-03-31", "2026-12-31"],
    )
    found = of({"2": added, "5": ends}, named=False)
    assert found.unsure == {"expiration": ("5",)}
    assert found.layouts == ("YYYY-MM-DD",)
    assert of({"expiry": added}).sure == {"expiration": "expiry"}


def test_a_draft_has_the_format_that_was_seen_and_the_note():
    """No placeholder stands where the values tell; what is odd stands as a comment and is told."""
    rows = "".join(f"x{n}|2027-0{n}-28|4242424242424242\n" for n in range(1, 7))
    text = rendered(drafted(rows.encode(), TODAY), name="a", key=None, sealed=True, file="b")
    assert '# expiration = { column = "", format = "YYYY-MM-DD" }' in text
    rows = "id,number,expiry\n" + "".join(f"x{n},4242424242424242,07/7{n}\n" for n in range(1, 7))
    draft = drafted(rows.encode(), TODAY)
    assert any(FAR in sentence and "`expiry`" in sentence for sentence in draft.unsure)
