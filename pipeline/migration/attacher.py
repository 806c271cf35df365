"""Puts tokenized cards on customers, one card of each at a time, and settles that in the ledger.

One request goes: turn to send, durable intent, request, queued outcome, as for tokens.
Whoever calls sees to it that no two cards of one customer are attached at once, and a card
whose answer was lost goes before its customer's other cards.
"""

from __future__ import annotations

import asyncio
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.config.attach import MARK
from pipeline.errors import CardferryError
from pipeline.failure_codes import Code
from pipeline.ledger.records import (
    AttachState,
    CustomerState,
    Retirement,
)
from pipeline.migration.attach_recording import AttachRecording
from pipeline.migration.attach_transitions import (
    FREE,
    AttachTransition,
    Then,
    after_request,
)
from pipeline.migration.card_deletions import CardDeletions
from pipeline.migration.card_looks import CardLooks
from pipeline.migration.customer_reader import CustomerReader, found
from pipeline.migration.default_cards import STOPPED, AttachPolicy, DefaultCards
from pipeline.migration.troubles import mixed_up, refused
from pipeline.vault.interface import CustomerAnswer, RefusalCause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.clock import Clock
    from pipeline.ledger.group_commit import GroupCommit
    from pipeline.ledger.records import AttachIntent, CustomerRecord, RowRefusal, Settlement
    from pipeline.migration.card_to_attach import CardToAttach
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.interface import CustomerCard, CustomerVault

STRANGE_TOKENS_MAX: Final = 3
"""So many young tokens unknown to the API host before any success: the keys do not match."""

_TWO_ACCOUNTS: Final = (
    "attach.secret_key: belongs to another account than vault.public_key; "
    "the API host knows none of the tokens"
)


class AttachEnd(StrEnum):
    """How attaching a card ended in this run."""

    SETTLED = "settled"
    """Attached, failed or held."""
    NEW_TOKEN = "new_token"  # noqa: S105 - an end, no secret.
    """Its token is proved gone; the row is planned again."""
    LEFT = "left"
    """The run stops, or the vault told us nothing: the next run goes on."""


