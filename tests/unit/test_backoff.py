"""When a row is tried again."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.flow.backoff import CAP_S, Backoff, RetryBudget
from tests.support.virtual_time import VirtualClock, run_virtually

DOUBT = Outcome(OutcomeKind.AMBIGUOUS, "status 500")
UNSENT = Outcome(OutcomeKind.NOT_SENT, "connect failed")
THROTTLED = Outcome(OutcomeKind.THROTTLED, "status 429", retry_after_s=7.0)


def instants(first, outcomes, *, budget=100.0, stop_at=None, seed=1):
    """Give the virtual instants of the attempts after a first outcome, and when it was over."""

    async def main():
        clock, stopping, at = VirtualClock(), asyncio.Event(), []
        rest = iter(outcomes)
        purse = RetryBudget(clock.monotonic())
        purse.draw(0.0, RetryBudget.LEVEL_START - budget)

        if stop_at is not None:
            asyncio.get_running_loop().call_later(stop_at, stopping.set)
        backoff, last = Backoff(purse, Random(seed), clock, stopping), first
        while last is not None and await backoff.wait(last):
            at.append(clock.monotonic())
            last = next(rest, None)
        return at, clock.monotonic()

    return run_virtually(main())


def test_waits_are_full_jitter_that_doubles_up_to_a_minute():
    """The k-th wait lies anywhere between zero and half a second times two to the k."""
    at, _ = instants(UNSENT, [UNSENT] * 12)
    waits = [later - earlier for earlier, later in zip([0.0, *at], at, strict=False)]
    bounds = [min(CAP_S, 0.5 * 2**k) for k in range(13)]

    assert 13 == len(waits)
    assert all(0 <= wait <= bound for wait, bound in zip(waits, bounds, strict=True))
    assert len(set(waits)) == len(waits)


def test_a_refused_row_waits_for_the_gate_and_no_longer():
    """Retry-After is the wait; the pace does the rest."""
    at, _ = instants(THROTTLED, [THROTTLED, None])

    assert [7.0, 14.0] == at


def test_an_outage_with_a_retry_after_is_waited_for():
    """A 503 that names its seconds is not asked again before them."""
    at, _ = instants(Outcome(OutcomeKind.AMBIGUOUS, "status 503", retry_after_s=30.0), [None])

    assert at[0] >= 30.0


@pytest.mark.parametrize(("outcome", "cost"), [(UNSENT, 1), (DOUBT, 2)])
def test_an_empty_budget_spaces_the_retries_of_all_rows(outcome, cost):
    """With nothing saved, retries come at the rate that time pays for: one, or a half, a second."""

    async def main():
        clock, stopping, at = VirtualClock(), asyncio.Event(), []
        purse = RetryBudget(clock.monotonic())
        purse.draw(0.0, RetryBudget.LEVEL_START)
        random = Random(1)

        async def row():
            await Backoff(purse, random, clock, stopping).wait(outcome)
            at.append(clock.monotonic())

        await asyncio.gather(*(row() for _ in range(20)))
        return at

    at = run_virtually(main())

    assert [float(cost * n) for n in range(1, 21)] == pytest.approx(at)


def test_a_stop_cuts_a_wait_short_and_no_attempt_follows():
    """The stop ends the wait at once, and the row is left as it is."""
    at, over = instants(Outcome(OutcomeKind.THROTTLED, "", retry_after_s=900.0), [], stop_at=3.0)

    assert ([], 3.0) == (at, over)


@given(
    steps=st.lists(
        st.tuples(st.floats(0, 20), st.sampled_from(["first", "one", "two"])), max_size=200
    )
)
def test_the_budget_never_lets_more_through_than_was_paid(steps):
    """Retries, each after the wait it was told, stay within 10 % of first attempts + 1/s + start."""
    budget, now, firsts, paid = RetryBudget(0.0), 0.0, 0, 0.0
    for wait, what in steps:
        now += wait
        if what == "first":
            firsts += 1
            budget.first_attempts += 1
            continue
        cost = 1.0 if what == "one" else 2.0
        now += budget.draw(now, cost)
        paid += cost

        assert paid <= RetryBudget.LEVEL_START + 0.1 * firsts + now + 1e-6


@pytest.mark.parametrize(("firsts", "free"), [(0, 10), (100, 20), (5000, 100)])
def test_what_first_attempts_pay_in_is_a_tenth_and_capped(firsts, free):
    """Ten retries are free at the start, one more with ten rows, and never more than a hundred."""
    budget, drawn = RetryBudget(0.0), 0
    for _ in range(firsts):
        budget.first_attempts += 1
    # Half a second of credit keeps the sum of many tenths clear of rounding.
    while budget.draw(0.0, 1.0) <= 0.5:
        drawn += 1

    assert free == drawn
