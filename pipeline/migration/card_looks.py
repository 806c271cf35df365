"""Finds out what an answer left open: whether the card is on its customer, and which of both is gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.clock import pause
from pipeline.ledger.records import AttachState, CustomerFound, CustomerState
from pipeline.migration.attach_transitions import (
    YOUNG_S,
    AttachTransition,
    Then,
    after_asking_for_customer,
    after_locating,
)
from pipeline.migration.customer_reader import CustomerReader, found

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.migration.card_to_attach import CardToAttach
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.interface import CustomerAnswer, CustomerVault


class CardLooks:
    """Looks at the API host for cards and customers; nothing is changed there.

    Args:
        vault: The API host; one request a call.
        reader: Asks it as often as it takes.
        flow_control: Whose stop cuts a wait short.
        clock: For waits and the age of tokens.
    """

    def __init__(
        self,
        vault: CustomerVault,
        reader: CustomerReader,
        flow_control: FlowControl,
        clock: Clock,
    ) -> None:
        self._vault = vault
        self._reader = reader
        self._stopping = flow_control.stopping
        self._clock = clock

    async def look_into(
        self, card: CardToAttach, answer: CustomerAnswer, transition: AttachTransition
    ) -> tuple[AttachTransition, CustomerFound | None]:
        """Give what follows once the vault was looked at, and the customer that was found.

        Args:
            card: The card.
            answer: What made us look.
            transition: LOCATE or ASK_FOR_CUSTOMER.

        Raises:
            CardferryError: The vault refuses everybody.
        """
        seen = None
        if transition.then is Then.ASK_FOR_CUSTOMER:
            transition = await self._ask_for_customer(card)
        if transition.then is Then.LOCATE:
            transition, seen = await self._locate(card, answer)
        return transition, seen

    async def _ask_for_customer(self, card: CardToAttach) -> AttachTransition:
        customer_id = card.customer.customer_id or ""
        answer = await self._reader.read(card.row_id, lambda: self._vault.customer(customer_id))
        if answer is None:
            return AttachTransition(AttachState.UNATTACHED, Then.END)
        is_there = answer.customer is not None and not answer.customer.is_deleted
        facts = card.facts(self._clock.monotonic())
        return after_asking_for_customer(answer.outcome, is_there=is_there, facts=facts)

    async def _locate(
        self, card: CardToAttach, answer: CustomerAnswer
    ) -> tuple[AttachTransition, CustomerFound | None]:
        """Look for the card's id, once more where the vault may still be at work on it."""
        looks = 0
        unlearnt = AttachTransition(AttachState.DOUBTED, Then.END)
        while True:
            seen = await self._reader.locate(card, answer.customer)
            if seen is None:
                return unlearnt, None
            looks += 1
            sight, customer = seen
            transition = after_locating(
                sight, answer.cause, looks, card.facts(self._clock.monotonic())
            )
            if transition.then is not Then.LOOK_AGAIN:
                break
            await pause(self._clock, YOUNG_S, self._stopping)
            if self._stopping.is_set():
                return unlearnt, None
        if transition.state is not AttachState.ATTACHED or customer is None:
            return transition, None
        card.is_default = customer.default_card == card.card_id
        state = CustomerState.LOCATED if card.makes_customer else card.customer.state
        return transition, found(card.customer.id, state, customer)
