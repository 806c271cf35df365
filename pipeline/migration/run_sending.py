"""Sends what a run has planned: in its own process, or by carriers that it hands chunks out to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.migration.coordinating import Carriers
from pipeline.migration.leftovers import is_left
from pipeline.migration.send import Sending

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pipeline.config.attach import AttachSettings
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.ledger.ledger import Ledger
    from pipeline.metrics import Flow
    from pipeline.migration.job import Job, Launch, Tools
    from pipeline.migration.plan import PlannedExport
    from pipeline.signals import DeferredSignals


@dataclass(frozen=True, slots=True)
class RunSending:
    """What a run sends with.

    Attributes:
        job: What the run is asked for.
        settings: The settings in force.
        credentials: The secrets they name.
        tools: Clock, randomness and progress.
        flow: The figures that progress shows.
        signals: Takes stopping signals while no event loop does.
        attach: How cards are attached; None for tokens only.
        on_signal: Told a stopping signal's number.
    """

    job: Job
    settings: Settings
    credentials: Credentials
    tools: Tools
    flow: Flow
    signals: DeferredSignals
    attach: AttachSettings | None
    on_signal: Callable[[int], None]

    def send(
        self, ledger: Ledger, work: Sequence[PlannedExport], counts: Mapping[str, int]
    ) -> None:
        """Send every planned row.

        Args:
            ledger: Open, in the run's epoch.
            work: The exports that have rows to send.
            counts: How the given exports stand (`RunAccount.plan`).

        Raises:
            CardferryError: Why sending stopped early; what was answered is durable.
        """
        limit = self.job.limit
        waiting = counts["to_send"] + counts["to_attach"]
        self.flow.total = waiting if limit is None else min(limit, waiting)
        failures_max = int(self.settings.rules.max_failure_rate * counts["rows"])
        failures_max -= counts["failures"]
        if self.job.launch is not None and work:
            self._by_carriers(ledger, work, failures_max, self.job.launch)
            work = []
            if not is_left(ledger, self.attach):
                return
        self._here(ledger, work, failures_max)

    def _by_carriers(
        self,
        ledger: Ledger,
        work: Sequence[PlannedExport],
        failures_max: int,
        launch: Launch,
    ) -> None:
        with launch.starting() as start:
            Carriers(
                settings=self.settings,
                ledger=ledger,
                clock=self.tools.clock,
                listener=self.tools.listener,
                flow=self.flow,
                signals=self.signals,
                failures_max=failures_max,
                attach=self.attach,
                on_signal=self.on_signal,
                count=launch.count,
                start=start,
            ).send(work)

    def _here(self, ledger: Ledger, work: Sequence[PlannedExport], failures_max: int) -> None:
        Sending(
            settings=self.settings,
            credentials=self.credentials,
            ledger=ledger,
            clock=self.tools.clock,
            random=self.tools.random,
            listener=self.tools.listener,
            flow=self.flow,
            signals=self.signals,
            limit=self.job.limit,
            failures_max=failures_max,
            attach=self.attach,
            on_signal=self.on_signal,
        ).send(work)
