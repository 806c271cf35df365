"""Rows, slots and a vault whose health is a function of time, run through the real flow control."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING

from pipeline.metrics import Flow
from pipeline.model import Outcome, OutcomeKind
from pipeline.vault.flow.flow_control import ConcurrencyLimit, FlowControl
from pipeline.vault.flow.send_rate import AdaptiveRate
from tests.support.virtual_time import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable

OK = Outcome(OutcomeKind.OK, "token")
ILL = Outcome(OutcomeKind.AMBIGUOUS, "status 500")


class Migration:
    """A small tokenizer: each slot takes rows and attempts them as flow control says."""

    def __init__(
        self,
        vault: Callable[[float], Outcome],
        *,
        rows: int,
        rate_per_s: float = 50,
        slots: int = 8,
        latency_s: float = 0.1,
        seed: int = 1,
    ) -> None:
        self.vault = vault
        self.left = rows
        self.latency_s = latency_s
        self.clock = VirtualClock()
        self.flow = Flow()
        self.pace = AdaptiveRate(rate_per_s)
        self.stopping = asyncio.Event()
        self.flow_control = FlowControl(
            self.pace, ConcurrencyLimit(slots), self.clock, Random(seed), self.flow, self.stopping
        )
        self.sends: list[float] = []
        self.good: list[float] = []
        self.breakers: list[tuple[float, str]] = []
        self.outage_s = 0.0
        self.under_way = 0
        self.crowd: list[tuple[float, int]] = []
        """At each send, how many were under way with it."""

    async def run(self) -> Migration:
        await asyncio.gather(*(self._slot(number) for number in range(self.flow_control.slots)))
        return self

    def most_under_way(self, since: float = 0.0, until: float = float("inf")) -> int:
        return max(many for at, many in self.crowd if since <= at < until)

    async def _slot(self, number: int) -> None:
        while await self.flow_control.wait_for_slot(number) and self.left:
            self.left -= 1
            row, backoff = self.left, self.flow_control.backoff()
            while (outcome := await self._attempt(row)) is not None:
                if not await backoff.wait(outcome):
                    break
        self.flow_control.widen()

    async def _attempt(self, row: int) -> Outcome | None:
        turn = await self.flow_control.reserve_turn()
        if turn is None:
            return None
        sent_at = await self.flow_control.wait_for_turn(turn)
        if sent_at is None:
            return None
        self.sends.append(sent_at)
        self.under_way += 1
        self.crowd.append((sent_at, self.under_way))
        await asyncio.sleep(self.latency_s)
        self.under_way -= 1
        outcome = self.vault(sent_at)
        self.flow_control.report(outcome, row, sent_at=sent_at, now=self.clock.monotonic())
        self.outage_s = max(self.outage_s, self.flow_control.outage_s())
        if not self.breakers or self.breakers[-1][1] != self.flow.breaker:
            self.breakers.append((self.clock.monotonic(), self.flow.breaker))
        if outcome.kind is OutcomeKind.OK:
            self.good.append(self.clock.monotonic())
            return None
        return outcome
