"""The breaker against a slow model that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.vault.flow.circuit_breaker import (
    OPEN_MAX_S,
    OPEN_S,
    RUN_MAX,
    BreakerState,
    CircuitBreaker,
)

STEPS = st.lists(
    st.tuples(st.sampled_from(["good", "bad", "refused", "ask"]), st.floats(0, 40)), max_size=150
)


class Model:
    """What the breaker promises, told with lists."""

    def __init__(self) -> None:
        self.history: list[bool] = []
        self.open_since: float | None = None
        self.pause = OPEN_S
        self.probing = False
        self.out_since: float | None = None

    def permit(self, now: float) -> bool:
        if self.open_since is None:
            return True
        if self.probing or now < self.open_since + self.pause:
            return False
        self.probing = True
        return True

    def answer(self, now: float, what: str) -> None:
        if what == "good":
            self.out_since = None
        elif self.out_since is None:
            self.out_since = now
        if what != "bad":
            if self.open_since is not None:
                self.open_since, self.probing, self.history = None, False, []
            else:
                self.history.append(False)
        elif self.open_since is not None:
            self.pause = min(2 * self.pause, OPEN_MAX_S)
            self.open_since, self.probing = now, False
        else:
            self.history.append(True)
            run = self.history[-RUN_MAX:]
            if (len(run) == RUN_MAX and all(run)) or sum(self.history[-40:]) > 20:
                self.open_since, self.pause = now, OPEN_S


@given(steps=STEPS)
def test_the_breaker_does_what_the_model_does(steps):
    """Permits, state and outage agree after every step; answers come only to what was permitted."""
    breaker, model, now = CircuitBreaker(), Model(), 0.0
    for what, wait in steps:
        now += wait
        allowed = model.permit(now)

        assert allowed is breaker.permit(now)
        if not allowed:
            assert breaker.wait_s(now) > 0
            continue
        if what == "good":
            breaker.succeeded(sent_at=now)
        elif what == "refused":
            breaker.throttled(now, sent_at=now)
        elif what == "bad":
            breaker.failed(now, sent_at=now)
        else:
            breaker.withdrawn()
            model.probing = False
            continue
        model.answer(now, what)

        assert (model.open_since is None) is (breaker.state is BreakerState.CLOSED)
        assert (0.0 if model.out_since is None else now - model.out_since) == breaker.outage_s(now)


def test_it_opens_within_twenty_failures_and_lets_one_probe_through():
    """A run of failures opens it; after the pause exactly one request may leave."""
    breaker = CircuitBreaker()
    failures = 0
    while breaker.permit(0.0):
        breaker.failed(0.0, sent_at=0.0)
        failures += 1

    assert failures <= 20
    assert [True, False, False] == [breaker.permit(OPEN_S) for _ in range(3)]
    breaker.succeeded(sent_at=OPEN_S)

    assert BreakerState.CLOSED is breaker.state


@pytest.mark.parametrize(("script", "opens"), [("bbg", True), ("bbbbbbbbbg", True), ("bg", False)])
def test_it_opens_when_more_than_half_of_the_answers_fail(script, opens):
    """A vault that fails now and then is borne; more than twenty failures in forty are not."""
    breaker, failures = CircuitBreaker(), 0
    for now, what in enumerate(script * 40):
        if what == "g":
            breaker.succeeded(sent_at=now)
        else:
            failures += 1
            breaker.failed(now, sent_at=now)
        if breaker.state is BreakerState.OPEN:
            break

    assert opens is (breaker.state is BreakerState.OPEN)
    assert not opens or failures == 21


def test_a_failed_probe_makes_the_next_pause_longer():
    """Twice as long, up to the longest that still notices a recovery in time."""
    breaker, now = CircuitBreaker(), 0.0
    for _ in range(RUN_MAX):
        breaker.failed(now, sent_at=now)
    pauses = []
    for _ in range(4):
        pauses.append(breaker.wait_s(now))
        now += pauses[-1]
        assert breaker.permit(now)
        breaker.failed(now, sent_at=now)

    assert [OPEN_S, *[min(2 * OPEN_S, OPEN_MAX_S)] * 3] == pauses


def test_answers_to_what_left_before_it_opened_are_old_news():
    """Sixty failures of one burst do not lengthen the pause, and a late success does not end it."""
    breaker = CircuitBreaker()
    for _ in range(60):
        breaker.failed(10.0, sent_at=5.0)
    breaker.succeeded(sent_at=6.0)

    assert BreakerState.OPEN is breaker.state
    assert OPEN_S == breaker.wait_s(10.0)


def test_it_recovers_within_two_minutes_after_an_outage_of_twenty():
    """However long the vault is out, a probe is never further away than the longest pause."""
    breaker, now, probes = CircuitBreaker(), 0.0, 0
    while now < 1200:
        if breaker.permit(now):
            probes += 1
            breaker.failed(now, sent_at=now)
        now += 0.5
    healed = now
    while not breaker.permit(now):
        now += 0.5
    breaker.succeeded(sent_at=now)

    assert now - healed <= OPEN_MAX_S
    assert BreakerState.CLOSED is breaker.state
    assert probes <= RUN_MAX + 1200 / OPEN_S
