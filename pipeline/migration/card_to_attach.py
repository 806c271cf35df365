"""Holds a tokenized card on its way to a customer, and sees whether an answer shows it there."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.ledger.records import AttachState, CustomerState
from pipeline.migration.attach_transitions import AttemptFacts, Sight
from pipeline.vault.interface import SentCard

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.ledger.records import AttachClaim, CustomerRecord
    from pipeline.migration.attach_transitions import AttachTransition
    from pipeline.model import Token
    from pipeline.vault.interface import Customer, CustomerCard


@dataclass(slots=True)
class CardToAttach:
    """A row whose token is durable and whose card is to be on a customer; it holds no number.

    Args:
        row_id: The row.
        customer: Its customer as the ledger knows it; changed when it is made or found.
        token_id: The live token.
        card_id: The card that the token holds; it keeps this id on a customer.
        token_created_at: When the token was made, by the vault's clock.
        sent: What the card is recognised by.
        wants_default: Whether it is to be its customer's default card.
        known_at: The monotonic second since which this process knows the token.
        number: Requests ever made for it.
        unknowns: Those whose answers were lost and not cleared up.
        counted: Requests of this run that count against it.
        is_default: Whether it was seen to be its customer's default card.
        made_here: Whether this run made the token; one of an earlier run may have expired.
        fields: What its customer is made with (`email`, `description`, `metadata`).
        transition: How it stands.
        fingerprint: The vault's, where the same card may be on the customer already.
    """

    row_id: int
    customer: CustomerRecord
    token_id: str
    card_id: str
    token_created_at: datetime
    sent: SentCard
    wants_default: bool
    known_at: float
    number: int = 0
    unknowns: int = 0
    counted: int = 0
    is_default: bool = False
    made_here: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    transition: AttachTransition | None = None
    fingerprint: str | None = None

    @property
    def makes_customer(self) -> bool:
        """Whether its request makes the customer."""
        return self.customer.customer_id is None

    @property
    def is_attached(self) -> bool:
        """Whether it was seen on its customer."""
        return self.transition is not None and self.transition.state is AttachState.ATTACHED

    @property
    def is_on_given(self) -> bool:
        """Whether its customer is one that we did not make."""
        return self.customer.state is CustomerState.GIVEN

    def facts(self, now: float) -> AttemptFacts:
        """Give what an answer is judged by; the token is at least as old as we know it."""
        return AttemptFacts(self.makes_customer, self.unknowns, self.counted, now - self.known_at)


def card_of(
    claim: AttachClaim, customer: CustomerRecord, now: float, token: Token | None = None
) -> CardToAttach:
    """Give the card of a row that has its token.

    Args:
        claim: The row; `token_id`, `card_id` and `token_created_s` are there unless `token` is.
        customer: The row's customer.
        now: The monotonic second.
        token: The token that was just made; None for the one that the ledger has.

    Raises:
        ValueError: The row has no token.
    """
    if token is None:
        token_id, card_id, created_at = _token_of(claim)
    else:
        token_id, card_id, created_at = token.token_id, token.card_id, token.created_at
    return CardToAttach(
        row_id=claim.row_id,
        customer=customer,
        token_id=token_id,
        card_id=card_id,
        token_created_at=created_at,
        sent=SentCard(claim.last_digits, claim.expiration_month, claim.expiration_year),
        wants_default=bool(claim.is_default),
        known_at=now,
        number=claim.attempts,
        unknowns=claim.unknowns,
        made_here=token is not None,
    )


def _token_of(claim: AttachClaim) -> tuple[str, str, datetime]:
    if claim.token_id is None or claim.card_id is None or claim.token_created_s is None:
        raise ValueError("the row has no token yet")
    return claim.token_id, claim.card_id, datetime.fromtimestamp(claim.token_created_s, UTC)


def sight_of(shown: CustomerCard, card: CardToAttach) -> Sight:
    """Give whether a card that bears our card's id is our card, and is there."""
    if shown.is_deleted:
        return Sight.MISSING
    found = SentCard(shown.last_digits, shown.expiration_month, shown.expiration_year)
    return Sight.OURS if found == card.sent else Sight.OTHER


def sight_on(customer: Customer, card: CardToAttach) -> Sight:
    """Give what an answer that shows a customer shows of our card."""
    expected = card.customer.customer_id
    if expected is not None and customer.customer_id != expected:
        return Sight.OTHER
    if customer.is_deleted:
        return Sight.MISSING
    for shown in customer.cards:
        if shown.card_id == card.card_id:
            return sight_of(shown, card)
    # More cards than the answer shows, or a customer without ours.
    is_cut = customer.cards_total > len(customer.cards)
    return Sight.MISSING if is_cut or not customer.cards else Sight.OTHER
