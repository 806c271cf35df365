"""Carries one run from start to end: lock, ledger, plan, send, publish; only it knows the order."""

from __future__ import annotations

import signal
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.config.loading import meaning_digest
from pipeline.config.policies import Mode
from pipeline.descriptor_limit import require_descriptors
from pipeline.errors import (
    CardferryError,
    Interrupted,
    LocalStorageFailed,
)
from pipeline.ledger.attach_again import attach_again
from pipeline.ledger.count_questions import pending
from pipeline.ledger.key_values import ATTACH_KEY
from pipeline.ledger.planning import Planning
from pipeline.ledger.recovery import plan_again, settle_open_intents
from pipeline.logs import EventLog, bind_run
from pipeline.metrics import Flow
from pipeline.migration import export_factory
from pipeline.migration.cohort_file import choose
from pipeline.migration.expectations import failures_allowed, refuse_too_many_failures
from pipeline.migration.loading_ahead import load_what_sends
from pipeline.migration.plan import (
    PlannedExport,
    opened,
    plan_digest,
    prove_and_plan,
    refusals_noted,
    refuse_another_plan,
)
from pipeline.migration.run_account import RunAccount
from pipeline.migration.run_environment import facts_of_run, run_name, signer_of
from pipeline.migration.run_ledger import carried_columns, held_ledger
from pipeline.migration.run_request import WRITING_OUTPUTS, Ending, Plan, RunRequest, Tools
from pipeline.migration.transitions import RETRIES_OF_UNKNOWN
from pipeline.migration.troubles import once_cards_were_taken
from pipeline.signals import DeferredSignals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.ledger.cohort import Chosen
    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.plan_records import KnownExport
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.vault.interface import Account

log = EventLog("run")


