"""Sends what was planned (pass 2): the event loop, the threads beside it, and signals."""

from __future__ import annotations

import asyncio
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvloop

from pipeline.errors import CardferryError, Interrupted
from pipeline.ledger.early_sections import EarlySections
from pipeline.ledger.ledger_thread import thread_of
from pipeline.migration import export_factory
from pipeline.migration.claiming import Claiming
from pipeline.migration.run_request import Sending
from pipeline.migration.send_factory import SendParts, send_parts
from pipeline.migration.transitions import RetryPolicy
from pipeline.migration.waiting_cards import waiting_cards
from pipeline.signals import end_at_once, stopping_signals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence

    from pipeline.clock import Clock
    from pipeline.metrics import Flow, Listener
    from pipeline.migration.attach_step import AttachStep
    from pipeline.migration.plan import PlannedExport
    from pipeline.migration.tokenizer import Tokenizer
    from pipeline.migration.transitions import WaitingCard
    from pipeline.signals import DeferredSignals
    from pipeline.vault.interface import Vault

_MANY_ROWS: Final = 50_000
"""So many pay for a second process that works out what is published of them while they are sent."""
_WORKED_OUT_AT: Final = (0.6, 0.93)
"""The shares of rows that are settled when it pays to work out what is known of them: each time the
ledger is copied, and the last time is to be over when the last row is."""
_LOOKS_EVERY_S: Final = 0.1
_PASSES_MAX: Final = 20
"""So often cards are carried once more in one run, as tokens perished before they were used."""


@dataclass(frozen=True, slots=True)
class LocalSending(Sending):
    """Sends in this process."""

    def send(self, work: Sequence[PlannedExport]) -> None:
        """Send every planned row of the exports, on an event loop of its own.

        Raises:
            CardferryError: Why sending stopped early; what was answered is durable.
        """
        reserve = self.ledger.reserve
        # Two requests a row where cards are attached.
        requests = self.flow.total * (1 if self.attach is None else 2)
        reserve.ask_for_room(requests, self.settings.flow.in_flight_max)
        try:
            with (
                self.ledger.kept_open(),
                self.signals.held(),
                asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
            ):
                runner.run(self._send(work))
        finally:
            # The outputs are written into it, if need be.
            reserve.free()

    async def _send(self, work: Sequence[PlannedExport]) -> None:
        with (
            thread_of(self.ledger) as ledger_thread,
            ThreadPoolExecutor(1, "reader") as reader_thread,
        ):
            parts = send_parts(self, self._policy(), ledger_thread)

            def stop(number: int) -> None:
                parts.tokenizer.stop(Interrupted(number))
                self.ledger.hurry(self.settings.flow.drain_s)
                ledger_thread.submit(self.on_signal, number)

            with stopped_by_signals(stop, self.signals):
                async with connected(parts, self.listener, self.flow, self.clock):
                    early = asyncio.create_task(self._work_early(ledger_thread))
                    try:
                        await self._carry(parts, work, ledger_thread, reader_thread)
                    finally:
                        early.cancel()
                        with suppress(asyncio.CancelledError):
                            await early
                        # In the ledger's thread: a signal that comes now writes there, too.
                        ledger_thread.submit(self._note_rates, parts).result()

    async def _work_early(self, thread: ThreadPoolExecutor) -> None:
        """Have what was sent worked out for the outputs while the rest is sent, where it is much."""
        total = self.flow.total
        if total < _MANY_ROWS:
            return
        from pipeline.outputs.mapping_part import mapping_part  # noqa: PLC0415 - small runs do without.

        early = EarlySections(self.ledger, mapping_part)
        for share in _WORKED_OUT_AT:
            while self.flow.settled < share * total:  # noqa: ASYNC110 - it is a count of many.
                await asyncio.sleep(_LOOKS_EVERY_S)
            with suppress(CardferryError, OSError):
                # Whatever troubles the ledger or its file, the next batch meets.
                await asyncio.wrap_future(thread.submit(early.begin))
        await asyncio.wrap_future(thread.submit(early.expect_end))

    async def _carry(
        self,
        parts: SendParts,
        work: Sequence[PlannedExport],
        ledger_thread: ThreadPoolExecutor,
        reader_thread: ThreadPoolExecutor,
    ) -> None:
        attaching = parts.attaching
        claiming = Claiming(
            self.ledger,
            parts.settling,
            ledger_thread,
            lambda: parts.tokenizer.is_stopping,
            attaching and attaching.customers,
        )
        await self._send_all(
            parts.tokenizer,
            attaching and attaching.step,
            lambda: self._cards(work, parts.vault, claiming),
            reader_thread,
        )
        if attaching is not None and self.attach is not None:
            from pipeline.migration.replaced_cards import (  # noqa: PLC0415 - as in `send_parts`.
                ReplacedCards,
            )

            await ReplacedCards(
                self.ledger, ledger_thread, attaching.attacher, self.clock, self.attach
            ).finish()
            await parts.commit.drain()

    def _note_rates(self, parts: SendParts) -> None:
        """Enter the last outcomes into the trail, and keep the rates for the next run."""
        if parts.run_events is not None:
            parts.run_events.close()
        if parts.attaching is not None:
            from pipeline.migration.attach_factory import (  # noqa: PLC0415 - as in `send_parts`.
                LAST_GOOD_API_RATE,
            )

            good = repr(parts.attaching.flow_control.last_good_rate())
            self.ledger.remember(LAST_GOOD_API_RATE, good)

    async def _send_all(
        self,
        tokenizer: Tokenizer,
        step: AttachStep | None,
        give: Callable[[], Generator[list[WaitingCard]]],
        thread: ThreadPoolExecutor,
    ) -> None:
        """Send every card, and those once more whose tokens had perished in between."""
        for _ in range(_PASSES_MAX):
            cards = give()
            try:
                await tokenizer.tokenize(in_thread(cards, thread, _load_what_publishes), step)
            finally:
                thread.submit(cards.close).result()
            if step is None or not step.retired:
                return
            step.retired = 0

    def _policy(self) -> RetryPolicy:
        settings = self.settings.flow
        return RetryPolicy(
            attempts_max=settings.attempts_max,
            on_ambiguous=settings.on_ambiguous,
            outage_max_s=settings.outage_max_s,
            drain_s=settings.drain_s,
            failures_max=self.failures_max,
        )

    def _cards(
        self, work: Sequence[PlannedExport], vault: Vault, claiming: Claiming
    ) -> Generator[list[WaitingCard]]:
        """Give the waiting cards of all exports, as many as the limit allows."""
        left = self.limit
        for cards in self._all_cards(work, vault, claiming):
            if left is None:
                yield cards
                continue
            for card in cards[left:]:
                card.wipe()
            yield cards[:left]
            left -= len(cards[:left])
            if left == 0:
                return
        # What other exports' rows settled meanwhile need not be sent.
        self.flow.total -= claiming.take_resolved() if left is None else 0

    def _all_cards(
        self, work: Sequence[PlannedExport], vault: Vault, claiming: Claiming
    ) -> Generator[list[WaitingCard]]:
        """Give the waiting cards of all exports: those in doubt first, their customers may wait."""
        reading = export_factory.reading(self.settings)
        for sealed, file, known in work:
            left = claiming.in_doubt(known.first_id, known.last_id)
            if left:
                first = waiting_cards(sealed, file, known, reading, vault, claiming.wanted_first)
                for cards in first:
                    yield cards
                    left -= len(cards)
                    if left <= 0:
                        break
                first.close()
        for sealed, file, known in work:
            yield from waiting_cards(sealed, file, known, reading, vault, claiming.wanted)


