"""Sends what was planned (pass 2): the event loop, the threads beside it, and signals."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvloop

from pipeline.errors import CardferryError, Interrupted
from pipeline.ledger.group_commit import GroupCommit
from pipeline.ledger.run_events import LAST_GOOD_RATE, RunEvents
from pipeline.ledger.settling import Settling
from pipeline.migration import parts, vault_parts
from pipeline.migration.tokenizer import Tokenizer
from pipeline.migration.transitions import RetryPolicy
from pipeline.migration.troubles import mixed_up
from pipeline.migration.waiting_cards import waiting_cards
from pipeline.signals import stopping_signals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
    from random import Random

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.records import Claim
    from pipeline.metrics import Flow, Listener
    from pipeline.migration.plan import PlannedExport
    from pipeline.migration.transitions import WaitingCard
    from pipeline.signals import DeferredSignals
    from pipeline.vault.interface import Vault

RIVALS_EVERY_S: Final = 0.02
"""How often a range of rows that waits for another export's rows looks whether they settled."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What sending needs, put together by the run.

    Attributes:
        settings: The settings in force.
        credentials: The vault's key.
        ledger: Open, in this run's epoch.
        clock: For waits and latencies.
        random: For jitter.
        listener: Shows the flow.
        flow: The figures it shows.
        signals: Takes stopping signals while no event loop does.
        limit: Send at most this many rows; None for all.
        failures_max: More failures than this stop the run.
        on_signal: Told a stopping signal's number, in the ledger's thread.
    """

    settings: Settings
    credentials: Credentials
    ledger: Ledger
    clock: Clock
    random: Random
    listener: Listener
    flow: Flow
    signals: DeferredSignals
    limit: int | None
    failures_max: int
    on_signal: Callable[[int], None]

    def send(self, work: Sequence[PlannedExport]) -> None:
        """Send every planned row of the exports, on an event loop of its own.

        Raises:
            CardferryError: Why sending stopped early; what was answered is durable.
        """
        reserve = self.ledger.reserve
        reserve.ask_for_room(self.flow.total, self.settings.flow.in_flight_max)
        try:
            with (
                self.signals.held(),
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                runner.run(self._send(work))
        finally:
            # The outputs are written into it, if need be.
            reserve.free()

    async def _send(self, work: Sequence[PlannedExport]) -> None:
        settings, flow = self.settings.flow, self.flow
        stopping = asyncio.Event()
        flow_control = vault_parts.flow_control(
            self.settings,
            clock=self.clock,
            random=self.random,
            flow=flow,
            stopping=stopping,
            last_good=self.ledger.recall(LAST_GOOD_RATE),
        )
        run_events = RunEvents(self.ledger, flow, flow_control.last_good_rate)
        settling = Settling(self.ledger, settings.in_flight_max, run_events)
        with (
            ThreadPoolExecutor(1, "ledger") as ledger_thread,
            ThreadPoolExecutor(1, "reader") as reader_thread,
        ):
            line = vault_parts.transport(self.settings)
            commit = GroupCommit(
                settling,
                ledger_thread,
                lambda _rows: tokenizer.stop(mixed_up()),
                lambda failure: tokenizer.stop(_trouble(failure)),
                settings.in_flight_max,
            )
            vault = vault_parts.client(self.settings, self.credentials, line, self.clock)
            tokenizer = Tokenizer(
                vault=vault,
                commit=commit,
                flow_control=flow_control,
                policy=RetryPolicy(
                    attempts_max=settings.attempts_max,
                    on_ambiguous=settings.on_ambiguous,
                    outage_max_s=settings.outage_max_s,
                    drain_s=settings.drain_s,
                    failures_max=self.failures_max,
                ),
                clock=self.clock,
                flow=flow,
            )

            def claim(first_id: int, last_id: int) -> list[Claim] | None:
                while ledger_thread.submit(settling.has_rivals, first_id, last_id).result():
                    if tokenizer.is_stopping:
                        break
                    threading.Event().wait(RIVALS_EVERY_S)
                if tokenizer.is_stopping:
                    return None
                return ledger_thread.submit(settling.claimable, first_id, last_id).result()

            cards = self._cards(work, vault, claim)

            def stop(number: int) -> None:
                tokenizer.stop(Interrupted(number))
                ledger_thread.submit(self.on_signal, number)

            with _stopped_by_signals(stop, self.signals):
                async with line, self.listener.sending(flow, self.clock):
                    try:
                        await tokenizer.tokenize(_in_thread(cards, reader_thread))
                    finally:
                        reader_thread.submit(cards.close).result()
                        # In the ledger's thread: a signal that comes now writes there, too.
                        ledger_thread.submit(run_events.close).result()

    def _cards(
        self,
        work: Sequence[PlannedExport],
        vault: Vault,
        claim: Callable[[int, int], list[Claim] | None],
    ) -> Generator[list[WaitingCard]]:
        """Give the waiting cards of all exports, as many as the limit allows."""
        reading = parts.reading(self.settings)
        left = self.limit
        for sealed, file, known in work:
            for cards in waiting_cards(sealed, file, known, reading, vault, claim):
                if left is None:
                    yield cards
                    continue
                for card in cards[left:]:
                    card.wipe()
                yield cards[:left]
                left -= len(cards[:left])
                if left == 0:
                    return


def _trouble(failure: BaseException) -> CardferryError | None:
    """Give what stops a run; a bug is raised by whoever met it."""
    return failure if isinstance(failure, CardferryError) else None


async def _in_thread(
    cards: Iterator[list[WaitingCard]], thread: ThreadPoolExecutor
) -> AsyncIterator[list[WaitingCard]]:
    """Read one batch ahead in a thread: decryption and parsing must not stop the sends."""
    loop = asyncio.get_running_loop()
    ahead = loop.run_in_executor(thread, next, cards, None)
    while (batch := await ahead) is not None:
        ahead = loop.run_in_executor(thread, next, cards, None)
        yield batch


@contextmanager
def _stopped_by_signals(first: Callable[[int], None], signals: DeferredSignals) -> Iterator[None]:
    """Let the first signal drain and the second end the process at once."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def stop(number: int) -> None:
        if seen:
            # Rows in flight become ambiguous; the next run counts and settles them.
            os._exit(128 + number)
        seen.append(number)
        first(number)

    before = {number: signal.getsignal(number) for number in stopping_signals()}
    for number in before:
        loop.add_signal_handler(number, stop, int(number))
    if signals.waiting is not None:
        stop(signals.waiting)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
