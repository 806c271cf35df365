"""Carries rows beside others: joins a run that hands rows out, takes chunks until none is free, leaves."""

from __future__ import annotations

from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.config.loading import meaning_digest
from pipeline.config.models import FlowSettings
from pipeline.descriptor_limit import require_descriptors
from pipeline.errors import CardferryError, ExportRefused, exit_status
from pipeline.exports.sealed_export import SealedExport
from pipeline.ledger.planning import Planning
from pipeline.ledger.sharing.joined import JoinedLedger
from pipeline.logs import EventLog
from pipeline.metrics import Flow
from pipeline.migration import export_factory
from pipeline.migration.carrier_sending import CarrierSending, renewing
from pipeline.migration.flow_sum import figures_of
from pipeline.migration.plan import PlannedExport
from pipeline.migration.troubles import VaultOutage
from pipeline.signals import DeferredSignals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.ledger.ledger_url import LedgerUrl
    from pipeline.ledger.sharing.jobs import Job
    from pipeline.migration.run_request import Tools

log = EventLog("carrier")


class Carrier:
    """One of the carriers of a run.

    Args:
        settings: The carrier's own settings; pace and retries are the run's.
        credentials: The secrets they name.
        tools: Clock, randomness, and who is shown the flow.
        place: The ledger.
        exports: Where the run's exports are on this machine, or folders that hold them under their
            names; those not named are looked for where the run read them.
    """

    def __init__(
        self,
        settings: Settings,
        credentials: Credentials,
        tools: Tools,
        place: LedgerUrl,
        exports: Sequence[Path] = (),
    ) -> None:
        self._settings = settings
        self._credentials = credentials
        self._tools = tools
        self._place = place
        self._given = exports
        self._signals = DeferredSignals()
        self.flow = Flow()

    def carry(self, facts: Mapping[str, object]) -> int:
        """Carry until no chunk is free; give the session's number.

        Args:
            facts: Who carries, and where (`run_environment.run_environment`).

        Raises:
            CardferryError: Why it could not begin, or left early; what was answered is durable.
        """
        with ExitStack() as stack:
            stack.enter_context(self._signals.interrupting())
            ledger = stack.enter_context(
                closing(JoinedLedger(self._place, self._tools.clock, self._signals))
            )
            origin = f"{facts.get('host', '')}:{facts.get('pid', '')}"
            job = ledger.join(origin, __version__, meaning_digest(self._settings))
            log.info("carrier joined", session=ledger.session)
            trouble: CardferryError | None = None
            try:
                self._send(ledger, job, stack)
            except CardferryError as stopped:
                trouble = stopped
                raise
            finally:
                # A session that is over, or whose server is gone, has nothing to end.
                with suppress(CardferryError):
                    ledger.leave(figures_of(self.flow), told_of(trouble))
                log.info("carrier left", session=ledger.session, sent=self.flow.sent)
            return ledger.session

    def _send(self, ledger: JoinedLedger, job: Job, stack: ExitStack) -> None:
        orders = job.orders
        flow = FlowSettings.model_validate(orders["flow"])
        settings = self._settings.model_copy(update={"flow": flow})
        require_descriptors(settings.flow.in_flight_max)
        ledger.bear_outages(settings.flow.outage_max_s)
        exports = self._exports(ledger, job, settings, stack)
        CarrierSending(
            settings=settings,
            credentials=self._credentials,
            ledger=ledger,
            clock=self._tools.clock,
            random=self._tools.random,
            listener=self._tools.listener,
            flow=self.flow,
            signals=self._signals,
            limit=None,
            failures_max=orders["failures_max"],
            attach=settings.attach if orders["attach"] else None,
            on_signal=lambda _number: None,
            joined=ledger,
            job=job,
            exports=exports,
            reading=export_factory.reading(settings),
        ).send([])

    def _exports(
        self,
        ledger: JoinedLedger,
        job: Job,
        settings: Settings,
        stack: ExitStack,
    ) -> dict[int, PlannedExport]:
        """Open the run's exports, each of them known by its bytes; that may take longer than a term.

        Raises:
            ExportRefused: One of them is not here.
        """
        keys = export_factory.envelope_keys(settings, self._credentials)
        limits = export_factory.envelope_limits(settings)
        planning, wanted = Planning(ledger), job.orders["exports"]
        found: dict[str, PlannedExport] = {}
        named = {export["sha256"]: Path(export["path"]) for export in wanted}
        given = [path for each in self._given for path in _in_folder(each, named.values())]
        for path in (*given, *(p for p in named.values() if not given or p.exists())):
            sealed = stack.enter_context(SealedExport(path, keys, limits))
            file = renewing(ledger, job, sealed.digest)
            known = planning.find(file.sha256)
            if known is not None and file.sha256 in named:
                found.setdefault(file.sha256, PlannedExport(sealed, file, known))
        if missing := [export["name"] for export in wanted if export["sha256"] not in found]:
            raise ExportRefused(
                f"not on this machine, or other bytes here: {', '.join(missing)}",
                next_step="Name where it is: `cardferry carry PATH... -c CONFIG`.",
            )
        return {planned.known.id: planned for planned in found.values()}


def _in_folder(given: Path, wanted: Iterable[Path]) -> list[Path]:
    """Give the exports that lie in a folder under the names of those wanted; a file as it is."""
    if not given.is_dir():
        return [given]
    return [path for path in (given / each.name for each in wanted) if path.is_file()]


def told_of(trouble: CardferryError | None) -> dict[str, Any] | None:
    """Give what the run is told of why a carrier left early; no message holds a value of the data."""
    if trouble is None:
        return None
    return {
        "exit_code": exit_status(trouble),
        "is_outage": isinstance(trouble, VaultOutage),
        "message": trouble.message,
        "next_step": trouble.next_step,
    }
