"""Sends waiting cards to the vault, many at once, and settles their rows in the ledger.

One attempt goes: breaker, turn to send, durable intent, request, transition, queued outcome. A slot
takes its next card only through another durable intent, and commits are in order, so its last
outcome is durable by then: open intents never exceed the slots.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from pipeline.clock import pause
from pipeline.errors import CardferryError, VaultRefusedSettings, VaultUnavailable
from pipeline.ledger.records import Settlement
from pipeline.migration.transitions import (
    FREE,
    RetryPolicy,
    Transition,
    WaitingCard,
    next_transition,
)
from pipeline.model import Outcome, OutcomeKind, RowState
from pipeline.vault.omise.request_body import wipe
from pipeline.vault.omise.token_answer import WRONG_MODE
from pipeline.vault.transport.failures import proves_not_sent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pipeline.clock import Clock
    from pipeline.ledger.group_commit import GroupCommit
    from pipeline.ledger.records import Intent
    from pipeline.metrics import Flow
    from pipeline.vault.flow.flow_control import FlowControl
    from pipeline.vault.omise.client import VaultClient

_REFUSED_SETTINGS: Final = {
    "certificate refused": "vault.url or vault.ca_file: the vault could not prove who it is",
    WRONG_MODE: "vault.mode: the vault answers in the other mode",
}


class Tokenizer:
    """Sends cards through the vault and settles them in the ledger.

    Args:
        client: Makes one attempt a call.
        commit: Makes intents and outcomes durable.
        flow_control: Decides when each attempt may be sent.
        policy: What becomes of a row, and when the run stops.
        clock: For waits.
        flow: The figures that progress shows.
    """

    def __init__(
        self,
        client: VaultClient,
        commit: GroupCommit,
        flow_control: FlowControl,
        policy: RetryPolicy,
        clock: Clock,
        flow: Flow,
    ) -> None:
        self._client = client
        self._commit = commit
        self._flow_control = flow_control
        self._policy = policy
        self._clock = clock
        self._flow = flow
        self._ready: deque[WaitingCard] = deque()
        self._refilling = asyncio.Lock()
        self._exhausted = False
        self._stopping = asyncio.Event()
        self._trouble: CardferryError | None = None

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more will be sent."""
        return self._stopping.is_set()

    def stop(self, trouble: CardferryError | None = None) -> None:
        """Send nothing more; what is in flight may still be answered. The first trouble counts."""
        self._trouble = self._trouble or trouble
        self._stopping.set()

    async def tokenize(self, source: AsyncIterator[list[WaitingCard]]) -> None:
        """Settle every card that the source gives.

        Raises:
            CardferryError: Why the run stopped early; everything that was answered is durable.
        """
        self._flow.in_flight_limit = self._flow_control.slots
        slots = [
            asyncio.create_task(self._slot(n, source)) for n in range(self._flow_control.slots)
        ]
        stopped = asyncio.create_task(self._stopping.wait())
        all_done = asyncio.create_task(_ended(slots))
        watch = asyncio.create_task(self._watch_outage())
        try:
            await asyncio.wait([all_done, stopped], return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                await asyncio.wait(slots, timeout=self._policy.drain_s)
        finally:
            tasks = (*slots, stopped, all_done, watch)
            for task in tasks:
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            for card in self._ready:
                wipe(card.body)
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
            left_s = self._policy.outage_max_s - self._flow_control.outage_s()
        self.stop(
            VaultUnavailable(
                "the vault has been out of order for longer than flow.outage_max_s",
                next_step="Run the same command again when the vault is well.",
            )
        )

    async def _slot(self, number: int, source: AsyncIterator[list[WaitingCard]]) -> None:
        try:
            while await self._flow_control.wait_for_slot(number, self._stopping):
                card = await self._next(source)
                if card is None:
                    break
                try:
                    await self._tokenize_card(card)
                finally:
                    wipe(card.body)
        except CardferryError as trouble:
            self.stop(trouble)
        except Exception:
            # A bug: nobody else may go on and find out what else is wrong.
            self.stop()
            raise
        finally:
            self._flow_control.widen()

    async def _next(self, source: AsyncIterator[list[WaitingCard]]) -> WaitingCard | None:
        while not self._stopping.is_set():
            if self._ready:
                return self._ready.popleft()
            if self._exhausted:
                return None
            async with self._refilling:
                if not self._ready and not self._exhausted:
                    batch = await anext(source, None)
                    self._exhausted = batch is None
                    self._ready.extend(batch or ())
        return None

    async def _tokenize_card(self, card: WaitingCard) -> None:
        """Attempt until the row is settled or the run stops; the first attempt costs no machinery."""
        self._flow_control.first_attempt()
        outcome = await self._attempt(card)
        if outcome is not None:
            await self._flow_control.retry(
                outcome, lambda: self._attempt_again(card), self._stopping
            )

    async def _attempt_again(self, card: WaitingCard) -> Outcome | None:
        self._flow.retries += 1
        return await self._attempt(card)

    async def _attempt(self, card: WaitingCard) -> Outcome | None:
        """Make one attempt; give its outcome when the row is to be tried again, else None."""
        turn = await self._flow_control.reserve_turn(self._stopping)
        if turn is None:
            return None
        card.number += 1
        intent = await self._commit.intend(card.claim.id, card.number)
        if not await self._flow_control.wait_for_turn(turn, self._stopping):
            outcome = Outcome(OutcomeKind.NOT_SENT, "stopped before sending")
            self._record(card, intent, outcome)
            return None
        outcome = await self._send(card, intent)
        transition = self._record(card, intent, outcome)
        self._learn(outcome)
        return outcome if transition.again else None

    async def _send(self, card: WaitingCard, intent: Intent) -> Outcome:
        claim = card.claim
        self._flow.sent += 1
        self._flow.in_flight += 1
        try:
            return await self._client.create_token(
                card.body,
                last_digits=claim.last_digits,
                expiration_month=claim.expiration_month,
                expiration_year=claim.expiration_year,
            )
        except asyncio.CancelledError as cancelled:
            kind = OutcomeKind.NOT_SENT if proves_not_sent(cancelled) else OutcomeKind.AMBIGUOUS
            self._record(card, intent, Outcome(kind, "stopped while waiting for the answer"))
            raise
        finally:
            self._flow.in_flight -= 1

    def _record(self, card: WaitingCard, intent: Intent, outcome: Outcome) -> Transition:
        """Queue what the attempt came to; it is durable before this slot's next intent."""
        if outcome.kind not in FREE:
            card.counted += 1
        transition = next_transition(outcome, card, self._policy)
        card.unknowns += transition.unknowns
        self._commit.settle(
            Settlement(
                intent.attempt_id,
                intent.row_id,
                outcome.kind,
                outcome.evidence,
                transition.state,
                transition.code,
                transition.unknowns,
                outcome.vault_code,
                outcome.request_id,
                int(outcome.latency_s * 1_000_000),
                self._commit.now_ms(),
                outcome.token if transition.state is RowState.TOKENIZED else None,
            )
        )
        self._count(transition, outcome)
        return transition

    def _count(self, transition: Transition, outcome: Outcome) -> None:
        flow = self._flow
        if outcome.latency_s:
            flow.latencies.add(outcome.latency_s)
        if transition.state is RowState.TOKENIZED:
            flow.tokenized += 1
        elif transition.state is RowState.REJECTED:
            flow.rejected += 1
        elif transition.state is RowState.FAILED:
            flow.failed += 1
        elif transition.state is RowState.HELD:
            flow.held += 1
        if transition.code is not None:
            flow.codes[transition.code] += 1
        flow.throttled += outcome.kind is OutcomeKind.THROTTLED
        flow.ambiguous += outcome.kind is OutcomeKind.AMBIGUOUS

    def _learn(self, outcome: Outcome) -> None:
        """Let flow control learn from an answer, and stop the run where it says so."""
        self._flow_control.report(outcome)
        if outcome.kind is OutcomeKind.OK:
            return
        if outcome.kind is OutcomeKind.FATAL:
            words = _REFUSED_SETTINGS.get(
                outcome.evidence, f"vault.url or vault.public_key: refused with {outcome.evidence}"
            )
            self.stop(
                VaultRefusedSettings(
                    [words], next_step="Correct it, then run the same command again."
                )
            )
        elif outcome.kind is OutcomeKind.MISMATCH:
            self.stop(mixed_up())
        elif self._flow.rejected + self._flow.failed + self._flow.held > self._policy.failures_max:
            self.stop(
                VaultUnavailable(
                    "more rows fail than rules.max_failure_rate allows",
                    next_step="Look at `cardferry status DIR`, then decide whether to go on.",
                )
            )


async def _ended(tasks: list[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


def mixed_up() -> VaultUnavailable:
    """Give the trouble that an answer for another card, or a token id given twice, means."""
    return VaultUnavailable(
        "the vault mixed cards up: an answer spoke of another card; the rows are held",
        next_step="Talk to the vault before you run again; `failures.csv` lists the rows.",
    )
