"""The number of requests under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.vault.flow.flow_control import ConcurrencyLimit


def test_a_failure_halves_once_for_all_that_left_before():
    """A burst of timeouts of requests sent together is one sign, not many."""
    slots = ConcurrencyLimit(64)
    for at in (1.0, 1.1, 1.2):
        slots.failed(at, sent_at=0.5)

    assert 32 == slots.limit
    slots.failed(3.0, sent_at=2.0)

    assert 16 == slots.limit


def test_a_round_of_answers_earns_one_slot():
    """As many answers as there are slots make room for one more."""
    slots = ConcurrencyLimit(8)
    slots.failed(1.0, sent_at=0.0)
    earned = [slots.succeeded() for _ in range(9)]

    assert [False, False, False, True, False, False, False, False, True] == earned
    assert 6 == slots.limit


@given(steps=st.lists(st.booleans(), max_size=300), slots_max=st.integers(1, 64))
def test_the_limit_stays_between_one_and_the_most(steps, slots_max):
    """Whatever comes, someone may send, and never more than allowed."""
    slots = ConcurrencyLimit(slots_max)
    for now, good in enumerate(steps):
        if good:
            slots.succeeded()
        else:
            slots.failed(float(now), sent_at=float(now))

        assert 1 <= slots.limit <= slots_max


def test_slots_that_were_taken_back_finish_their_cards_and_take_no_more():
    """What a sender holds is what it may use or still uses, however the numbers stand."""
    slots = ConcurrencyLimit(8)
    assert slots.begin(7)
    slots.allow(4)

    assert (slots.limit, slots.held) == (4, 8)
    assert not slots.begin(6)
    assert slots.begin(3)
    slots.end(7)
    assert slots.held == 4
    slots.allow(0)
    assert (slots.limit, slots.held, slots.begin(0)) == (0, 4, False)
    slots.end(3)
    slots.failed(1.0, sent_at=0.0)
    assert (slots.limit, slots.held) == (0, 0)
    slots.allow(8)
    assert (slots.limit, slots.held) == (8, 8)


def test_more_slots_do_not_undo_what_a_struggling_vault_took():
    """A sender that was cut to a few wins them back by answers, not by others' leaving."""
    slots = ConcurrencyLimit(8)
    slots.failed(1.0, sent_at=0.0)
    slots.allow(16)

    assert (slots.limit, slots.slots_max) == (4, 16)
