"""Has carriers send a run's rows: hands chunks out, follows the carriers, and ends when all is done."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, TypeVar

import uvloop

from pipeline import __version__
from pipeline.clock import pause
from pipeline.config.loading import meaning_digest
from pipeline.errors import (
    CardferryError,
    CardNumberFound,
    ExportRefused,
    Interrupted,
    LocalStorageFailed,
    SettingsRefused,
    VaultRefusedSettings,
    VaultUnavailable,
    VerificationFailed,
)
from pipeline.ledger.ledger_thread import LedgerThread
from pipeline.ledger.run_events import RunEvents
from pipeline.ledger.sharing.coordinator import Coordinator
from pipeline.ledger.sharing.jobs import Job
from pipeline.logs import EventLog
from pipeline.metrics import Flow
from pipeline.migration.flow_sum import put_together
from pipeline.migration.send import stopped_by_signals
from pipeline.migration.transitions import RETRIES_OF_UNKNOWN
from pipeline.migration.troubles import too_many_failures

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.ledger.sharing.coordinator import CarriersState
    from pipeline.ledger.sharing.sessions import Session
    from pipeline.migration.plan import PlannedExport
    from pipeline.migration.run_request import Child, Launch, Sending

    Answer = TypeVar("Answer")

_BETWEEN_LOOKS_S: Final = 0.5
_LEAVES_WITHIN_S: Final = 10.0
"""How long a carrier may take to end beyond what its drain may; longer only if it is frozen."""
_STARTS_IN_VAIN_MAX: Final = 5
"""So many carriers in a row may die without a row being settled before the run gives up."""
_ENDS_THE_SAME_WAY: Final = frozenset({2, ExportRefused.exit_code, SettingsRefused.exit_code})
"""How a carrier ends whose machine has other settings or exports; others may be at work elsewhere."""

log = EventLog("carriers")


def send_by_carriers(sending: Sending, work: Sequence[PlannedExport], launch: Launch) -> None:
    """Have every planned row of the exports sent by carriers; what they need is the run's.

    Args:
        sending: What the run sends with.
        work: The exports that have rows to send.
        launch: How carriers are started, and how many.

    Raises:
        CardferryError: Why sending stopped early; what was answered is durable.
    """
    ledger, flow = sending.ledger, sending.settings.flow
    with launch.starting() as start:
        coordinator = Coordinator(ledger)
        if sending.attach is not None:
            sending.flow.is_attaching, sending.flow.api = True, Flow()
        job, exports = _job(sending, work), [export.known.id for export in work]
        found = ledger.again(lambda: coordinator.begin(job, exports, flow.chunk_rows))
        log.info("chunks handed out", chunks=found, carriers=launch.count)
        with (
            sending.signals.held(),
            LedgerThread(ledger) as thread,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            following = _Following(sending, launch.count, start, coordinator, thread)
            runner.run(following.follow())


def _job(sending: Sending, work: Sequence[PlannedExport]) -> Job:
    settings = sending.settings
    orders: dict[str, Any] = {
        "flow": settings.flow.model_dump(mode="json"),
        "attach": sending.attach is not None,
        "failures_max": sending.failures_max,
        "exports": [
            {
                "name": export.known.name,
                "sha256": export.known.sha256,
                "path": str(export.sealed.path.absolute()),
            }
            for export in work
        ],
    }
    return Job(
        sending.ledger.epoch,
        __version__,
        meaning_digest(settings),
        orders,
        settings.flow.in_flight_max,
        int(settings.ledger.session_s * 1_000),
        RETRIES_OF_UNKNOWN[settings.flow.on_ambiguous],
    )


class _Following:
    """Follows the carriers of a run to their end."""

    def __init__(
        self,
        sending: Sending,
        count: int,
        start: Callable[[], Child],
        coordinator: Coordinator,
        thread: LedgerThread,
    ) -> None:
        self._sending = sending
        self._count = count
        self._start = start
        self._coordinator = coordinator
        self._thread = thread
        self._stopping = asyncio.Event()
        self._trouble: CardferryError | None = None
        self._children: list[Child] = []
        self._in_vain = 0
        self._said = ""
        self._settled = 0
        self._heard: set[int] = set()
        self._good_rate: float | None = None
        self._told: Counter[str] = Counter()
        self._events = RunEvents(sending.ledger, sending.flow, lambda: self._good_rate)

    async def follow(self) -> None:
        """Start carriers, show what they do, and wait until the last one has left.

        Raises:
            CardferryError: Why the sending stopped early.
        """
        sending = self._sending

        def stop(number: int) -> None:
            self._stop(Interrupted(number))
            sending.ledger.hurry(sending.settings.flow.drain_s)
            self._thread.submit(sending.on_signal, number)

        self._children = [self._start() for _ in range(self._count)]
        try:
            with stopped_by_signals(stop, sending.signals):
                async with sending.listener.sending(sending.flow, sending.clock):
                    while self._goes_on(await self._ask(self._look)):
                        await pause(sending.clock, _BETWEEN_LOOKS_S, self._stopping)
                    await self._see_them_off()
        finally:
            # Closing their inputs lets them go whatever happened here.
            for child in self._children:
                child.let_go()
            for child in self._children:
                child.wait(sending.settings.flow.drain_s + _LEAVES_WITHIN_S)
        if self._trouble is not None:
            raise self._trouble

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Ask the ledger in its thread: while its server is away signals are taken all the same."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, question)

    def _look(self) -> CarriersState:
        """Look at the carriers, and tell the trail what they have told."""
        state = self._coordinator.look()
        self._show(state)
        return state

    def _goes_on(self, state: CarriersState) -> bool:
        """Take in how the carriers stand; say whether there is more to do."""
        for session in state.sessions:
            if session.trouble is not None and session.id not in self._heard:
                self._heard.add(session.id)
                self._take_in(session, is_last=not state.live)
        if self._sending.flow.failures > self._sending.failures_max:
            self._stop(too_many_failures())
        is_left = state.progress.done < state.progress.all
        if is_left and not self._stopping.is_set():
            self._replace_the_dead(state)
        return is_left and not self._stopping.is_set()

    def _show(self, state: CarriersState) -> None:
        """Make the run's figures those of its carriers, and tell the trail of them."""
        flow, now = self._sending.flow, [session.figures for session in state.live]
        put_together(flow, [session.figures for session in state.sessions], now)
        # Who stands by knows nothing of now.
        sending = [session.figures for session in state.live if session.slots]
        if good := [told["good_rate"] for told in sending if told.get("good_rate")]:
            self._good_rate = sum(good)
        self._events.count(flow.answers - self._told)
        self._told = Counter(flow.answers)
        if any(now):
            self._events.enter_if_due()

    def _take_in(self, session: Session, *, is_last: bool) -> None:
        """Stop where a carrier left for what would stop every other, too.

        The vault may be out of order for one carrier alone, as long as others are at work.
        """
        told = session.trouble or {}
        kind = _STOPS_ALL.get(told.get("exit_code", 0))
        if kind is None or (told.get("is_outage") and not is_last):
            log.warning("carrier left early", session=session.id, code=told.get("exit_code", 0))
            return
        message, next_step = told["message"], told["next_step"]
        if issubclass(kind, SettingsRefused):
            self._stop(kind([f"carrier {session.id}: {message}"], next_step=next_step))
        else:
            self._stop(kind(message, next_step=next_step))

    def _replace_the_dead(self, state: CarriersState) -> None:
        """Start a carrier for each of ours that has died while there is work."""
        settled = self._sending.flow.settled
        if settled > self._settled:
            self._settled, self._in_vain = settled, 0
        alive: list[Child] = []
        for child in self._children:
            code = child.ended()
            alive += [child] if code is None else self._in_place_of(child, code)
        self._children = alive
        if self._count and not alive and not state.live:
            last = f"; the last one said: {self._said}" if self._said else ""
            self._stop(
                LocalStorageFailed(
                    f"no carrier is left, and those that were started ended at once{last}",
                    next_step="Look at what they said, then run the same command again.",
                )
            )

    def _in_place_of(self, child: Child, code: int) -> list[Child]:
        """Start a carrier in place of one that ended, unless it would end the same way."""
        self._said = child.said() or self._said
        self._in_vain += 1
        if code in _ENDS_THE_SAME_WAY or self._in_vain > _STARTS_IN_VAIN_MAX:
            log.warning("carrier ended", code=code)
            return []
        log.warning("carrier ended and another is started", code=code)
        try:
            return [self._start()]
        except CardferryError as trouble:
            # Others may be at work.
            self._said = trouble.message
            return []

    async def _see_them_off(self) -> None:
        """Ask the carriers to leave, and wait until they have, or their terms are over."""
        await self._ask(self._coordinator.end)
        while True:
            state = await self._ask(self._look)
            if not state.live:
                await self._ask(self._events.close)
                return
            await self._sending.clock.sleep(_BETWEEN_LOOKS_S / 5)

    def _stop(self, trouble: CardferryError) -> None:
        if self._trouble is None:
            self._trouble = trouble
        self._stopping.set()


_STOPS_ALL: Final[dict[int, type[CardferryError]]] = {
    VaultUnavailable.exit_code: VaultUnavailable,
    SettingsRefused.exit_code: VaultRefusedSettings,
    VerificationFailed.exit_code: VerificationFailed,
    CardNumberFound.exit_code: CardNumberFound,
}
"""What of a carrier's troubles is every carrier's, by exit code; any other is its machine's."""
