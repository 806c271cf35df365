"""Decides when one request may be sent: concurrency limit, circuit breaker, rate, retry, in that order.

The parts know nothing of one another; only this module knows how they work together.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from pipeline.clock import first_of, pause
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.flow.backoff import Backoff, RetryBudget
from pipeline.vault.flow.circuit_breaker import BreakerState, CircuitBreaker
from pipeline.vault.flow.row_refusals import Refusal, RowRefusals
from pipeline.vault.flow.send_queue import SendQueue

if TYPE_CHECKING:
    from random import Random

    from pipeline.clock import Clock
    from pipeline.metrics import Flow
    from pipeline.vault.flow.send_rate import AdaptiveRate

_LOOK_AGAIN_S: Final = 0.05


class ConcurrencyLimit:
    """A limit that halves when the vault struggles and grows by one with each round of answers.

    Args:
        slots_max: The most that are ever allowed; at least one always is, unless `allow` says none.
    """

    def __init__(self, slots_max: int) -> None:
        self.slots_max = slots_max
        self._busy: set[int] = set()
        self.opened = asyncio.Event()
        """Set when a slot was won back."""
        self._answers = 0
        self._cut_at = float("-inf")
        self.limit = slots_max

    @property
    def is_full(self) -> bool:
        """Whether every slot is allowed."""
        return self.limit == self.slots_max

    @property
    def held(self) -> int:
        """How many slots may have cards under way: those that are allowed, or still have one."""
        return max(self.slots_max, max(self._busy, default=-1) + 1)

    def begin(self, slot: int) -> bool:
        """Say whether a slot, counted from 0, is still allowed, now that it has a card."""
        if slot < self.slots_max:
            self._busy.add(slot)
            return True
        return False

    def end(self, slot: int) -> None:
        """Take in that a slot's card is done."""
        self._busy.discard(slot)

    def allow(self, slots_max: int) -> None:
        """Allow another number of slots from now on; those that have cards finish them."""
        self.limit = slots_max if self.is_full else min(self.limit, slots_max)
        self.slots_max = slots_max
        self.opened.set()

    def succeeded(self) -> bool:
        """Take in an answer; say whether it earned a slot more."""
        if self.limit == self.slots_max:
            return False
        self._answers += 1
        if self._answers < self.limit:
            return False
        self._answers = 0
        self.limit += 1
        self.opened.set()
        return True

    def failed(self, now: float, *, sent_at: float) -> None:
        """Take in a timeout or a 5xx: half the slots, once for all that left before the last cut."""
        if sent_at < self._cut_at:
            return
        self._cut_at = now
        self._answers = 0
        self.limit = min(max(self.limit // 2, 1), self.slots_max)


class FlowControl:
    """Decides when each attempt may be sent to one host.

    Args:
        rate: Spaces the sends; restored from the last run's good rate where there was one.
        limit: How many slots may be in use; two hosts that share their slots share it.
        clock: For every wait.
        random: For the jitter of retries.
        flow: Where rate, slots and breaker are shown.
        stopping: Set when the run is to stop; it cuts every wait short.
    """

    def __init__(
        self,
        rate: AdaptiveRate,
        limit: ConcurrencyLimit,
        clock: Clock,
        random: Random,
        flow: Flow,
        stopping: asyncio.Event,
    ) -> None:
        self._clock = clock
        self._random = random
        self._flow = flow
        self.stopping = stopping
        self.slots = limit.slots_max
        self._rate = rate
        self._queue = SendQueue(rate, clock, stopping)
        self._breaker = CircuitBreaker()
        self._limit = limit
        self._budget = RetryBudget(clock.monotonic())
        self._refusals = RowRefusals()
        self._successes = self._tokens = 0
        self._wide = self._undisturbed = False
        self.may_send_until = math.inf
        """The monotonic second from which on nothing may leave, until this is moved."""
        self._show()

    async def wait_for_slot(self, slot: int) -> bool:
        """Wait until this slot, counted from 0, may be used; say whether to go on at all."""
        while slot >= self._limit.limit and not self._wide and not self.stopping.is_set():
            self._limit.opened.clear()
            await first_of(self._limit.opened.wait(), self.stopping)
        self._budget.first_attempts += 1
        return not self.stopping.is_set()

    def begin_card(self, slot: int) -> bool:
        """Say whether a slot may go on with the card that it was given; it may have lost its turn."""
        return self._wide or self._limit.begin(slot)

    def end_card(self, slot: int) -> None:
        """Take in that a slot is done with its card."""
        self._limit.end(slot)

    def widen(self) -> None:
        """Let every slot through: there are no more rows, and those that wait should learn it."""
        self._wide = True
        self._limit.opened.set()

    async def reserve_turn(self) -> float | None:
        """Wait for the breaker's permit and a near turn; `None` when the run is to stop."""
        breaker = self._breaker
        if breaker.state is not BreakerState.CLOSED:
            while not breaker.permit(now := self._clock.monotonic()):
                await pause(self._clock, breaker.wait_s(now), self.stopping)
                if self.stopping.is_set():
                    return None
            self._show()
        turn = await self._queue.reserve()
        if turn is None:
            breaker.withdrawn()
        return turn

    def withdraw(self, turn: float) -> None:
        """Take in that nothing is sent in a turn that was reserved."""
        self._queue.withdraw(turn)
        self._breaker.withdrawn()

    def turn_at_once(self) -> float | None:
        """Give a turn that is near, without waiting; `None` where one would have to wait."""
        return self._queue.reserve_at_once() if self.is_closed else None

    def is_fit(self, within_s: float) -> bool:
        """Say whether the host works, and a request could leave within so many seconds."""
        return self.is_closed and self.wait_s() <= within_s

    @property
    def is_closed(self) -> bool:
        """Whether the breaker lets everything through."""
        return self._breaker.state is BreakerState.CLOSED

    def wait_s(self) -> float:
        """Give the seconds after which the rate lets the next request leave; 0 for now."""
        now = self._clock.monotonic()
        return max(0.0, self._rate.earliest(now) - now)

    async def wait_for_turn(self, turn: float) -> float | None:
        """Wait for the turn, or for another if it was missed.

        Returns:
            The monotonic second at which to send, now; `None` when the run is to stop.
        """
        sent_at = await self._queue.reach(turn)
        while sent_at is not None and sent_at >= self.may_send_until:
            await pause(self._clock, _LOOK_AGAIN_S, self.stopping)
            sent_at = await self._queue.reach(self._clock.monotonic())
        return sent_at

    def share(self, rate_per_s: float, closed_s: float = 0.0) -> None:
        """Send up to a rate from now on, and nothing for so long, as another was asked to wait."""
        self._rate.allow(rate_per_s)
        if closed_s:
            self._rate.hold_off(self._clock.monotonic(), closed_s)
        self._show()

    def stand_by(self, rate_per_s: float, good_per_s: float | None) -> None:
        """Take in what those find who send up to that rate instead; None for no limit so far."""
        self._rate.stand_by(rate_per_s, good_per_s)

    def report(self, outcome: Outcome, row: int, *, sent_at: float, now: float) -> Refusal | None:
        """Let every part draw its own conclusion from how an attempt ended.

        Args:
            outcome: What the attempt came to.
            row: Any number that tells this row from the others.
            sent_at: When it was sent, in monotonic seconds.
            now: When the answer came.

        Returns:
            Whom a refusal speaks of; `None` for what is no refusal. One that speaks of a single
            row, or may, changes neither rate nor breaker, and takes back what its first one cut.
        """
        kind = outcome.kind
        is_token = kind is OutcomeKind.OK
        if is_token or kind is OutcomeKind.REJECTED:
            self._successes += 1
            self._tokens += is_token
            if not self._undisturbed:
                self._succeeded(row, sent_at)
            return self._refusals.rejected_for_form(self._tokens) if outcome.is_of_form else None
        self._undisturbed = False
        refusal = None
        if kind is OutcomeKind.DENIED:
            refusal = self._refusals.denied(row, self._successes)
            self._breaker.withdrawn()
        elif kind is OutcomeKind.THROTTLED:
            refusal = self._refusals.throttled(row, self._successes)
            if refusal is Refusal.OF_ALL:
                self._rate.throttled(now, outcome.retry_after_s, sent_at=sent_at, by=row)
                self._breaker.throttled(now, sent_at=sent_at)
            else:
                self._rate.take_back(row)
                self._breaker.withdrawn()
        elif kind is not OutcomeKind.FATAL and kind is not OutcomeKind.MISMATCH:
            self._failed(outcome, sent_at, now)
        self._show()
        return refusal

    def closed_for_s(self) -> float:
        """Give for how long the host still wants to be left alone, as it said."""
        return self._rate.closed_for_s(self._clock.monotonic())

    def count(self, outcome: Outcome) -> None:
        """Count a request in the figures that progress shows."""
        self._flow.sent += outcome.kind is not OutcomeKind.NOT_SENT
        self._flow.count_answer(outcome)

    def backoff(self) -> Backoff:
        """Give what waits between the attempts of one row."""
        return Backoff(self._budget, self._random, self._clock, self.stopping)

    def outage_s(self) -> float:
        """Give how long nothing has been done for us although we asked."""
        return self._breaker.outage_s(self._clock.monotonic())

    def last_good_rate(self) -> float | None:
        """Give the rate for the next run to start from; `None` if the ceiling held."""
        return self._rate.good_per_s

    def _succeeded(self, row: int, sent_at: float) -> None:
        self._rate.succeeded(sent_at=sent_at)
        self._breaker.succeeded(sent_at=sent_at)
        self._limit.succeeded()
        if self._refusals.any_open:
            self._refusals.forget(row)
        # While nothing is lowered or remembered, a good answer changes nothing.
        self._undisturbed = (
            self._rate.good_per_s is None
            and self._breaker.is_untroubled
            and self._limit.is_full
            and not self._refusals.any_open
        )
        self._show()

    def _failed(self, outcome: Outcome, sent_at: float, now: float) -> None:
        self._breaker.failed(now, sent_at=sent_at)
        if outcome.kind is OutcomeKind.AMBIGUOUS:
            self._limit.failed(now, sent_at=sent_at)
        if outcome.retry_after_s:
            self._rate.hold_off(now, outcome.retry_after_s)

    def _show(self) -> None:
        flow, breaker = self._flow, self._breaker
        flow.rate_allowed = self._rate.rate_per_s
        flow.in_flight_limit = self._limit.limit
        flow.breaker = breaker.state.value
        flow.breaker_opened = breaker.opened
