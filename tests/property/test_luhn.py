"""The check digit and the search for numbers, against slow second definitions."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cards.detect import contains_pan, texts_containing_pan
from pipeline.cards.pan import PanColumn
from tests.support.cards import LENGTHS, card_number, check_digit

numbers = st.text("0123456789", min_size=12, max_size=19)
cards = st.builds(
    lambda seed, brand: card_number(Random(seed), brand),
    st.integers(0),
    st.sampled_from([*LENGTHS]),
)


@settings(deadline=None)
@given(st.lists(numbers))
def test_the_check_digit_agrees_with_the_slow_definition(texts):
    """A column's verdict is that of working the digit out one place at a time."""
    expected = [check_digit(text[:-1]) == text[-1] for text in texts]

    assert PanColumn.from_texts(texts).luhn().tolist() == expected


@settings(deadline=None)
@given(cards, st.data())
def test_any_one_digit_changed_fails(number, data):
    """The check digit catches every single mistyped digit."""
    place = data.draw(st.integers(0, len(number) - 1))
    other = data.draw(st.sampled_from([d for d in "0123456789" if d != number[place]]))
    changed = number[:place] + other + number[place + 1 :]

    assert PanColumn.from_texts([number, changed]).luhn().tolist() == [True, False]


@settings(deadline=None)
@given(st.lists(st.text(max_size=30)))
def test_a_column_of_anything_never_fails(texts):
    """Any text has a shape and reveals nothing but whole numbers."""
    column = PanColumn.from_texts(texts)
    known = [text is not None for text in column.last_digits().tolist()]

    assert len(column.brands()) == len(texts)
    assert known == [12 <= length <= 19 for length in column.lengths.tolist()]


texts_with_digits = st.lists(
    st.text("0123456789-  ^=;B\nx") | st.text() | cards | st.builds("a {} b".format, cards)
)


@settings(deadline=None)
@given(texts_with_digits)
def test_searching_a_column_agrees_with_searching_each_text(texts):
    """The fast look at all texts at once misses none and adds none."""
    assert texts_containing_pan(texts) == [contains_pan(text) for text in texts]


@settings(deadline=None)
@given(cards.filter(lambda number: len(number) > 12), st.sampled_from(["", " ", "-"]))
def test_a_number_is_found_in_any_company(number, separator):
    """Letters around a number and separators within do not hide it."""
    grouped = separator.join(number[start : start + 4] for start in range(0, len(number), 4))

    assert contains_pan(f"cus{grouped}:a@b")
