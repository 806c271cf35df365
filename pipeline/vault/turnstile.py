"""The one way to the vault for many rows: waiting rows in, turns of the pace out, in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pipeline.vault.waiting import pause

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.vault.pace import Pace

LEAD_S: Final = 0.02
"""How long before its instant a turn is handed out: time to make a row's intent durable."""


_PRECISION_S: Final = 1e-6
"""Waits shorter than this are over: floating-point time may not move by less."""


class Turnstile:
    """Hands turns out first come, first served, and never far ahead.

    A turn is handed out only shortly before its instant, so that a change of the rate reaches
    every row that still waits, and so that few rows have an open intent in the ledger.

    Args:
        pace: The pure part that knows the instants.
        clock: Whose monotonic time the pace runs on.
    """

    def __init__(self, pace: Pace, clock: Clock) -> None:
        self._pace = pace
        self._clock = clock
        self._line = asyncio.Lock()

    async def reserve(self, stopping: asyncio.Event) -> float | None:
        """Wait until a turn is near and take it; `None` when the run is to stop."""
        pace, clock = self._pace, self._clock
        if not self._line.locked() and not stopping.is_set():
            now = clock.monotonic()
            if pace.earliest(now) <= now + LEAD_S:
                return pace.reserve(now)
        async with self._line:
            while not stopping.is_set():
                now = clock.monotonic()
                early_s = pace.earliest(now) - now - LEAD_S
                if early_s <= _PRECISION_S:
                    return pace.reserve(now)
                await pause(clock, early_s, stopping)
        return None

    async def reach(self, turn: float, stopping: asyncio.Event) -> bool:
        """Wait for the turn's instant; take another one when it was missed.

        A stalled disk or a gate makes rows late; leaving all at once would bunch the sends.

        Returns:
            Whether to send, now. Not to send means that the run is to stop.
        """
        while not stopping.is_set():
            now = self._clock.monotonic()
            if turn - now > _PRECISION_S:
                await pause(self._clock, turn - now, stopping)
            elif self._pace.still_valid(turn, now):
                return True
            else:
                again = await self.reserve(stopping)
                if again is None:
                    break
                turn = again
        return False
