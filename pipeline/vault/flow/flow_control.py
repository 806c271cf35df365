"""Decides when one request may be sent: concurrency limit, circuit breaker, rate, retry, in that order.

The parts know nothing of one another; only this module knows how they work together.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pipeline.clock import first_of, pause
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.flow.circuit_breaker import BreakerState, CircuitBreaker
from pipeline.vault.flow.retry import Retry, RetryBudget
from pipeline.vault.flow.send_queue import SendQueue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from random import Random

    from pipeline.clock import Clock
    from pipeline.metrics import Flow
    from pipeline.vault.flow.send_rate import AdaptiveRate


class ConcurrencyLimit:
    """A limit that halves when the vault struggles and grows by one with each round of answers.

    Args:
        slots_max: The most that are ever allowed; at least one always is.
    """

    def __init__(self, slots_max: int) -> None:
        self._slots_max = slots_max
        self._answers = 0
        self._cut_at = float("-inf")
        self.limit = slots_max

    def succeeded(self) -> bool:
        """Take in an answer; say whether it earned a slot more."""
        if self.limit == self._slots_max:
            return False
        self._answers += 1
        if self._answers < self.limit:
            return False
        self._answers = 0
        self.limit += 1
        return True

    def failed(self, now: float, *, sent_at: float) -> None:
        """Take in a timeout or a 5xx: half the slots, once for all that left before the last cut."""
        if sent_at < self._cut_at:
            return
        self._cut_at = now
        self._answers = 0
        self.limit = max(self.limit // 2, 1)


class FlowControl:
    """What stands between a row and the vault.

    Args:
        rate: Spaces the sends; restored from the last run's good rate where there was one.
        slots: The most requests under way at once.
        clock: For every wait and every judgement of time.
        random: For the jitter of retries.
        flow: Where rate, slots and breaker are shown.
    """

    def __init__(
        self, rate: AdaptiveRate, slots: int, clock: Clock, random: Random, flow: Flow
    ) -> None:
        self.slots = slots
        self._clock = clock
        self._flow = flow
        self._rate = rate
        self._queue = SendQueue(rate, clock)
        self._breaker = CircuitBreaker()
        self._in_flight = ConcurrencyLimit(slots)
        self._retry = Retry(RetryBudget(clock.monotonic()), random, clock)
        self._opened = asyncio.Event()
        self._wide = False
        self.first_attempt = self._retry.first_attempt
        self._show()

    async def wait_for_slot(self, slot: int, stopping: asyncio.Event) -> bool:
        """Wait until this slot, counted from 0, may be used; say whether to go on at all."""
        while slot >= self._in_flight.limit and not self._wide and not stopping.is_set():
            self._opened.clear()
            await first_of(self._opened.wait(), stopping)
        return not stopping.is_set()

    def widen(self) -> None:
        """Let every slot through: there are no more rows, and those that wait should learn it."""
        self._wide = True
        self._opened.set()

    async def reserve_turn(self, stopping: asyncio.Event) -> float | None:
        """Wait for the breaker's permit and a near turn; `None` when the run is to stop."""
        breaker = self._breaker
        if breaker.state is not BreakerState.CLOSED:
            while not breaker.permit(now := self._clock.monotonic()):
                await pause(self._clock, breaker.wait_s(now), stopping)
                if stopping.is_set():
                    return None
            self._show()
        turn = await self._queue.reserve(stopping)
        if turn is None:
            breaker.withdrawn()
        return turn

    async def wait_for_turn(self, turn: float, stopping: asyncio.Event) -> bool:
        """Wait for the turn, or for another if it was missed; say whether to send now."""
        return await self._queue.reach(turn, stopping)

    def report(self, outcome: Outcome) -> None:
        """Let every part draw its own conclusion from how an attempt ended."""
        now = self._clock.monotonic()
        kind, sent_at = outcome.kind, now - outcome.latency_s
        if kind is OutcomeKind.OK or kind is OutcomeKind.REJECTED:
            self._rate.succeeded(sent_at=sent_at)
            self._breaker.succeeded(sent_at=sent_at)
            if self._in_flight.succeeded():
                self._opened.set()
        elif kind is OutcomeKind.THROTTLED:
            self._rate.throttled(now, outcome.retry_after_s, sent_at=sent_at)
            self._breaker.throttled(now, sent_at=sent_at)
        elif kind is not OutcomeKind.FATAL and kind is not OutcomeKind.MISMATCH:
            self._breaker.failed(now, sent_at=sent_at)
            if kind is OutcomeKind.AMBIGUOUS:
                self._in_flight.failed(now, sent_at=sent_at)
            if outcome.retry_after_s:
                self._rate.hold_off(now, outcome.retry_after_s)
        self._show()

    async def retry(
        self,
        outcome: Outcome,
        attempt: Callable[[], Awaitable[Outcome | None]],
        stopping: asyncio.Event,
    ) -> None:
        """Try a row again until `attempt` gives `None` or the run is to stop."""
        await self._retry.until_done(outcome, attempt, stopping)

    def outage_s(self) -> float:
        """Give how long nothing has been done for us although we asked."""
        return self._breaker.outage_s(self._clock.monotonic())

    def last_good_rate(self) -> float | None:
        """Give the rate for the next run to start from; `None` if the ceiling held."""
        return self._rate.good_per_s

    def _show(self) -> None:
        flow, breaker = self._flow, self._breaker
        flow.rate_allowed = self._rate.rate_per_s
        flow.in_flight_limit = self._in_flight.limit
        flow.breaker = breaker.state.value
        flow.breaker_opened = breaker.opened
