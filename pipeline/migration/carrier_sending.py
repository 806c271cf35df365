"""Sends the rows of the chunks that a carrier takes, within its share, while its session is renewed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from pipeline.clock import beside
from pipeline.errors import CardferryError, Interrupted
from pipeline.ledger.ledger_thread import LedgerThread
from pipeline.ledger.sharing.sessions import session_over
from pipeline.migration.flow_sum import figures_of
from pipeline.migration.leasing import Leasing
from pipeline.migration.owned_cards import OwnedCards
from pipeline.migration.send import LocalSending, connected, in_thread, stopped_by_signals
from pipeline.migration.send_factory import send_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.ledger.sharing.jobs import Job
    from pipeline.ledger.sharing.joined import JoinedLedger
    from pipeline.ledger.sharing.shares import Share
    from pipeline.migration.judged_chunks import Reading
    from pipeline.migration.plan import PlannedExport
    from pipeline.migration.send_factory import SendParts

    Result = TypeVar("Result")

RENEWALS_A_TERM: Final = 6
_SOON_S: Final = 0.2
_BETWEEN_RENEWALS_MAX_S: Final = 1.0
_FORGETS_AFTER_S: Final = 60.0
"""A carrier that stands by, and hears of no limit for longer, knows nothing more of it."""
_TO_SEND_IN: Final = 2 / 3
"""The part of a term in which requests leave; the rest is for those that take long to leave."""


@dataclass(frozen=True, slots=True)
class CarrierSending(LocalSending):
    """What a carrier sends with; see `Sending`.

    Attributes:
        joined: The ledger, in the carrier's session.
        job: The run's job.
        exports: The run's exports by their number, held open.
        reading: How to read them.
    """

    joined: JoinedLedger
    job: Job
    exports: Mapping[int, PlannedExport]
    reading: Reading

    async def _send(self, work: Sequence[PlannedExport]) -> None:
        del work
        with (
            LedgerThread(self.joined) as ledger_thread,
            ThreadPoolExecutor(1, "reader") as reader_thread,
        ):
            leasing = Leasing(self.joined, ledger_thread, self.exports, self.reading)
            parts = send_parts(self, self._policy(), ledger_thread, on_done=leasing.done)
            owned = None
            if parts.attaching is not None:
                owned = OwnedCards(self.joined, parts.settling, parts.attaching)
            leasing.bind(parts, owned)
            keeping = _Keeping(self, parts, leasing, ledger_thread)
            keeping.allow(0)
            step = parts.attaching and parts.attaching.step

            def stop(number: int) -> None:
                parts.tokenizer.stop(Interrupted(number))
                self.joined.hurry(self.settings.flow.drain_s)

            with stopped_by_signals(stop, self.signals):
                async with connected(parts, self.listener, self.flow, self.clock):
                    async with beside(keeping.keep()):
                        cards = leasing.cards()
                        try:
                            await parts.tokenizer.tokenize(in_thread(cards, reader_thread), step)
                        finally:
                            reader_thread.submit(cards.close).result()
                    # What was done since the last renewal is given back before the session ends.
                    with suppress(CardferryError):
                        ledger_thread.submit(leasing.give_back).result()


def renewing(ledger: JoinedLedger, job: Job, work: Callable[[], Result]) -> Result:
    """Do something that asks the ledger nothing, in a thread, and renew the session meanwhile.

    The carrier has not begun by then: its part of slots and rate is with those who can send.

    Raises:
        LocalStorageFailed: The session is over, or the ledger's server did not come back in time.
        CardferryError: What the work raises.
    """
    thread = ThreadPoolExecutor(1, "reader")
    try:
        done = thread.submit(work)
        while wait([done], job.term_ms / 1_000 / RENEWALS_A_TERM).not_done:
            if ledger.again(lambda: ledger.renew(0, None)) is None:
                raise session_over()
        return done.result()
    finally:
        # Who is to stop does not wait for the end of a large file.
        thread.shutdown(wait=False)


class _Keeping:
    """Renews a carrier's session, and keeps it within its share of slots and rate."""

    def __init__(
        self,
        sending: CarrierSending,
        parts: SendParts,
        leasing: Leasing,
        thread: ThreadPoolExecutor,
    ) -> None:
        self._sending = sending
        self._parts = parts
        self._leasing = leasing
        self._thread = thread
        self._knew_at = sending.clock.monotonic()
        self._controls = [parts.flow_control]
        self._rates = [sending.settings.flow.rate_per_s]
        if parts.attaching is not None and sending.attach is not None:
            self._controls.append(parts.attaching.flow_control)
            self._rates.append(sending.attach.rate_per_s)

    async def keep(self) -> None:
        """Renew the session again and again; stop the sending where that is over."""
        clock, tokenizer = self._sending.clock, self._parts.tokenizer
        term_s = self._sending.job.term_ms / 1_000
        loop = asyncio.get_running_loop()
        while True:
            asked_at = clock.monotonic()
            try:
                renewing = loop.run_in_executor(self._thread, self._renew)
                while not renewing.done():
                    await asyncio.wait([renewing], timeout=term_s)
                    if not renewing.done():
                        self._sending.joined.break_off()
                share = await renewing
            except CardferryError as trouble:
                tokenizer.stop(trouble)
                return
            if share is None:
                tokenizer.stop(session_over())
                return
            for control in self._controls:
                control.may_send_until = asked_at + term_s * _TO_SEND_IN
            slots = min(share.slots, share.fair)
            self.allow(slots, closed_for_s=share.closed_for_s, good_per_s=share.good_per_s)
            if share.is_over:
                tokenizer.stop()
            is_settled = share.slots == share.fair
            often_s = min(term_s / RENEWALS_A_TERM, _BETWEEN_RENEWALS_MAX_S)
            await clock.sleep(often_s if is_settled else min(_SOON_S, often_s))

    def allow(
        self, slots: int, *, closed_for_s: float = 0.0, good_per_s: float | None = None
    ) -> None:
        """Use no more than so many slots from now on, and that part of the rates.

        Args:
            slots: So many; none is to stand by.
            closed_for_s: For how long nobody sends.
            good_per_s: What those who send have found that the vault bears, if they met a limit.
        """
        self._parts.limit.allow(slots)
        if not slots:
            self._stand_by(good_per_s)
            return
        part = slots / self._sending.job.in_flight_max
        for control, rate in zip(self._controls, self._rates, strict=True):
            closed_s = closed_for_s if control is self._parts.flow_control else 0.0
            control.share(rate * part, closed_s)

    def _stand_by(self, good_per_s: float | None) -> None:
        """Send nothing new, and once nothing is under way keep what the others find."""
        flow = self._sending.flow
        flow.in_flight_limit, flow.rate_allowed = 0, 0.0
        if self._parts.limit.held:
            return
        if good_per_s is not None:
            self._knew_at = self._sending.clock.monotonic()
        for control, rate in zip(self._controls, self._rates, strict=True):
            of_vault = control is self._parts.flow_control
            control.stand_by(rate, good_per_s if of_vault else None)

    def _renew(self) -> Share | None:
        sending = self._sending
        if not self._parts.tokenizer.is_stopping:
            self._leasing.give_back()
        closed_s = self._parts.flow_control.closed_for_s()
        good_rate = self._parts.flow_control.last_good_rate()
        now = sending.clock.monotonic()
        if self._parts.limit.held:
            self._knew_at = now
        elif now - self._knew_at > _FORGETS_AFTER_S:
            # Whoever sends in its place has met no limit for so long.
            good_rate = None
        figures = figures_of(sending.flow) | {"good_rate": good_rate}
        share = sending.joined.renew(self._parts.limit.held, figures, good_rate)
        if share is not None and closed_s > share.closed_for_s + _SOON_S:
            sending.joined.close_for_all(closed_s)
        return share
