"""Whom a refusal speaks of: the vault's word for all, or one row's own trouble."""

from collections import Counter
from random import Random

import pytest

from pipeline.vault.flow.row_refusals import (
    DENIALS_MAX,
    DENIED_ROWS_MAX,
    FORMS_MAX,
    Refusal,
    RowRefusals,
)

ALL, UNCLEAR, ROW = Refusal.OF_ALL, Refusal.UNCLEAR, Refusal.OF_THIS_ROW


@pytest.mark.parametrize("successes", [0, 1000])
def test_several_rows_denied_with_no_success_between_are_the_vaults_word(successes):
    """First answers or mid-run: three cards in a row, and the run stops."""
    refusals = RowRefusals()
    said = [refusals.denied(row, successes) for row in range(DENIED_ROWS_MAX)]

    assert [UNCLEAR, UNCLEAR, ALL] == said


def test_a_row_that_is_denied_while_others_succeed_is_its_own_trouble():
    """After three tries with successes between; however many such rows there are."""
    refusals, said = RowRefusals(), []
    for successes, row in enumerate([1, 2, 1, 2, 1, 2], 1):
        said.append(refusals.denied(row, successes))

    assert [UNCLEAR] * 4 + [ROW, ROW] == said
    assert not refusals.any_open


def test_rows_that_come_back_in_company_are_no_new_evidence():
    """Set aside together, tried again together: only first tries count against the vault."""
    refusals = RowRefusals()
    for row in range(6):
        refusals.denied(row, row)

    assert [UNCLEAR] * 6 == [refusals.denied(row, 100) for row in range(6)]
    assert [ROW] * 6 == [refusals.denied(row, 100) for row in range(6)]


def test_the_only_row_of_all_is_the_vaults_word_in_the_end():
    """With nobody to compare it with, settings are likelier wrong than a row."""
    refusals = RowRefusals()

    assert [UNCLEAR] * (DENIALS_MAX - 1) + [ALL] == [
        refusals.denied(1, 0) for _ in range(DENIALS_MAX)
    ]


def test_a_row_that_always_draws_429_is_set_aside_within_five_tries():
    """The first is a lesson for all, the next are not, and the fifth is the row's own."""
    refusals = RowRefusals()
    said = [refusals.throttled(7, 500 + 50 * time) for time in range(5)]

    assert [ALL, UNCLEAR, UNCLEAR, UNCLEAR, ROW] == said


def test_after_one_such_row_a_lone_429_teaches_nothing_and_two_in_a_row_do():
    """The vault is known to refuse single rows; its limit would meet others, too."""
    refusals = RowRefusals()
    for time in range(5):
        refusals.throttled(7, 500 + 50 * time)

    assert UNCLEAR is refusals.throttled(8, 900)
    assert ALL is refusals.throttled(9, 900)


def test_while_one_row_is_suspect_a_lone_429_of_another_makes_nobody_wait():
    """From its third try on; once the suspect is through, the next 429 speaks of all again."""
    refusals = RowRefusals()
    said = [refusals.throttled(7, 500), refusals.throttled(8, 501), refusals.throttled(7, 550)]
    said += [refusals.throttled(7, 600), refusals.throttled(9, 650)]
    refusals.forget(7)
    refusals.forget(9)

    assert [ALL, ALL, UNCLEAR, UNCLEAR, UNCLEAR] == said
    assert ALL is refusals.throttled(10, 700)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.9])
def test_a_limit_for_all_blames_no_row(share):
    """Whatever share of tries it refuses, at random, 20,000 rows are never taken for poison, nor often for suspect."""
    random, refusals, successes, said = Random(1), RowRefusals(), 0, Counter()
    waiting = []
    for row in range(20_000):
        waiting.append(row)
        for again in list(waiting):
            if random.random() < share:
                said[refusals.throttled(again, successes)] += 1
            else:
                successes += 1
                refusals.forget(again)
                waiting.remove(again)

    assert 0 == said[ROW]
    assert said[UNCLEAR] <= said[ALL] / 20


def test_a_closed_vault_blames_no_row_however_long():
    """Eight rows that draw nothing but 429s for hours are an outage and not eight poisoned rows."""
    refusals = RowRefusals()
    said = {refusals.throttled(row, 5000) for _ in range(200) for row in range(8)}

    assert {ALL} == said


def test_the_last_row_of_all_is_set_aside_in_the_end():
    """With nobody left to succeed between its tries, twenty of them are enough."""
    refusals = RowRefusals()
    said = [refusals.throttled(1, 5000) for _ in range(20)]

    assert [ALL] * 19 + [ROW] == said


def test_the_first_twenty_rejected_for_their_form_are_our_doing():
    """Unless one token was made before; then each is the row's own."""
    ours, theirs = RowRefusals(), RowRefusals()

    assert [ROW] * (FORMS_MAX - 1) + [ALL] == [ours.rejected_for_form(0) for _ in range(FORMS_MAX)]
    assert {ROW} == {theirs.rejected_for_form(1) for _ in range(FORMS_MAX * 2)}
