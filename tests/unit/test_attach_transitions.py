"""The attach protocol's rules, one by one: what each answer makes of a card."""

import itertools
from datetime import UTC, datetime

import pytest

from pipeline.failure_codes import Code
from pipeline.ledger.records import AttachState, CustomerRecord, CustomerState
from pipeline.migration.attach_transitions import (
    AttemptFacts,
    Sight,
    Then,
    after_asking_for_customer,
    after_locating,
    after_request,
)
from pipeline.migration.card_to_attach import CardToAttach, sight_on
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.interface import Customer, CustomerCard, RefusalCause, SentCard

FIRST = AttemptFacts(makes_customer=True, unknowns=0, counted=1, token_age_s=1.0)
ADDS = FIRST._replace(makes_customer=False)


def judged(kind, facts=FIRST, cause=None, sight=None):
    return after_request(Outcome(kind, "an answer"), cause, sight, facts, attempts_max=5)


@pytest.mark.parametrize("unknowns", [0, 2])
def test_a_card_that_is_seen_is_attached_and_leaves_no_question(unknowns):
    """Every answer that was lost before is cleared up with it."""
    transition = judged(OutcomeKind.OK, FIRST._replace(unknowns=unknowns), sight=Sight.OURS)

    assert transition == (AttachState.ATTACHED, Then.END, None, -unknowns)


@pytest.mark.parametrize("sight", [Sight.OTHER, Sight.ELSEWHERE, None])
def test_an_answer_about_another_card_holds_the_row_and_stops_the_run(sight):
    """The vault mixed cards up; one card more may exist unseen."""
    transition = judged(OutcomeKind.OK, sight=sight)

    assert transition == (AttachState.HELD, Then.STOP, Code.ATTACH_MISMATCH, 1)


def test_a_yes_that_shows_no_card_is_a_question():
    """The list may be cut at twenty: the card is looked for by its id."""
    assert judged(OutcomeKind.OK, sight=Sight.MISSING) == (
        AttachState.DOUBTED,
        Then.LOCATE,
        None,
        1,
    )


def test_a_lost_answer_is_asked_for_by_the_same_request():
    """Until there were too many; then the card is looked for."""
    assert judged(OutcomeKind.AMBIGUOUS) == (AttachState.DOUBTED, Then.SAME_AGAIN, None, 1)
    worn = judged(OutcomeKind.AMBIGUOUS, FIRST._replace(counted=5))
    assert (worn.state, worn.then) == (AttachState.DOUBTED, Then.LOCATE)


@pytest.mark.parametrize("facts", [FIRST, ADDS, FIRST._replace(unknowns=1)])
def test_a_used_token_is_always_looked_for(facts):
    """Done before, or somebody else's: only finding our card tells."""
    assert judged(OutcomeKind.REJECTED, facts, RefusalCause.USED).then is Then.LOCATE


def test_a_missing_token_is_believed_gone_only_when_it_is_old_and_no_answer_was_lost():
    """A storm of 404s makes no second token of a young one."""
    old = FIRST._replace(token_age_s=61.0)
    transitions = [
        judged(OutcomeKind.REJECTED, facts, RefusalCause.NOT_FOUND).then
        for facts in (FIRST, old, old._replace(unknowns=1))
    ]

    assert transitions == [Then.SAME_AGAIN, Then.NEW_TOKEN, Then.LOCATE]


def test_a_404_on_a_known_customer_asks_first_which_of_the_two_is_missing():
    """The customer, or the token."""
    assert judged(OutcomeKind.REJECTED, ADDS, RefusalCause.NOT_FOUND).then is Then.ASK_FOR_CUSTOMER
    missing = Outcome(OutcomeKind.REJECTED, "status 404")
    there = Outcome(OutcomeKind.OK, "as asked for")
    lost = Outcome(OutcomeKind.AMBIGUOUS, "read timeout")
    old = ADDS._replace(token_age_s=61.0)

    gone = after_asking_for_customer(missing, is_there=False, facts=old)
    assert (gone.state, gone.code) == (AttachState.FAILED, Code.CUSTOMER_UNKNOWN)
    deleted = after_asking_for_customer(there, is_there=False, facts=old)
    assert deleted.code is Code.CUSTOMER_UNKNOWN
    assert after_asking_for_customer(there, is_there=True, facts=old).then is Then.NEW_TOKEN
    assert after_asking_for_customer(lost, is_there=False, facts=old).then is Then.ASK_FOR_CUSTOMER


def test_an_error_that_speaks_of_the_card_is_final_unless_an_answer_was_lost():
    """The lost one may have been a success."""
    assert judged(OutcomeKind.REJECTED) == (AttachState.FAILED, Then.END, Code.ATTACH_REJECTED, 0)
    assert judged(OutcomeKind.REJECTED, FIRST._replace(unknowns=1)).then is Then.LOCATE


