"""No export gets a number under which the ids of its rows could be read as card numbers."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cards.number_rules import PREFIX_DIGITS, holds_card_numbers, is_card_number
from pipeline.ledger.export_numbers import next_export_id
from pipeline.ledger.records import row_id
from tests.support.sampled import examples

# Ids of 13 digits, as the shortest card number has, to 18, as a whole number of eight bytes has room for.
NUMBERS = st.integers(3, 8).flatmap(lambda digits: st.integers(10 ** (digits - 1), 10**digits - 1))
SEEDS = st.integers(0, 2**32)


def has_a_card_number(export_id):
    """Look at an id with each check digit behind each six digits that an id of the export begins with."""
    step = 10 ** (len(str(row_id(export_id, 0))) - PREFIX_DIGITS)
    return any(
        is_card_number(str(begun + digit))
        for begun in range(row_id(export_id, 0), row_id(export_id + 1, 0), step)
        for digit in range(10)
    )


@given(st.integers(300, 700) | NUMBERS)
@settings(max_examples=examples(60), deadline=None)
def test_a_number_is_passed_over_if_and_only_if_an_id_of_it_is_a_card_number(export_id):
    """Neither is one given that could raise a false alarm, nor one left out for nothing."""
    holds = holds_card_numbers(row_id(export_id, 0), row_id(export_id + 1, 0) - 1)

    assert has_a_card_number(export_id) == holds
    assert (next_export_id(export_id - 1) != export_id) == holds


@given(st.integers(0, 3_000) | NUMBERS.filter(lambda number: number < 10**5), SEEDS)
@settings(max_examples=examples(150), deadline=None)
def test_no_row_of_the_next_export_has_a_card_number_as_its_id(newest, seed):
    """Whatever was the newest one, and however many rows the next one has."""
    random, given_next = Random(seed), next_export_id(newest)
    ids = [row_id(given_next, random.randrange(1, 10**8)) for _ in range(1_000)]

    assert given_next > newest
    assert not any(is_card_number(str(one)) for one in ids)


def test_the_first_numbers_are_given_without_a_gap_and_these_are_the_first_gaps():
    """Visa and Maestro have numbers of 13 digits, as the ids of exports 100 to 999 have."""
    given_so_far = [0]
    while given_so_far[-1] < 1_000:
        given_so_far.append(next_export_id(given_so_far[-1]))

    gaps = [(one + 1, other - 1) for one, other in pairwise(given_so_far) if other > one + 1]

    assert gaps == [(400, 509), (560, 589), (630, 630), (675, 676)]
