"""What a dead run left, and what an operator plans again."""

import pytest

from pipeline.ledger.recovery import plan_again, settle_open_intents
from pipeline.ledger.settling import Settling
from pipeline.model import NO_ANSWER
from tests.support.ledgers import new_builder
from tests.support.sampled import sampled

pytestmark = pytest.mark.usefixtures("each_store")


@pytest.fixture
def builder(tmp_path):
    """A ledger whose run died with four of ten rows in flight."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    export = builder.plan("cards.csv", 10)
    die_in_flight(builder, export, 4)
    builder.begin("run-2")
    yield builder
    builder.ledger.close()


def die_in_flight(builder, export, count):
    settling = Settling(builder.ledger, 8)
    claims = settling.claimable(export.first_id, export.last_id)[:count]
    settling.apply([settling.intent(claim.id, claim.attempts + 1) for claim in claims])


def found(builder):
    with builder.ledger.look() as look:
        states = {s.value: n for s, n in look.by_state().items() if n}
        return states, look.unseen_tokens_max()


def test_open_intents_become_ambiguous_and_wait_for_one_more_attempt(builder):
    """With `retry` a row in doubt may be sent once more; U counts it for good."""
    assert settle_open_intents(builder.ledger, 1).in_doubt == 4
    assert ({"planned": 6, "ambiguous": 4}, 4) == found(builder)


def test_on_hold_open_intents_are_held(builder):
    """With `hold` they wait for the operator."""
    assert settle_open_intents(builder.ledger, 0).in_doubt == 4
    assert ({"planned": 6, "held": 4}, 4) == found(builder)


def test_every_open_intent_gets_exactly_one_outcome(builder):
    """And settling twice changes nothing."""
    settle_open_intents(builder.ledger, 1)
    assert settle_open_intents(builder.ledger, 1).in_doubt == 0
    with builder.ledger.reading() as connection:
        outcomes = connection.exec_driver_sql("SELECT kind, evidence FROM outcomes").all()

    assert [("ambiguous", NO_ANSWER)] * 4 == [tuple(row) for row in outcomes]


def test_a_row_in_doubt_twice_is_held(builder):
    """One retry is all that the default allows."""
    settle_open_intents(builder.ledger, 1)
    with builder.ledger.reading() as connection:
        first = connection.exec_driver_sql("SELECT min(id) FROM rows").scalar_one()
    settling = Settling(builder.ledger, 8)
    claims = settling.claimable(first, first + 9)[:4]
    settling.apply([settling.intent(claim.id, claim.attempts + 1) for claim in claims])
    builder.begin("run-3")

    assert settle_open_intents(builder.ledger, 1).in_doubt == 4
    assert ({"planned": 6, "held": 4}, 8) == found(builder)


def test_a_policy_changed_to_hold_holds_rows_that_were_in_doubt_already(builder):
    """The operator's newer word counts."""
    settle_open_intents(builder.ledger, 1)
    settle_open_intents(builder.ledger, 0)

    assert ({"planned": 6, "held": 4}, 4) == found(builder)


def test_a_settled_ledger_gets_no_event(tmp_path):
    """A run that found nothing in doubt says nothing."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    builder.settle(builder.plan("cards.csv", 3))
    builder.begin("run-2")
    settle_open_intents(builder.ledger, 1)
    with builder.ledger.reading() as connection:
        kinds = connection.exec_driver_sql("SELECT body FROM events").scalars().all()
    builder.ledger.close()

    assert not any("open_intents_settled" in body for body in kinds)


@pytest.mark.parametrize(
    ("exports", "codes", "held", "planned"),
    sampled(
        [
            ((1,), (), False, 2),
            ((1,), (), True, 4),
            ((1,), ("attempts_exhausted",), True, 2),
            ((1,), ("outcome_unknown",), True, 2),
            ((1,), ("outcome_unknown",), False, 0),
            ((2,), (), True, 0),
            ((1, 2), (), True, 4),
        ],
        2,
    ),
)
def test_plan_again_takes_what_it_is_told(tmp_path, exports, codes, held, planned):
    """By export, by code, and held rows only on the word."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    export = builder.plan("cards.csv", 20)
    builder.settle(export, fail_every=10, hold_every=10)
    builder.settle(builder.plan("other.csv", 3, first=500))

    assert plan_again(builder.ledger, exports, codes, held=held) == planned
    builder.ledger.close()


@pytest.mark.parametrize(
    ("codes", "planned"),
    [((), 2), (("vault_rejected",), 2), (("vault_rejected", "attempts_exhausted"), 4)],
)
def test_what_the_vault_rejected_is_planned_again_only_where_its_code_is_named(
    tmp_path, codes, planned
):
    """An operator who knows that it was mended says so; nobody else sends such a card again."""
    builder = new_builder(tmp_path)
    builder.begin("run-1")
    export = builder.plan("cards.csv", 20)
    builder.settle(export, reject_every=10, fail_every=10)

    assert plan_again(builder.ledger, (1,), codes, held=False) == planned
    builder.ledger.close()
