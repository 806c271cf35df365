"""Deletes cards of customers, each by an intent of its own; the same deletion twice does no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.ledger.records import AttachSettlement, AttachState, AttemptStep
from pipeline.migration.default_cards import STOPPED
from pipeline.migration.troubles import refused
from pipeline.model import OutcomeKind
from pipeline.vault.interface import RefusalCause

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.ledger.group_commit import GroupCommit
    from pipeline.ledger.records import AttachIntent, CustomerRecord
    from pipeline.migration.customer_reader import CustomerReader
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.interface import CustomerAnswer, CustomerVault


class CardDeletions:
    """Deletes cards.

    Args:
        vault: The API host; one request a call.
        commit: Makes intents and outcomes durable.
        flow_control: Decides when each request may be sent to the API host.
        reader: Lets the flow learn from answers.
        clock: For latencies.
        attempts_max: Requests for a card in one run.
    """

    def __init__(
        self,
        vault: CustomerVault,
        commit: GroupCommit,
        flow_control: FlowControl,
        reader: CustomerReader,
        clock: Clock,
        attempts_max: int,
    ) -> None:
        self._vault = vault
        self._commit = commit
        self._flow_control = flow_control
        self._reader = reader
        self._clock = clock
        self._attempts_max = attempts_max

    async def delete(self, row: int, card_id: str, customer: CustomerRecord, asked: int) -> bool:
        """Delete a card of a row; say whether it is gone from its customer.

        Args:
            row: The row whose card it is.
            card_id: The card.
            customer: Its customer.
            asked: How often that was asked for before.

        Raises:
            CardferryError: The vault refuses everybody.
        """
        backoff = self._flow_control.backoff()
        for number in range(asked + 1, asked + self._attempts_max + 1):
            answer = await self._ask(row, card_id, customer, number)
            if answer is None:
                return False
            if _is_gone(answer):
                return True
            if answer.outcome.kind in {OutcomeKind.FATAL, OutcomeKind.DENIED}:
                raise refused(answer.outcome.setting or answer.outcome.evidence)
            if not await backoff.wait(answer.outcome):
                return False
        return False

    async def _ask(
        self, row: int, card_id: str, customer: CustomerRecord, number: int
    ) -> CustomerAnswer | None:
        """Ask once; None when the run is to stop."""
        turn = await self._flow_control.reserve_turn()
        if turn is None:
            return None
        intent = await self._commit.intend_attach(
            row, customer.id, number, step=AttemptStep.DELETE_CARD
        )
        sent_at = await self._flow_control.wait_for_turn(turn)
        answer = STOPPED
        try:
            if sent_at is not None:
                answer = await self._vault.delete_card(customer.customer_id or "", card_id)
        finally:
            self._settle(intent, answer)
        if sent_at is None:
            return None
        return self._reader.reported(answer, row, sent_at, self._clock.monotonic())

    def _settle(self, intent: AttachIntent, answer: CustomerAnswer) -> None:
        outcome = answer.outcome
        self._commit.settle(
            AttachSettlement(
                attempt_id=intent.attempt_id,
                row_id=intent.row_id,
                customer=intent.customer,
                kind=outcome.kind,
                evidence=outcome.evidence,
                state=AttachState.ATTACHED,
                code=None,
                unknowns=0,
                vault_code=outcome.vault_code,
                request_id=outcome.request_id,
                latency_us=0,
                is_default=False if _is_gone(answer) else None,
                deleted=_is_gone(answer),
            )
        )


def _is_gone(answer: CustomerAnswer) -> bool:
    if answer.cause is RefusalCause.NOT_FOUND:
        return True
    return answer.card is not None and answer.card.is_deleted
