"""Queues for the ledger what requests and looks made of a card and of its customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.failure_codes import Code
from pipeline.ledger.records import AttachSettlement, AttachState, CustomerFound, CustomerState
from pipeline.migration.attach_transitions import AttachTransition, Then
from pipeline.model import Outcome, OutcomeKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.ledger.group_commit import GroupCommit
    from pipeline.ledger.records import AttachIntent, Settlement
    from pipeline.migration.card_to_attach import CardToAttach

_NOT_YET: Final = Outcome(OutcomeKind.NOT_SENT, "not asked for yet")
_BEGUN: Final = AttachTransition(AttachState.UNATTACHED, Then.SAME_AGAIN)


class AttachRecording:
    """Makes settlements of transitions, and keeps the card in step with them.

    Args:
        commit: Makes them durable.
    """

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit

    def begin(self, card: CardToAttach, after: Sequence[Settlement]) -> None:
        """Queue the outcome of a card's token, and that the card is to be attached."""
        if after:
            self._commit.settle(*after, self._settlement(card, _NOT_YET, _BEGUN))

    def reuse(self, card: CardToAttach, known: str) -> None:
        """Queue that the customer has the card already, under another id."""
        reused = self._settlement(card, _NOT_YET, AttachTransition(AttachState.REUSED, Then.END))
        self._commit.settle(reused._replace(card_id=known, evidence="the customer has it already"))

    def end(self, card: CardToAttach, state: AttachState, code: str) -> None:
        """Queue that a card comes on no customer, for a reason that is not its own."""
        evidence = Outcome(OutcomeKind.NOT_SENT, "its customer takes no card")
        self._commit.settle(
            self._settlement(card, evidence, AttachTransition(state, Then.END, Code(code)))
        )

    def settle(
        self,
        card: CardToAttach,
        intent: AttachIntent | None,
        outcome: Outcome,
        transition: AttachTransition,
        *,
        took_s: float = 0.0,
        seen: CustomerFound | None = None,
    ) -> None:
        """Queue what a request, or a look, made of the card and of its customer."""
        card.unknowns += transition.unknowns
        card.transition = transition
        seen = seen or _customer_after(card, transition)
        self._commit.settle(self._settlement(card, outcome, transition, intent, took_s, seen))
        if seen is not None:
            known = seen.customer_id or card.customer.customer_id
            card.customer = card.customer._replace(
                state=seen.state, customer_id=known, code=seen.code
            )

    def _settlement(
        self,
        card: CardToAttach,
        outcome: Outcome,
        transition: AttachTransition,
        intent: AttachIntent | None = None,
        took_s: float = 0.0,
        seen: CustomerFound | None = None,
    ) -> AttachSettlement:
        is_attached = transition.state is AttachState.ATTACHED
        return AttachSettlement(
            attempt_id=None if intent is None else intent.attempt_id,
            row_id=card.row_id,
            customer=card.customer.id,
            kind=outcome.kind,
            evidence=outcome.evidence,
            state=transition.state,
            code=transition.code,
            unknowns=transition.unknowns,
            vault_code=outcome.vault_code,
            request_id=outcome.request_id,
            latency_us=int(took_s * 1_000_000),
            card_id=card.card_id if is_attached else None,
            is_default=card.is_default if is_attached else None,
            found=seen,
        )


def _customer_after(card: CardToAttach, transition: AttachTransition) -> CustomerFound | None:
    """Give what becomes of a customer whose card came to nothing.

    One that may have been made unseen takes no other card until an operator has looked.
    """
    customer = card.customer.id
    if transition.code is Code.CUSTOMER_UNKNOWN:
        return CustomerFound(customer, CustomerState.REFUSED, code=transition.code.value)
    if not card.makes_customer or transition.code is None:
        return None
    if card.unknowns or transition.code in {Code.CUSTOMER_UNLOCATED, Code.ATTACH_MISMATCH}:
        code = Code.CUSTOMER_UNLOCATED
        return CustomerFound(customer, CustomerState.UNLOCATED, code=code)
    return CustomerFound(customer, CustomerState.WANTED)
