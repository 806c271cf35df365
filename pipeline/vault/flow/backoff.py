"""Waits before a row is tried again: jitter that doubles, and a budget for all rows together.

The only layer that sends anything twice. Whether a row may be tried again is the ledger
protocol's business; how soon, and how much of it the vault has to bear, is decided here.
The row's own loop asks (`migration.tokenizer`); tenacity keeps what was tried, the wait and the
stop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import tenacity

from pipeline.clock import pause
from pipeline.model import Outcome, OutcomeKind

if TYPE_CHECKING:
    import asyncio
    from random import Random

    from pipeline.clock import Clock

BASE_S: Final = 0.5
CAP_S: Final = 60.0
"""Full jitter: a wait is anything between zero and 0.5 s doubled with each retry, up to 60 s."""

_DOUBLINGS_MAX: Final = 10
_COST: Final = {OutcomeKind.AMBIGUOUS: 2.0, OutcomeKind.THROTTLED: 0.0}


class RetryBudget:
    """Keeps retries to a tenth of the first attempts, plus one a second.

    It never says no: it says how long to wait until the retry is paid for, which under a lasting
    outage is what keeps attempts near the number of rows.

    Args:
        now: Monotonic seconds at the start.
    """

    SHARE: Final = 0.1
    REFILL_PER_S: Final = 1.0
    LEVEL_START: Final = 10.0
    LEVEL_MAX: Final = 100.0

    def __init__(self, now: float) -> None:
        self.first_attempts = 0
        """Counted by whoever makes them; each pays a tenth in when the next retry is drawn."""
        self._paid = 0
        self._level = self.LEVEL_START
        self._at = now

    def draw(self, now: float, cost: float) -> float:
        """Take what a retry costs out; give the seconds until it is covered."""
        earned = (now - self._at) * self.REFILL_PER_S
        earned += (self.first_attempts - self._paid) * self.SHARE
        self._at, self._paid = now, self.first_attempts
        self._level = min(self._level + earned, self.LEVEL_MAX) - cost
        return max(0.0, -self._level / self.REFILL_PER_S)


class _WaitForRetry(tenacity.wait.wait_base):
    """Gives the seconds before the next attempt: the longest of jitter, budget and Retry-After."""

    def __init__(self, budget: RetryBudget, random: Random, clock: Clock) -> None:
        self._budget = budget
        self._random = random
        self._clock = clock

    def __call__(self, retry_state: tenacity.RetryCallState) -> float:
        last: Outcome = retry_state.outcome.result()  # type: ignore[union-attr]
        if last.kind is OutcomeKind.THROTTLED:
            # The rate spaces throttled rows; a backoff on top would leave the quota unused.
            return last.retry_after_s or 0.0
        doublings = min(retry_state.attempt_number - 1, _DOUBLINGS_MAX)
        backoff_s = self._random.uniform(0.0, min(CAP_S, BASE_S * 2.0**doublings))
        paid_s = self._budget.draw(self._clock.monotonic(), _COST.get(last.kind, 1.0))
        return max(backoff_s, paid_s, last.retry_after_s or 0.0)


class Backoff:
    """Waits between the attempts of one row; made when its first attempt has failed.

    Args:
        budget: Shared by all rows of the run.
        random: For jitter.
        clock: For the budget's time and for waits.
        stopping: Set when the run is to stop; cuts a wait short.
    """

    def __init__(
        self, budget: RetryBudget, random: Random, clock: Clock, stopping: asyncio.Event
    ) -> None:
        self._clock = clock
        self._stopping = stopping
        self._wait_s = _WaitForRetry(budget, random, clock)
        self._stop = tenacity.stop_when_event_set(stopping)  # type: ignore[arg-type]
        self._state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type]

    async def wait(self, outcome: Outcome) -> bool:
        """Wait before the next attempt; say whether to make it, or else the run is to stop.

        Args:
            outcome: What the last attempt came to.
        """
        state = self._state
        state.set_result(outcome)
        if not self._stop(state):
            await pause(self._clock, self._wait_s(state), self._stopping)
        state.prepare_for_next_attempt()
        return not self._stop(state)
