"""Decides what becomes of a card on its way to a customer: every rule of the attach protocol.

The single-use token is the idempotency key: an answer that was lost is asked for by the same
request with the same token. Whether the card is on the customer is settled by finding the card's
id, never by a search; a token is given up only on proof that it is gone (design, section 5).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from pipeline.failure_codes import Code
from pipeline.ledger.records import AttachState
from pipeline.model import OutcomeKind
from pipeline.vault.interface import RefusalCause

if TYPE_CHECKING:
    from pipeline.model import Outcome

YOUNG_S: Final = 60.0
"""A token that is younger, by the vault's own clock, is never believed to be gone."""

LOOKS_MAX: Final = 2
"""So often a card is looked for, `YOUNG_S` apart, before it counts as nowhere."""

FREE: Final = frozenset({OutcomeKind.NOT_SENT, OutcomeKind.THROTTLED})
"""Outcomes that do not count against the card: the vault never looked at it."""


_STOPPING: Final = frozenset({OutcomeKind.MISMATCH, OutcomeKind.DENIED, OutcomeKind.FATAL})


class Then(StrEnum):
    """What is done next about a card."""

    END = "end"
    """Nothing: its state is final, or the run stops."""
    SAME_AGAIN = "same_again"
    """The same request with the same token."""
    LOCATE = "locate"
    """Look for the card's id."""
    LOOK_AGAIN = "look_again"
    """Look for it once more, when the vault has had time to finish late work."""
    ASK_FOR_CUSTOMER = "ask_for_customer"
    """A customer or a token is missing: see whether it is the customer."""
    NEW_TOKEN = "new_token"  # noqa: S105 - a step, no secret.
    """Retire the token, which is proved gone, and plan the row again."""
    STOP = "stop"
    """Stop the run; no card is to blame."""


class AttemptFacts(NamedTuple):
    """What is known of a card when an answer is judged.

    Attributes:
        makes_customer: Whether the request makes the customer (POST) or adds to one (PATCH).
        unknowns: Answers lost before this one, so requests that may have been carried out.
        counted: Attempts of this run that count against the card, this one included.
        token_age_s: How old the token is by the vault's clock.
    """

    makes_customer: bool
    unknowns: int
    counted: int
    token_age_s: float


class Sight(StrEnum):
    """What an answer, or a look at the vault, shows of the card."""

    OURS = "ours"
    """The card, on the right customer, with our digits and expiration."""
    MISSING = "missing"
    """The right customer without the card, all of its cards shown or not."""
    ELSEWHERE = "elsewhere"
    """The card's id on a customer that is not ours."""
    OTHER = "other"
    """Another card's digits under our card's id, or another customer than was asked for."""


class AttachTransition(NamedTuple):
    """Where an answer takes a card, and what is done next.

    `unknowns` is added to the card's: 1 for an answer that was lost, minus as many as were
    cleared up.
    """

    state: AttachState
    then: Then
    code: Code | None = None
    unknowns: int = 0


_IN_DOUBT: Final = AttachTransition(AttachState.DOUBTED, Then.LOCATE)
"""Whether the card is on the customer is not known: look for it."""


def after_request(
    outcome: Outcome,
    cause: RefusalCause | None,
    sight: Sight | None,
    facts: AttemptFacts,
    attempts_max: int,
) -> AttachTransition:
    """Give what follows from the answer to a request that puts a card on a customer.

    Args:
        outcome: Its class.
        cause: What a refusal says beyond its class.
        sight: What a 200 shows of the card; None for everything else.
        facts: What is known of the card.
        attempts_max: So many counted attempts are made in one run.
    """
    if cause is RefusalCause.USED:
        return _IN_DOUBT
    if cause is RefusalCause.NOT_FOUND:
        return _after_not_found(facts)
    if outcome.kind is OutcomeKind.OK:
        return _after_sight(sight, facts)
    if outcome.kind in _STOPPING:
        mixed_up = AttachTransition(AttachState.HELD, Then.STOP, Code.ATTACH_MISMATCH, 1)
        return mixed_up if outcome.kind is OutcomeKind.MISMATCH else _open(facts, Then.STOP)
    return _after_failure(outcome.kind, facts, is_last=facts.counted >= attempts_max)