class Run:
    """One run over one migration folder.

    Args:
        request: What is asked for.
        settings: The settings in force.
        credentials: The secrets they name.
        tools: Clock, randomness, progress and the question before sending.
    """

    def __init__(
        self, request: RunRequest, settings: Settings, credentials: Credentials, tools: Tools
    ) -> None:
        self._request = request
        self._settings = settings
        self._credentials = credentials
        self._tools = tools
        self._signer = signer_of(credentials)
        self._signal_noted = False
        self._account: RunAccount
        self._plan_digest: str | None = None
        self._planned_again: int | None = None
        self._chosen: Chosen | None = None
        self._api_account: Account | None = None
        self._flow = Flow()
        self._attach = None if request.no_attach else settings.attach
        self._signals = DeferredSignals()

    def perform(self) -> Ending:
        """Carry the exports into the folder, or go on with what an earlier run left.

        Raises:
            CardferryError: The run could not begin, or its end could not be written down.
        """
        require_descriptors(self._settings.flow.in_flight_max)
        with ExitStack() as stack:
            stack.enter_context(self._signals.interrupting())
            given = (self._settings, self._credentials)
            ledger = stack.enter_context(
                held_ledger(self._request, given, self._tools, self._signals)
            )
            ledger.signer = self._signer
            ledger.begin_run(
                run_name(self._tools.clock, self._tools.random),
                facts_of_run(self._request.facts, self._settings),
                meaning_digest(self._settings),
                livemode=self._settings.vault.mode is Mode.LIVE,
            )
            return self._work(ledger)

    def _work(self, ledger: Ledger) -> Ending:
        """Plan, send and publish; however it ends, the end is written down."""
        trouble: CardferryError | None = None
        started = self._tools.clock.monotonic()
        self._account = RunAccount(ledger)
        try:
            with ExitStack() as stack:
                work = self._plan(ledger, stack)
                if (work or self._is_left(ledger)) and self._may_send(ledger, work):
                    started = self._tools.clock.monotonic()
                    self._send(ledger, work)
        except LocalStorageFailed as failed:
            # The disk that cannot take a row cannot take its report either.
            with suppress(CardferryError):
                self._end(ledger, failed.exit_code, started)
            raise
        except CardferryError as stopped:
            trouble = stopped
        if isinstance(trouble, Interrupted):
            ledger.hurry(self._settings.flow.drain_s)
            self._note_signal(ledger, trouble.signal_number)
        took_s = self._tools.clock.monotonic() - started
        this_run = self._account.close(self._flow, took_s)
        trouble = once_cards_were_taken(trouble, this_run.rows.get("tokenized", 0))
        code = this_run.exit_code(trouble)
        self._end(ledger, code, started)
        return Ending(
            code,
            ledger.run_id,
            self._publish(ledger),
            trouble,
            this_run,
            self._account.waiting_exports(),
            self._plan_digest,
            self._planned_again,
            ledger.chain_head,
            self._chosen,
        )

    def _plan(self, ledger: Ledger, stack: ExitStack) -> list[PlannedExport]:
        """Pass 1 over every export; give those that have rows to send, held open."""
        settings, request = self._settings, self._request
        recovered = settle_open_intents(ledger, RETRIES_OF_UNKNOWN[settings.flow.on_ambiguous])
        bind_run(ledger.run_id)
        log.info("run started", exports=len(request.exports), rows_in_doubt=recovered.in_doubt)
        self._account = RunAccount(ledger, recovered.held, is_attaching=self._attach is not None)
        ledger.remember("carry", carried_columns(ledger, settings))
        if self._attach is not None:
            ledger.remember(ATTACH_KEY, "on")
        given = self._prove_and_plan(ledger, stack)
        if request.again is not None:
            ids = [export.known.id for export in given]
            self._planned_again = plan_again(ledger, ids, request.again, held=request.held)
            if self._attach is not None:
                self._planned_again += attach_again(
                    ledger, ids, request.again, held=request.held, unattached=request.unattached
                )
        self._account.begin([export.known for export in given])
        self._chosen = choose(ledger, [export.known.id for export in given], request.only)
        self._plan_digest = plan_digest(
            settings,
            [(export.file.sha256, export.known.as_of) for export in given],
            request.only.sha256 if request.only else None,
        )
        refuse_another_plan(request.approved_plan, self._plan_digest)
        self._refuse_if_too_many_fail(ledger, given)
        return ledger.ask(lambda look: [one for one in given if self._waits(look, one.known)])

    def _waits(self, look: Snapshot, known: KnownExport) -> bool:
        """Tell whether an export has rows to send, or cards to attach."""
        if pending(self._account.states()[known.id]):
            return True
        return self._attach is not None and bool(look.unattached([known.id]))

    def _refuse_if_too_many_fail(self, ledger: Ledger, given: Sequence[PlannedExport]) -> None:
        for export in given:
            states = self._account.states()[export.known.id]
            with refusals_noted(Planning(ledger), export.sealed.path):
                rate_max = self._settings.rules.max_failure_rate
                refuse_too_many_failures(export.file.name, states, rate_max)

    def _prove_and_plan(self, ledger: Ledger, stack: ExitStack) -> list[PlannedExport]:
        """Prove every export, plan those that are new, and hold them open; each of them once."""
        settings = self._settings
        planning = Planning(ledger)
        reading = export_factory.reading(settings, self._request.sha256_beside)
        keys = export_factory.envelope_keys(settings, self._credentials)
        limits = export_factory.envelope_limits(settings)
        today = settings.rules.as_of or self._tools.clock.now().date()
        reading.expects.require_one(self._request.exports)
        given: dict[str, PlannedExport] = {}
        for path in self._request.exports:
            sealed = stack.enter_context(opened(path, keys, limits, planning))
            with self._tools.listener.reading(sealed.name) as counter:
                file, known = prove_and_plan(
                    sealed, planning, reading, today, counter, meanwhile=load_what_sends
                )
            given.setdefault(file.sha256, PlannedExport(sealed, file, known))
        return list(given.values())

    def _may_send(self, ledger: Ledger, work: Sequence[PlannedExport]) -> bool:
        """Find the vault, show the plan, and ask whether to send."""
        from pipeline.migration import vault_reachability  # noqa: PLC0415 - most nights send nothing.

        self._api_account = vault_reachability.reach_vault(
            self._settings,
            self._credentials,
            self._tools.clock,
            is_attaching=self._attach is not None,
        )
        vault_reachability.require_same_account(ledger, self._api_account)
        plan = self._plan_to_show()
        log.info(
            "plan made", **{name: plan.counts[name] for name in ("rows", "to_send", "failures")}
        )
        if not self._tools.confirm(plan):
            return False
        for export in work:
            Planning(ledger).note_key_use(export.known)
        return True

    def _plan_to_show(self) -> Plan:
        """Give what this run is about to do."""
        return Plan(
            self._account.plan(),
            self._account.codes(),
            self._account.waiting_exports(),
            self._plan_digest or "",
            self._settings.flow.rate_per_s,
            self._chosen,
            self._account.attach_plan(self._attach, self._api_account),
        )

    def _send(self, ledger: Ledger, work: Sequence[PlannedExport]) -> None:
        """Send every planned row: here, or by carriers that chunks are handed out to."""
        from pipeline.migration.send import LocalSending  # noqa: PLC0415 - as for the vault.

        request, tools, counts = self._request, self._tools, self._account.plan()
        waiting = counts["to_send"] + counts["to_attach"]
        self._flow.total = waiting if request.limit is None else min(request.limit, waiting)
        self._flow.exports = frozenset(export.known.id for export in work)
        failures_max = failures_allowed(counts["rows"], self._settings.rules.max_failure_rate)
        sending = LocalSending(
            settings=self._settings,
            credentials=self._credentials,
            ledger=ledger,
            clock=tools.clock,
            random=tools.random,
            listener=tools.listener,
            flow=self._flow,
            signals=self._signals,
            limit=request.limit,
            failures_max=failures_max - counts["failures"],
            attach=self._attach,
            on_signal=lambda number: self._note_signal(ledger, number),
        )
        if request.launch is not None and work:
            from pipeline.migration.coordinating import send_by_carriers  # noqa: PLC0415

            send_by_carriers(sending, work, request.launch)
            work = []
            if not self._is_left(ledger):
                return
        sending.send(work)

    def _is_left(self, ledger: Ledger) -> bool:
        if self._attach is None:
            return False
        from pipeline.migration.replaced_cards import is_left  # noqa: PLC0415 - see above.

        return is_left(ledger, self._attach)

    def _note_signal(self, ledger: Ledger, number: int) -> None:
        """Note the signal that stops this run, the moment it comes if rows are being sent."""
        if not self._signal_noted:
            name = signal.Signals(number).name
            ledger.note("signal_received", resource=ledger.run_id, signal=name)
            self._signal_noted = True

    def _publish(self, ledger: Ledger) -> dict[str, Any] | None:
        """Write every output; there is none before an export was planned."""
        if not ledger.ask(lambda look: look.exports()):
            return None
        from pipeline.outputs.publisher import publish  # noqa: PLC0415 - loaded ahead.

        with self._tools.long_work(WRITING_OUTPUTS):
            figures = publish(ledger, self._request.folder, __version__, self._signer)
        log.info("outputs published", folder=self._request.folder)
        return figures

    def _end(self, ledger: Ledger, code: int, started: float) -> None:
        ledger.end_run(code, self._flow.statistics(self._tools.clock.monotonic() - started))