@asynccontextmanager
async def connected(
    parts: SendParts, listener: Listener, flow: Flow, clock: Clock
) -> AsyncIterator[None]:
    """Keep the lines to the vault's hosts for as long as the context lasts, and show the flow."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(parts.line)
        if parts.attaching is not None:
            await stack.enter_async_context(parts.attaching.line)
        await stack.enter_async_context(listener.sending(flow, clock))
        yield


async def in_thread(
    cards: Iterator[list[WaitingCard]],
    thread: ThreadPoolExecutor,
    meanwhile: Callable[[], None] | None = None,
) -> AsyncIterator[list[WaitingCard]]:
    """Read one batch ahead in a thread: decryption and parsing must not stop the sends.

    Args:
        cards: Batches of cards.
        thread: Where they are read.
        meanwhile: Called here while the first of them is read.
    """
    loop = asyncio.get_running_loop()
    ahead = loop.run_in_executor(thread, next, cards, None)
    if meanwhile is not None:
        meanwhile()
    while (batch := await ahead) is not None:
        ahead = loop.run_in_executor(thread, next, cards, None)
        yield batch


def _load_what_publishes() -> None:
    """Load what is needed later anyway, as there is nothing to do before the first cards come."""
    import pipeline.outputs.publisher  # noqa: F401, PLC0415


@contextmanager
def stopped_by_signals(first: Callable[[int], None], signals: DeferredSignals) -> Iterator[None]:
    """Let the first signal drain and the second end the process at once."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def stop(number: int) -> None:
        if seen:
            end_at_once(number)
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