def after_locating(
    sight: Sight, cause: RefusalCause | None, looks: int, facts: AttemptFacts
) -> AttachTransition:
    """Judge what a look for the card's id showed.

    Args:
        sight: What it showed; MISSING when the id was nowhere.
        cause: What made us look: a used token, something not found, or (None) too many lost
            answers.
        looks: How often we have looked, this time included.
        facts: What is known of the card.
    """
    if sight is Sight.OURS:
        return AttachTransition(AttachState.ATTACHED, Then.END, unknowns=-facts.unknowns)
    if sight is Sight.OTHER:
        return AttachTransition(AttachState.HELD, Then.STOP, Code.ATTACH_MISMATCH)
    if sight is Sight.ELSEWHERE:
        # Somebody else used the token: none of our requests was carried out.
        return AttachTransition(AttachState.HELD, Then.END, Code.ATTACH_TOKEN_USED, -facts.unknowns)
    return _open(facts, Then.LOOK_AGAIN) if looks < LOOKS_MAX else _nowhere(cause, facts)


def after_asking_for_customer(
    outcome: Outcome, *, is_there: bool, facts: AttemptFacts
) -> AttachTransition:
    """Judge whether it was the customer that a request did not find.

    Args:
        outcome: What reading the customer came to.
        is_there: Whether it exists and is not deleted.
        facts: What is known of the card.
    """
    if is_there:
        return _IN_DOUBT if facts.unknowns else _gone(facts)
    if outcome.kind in {OutcomeKind.OK, OutcomeKind.REJECTED}:
        # What was put on a customer that is gone is gone with it.
        return AttachTransition(
            AttachState.FAILED, Then.END, Code.CUSTOMER_UNKNOWN, -facts.unknowns
        )
    if outcome.kind in {OutcomeKind.DENIED, OutcomeKind.FATAL}:
        return _open(facts, Then.STOP)
    return _open(facts, Then.ASK_FOR_CUSTOMER)


def _after_not_found(facts: AttemptFacts) -> AttachTransition:
    if not facts.makes_customer:
        return _open(facts, Then.ASK_FOR_CUSTOMER)
    return _IN_DOUBT if facts.unknowns else _gone(facts)


def _gone(facts: AttemptFacts) -> AttachTransition:
    """Give what follows for a token that was not found, where no look can find out more."""
    if facts.token_age_s <= YOUNG_S:
        return _open(facts, Then.SAME_AGAIN)
    return AttachTransition(
        AttachState.UNATTACHED, Then.NEW_TOKEN, Code.ATTACH_TOKEN_GONE, -facts.unknowns
    )


def _after_sight(sight: Sight | None, facts: AttemptFacts) -> AttachTransition:
    if sight is Sight.OURS:
        return AttachTransition(AttachState.ATTACHED, Then.END, unknowns=-facts.unknowns)
    if sight is Sight.MISSING:
        # The vault says yes and shows no card: with more than a page of cards, or by mistake.
        return AttachTransition(AttachState.DOUBTED, Then.LOCATE, unknowns=1)
    return AttachTransition(AttachState.HELD, Then.STOP, Code.ATTACH_MISMATCH, 1)


def _after_failure(kind: OutcomeKind, facts: AttemptFacts, *, is_last: bool) -> AttachTransition:
    if kind is OutcomeKind.AMBIGUOUS:
        return AttachTransition(
            AttachState.DOUBTED, Then.LOCATE if is_last else Then.SAME_AGAIN, None, 1
        )
    if kind is OutcomeKind.REJECTED or (kind is OutcomeKind.DECLINED and is_last):
        if facts.unknowns:
            # Refused now, but an earlier request may have been carried out.
            return _IN_DOUBT
        code = (
            Code.ATTACH_REJECTED if kind is OutcomeKind.REJECTED else Code.ATTACH_ATTEMPTS_EXHAUSTED
        )
        return AttachTransition(AttachState.FAILED, Then.END, code)
    return _open(facts, Then.SAME_AGAIN)


def _nowhere(cause: RefusalCause | None, facts: AttemptFacts) -> AttachTransition:
    if cause is RefusalCause.NOT_FOUND:
        return _gone(facts)
    if cause is RefusalCause.USED:
        code = Code.CUSTOMER_UNLOCATED if facts.makes_customer else Code.ATTACH_TOKEN_USED
        return AttachTransition(AttachState.HELD, Then.END, code)
    return AttachTransition(AttachState.FAILED, Then.END, Code.ATTACH_ATTEMPTS_EXHAUSTED)


def _open(facts: AttemptFacts, then: Then) -> AttachTransition:
    """Leave a card where it is: in doubt while an earlier answer is missing."""
    return AttachTransition(AttachState.DOUBTED if facts.unknowns else AttachState.UNATTACHED, then)
