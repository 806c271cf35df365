"""What the trail learns of sending: every thousandth outcome, and limits that changed."""

import json

import pytest

from pipeline.ledger.run_events import LAST_GOOD_RATE, RunEvents
from pipeline.ledger.settling import Settling
from pipeline.metrics import Flow
from tests.support.ledgers import new_builder


@pytest.fixture
def builder(tmp_path):
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    yield builder
    builder.ledger.close()


class Sending:
    """Settles rows through run events whose limits a test sets."""

    def __init__(self, builder, rows):
        self.builder, self.good_rate = builder, None
        self.flow = Flow(rate_allowed=50.0, in_flight_limit=8)
        self.export = builder.plan("cards.csv", rows)
        self.run_events = RunEvents(builder.ledger, self.flow, lambda: self.good_rate)
        self.settling = Settling(builder.ledger, rows, self.run_events)

    def settle(self, count, **limits):
        """Settle so many rows in one batch, under these limits."""
        for name, value in limits.items():
            setattr(self.flow, name, value)
        claims = self.settling.claimable(self.export.first_id, self.export.last_id)[:count]
        intents = [self.settling.intent(claim.id, claim.attempts + 1) for claim in claims]
        self.settling.apply(intents)
        self.settling.apply(
            [
                self.builder._settlement(claim, intent, 0, 0, 0)
                for claim, intent in zip(claims, intents, strict=True)
            ]
        )

    def told(self, kind):
        with self.builder.ledger.reading() as connection:
            bodies = connection.exec_driver_sql("SELECT body FROM events ORDER BY seq").scalars()
            return [e["detail"] for e in map(json.loads, bodies.all()) if e["event"] == kind]


def test_outcomes_are_counted_across_batches_until_there_are_a_thousand(builder):
    """One event for the batch that fills the thousand, one for the rest when sending ends."""
    sending = Sending(builder, 1_500)
    for _ in range(3):
        sending.settle(400)
    sending.settle(10)
    sending.run_events.close()
    sending.run_events.close()

    assert [{"outcomes": 1_200, "ok": 1_200}, {"outcomes": 10, "ok": 10}] == sending.told(
        "outcomes_settled"
    )


def test_the_limits_are_told_once_and_again_when_the_breaker_moves(builder):
    """The breaker is told at once, in whatever second."""
    sending = Sending(builder, 20)
    for state in ("closed", "closed", "open", "half_open", "closed"):
        sending.settle(1, breaker=state)
    states = [event["breaker"] for event in sending.told("limits_changed")]

    assert ["closed", "open", "half_open", "closed"] == states


def test_a_rate_that_hunts_is_told_every_ten_seconds_and_not_for_a_few_percent(builder):
    """Between two tellings it may move as it likes; a move below a tenth is none."""
    sending = Sending(builder, 20)
    for rate in (50, 25, 26, 27):
        sending.settle(1, rate_allowed=rate)
    builder.clock.step(10)
    sending.settle(1, rate_allowed=28)
    builder.clock.step(10)
    sending.settle(1, rate_allowed=29)
    rates = [event["rate_per_s"] for event in sending.told("limits_changed")]

    assert ["50.000", "28.000"] == rates


def test_a_clock_that_was_set_back_does_not_silence_the_trail(builder):
    """An hour lost by the wall clock is time that passed, too."""
    sending = Sending(builder, 20)
    sending.settle(1)
    builder.clock.step(-3_600)
    sending.settle(1, in_flight_limit=4)

    assert [8, 4] == [event["in_flight"] for event in sending.told("limits_changed")]


def test_the_last_limits_are_told_when_sending_ends(builder):
    """What changed within the last ten seconds is not lost."""
    sending = Sending(builder, 20)
    sending.settle(1)
    sending.settle(1, rate_allowed=25.0)
    sending.run_events.close()

    assert ["50.000", "25.000"] == [e["rate_per_s"] for e in sending.told("limits_changed")]


def test_outcomes_below_a_thousand_wait_even_when_new_limits_are_told(builder):
    """Whoever reads the trail finds counts by the thousand, however the limits hunt."""
    sending = Sending(builder, 20)
    for state in ("closed", "open", "half_open", "closed"):
        sending.settle(5, breaker=state)
    assert [] == sending.told("outcomes_settled")
    sending.run_events.close()

    assert [{"outcomes": 20, "ok": 20}] == sending.told("outcomes_settled")


def test_the_good_rate_is_kept_while_the_run_goes_on(builder):
    """A run that is killed leaves the rate that the vault bore to the next."""
    sending = Sending(builder, 20)
    sending.good_rate = 17.5
    sending.settle(1, rate_allowed=17.5, breaker="closed")
    assert "17.5" == builder.ledger.recall(LAST_GOOD_RATE)
    sending.good_rate = 16.25
    sending.run_events.close()

    assert "16.25" == builder.ledger.recall(LAST_GOOD_RATE)


def test_a_doubled_token_in_the_batch_of_an_entry_costs_the_trail_no_count(builder):
    """The batch is undone with its entry and written again; each outcome is told once."""
    sending = Sending(builder, 1_100)
    sending.settle(1_010)
    claims = sending.settling.claimable(sending.export.first_id, sending.export.last_id)[:2]
    intents = [sending.settling.intent(claim.id, 1) for claim in claims]
    sending.settling.apply(intents)
    sending.flow.breaker = "open"
    settled = [
        builder._settlement(claim, intent, 0, 0, 0)
        for claim, intent in zip(claims, intents, strict=True)
    ]
    twin = settled[1]._replace(token=settled[0].token)
    assert 2 == len(sending.settling.apply([settled[0], twin]))
    sending.run_events.close()
    told = sending.told("outcomes_settled")

    assert [1_010, 2] == [event["outcomes"] for event in told]
    assert {"ok": 1_010, "mismatch": 2} == {"ok": told[0]["ok"], "mismatch": told[1]["mismatch"]}
