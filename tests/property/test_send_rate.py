"""The pace against a slow model of what it promises."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.vault.flow.send_rate import AdaptiveRate

RATES = st.floats(0.2, 1e6)
WAITS = st.floats(0, 30)


@given(rate=RATES, waits=st.lists(WAITS, min_size=1, max_size=60))
def test_turns_are_an_interval_apart_and_never_early(rate, waits):
    """A turn comes as soon as it may: now, or one interval after the turn before."""
    pace, now, turns = AdaptiveRate(rate), 0.0, []
    for wait in waits:
        now += wait
        expected = now if not turns else max(now, turns[-1] + 1 / rate)
        turns.append(pace.reserve(now))

        assert expected == pytest.approx(turns[-1], rel=1e-9)


@given(
    rate=st.floats(0.5, 200),
    asks=st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.4)), min_size=1, max_size=200),
)
def test_no_second_holds_more_than_the_rate_and_two(rate, asks):
    """Whoever sends only in valid turns, however late each is, never bunches."""
    pace, now, sends = AdaptiveRate(rate), 0.0, []
    for wait, late in asks:
        turn = pace.reserve(now)
        sent_at = max(now, turn) + late
        while not pace.depart(turn, sent_at):
            turn = pace.reserve(sent_at)
            sent_at = max(sent_at, turn)
        sends.append(sent_at)
        now += wait
    sends.sort()
    most = max(sum(start <= at < start + 1 for at in sends) for start in sends)

    assert rate + 2 >= most - 1e-6


@given(
    ceiling=st.floats(0.1, 1000),
    steps=st.lists(
        st.tuples(st.sampled_from(["good", "refused", "told"]), st.floats(0, 100)), max_size=100
    ),
)
def test_the_rate_stays_between_floor_and_ceiling_whatever_comes(ceiling, steps):
    """No run of answers pushes the rate out of its bounds, or a turn before a Retry-After's end."""
    pace, now, closed_until = AdaptiveRate(ceiling), 0.0, 0.0
    for what, wait in steps:
        now += wait
        turn = pace.reserve(now)

        assert turn >= closed_until
        if what == "good":
            pace.succeeded(sent_at=now)
        else:
            pace.throttled(now, wait if what == "told" else None, sent_at=now)
            closed_until = max(closed_until, now + wait) if what == "told" else closed_until

        assert min(0.2, ceiling) <= pace.rate_per_s <= ceiling


def test_a_refusal_of_what_left_before_the_cut_is_no_news():
    """Many refusals of one burst cut the rate once."""
    pace = AdaptiveRate(100)
    turns = [pace.reserve(0.0) for _ in range(10)]
    pace.throttled(0.2, None, sent_at=turns[0])
    rate = pace.rate_per_s
    for turn in turns[1:]:
        pace.throttled(0.21, None, sent_at=turn)

    assert rate == pace.rate_per_s


def test_a_turn_behind_a_gate_must_be_taken_again():
    """A gate that falls after a turn was reserved holds that turn too."""
    pace = AdaptiveRate(10)
    turn = pace.reserve(0.0)
    pace.hold_off(0.0, 5.0)

    assert not pace.depart(turn, 0.01)
    assert 5.0 == pace.reserve(0.01)
    assert pace.depart(5.0, 5.0)


def test_a_shorter_gate_does_not_open_a_longer_one():
    """The latest instant that the vault named holds, in whatever order its answers come."""
    pace = AdaptiveRate(10)
    pace.hold_off(0.0, 40.0)
    pace.hold_off(1.0, 2.0)

    assert 40.0 == pace.reserve(5.0)


@pytest.mark.parametrize("rate", [0.2, 1, 5, 50, 200])
def test_a_turn_is_valid_for_one_interval(rate):
    """Later than the next turn's instant a send would be a third where two are allowed."""
    pace = AdaptiveRate(rate)
    turn = pace.reserve(0.0)

    assert pace.depart(turn, turn + 0.99 / rate)
    assert not pace.depart(turn, turn + 1.01 / rate)


@pytest.mark.parametrize(("rate", "gap"), [(2, 1.0), (40, 0.8)])
def test_a_late_send_below_a_refused_ceiling_moves_the_next_one(rate, gap):
    """A vault of two a second has room for one at a time; one of forty bears two in a row."""
    pace = AdaptiveRate(500, start_per_s=rate)
    turn = pace.reserve(10.0)
    late = turn + 0.2 / rate
    assert pace.depart(turn, late)

    assert gap / rate == pytest.approx(pace.reserve(late) - late, rel=0.02)