class Attacher:
    """Puts cards on customers.

    Args:
        vault: The API host; one request a call.
        commit: Makes intents and outcomes durable.
        flow_control: Decides when each request may be sent to the API host.
        policy: The settings.
        clock: For waits, latencies and the age of tokens.
        in_doubt: Of each customer that an earlier run may have made unseen, the row that tells.
    """

    def __init__(
        self,
        *,
        vault: CustomerVault,
        commit: GroupCommit,
        flow_control: FlowControl,
        policy: AttachPolicy,
        clock: Clock,
        in_doubt: Mapping[int, int] | None = None,
    ) -> None:
        self._vault = vault
        self._commit = commit
        self._flow_control = flow_control
        self._policy = policy
        self._clock = clock
        self.recording = AttachRecording(commit)
        """Queues what becomes of cards that no request is made for."""
        self.defaults = DefaultCards(vault, commit, self.recording, flow_control, clock, policy)
        self._reader = CustomerReader(vault, flow_control, clock, policy.attempts_max, policy.mark)
        self._looks = CardLooks(vault, self._reader, flow_control, clock)
        self.deletions = CardDeletions(
            vault, commit, flow_control, self._reader, clock, policy.attempts_max
        )
        self._strange = 0
        self._any_attached = False
        self._in_doubt = dict(in_doubt or {})

    def may_make(self, customer: int, row_id: int) -> bool:
        """Say whether a row's card may make a customer.

        It may not while another row's lost request may have made it: that row's card tells, in
        this run or the next.
        """
        return self._in_doubt.get(customer, row_id) == row_id

    def learn_doubt(self, customer: int, row_id: int | None) -> None:
        """Take in which row's lost request may have made a customer, as another carrier left it."""
        self._in_doubt.pop(customer, None)
        if row_id is not None:
            self._in_doubt[customer] = row_id

    async def know(self, customer: CustomerRecord) -> CustomerRecord | None:
        """Read a given customer before its first card, and before any token is made for it.

        Returns:
            The customer as it is now: `given`, or `refused` when it is unknown or deleted; any
            other as it was. None when the vault told us nothing.

        Raises:
            CardferryError: The run has to stop.
        """
        if customer.given_id is None or customer.state is not CustomerState.WANTED:
            return customer
        seen = await self._reader.look_up_given(customer, customer.given_id)
        if seen is None:
            return None
        self._commit.settle(seen)
        return customer._replace(state=seen.state, customer_id=seen.customer_id, code=seen.code)

    async def attach(self, card: CardToAttach, after: Sequence[Settlement] = ()) -> AttachEnd:
        """Put a card on its customer, asking again and looking for it where answers are lost.

        Args:
            card: The card; its customer is known and takes cards.
            after: The outcome of its token, to be durable with the first intent.

        Raises:
            CardferryError: The run has to stop; everything that was answered is queued.
        """
        if card.makes_customer and not self.may_make(card.customer.id, card.row_id):
            self.recording.begin(card, after)
            return AttachEnd.LEFT
        end = await self._attach(card, after)
        if card.makes_customer and card.unknowns and end is AttachEnd.LEFT:
            self._in_doubt[card.customer.id] = card.row_id
        else:
            self._in_doubt.pop(card.customer.id, None)
        return end

    async def _attach(self, card: CardToAttach, after: Sequence[Settlement]) -> AttachEnd:
        backoff = None
        while True:
            asked = await self._ask(card, after)
            if asked is None:
                return AttachEnd.LEFT
            after = ()
            answer, transition = asked
            if transition.then in {Then.LOCATE, Then.ASK_FOR_CUSTOMER}:
                transition = await self._look_into(card, answer, transition)
            self._stop_where_told(card, answer, transition)
            if transition.then is not Then.SAME_AGAIN:
                return await self._ended(card, transition)
            backoff = backoff or self._flow_control.backoff()
            if not await backoff.wait(answer.outcome):
                return AttachEnd.LEFT

    def settle(self, refusal: RowRefusal) -> None:
        """Settle a row whose customer takes no card, before it has a token."""
        self._commit.settle(refusal)

    async def account(self) -> CustomerAnswer:
        """Ask the API host something harmless, once."""
        return await self._vault.account()

    async def read_back(self, card: CardToAttach) -> CustomerCard | None:
        """Give a card as the vault shows it on its customer; None when it told us nothing.

        Raises:
            CardferryError: The vault refuses everybody, or the card is not there.
        """
        customer_id = card.customer.customer_id or ""
        answer = await self._reader.read(
            card.row_id, lambda: self._vault.card(customer_id, card.card_id)
        )
        if answer is not None and answer.card is None:
            raise mixed_up()
        return None if answer is None else answer.card

    async def _ask(
        self, card: CardToAttach, after: Sequence[Settlement]
    ) -> tuple[CustomerAnswer, AttachTransition] | None:
        """Send the request once and settle its outcome; None when the run is to stop."""
        turn = self._flow_control.turn_at_once()
        if turn is None:
            # The token must not wait for the API host to be durable.
            self.recording.begin(card, after)
            after = ()
            turn = await self._flow_control.reserve_turn()
        if turn is None:
            return None
        card.number += 1
        intent = await self._commit.intend_attach(
            card.row_id,
            card.customer.id,
            card.number,
            after=after,
            makes_customer=card.makes_customer,
        )
        sent_at = await self._flow_control.wait_for_turn(turn)
        if sent_at is None:
            self._settle_answer(card, intent, STOPPED, 0.0)
            return None
        try:
            answer = await self._send(card)
        except asyncio.CancelledError as cancelled:
            outcome = self._vault.outcome_of(cancelled)
            self._settle_answer(card, intent, CustomerAnswer(outcome), self._took_s(sent_at))
            raise
        except CardferryError:
            self._settle_answer(card, intent, STOPPED, 0.0)
            raise
        answer = self._reader.reported(answer, card.row_id, sent_at, self._clock.monotonic())
        return answer, self._settle_answer(card, intent, answer, self._took_s(sent_at))

    async def _send(self, card: CardToAttach) -> CustomerAnswer:
        customer_id = card.customer.customer_id
        if customer_id is not None:
            return await self._vault.add_card(customer_id, card.token_id)
        mark = {MARK: self._policy.mark(card.customer)}
        metadata = {**card.fields.get("metadata", {}), **mark}
        return await self._vault.make_customer(card.token_id, {**card.fields, "metadata": metadata})

    def _settle_answer(
        self, card: CardToAttach, intent: AttachIntent, answer: CustomerAnswer, took_s: float
    ) -> AttachTransition:
        """Settle what the request came to, and give what is done next."""
        card.counted += answer.outcome.kind not in FREE
        shown = answer.customer
        sight = None if shown is None else self._reader.sight(shown, card)
        facts = card.facts(self._clock.monotonic())
        transition = after_request(
            answer.outcome, answer.cause, sight, facts, self._policy.attempts_max
        )
        seen = None
        if transition.state is AttachState.ATTACHED and shown is not None:
            card.is_default = shown.default_card == card.card_id
            state = CustomerState.MADE if card.makes_customer else card.customer.state
            seen = found(card.customer.id, state, shown)
        self.recording.settle(card, intent, answer.outcome, transition, took_s=took_s, seen=seen)
        return transition

    async def _look_into(
        self, card: CardToAttach, answer: CustomerAnswer, transition: AttachTransition
    ) -> AttachTransition:
        """Find out what the answer left open, and settle that without a request of its own."""
        transition, seen = await self._looks.look_into(card, answer, transition)
        if transition.state is AttachState.ATTACHED or transition.code is not None:
            self.recording.settle(card, None, answer.outcome, transition, seen=seen)
        return transition

    def _stop_where_told(
        self, card: CardToAttach, answer: CustomerAnswer, transition: AttachTransition
    ) -> None:
        """Stop the run where an answer says that going on would be wrong.

        Raises:
            CardferryError: Why.
        """
        if transition.then is Then.STOP:
            if transition.code is Code.ATTACH_MISMATCH:
                raise mixed_up()
            raise refused(answer.outcome.setting or answer.outcome.evidence)
        if transition.state is AttachState.ATTACHED:
            self._any_attached = True
        is_strange = answer.cause is RefusalCause.NOT_FOUND and transition.then is Then.SAME_AGAIN
        is_strange = is_strange and card.made_here and card.unknowns == 0
        self._strange = self._strange + 1 if is_strange else 0
        if self._strange >= STRANGE_TOKENS_MAX and not self._any_attached:
            raise refused(_TWO_ACCOUNTS)

    async def _ended(self, card: CardToAttach, transition: AttachTransition) -> AttachEnd:
        if transition.state is AttachState.ATTACHED:
            if card.wants_default and not card.is_default:
                await self.defaults.move(card)
            return AttachEnd.SETTLED
        if transition.then is Then.NEW_TOKEN:
            reason = Code.ATTACH_TOKEN_GONE
            self._commit.settle(Retirement(card.row_id, reason))
            return AttachEnd.NEW_TOKEN
        return AttachEnd.LEFT if transition.code is None else AttachEnd.SETTLED

    def _took_s(self, sent_at: float) -> float:
        return self._clock.monotonic() - sent_at
