"""What a card number is, in a column and in texts, asked loosely and strictly."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cards.detect import Strictness, contains_pan
from pipeline.cards.number_rules import LAYOUTS, check_digit_fits, check_digits_fit, is_card_number
from pipeline.cards.pan import PanColumn
from tests.support.cards import LENGTHS, card_number

VISA, AMEX = "4242424242424242", "378282246310005"
UUID = "42424242-4242-4242-aaaa-aaaaaaaaaaaa"

BOTH, LOOSE, NEITHER = (True, True), (True, False), (False, False)
TEXTS = {
    # As cards show their numbers, alone and in company.
    "plain": (VISA, BOTH),
    "in words": (f"paid with {VISA}, thanks", BOTH),
    "between letters": (f"x{VISA}y", BOTH),
    "in fours by blanks": ("4242 4242 4242 4242", BOTH),
    "in fours by dashes": ("4242-4242-4242-4242", BOTH),
    "by dots": ("4242.4242.4242.4242", BOTH),
    "by low lines": ("4242_4242_4242_4242", BOTH),
    "four, six, five": ("3782 822463 10005", BOTH),
    "digit by digit": (" ".join(VISA), BOTH),
    "digit by digit, by dots": (".".join(VISA), BOTH),
    "in pairs by dots": ("42.42.42.42.42.42.42.42", BOTH),
    "in other digits": (VISA.translate({48 + value: 0xE50 + value for value in range(10)}), BOTH),
    "by typographic dashes": ("4242\u20134242\u20134242\u20134242", BOTH),
    # What could be meant as a number: enough to reject a row, not to accuse a file.
    "by slashes": ("4242/4242/4242/4242", LOOSE),
    "in eights": ("42424242 42424242", LOOSE),
    "by unlike signs": ("4242-4242 4242-4242", LOOSE),
    "by tabs": ("4242\t4242\t4242\t4242", LOOSE),
    "after a decimal point": (f"0.{VISA}", LOOSE),
    "after 0x": (f"0x{VISA}", LOOSE),
    "in a drawing": ("<path d='M 4242 4242 4242 4242 Z'/>", LOOSE),
    "in a short hexadecimal word": (f"abcdefab{VISA}", LOOSE),
    "a track with a wrong check digit": ("%B4242424242424241^LEE/ANN^3012101?", LOOSE),
    # Lengths and ranges: known brands only, and none of twelve digits.
    "thirteen of Visa's": ("4222222222222", BOTH),
    "nineteen of Discover's": ("6447032400000000001", BOTH),
    "twelve of Maestro's": ("500000000009", NEITHER),
    "fifteen of Visa's": ("424242424242426", NEITHER),
    "no brand's range": ("9999999999999995", NEITHER),
    "a wrong check digit": ("4242424242424241", NEITHER),
    "a wrong check digit in fours": ("4242 4242 4242 4241", NEITHER),
    "inside a longer run": (f"99{VISA}77", NEITHER),
    # What only looks like one.
    "a UUID": (UUID, NEITHER),
    "a UUID among words": (f"run {UUID} ended", NEITHER),
    "a digest": (f"c0ffee{VISA}" + "ab" * 21, NEITHER),
    "a time": ("2026-11-23 22:37:01.123456", NEITHER),
    "milliseconds": ("1763938621123", NEITHER),
    "a phone number": ("+66 81 234 5678", NEITHER),
    "a list of versions": (".".join("42" * 11), NEITHER),
    "two lines": ("4242\n424242424242", NEITHER),
    "a masked number": ("424242******4242", NEITHER),
}


@pytest.mark.parametrize(("text", "expected"), TEXTS.values(), ids=TEXTS)
def test_each_writing_is_found_in_the_strictness_that_is_meant(text, expected):
    """Loosely for the texts of an export, strictly for files: the two answers beside each other."""
    assert (contains_pan(text), contains_pan(text, Strictness.STRICT)) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"{UUID[:-4]}4242 4242 4242 4242",
        f"4242 4242 4242 {'4242' + 'ab' * 14}",
        "42424242-4242-4242-4242-424242424242",
    ],
)
def test_an_identity_hides_no_number_that_reaches_beyond_it(text):
    """Groups at the end of a digest go on beside it; sixteen digits as a UUID are no UUID."""
    assert contains_pan(text)


def test_what_is_sent_is_judged_by_the_brand_that_the_vault_knows():
    """The column of numbers takes a Maestro of twelve, and no Visa of thirteen, unlike a text."""
    texts = [VISA, "500000000009", "4222222222222", "4242424242424241"]
    column = PanColumn.from_texts(texts)

    assert column.luhn().tolist() == [True, True, True, False]
    assert column.length_fits().tolist() == [True, True, False, True]
    assert [is_card_number(text) for text in texts] == [True, False, True, False]
    assert not is_card_number("")


digits = st.text("0123456789", min_size=12, max_size=19)


@given(st.lists(digits, min_size=1))
def test_the_check_digit_is_one_rule_for_one_number_and_for_many(numbers):
    """A column's verdict is that on each of its numbers."""
    column = [[int(digit) for digit in number.rjust(19, "0")] for number in numbers]

    each = [check_digit_fits(number) for number in numbers]

    assert check_digits_fit(np.array(column, dtype=np.uint8)).tolist() == each


def _grouped(number: str, layout: tuple[int, ...], sign: str) -> str:
    parts, rest = [], number
    for size in layout:
        parts, rest = [*parts, rest[:size]], rest[size:]
    return sign.join([*parts, rest] if rest else parts)


written = st.builds(
    lambda seed, brand, layout, sign: _grouped(card_number(Random(seed), brand), layout, sign),
    st.integers(0),
    st.sampled_from([*LENGTHS]),
    st.sampled_from([*LAYOUTS, (16,), (8, 8)]),
    st.sampled_from([" ", "-", ".", "_", "+", "/", " - ", "   ", "", "\u2013"]),
)
company = st.text("0123456789 -._+/abcdefABCDEFx\n=^", max_size=40)


@settings(deadline=None)
@given(st.lists(written | company, min_size=1, max_size=4), st.sampled_from(["", " ", "a", "-"]))
def test_what_the_strict_rule_finds_the_loose_one_finds_too(pieces, between):
    """Numbers written in every layout, beside anything: looser is never blinder."""
    text = between.join(pieces)

    assert contains_pan(text) or not contains_pan(text, Strictness.STRICT)