@pytest.mark.parametrize("kind", [OutcomeKind.THROTTLED, OutcomeKind.NOT_SENT])
def test_what_the_vault_never_looked_at_is_sent_again_however_often(kind):
    """It counts against nobody."""
    assert judged(kind, FIRST._replace(counted=99)) == (
        AttachState.UNATTACHED,
        Then.SAME_AGAIN,
        None,
        0,
    )


def test_other_refusals_wear_a_card_out():
    """Retryable; a card in doubt is looked for first."""
    tired = FIRST._replace(counted=5)

    assert judged(OutcomeKind.DECLINED).then is Then.SAME_AGAIN
    assert judged(OutcomeKind.DECLINED, tired).code is Code.ATTACH_ATTEMPTS_EXHAUSTED
    assert judged(OutcomeKind.DECLINED, tired._replace(unknowns=1)).then is Then.LOCATE


@pytest.mark.parametrize("kind", [OutcomeKind.FATAL, OutcomeKind.DENIED])
def test_a_refusal_of_everybody_stops_the_run_and_blames_no_card(kind):
    """The card waits for the next run."""
    assert judged(kind) == (AttachState.UNATTACHED, Then.STOP, None, 0)


@pytest.mark.parametrize(
    ("cause", "facts", "code"),
    [
        (RefusalCause.USED, FIRST, Code.CUSTOMER_UNLOCATED),
        (RefusalCause.USED, ADDS, Code.ATTACH_TOKEN_USED),
        (None, FIRST._replace(unknowns=1), Code.ATTACH_ATTEMPTS_EXHAUSTED),
    ],
)
def test_a_card_that_is_nowhere_is_looked_for_twice(cause, facts, code):
    """Late work may still be under way at the first look."""
    assert after_locating(Sight.MISSING, cause, 1, facts).then is Then.LOOK_AGAIN
    assert after_locating(Sight.MISSING, cause, 2, facts).code is code


def test_a_token_that_is_nowhere_after_two_looks_is_gone():
    """That is the proof which a 404 after a lost answer needs; the questions are cleared up."""
    facts = FIRST._replace(unknowns=1, token_age_s=90.0)

    assert after_locating(Sight.MISSING, RefusalCause.NOT_FOUND, 2, facts) == (
        AttachState.UNATTACHED,
        Then.NEW_TOKEN,
        Code.ATTACH_TOKEN_GONE,
        -1,
    )


def test_a_card_on_a_strangers_customer_is_held():
    """Somebody else used the token; no new one is made without an operator."""
    transition = after_locating(Sight.ELSEWHERE, RefusalCause.USED, 1, FIRST._replace(unknowns=1))

    assert transition == (AttachState.HELD, Then.END, Code.ATTACH_TOKEN_USED, -1)


def test_a_held_card_never_gets_a_new_token_and_a_doubted_one_never_forgets():
    """Over everything that can be asked: the two ways in which cards would be doubled or lost."""
    facts = itertools.product((True, False), (0, 1), (1, 5), (1.0, 90.0))
    for makes, unknowns, counted, age in facts:
        facts = AttemptFacts(makes, unknowns, counted, age)
        for kind, cause in itertools.product(OutcomeKind, (None, *RefusalCause)):
            transition = judged(kind, facts, cause, Sight.OURS)
            if transition.then is Then.NEW_TOKEN:
                assert (cause, unknowns) == (RefusalCause.NOT_FOUND, 0)
                assert age > 60
            if unknowns and transition.then is not Then.END:
                assert transition.unknowns >= 0
                assert transition.state in {AttachState.DOUBTED, AttachState.HELD}


def test_a_card_or_customer_that_is_shown_as_deleted_is_not_there():
    """A 200 with our card's id is no card on a customer if it says that it was deleted."""
    moment = datetime(2026, 11, 27, tzinfo=UTC)
    record = CustomerRecord(1, "ann", None, "cust_test_1", CustomerState.MADE, None)
    card = CardToAttach(
        row_id=1,
        customer=record,
        token_id="tokn_test_1",
        card_id="card_test_1",
        token_created_at=moment,
        sent=SentCard("4242", 12, 2031),
        wants_default=False,
        known_at=0.0,
    )
    shown = CustomerCard(
        "card_test_1", "Visa", "4242", 12, 2031, None, livemode=False, is_deleted=False
    )
    gone = shown._replace(is_deleted=True)
    customer = Customer(
        customer_id="cust_test_1",
        livemode=False,
        is_deleted=False,
        default_card="card_test_1",
        cards=(shown,),
        cards_total=1,
        metadata={},
        created_at=moment,
    )

    assert sight_on(customer, card) is Sight.OURS
    assert sight_on(customer._replace(cards=(gone,)), card) is Sight.MISSING
    assert sight_on(customer._replace(is_deleted=True), card) is Sight.MISSING
