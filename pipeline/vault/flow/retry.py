"""Decides when a row is tried again: jitter that doubles, and a budget for all rows together.

The only layer that sends anything twice. Whether a row may be tried again is the ledger
protocol's business; how soon, and how much of it the vault has to bear, is decided here.
Tenacity runs the loop; stop, wait and sleep are ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import tenacity

from pipeline.clock import pause
from pipeline.model import Outcome, OutcomeKind

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
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
        self._level = self.LEVEL_START
        self._at = now

    def first_attempt(self) -> None:
        """Pay a tenth in for a row's first attempt; what is above the cap is lost when drawn."""
        self._level += self.SHARE

    def draw(self, now: float, cost: float) -> float:
        """Take what a retry costs out; give the seconds until it is covered."""
        earned = (now - self._at) * self.REFILL_PER_S
        self._at = now
        self._level = min(self._level + earned, self.LEVEL_MAX) - cost
        return max(0.0, -self._level / self.REFILL_PER_S)


class Retry:
    """Tries rows again, with backoff and under the budget.

    Args:
        budget: Shared by all rows of the run.
        random: For jitter.
        clock: For the budget's time and for waits.
    """

    def __init__(self, budget: RetryBudget, random: Random, clock: Clock) -> None:
        self._budget = budget
        self._random = random
        self._clock = clock
        self.first_attempt = budget.first_attempt

    async def until_done(
        self,
        first: Outcome,
        attempt: Callable[[], Awaitable[Outcome | None]],
        stopping: asyncio.Event,
    ) -> None:
        """Attempt again until there is nothing more to try, or the run is to stop.

        Args:
            first: What the first attempt came to.
            attempt: Makes one whole attempt; gives its outcome if the row is to be tried again,
                `None` if it is done with.
            stopping: Set when the run is to stop; cuts a wait short.
        """
        earlier: list[Outcome] = [first]

        async def once() -> Outcome | None:
            # Tenacity waits only after an attempt, so its first one replays what happened; and it
            # asks for its stop only then, so a wait that was cut short must not be followed by one.
            if earlier:
                return earlier.pop()
            return None if stopping.is_set() else await attempt()

        retrying = tenacity.AsyncRetrying(
            sleep=lambda seconds: pause(self._clock, seconds, stopping),
            stop=lambda _: stopping.is_set(),
            wait=self._wait_s,
            retry=tenacity.retry_if_result(lambda outcome: outcome is not None),
            retry_error_callback=lambda _: None,
        )
        await retrying(once)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        last: Outcome = state.outcome.result()  # type: ignore[union-attr]
        if last.kind is OutcomeKind.THROTTLED:
            # The rate spaces throttled rows; a backoff on top would leave the quota unused.
            return last.retry_after_s or 0.0
        doublings = min(state.attempt_number - 1, _DOUBLINGS_MAX)
        backoff_s = self._random.uniform(0.0, min(CAP_S, BASE_S * 2.0**doublings))
        paid_s = self._budget.draw(self._clock.monotonic(), _COST.get(last.kind, 1.0))
        return max(backoff_s, paid_s, last.retry_after_s or 0.0)