def test_a_late_send_at_a_ceiling_that_holds_costs_no_quota():
    """A known quota is spent to the last request, so the next turn stays where it was."""
    pace = AdaptiveRate(2)
    turn = pace.reserve(10.0)
    assert pace.depart(turn, turn + 0.2)

    assert turn + 0.5 == pace.reserve(turn + 0.2)


def test_time_that_the_pace_did_not_hold_back_wins_nothing():
    """A rate that nobody tried is not believed: an hour of idleness leaves it where it was."""
    pace = AdaptiveRate(100)
    pace.reserve(0.0)
    pace.throttled(0.1, None, sent_at=0.0)
    pace.reserve(0.2)
    before = pace.rate_per_s
    pace.reserve(3600.0)

    assert before == pytest.approx(pace.rate_per_s, rel=0.01)


def test_an_unrefused_ceiling_has_no_level_to_remember():
    """While the ceiling holds there is nothing to tell the next run."""
    assert AdaptiveRate(50).good_per_s is None
    assert 20 == AdaptiveRate(50, start_per_s=20).rate_per_s
    assert 50 == AdaptiveRate(50, start_per_s=80).rate_per_s


def test_a_rate_that_is_won_back_ends_at_the_ceiling():
    """One refusal of a ceiling that the vault bears after all costs a while, and is not overdone."""
    pace = AdaptiveRate(50)
    pace.throttled(0.1, None, sent_at=pace.reserve(0.0))
    turns = [0.0]
    while turns[-1] < 120:
        turns.append(pace.reserve(turns[-1]))
    late = [at for at in turns if at >= 60]

    assert 50 == pace.rate_per_s
    assert 1 / 50 == pytest.approx(min(b - a for a, b in pairwise(turns)))
    assert 60 * 50 == pytest.approx(len(late), abs=2)


def test_who_sends_again_after_it_stood_by_takes_what_it_learned_before_for_all():
    """Nobody had found its part by then; whoever was never refused takes the whole ceiling."""
    refused, never = AdaptiveRate(50), AdaptiveRate(50)
    refused.throttled(0.1, None, sent_at=refused.reserve(0.0))
    learned = refused.rate_per_s
    for pace in (refused, never):
        pace.stand_by(200, None)
        pace.allow(200)

    assert refused.rate_per_s == learned < 50
    assert never.rate_per_s == 200


def test_who_stood_by_sends_at_the_level_that_the_others_found():
    """Whether it was refused itself or never was; and its part of it where it sends beside others."""
    refused, never = AdaptiveRate(50), AdaptiveRate(500)
    refused.throttled(0.1, None, sent_at=refused.reserve(0.0))
    for pace in (refused, never):
        pace.stand_by(500, 17.0)
        pace.stand_by(500, 18.0)
        pace.allow(500)
        alone = pace.rate_per_s
        pace.allow(250)

        assert (alone, pace.rate_per_s, pace.good_per_s) == (18.0, 9.0, 9.0)


@given(start=st.floats(1, 100), part=st.floats(0.1, 1), learned=st.booleans())
def test_a_sender_that_gets_a_part_of_the_ceiling_keeps_that_part_of_what_it_learned(
    start, part, learned
):
    """And the whole again, when it gets all of it."""
    pace = AdaptiveRate(200, start_per_s=start if learned else None)
    rate, good = pace.rate_per_s, pace.good_per_s
    pace.allow(200 * part)

    assert pace.rate_per_s == pytest.approx(max(rate * part, min(0.2, 200 * part)))
    assert (pace.good_per_s is None) == (good is None)
    pace.allow(200)
    assert pace.rate_per_s == pytest.approx(rate, rel=1e-6) or rate * part < 0.2


def test_a_cut_is_taken_back_for_whoever_caused_it_and_for_nobody_else():
    """The rate is what it was, and the next run learns of no refusal; a cut in between stands."""
    pace = AdaptiveRate(100.0)
    pace.throttled(0.1, None, sent_at=pace.reserve(0.0), by=7)
    cut = pace.rate_per_s
    pace.take_back(8)
    assert cut == pace.rate_per_s < 100.0
    pace.take_back(7)
    assert (100.0, None) == (pace.rate_per_s, pace.good_per_s)

    pace.throttled(1.1, None, sent_at=pace.reserve(1.0), by=7)
    pace.throttled(2.1, None, sent_at=pace.reserve(2.0), by=9)
    pace.take_back(7)
    assert 100.0 > pace.rate_per_s
