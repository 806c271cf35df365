"""Sends waiting cards to the vault, many at once, and settles their rows in the ledger.

One attempt goes: breaker, turn to send, durable intent, request, transition, queued outcome. A slot
takes its next card only through another durable intent, and commits are in order, so its last
outcome is durable by then: open intents never exceed the slots.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pipeline.clock import pause
from pipeline.errors import CardferryError
from pipeline.ledger.records import Settlement
from pipeline.logs import EventLog
from pipeline.migration.card_queue import CardQueue
from pipeline.migration.transitions import FREE, RetryPolicy, WaitingCard, next_transition
from pipeline.migration.troubles import outage, too_many_failures, trouble_of
from pipeline.model import NEVER_SENT, Outcome, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pipeline.clock import Clock
    from pipeline.ledger.group_commit import GroupCommit
    from pipeline.ledger.records import Intent
    from pipeline.metrics import Flow
    from pipeline.migration.attach_step import AttachStep
    from pipeline.migration.transitions import Transition
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.flow.row_refusals import Refusal
    from pipeline.vault.interface import CardRequest, Vault

log = EventLog("tokenizer")

_LAST_LOOK_S: Final = 0.2
"""After a drain that took too long, for answers that lie in the sockets unread."""

_LIKE_ELSEWHERE_S: Final = 0.2
"""So long others go before a card whose like another carrier has under way."""

_STOPPED: Final = Outcome(OutcomeKind.NOT_SENT, NEVER_SENT)


class Tokenizer:
    """Sends cards through the vault and settles them in the ledger.

    Args:
        vault: Makes one attempt a call.
        commit: Makes intents and outcomes durable.
        flow_control: Decides when each attempt may be sent.
        policy: What becomes of a row, and when the run stops.
        clock: For waits and latencies.
        flow: The figures that progress shows.
    """

    def __init__(
        self,
        *,
        vault: Vault,
        commit: GroupCommit,
        flow_control: FlowControl,
        policy: RetryPolicy,
        clock: Clock,
        flow: Flow,
    ) -> None:
        self._vault = vault
        self._commit = commit
        self._flow_control = flow_control
        self._policy = policy
        self._clock = clock
        self._flow = flow
        self.on_done: Callable[[int], None] = lambda _row: None
        """Told each row with which nothing more is done for now."""
        self._attach_step: AttachStep | None = None
        self._stopping = flow_control.stopping
        self._trouble: CardferryError | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more will be sent."""
        return self._stopping.is_set()

    def stop(self, trouble: CardferryError | None = None) -> None:
        """Send nothing more; what is in flight may still be answered. The first trouble counts."""
        self._trouble = self._trouble or trouble
        self._stopping.set()

    async def tokenize(
        self, source: AsyncIterator[list[WaitingCard]], attach_step: AttachStep | None = None
    ) -> None:
        """Settle every card that the source gives.

        Args:
            source: Gives the next cards.
            attach_step: Takes them on to their customers; None where there are tokens only.

        Raises:
            CardferryError: Why the run stopped early; everything that was answered is durable.
        """
        self._attach_step = attach_step
        self._flow.in_flight_limit = self._flow_control.slots
        cards = CardQueue(source, self._clock, self._stopping)
        slots = [asyncio.create_task(self._slot(n, cards)) for n in range(self._flow_control.slots)]
        stopped = asyncio.create_task(self._stopping.wait())
        all_done = asyncio.create_task(asyncio.wait(slots))
        watch = asyncio.create_task(self._watch_outage())
        try:
            await asyncio.wait([all_done, stopped], return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await asyncio.wait(slots, timeout=self._policy.drain_s)
                # A process that was paused meanwhile has answers that it has not read yet.
                await asyncio.wait(slots, timeout=_LAST_LOOK_S)
        finally:
            tasks = (*slots, stopped, all_done, watch)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            cards.wipe()
        if self._flow.other_brands:
            log.warning("the vault calls some brands otherwise", tokens=self._flow.other_brands)
        await self._commit.drain()
        bugs = [e for e in ended if isinstance(e, Exception)]
        if bugs:
            raise bugs[0]
        if self._trouble is not None:
            raise self._trouble

    async def _watch_outage(self) -> None:
        """Stop the run when an outage has lasted too long, whatever every row is waiting for."""
        left_s = self._policy.outage_max_s
        while left_s > 0:
            await pause(self._clock, left_s, self._stopping)
            if self._stopping.is_set():
                return
            # An outage that began while this slept is shorter than the sleep was.
            left_s = self._policy.outage_max_s - self._outage_s()
        self.stop(outage(self._flow.all_troubles()))

    def _outage_s(self) -> float:
        """Give how long one of the hosts has done nothing for us."""
        api_s = 0.0 if self._attach_step is None else self._attach_step.outage_s()
        return max(self._flow_control.outage_s(), api_s)

    async def _slot(self, number: int, cards: CardQueue) -> None:
        try:
            while (card := await self._next(number, cards)) is not None:
                aside_s: float | None = 0.0
                if self._flow_control.begin_card(number):
                    aside_s = None
                    try:
                        aside_s = await self._tokenize_and_attach(card)
                    finally:
                        self._flow_control.end_card(number)
                        if aside_s is None:
                            cards.done(card)
                            self.on_done(card.claim.id)
                if aside_s is not None:
                    cards.set_aside(card, aside_s)
        except CardferryError as trouble:
            self.stop(trouble)
        except Exception:
            # A bug: nobody else may go on and find out what else is wrong.
            self.stop()
            raise
        finally:
            self._flow_control.widen()
            if self._attach_step is not None:
                self._attach_step.open()

    async def _next(self, number: int, cards: CardQueue) -> WaitingCard | None:
        """Give a slot its next card, once it may take one; None when there is none."""
        if not await self._flow_control.wait_for_slot(number):
            return None
        if self._attach_step is not None:
            await self._attach_step.wait_until_proved(number)
        return await cards.next()

    async def _tokenize_and_attach(self, card: WaitingCard) -> float | None:
        """Take a card as far as it goes in this run; see `_tokenize_card`."""
        step, to = self._attach_step, card.attaching
        if card.request is not None:
            return await self._tokenize_card(card, card.request)
        if step is not None and to is not None and await step.may_begin(card, to):
            await step.attach(to)
        return None

    async def _tokenize_card(self, card: WaitingCard, request: CardRequest) -> float | None:
        """Attempt until the row is settled or the run stops.

        Returns:
            `None`, or for how many seconds others go first before the row is tried again.
        """
        backoff = None
        step, to = self._attach_step, card.attaching
        while True:
            if step is not None and to is not None and not await step.may_begin(card, to):
                return None
            attempt = await self._attempt(card, request)
            if attempt is None or isinstance(attempt, float):
                return attempt
            outcome, transition = attempt
            if card.made is not None and step is not None and to is not None:
                card.wipe()
                await step.attach(to, outcome.token, (card.made,))
            if not transition.again:
                return None
            self._flow.retries += 1
            if transition.others_first_s is not None:
                return max(transition.others_first_s, outcome.retry_after_s or 0.0)
            backoff = backoff or self._flow_control.backoff()
            if not await backoff.wait(outcome):
                return None

    async def _attempt(
        self, card: WaitingCard, request: CardRequest
    ) -> tuple[Outcome, Transition] | float | None:
        """Make one attempt; give what it came to, for how long others go first, or `None` to stop."""
        turn = await self._flow_control.reserve_turn()
        if turn is None:
            return None
        card.number += 1
        intent = await self._commit.intend(card.claim.id, card.number)
        if intent is None:
            card.number -= 1
            self._flow_control.withdraw(turn)
            return _LIKE_ELSEWHERE_S
        sent_at = await self._flow_control.wait_for_turn(turn)
        if sent_at is None:
            self._record(card, intent, _STOPPED, 0.0)
            return None
        outcome = await self._send(card, request, intent, sent_at)
        now = self._clock.monotonic()
        refusal = self._flow_control.report(outcome, card.claim.id, sent_at=sent_at, now=now)
        transition = self._record(card, intent, outcome, now - sent_at, refusal)
        if outcome.kind is not OutcomeKind.OK:
            self._stop_where_told(outcome, refusal)
        return outcome, transition

    async def _send(
        self, card: WaitingCard, request: CardRequest, intent: Intent, sent_at: float
    ) -> Outcome:
        self._flow.sent += 1
        self._flow.in_flight += 1
        try:
            return await self._vault.create_token(request, card.sent)
        except asyncio.CancelledError as cancelled:
            took_s = self._clock.monotonic() - sent_at
            self._record(card, intent, self._vault.outcome_of(cancelled), took_s)
            raise
        except CardferryError:
            self._record(card, intent, _STOPPED, 0.0)
            raise
        finally:
            self._flow.in_flight -= 1

    def _record(
        self,
        card: WaitingCard,
        intent: Intent,
        outcome: Outcome,
        took_s: float,
        refusal: Refusal | None = None,
    ) -> Transition:
        """Queue what the attempt came to; it is durable before this slot's next intent."""
        if outcome.kind in FREE:
            card.free += 1
        else:
            card.counted += 1
        transition = next_transition(outcome, card, self._policy, refusal)
        card.unknowns += transition.unknowns
        settlement = Settlement(
            intent.attempt_id,
            intent.row_id,
            outcome.kind,
            outcome.evidence,
            transition.state,
            transition.code,
            transition.unknowns,
            outcome.vault_code,
            outcome.request_id,
            int(took_s * 1_000_000),
            outcome.token if transition.state is RowState.TOKENIZED else None,
        )
        if settlement.token is not None and card.attaching is not None and self._attach_step:
            card.made = settlement
        else:
            self._commit.settle(settlement)
        self._flow.count(transition.state, transition.code, outcome, took_s, card.claim.brand)
        return transition

    def _stop_where_told(self, outcome: Outcome, refusal: Refusal | None) -> None:
        """Stop the run where an outcome says that going on would be wrong."""
        flow = self._flow
        trouble = trouble_of(outcome, refusal)
        if flow.rejected + flow.failed + flow.held > self._policy.failures_max:
            trouble = trouble or too_many_failures()
        if trouble is not None:
            self.stop(trouble)
