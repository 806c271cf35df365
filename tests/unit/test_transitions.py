"""The ledger protocol's rules: what an outcome makes of a row."""

import pytest

from pipeline.failure_codes import FAILURE_CODES
from pipeline.ledger.records import Claim
from pipeline.migration.transitions import (
    FREE_ATTEMPTS_MAX,
    RetryPolicy,
    Transition,
    WaitingCard,
    next_transition,
)
from pipeline.model import Outcome, OutcomeKind, RowState
from pipeline.vault.flow.row_refusals import Refusal
from pipeline.vault.interface import SentCard
from pipeline.vault.omise.tokens import CardMessage

CLAIM = Claim(10_000_000_001, 0, 0, "4242", 12, 2031, "Visa")
SENT = SentCard("4242", 12, 2031)


def _transition(kind, *, on_ambiguous="retry", unknowns=0, counted=1, free=1, refusal=None, **told):
    card = WaitingCard(CLAIM, SENT, CardMessage(b"{}"), 1, unknowns, counted, free)
    policy = RetryPolicy(3, on_ambiguous, 60, 1, 10)
    return next_transition(Outcome(kind, "x", **told), card, policy, refusal)


@pytest.mark.parametrize("kind", OutcomeKind)
def test_every_outcome_leads_somewhere(kind):
    """No kind of outcome is left without a transition."""
    assert isinstance(_transition(kind), Transition)


@pytest.mark.parametrize("kind", [OutcomeKind.NOT_SENT, OutcomeKind.THROTTLED])
def test_what_was_not_looked_at_is_planned_again(kind):
    """A row that the vault never looked at is tried again, as often as it takes."""
    behind = 0.0 if kind is OutcomeKind.THROTTLED else None
    planned = Transition(RowState.PLANNED, again=True, others_first_s=behind)

    assert planned == _transition(kind, counted=99)


@pytest.mark.parametrize("kind", [OutcomeKind.DENIED, OutcomeKind.THROTTLED])
def test_a_refusal_of_one_row_fails_that_row_and_may_be_retried(kind):
    """While it is unclear others go first; once it is the row's own, it is set aside by name."""
    aside = _transition(kind, refusal=Refusal.UNCLEAR)
    refused = _transition(kind, refusal=Refusal.OF_THIS_ROW)

    assert (RowState.PLANNED, True, 1.0) == (aside.state, aside.again, aside.others_first_s)
    assert Transition(RowState.FAILED, "vault_refused_row") == refused
    assert FAILURE_CODES[refused.code].retryable


def test_a_denial_of_all_blames_no_row():
    """The run stops and the row waits, as if it had never been sent."""
    stopped = _transition(OutcomeKind.DENIED, refusal=Refusal.OF_ALL)

    assert Transition(RowState.PLANNED) == stopped


@pytest.mark.parametrize("kind", [OutcomeKind.NOT_SENT, OutcomeKind.THROTTLED])
def test_even_free_attempts_come_to_an_end(kind):
    """No row is attempted for ever: a number of attempts has to fit where it is written."""
    assert _transition(kind, free=FREE_ATTEMPTS_MAX - 1).again
    assert "attempts_exhausted" == _transition(kind, free=FREE_ATTEMPTS_MAX).code


def test_an_ambiguous_row_is_tried_once_more_and_then_held():
    """The first doubt is counted and retried, the second is held for a person."""
    assert Transition(RowState.AMBIGUOUS, unknowns=1, again=True) == _transition(
        OutcomeKind.AMBIGUOUS
    )
    assert Transition(RowState.HELD, "outcome_unknown", unknowns=1) == _transition(
        OutcomeKind.AMBIGUOUS, unknowns=1
    )


def test_an_ambiguous_row_is_held_at_once_on_hold():
    """With `on_ambiguous = "hold"` no row is ever created twice."""
    transition = _transition(OutcomeKind.AMBIGUOUS, on_ambiguous="hold")

    assert (RowState.HELD, False) == (transition.state, transition.again)


def test_a_declined_row_is_worn_out_after_its_attempts():
    """The vault's "please try again" counts, and `attempts_max` of them fail the row."""
    assert _transition(OutcomeKind.DECLINED, counted=2).again
    assert Transition(RowState.FAILED, "attempts_exhausted") == _transition(
        OutcomeKind.DECLINED, counted=3
    )


def test_a_rejection_for_fraud_has_a_code_of_its_own():
    """Fraud is told apart from every other refusal of a card."""
    fraud = _transition(OutcomeKind.REJECTED, vault_code="failed_fraud_check")

    assert fraud.code == "fraud_check_failed"
    assert _transition(OutcomeKind.REJECTED, vault_code="invalid_card").code == "vault_rejected"


def test_a_fatal_answer_blames_no_row_but_counts_a_token_of_the_wrong_mode():
    """A refused key leaves no doubt; a token made in the other mode is one that nobody wanted."""
    assert Transition(RowState.PLANNED) == _transition(OutcomeKind.FATAL)
    assert Transition(RowState.PLANNED, unknowns=1) == _transition(
        OutcomeKind.FATAL, is_unseen=True
    )


def test_a_waiting_card_does_not_show_its_body():
    """The body holds a card number; no printed form of its card shows it."""
    card = WaitingCard(CLAIM, SENT, CardMessage(b"secret"), 1, 0)

    assert "secret" not in f"{card} {card!r}"
