"""Hands out turns to send, first come, first served, each shortly before its instant."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from pipeline.clock import pause

if TYPE_CHECKING:
    from pipeline.clock import Clock
    from pipeline.vault.flow.send_rate import AdaptiveRate

LEAD_S: Final = 0.02
LEAD_MAX_S: Final = 2.0
"""How long before its instant a turn is handed out: time to make a row's intent durable. It grows
with what the disk is seen to take, or a slow disk would make every row miss its turn."""

_LEAD_EASES: Final = 0.02
"""A row that was ready in less time takes off so much of what the lead is too long by."""

_PRECISION_S: Final = 1e-6
"""Waits shorter than this are over: floating-point time may not move by less."""


class SendQueue:
    """Hands turns out first come, first served, and never far ahead.

    A turn is handed out only shortly before its instant, so that a change of the rate reaches
    every row that still waits, and so that few rows have an open intent in the ledger.

    Args:
        rate: Knows the instant of the next send.
        clock: Whose monotonic time the rate runs on.
        stopping: Set when the run is to stop.
    """

    def __init__(self, rate: AdaptiveRate, clock: Clock, stopping: asyncio.Event) -> None:
        self._rate = rate
        self._clock = clock
        self._stopping = stopping
        self._line = asyncio.Lock()
        self._lead_s = LEAD_S
        self._handed_out: dict[float, float] = {}

    async def reserve(self) -> float | None:
        """Wait until a turn is near and take it; `None` when the run is to stop."""
        turn = self.reserve_at_once()
        if turn is not None:
            return turn
        rate, clock, stopping = self._rate, self._clock, self._stopping
        async with self._line:
            while not stopping.is_set():
                now = clock.monotonic()
                turn = rate.reserve_within(now, self._lead_s + _PRECISION_S)
                if turn is not None:
                    self._handed_out[turn] = now
                    return turn
                await pause(clock, rate.earliest(now) - now - self._lead_s, stopping)
        return None

    def reserve_at_once(self) -> float | None:
        """Take a turn that is near; `None` where there is none, or others wait before."""
        if self._line.locked() or self._stopping.is_set():
            return None
        now = self._clock.monotonic()
        turn = self._rate.reserve_within(now, self._lead_s)
        if turn is not None:
            self._handed_out[turn] = now
        return turn

    def withdraw(self, turn: float) -> None:
        """Forget a turn that was taken and is not used."""
        self._handed_out.pop(turn, None)

    async def reach(self, turn: float) -> float | None:
        """Wait for the turn's instant; take another one when it was missed.

        A stalled disk or a Retry-After makes rows late; leaving all at once would bunch the sends.

        Returns:
            When to send, which is now; `None` means that the run is to stop.
        """
        now = self._clock.monotonic()
        self._adapt(now - self._handed_out.pop(turn, now))
        while not self._stopping.is_set():
            if turn - now > _PRECISION_S:
                await pause(self._clock, turn - now, self._stopping)
            elif self._rate.depart(turn, now):
                return now
            else:
                again = await self.reserve()
                if again is None:
                    break
                self._handed_out.pop(again, None)
                turn = again
            now = self._clock.monotonic()
        return None

    def _adapt(self, took_s: float) -> None:
        """Let the lead follow how long rows take from their turn to their durable intent."""
        if took_s > self._lead_s:
            self._lead_s = min(took_s, LEAD_MAX_S)
        elif self._lead_s > LEAD_S:
            self._lead_s -= _LEAD_EASES * (self._lead_s - max(took_s, LEAD_S))
