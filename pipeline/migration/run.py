"""Carries one run from start to end: lock, ledger, plan, send, publish; only it knows the order."""

from __future__ import annotations

import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from pipeline import __version__
from pipeline.clock import timestamp
from pipeline.config.loading import masked, meaning_digest
from pipeline.config.policies import Mode
from pipeline.descriptors import require_descriptors
from pipeline.disk import private_folder
from pipeline.errors import (
    CardferryError,
    ExportRefused,
    Interrupted,
    LocalStorageFailed,
    VaultUnavailable,
    exit_status,
)
from pipeline.exports.sealed_export import SealedExport
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.lock import migration_lock
from pipeline.ledger.planning import Planning
from pipeline.ledger.recovery import plan_again, settle_open_intents
from pipeline.ledger.store import ledger_url
from pipeline.ledger.sums import pending
from pipeline.logs import EventLog
from pipeline.metrics import Flow, Listeners
from pipeline.migration import parts
from pipeline.migration.plan import prove_and_plan
from pipeline.migration.send import PlannedExport, Sending
from pipeline.migration.transitions import RETRIES_OF_UNKNOWN
from pipeline.model import FAILURE_STATES, RowState
from pipeline.outputs.publisher import publish
from pipeline.outputs.signature import Signer
from pipeline.signals import DeferredSignals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from random import Random

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.metrics import Listener

log = EventLog("run")


@dataclass(frozen=True, slots=True)
class Job:
    """What a run is asked to do.

    Attributes:
        exports: Encrypted exports, in the order in which they count.
        folder: The migration folder; made if it is not there.
        facts: Who runs it, where, with which guards; kept in the ledger as they are.
        limit: Send at most this many rows.
        again: Failure codes to plan again first (`cardferry retry`); None plans nothing again.
        held: Plan held rows again too.
        wait_s: How long to wait for another run of this folder to end, in seconds.
    """

    exports: Sequence[Path]
    folder: Path
    facts: Mapping[str, object] = field(default_factory=dict)
    limit: int | None = None
    again: Sequence[str] | None = None
    held: bool = False
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run takes from outside, so that tests and simulations can give their own."""

    clock: Clock
    random: Random
    listener: Listener = field(default_factory=Listeners)
    confirm: Callable[[Callable[[], dict[str, Any]]], bool] = lambda _plan: True
    """Asked before anything is sent; the plan costs a look at every row, so it comes on request."""


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: the code, what stopped it, and the report's figures if they were written."""

    exit_code: int
    run_id: str
    figures: dict[str, Any] | None = None
    trouble: CardferryError | None = None


class Run:
    """One run over one migration folder.

    Args:
        job: What is asked for.
        settings: The settings in force.
        credentials: The secrets they name.
        tools: Clock, randomness, progress and the question before sending.
    """

    def __init__(
        self, job: Job, settings: Settings, credentials: Credentials, tools: Tools
    ) -> None:
        self._job = job
        self._settings = settings
        self._credentials = credentials
        self._tools = tools
        self._signer = _signer(credentials)
        self._signal_noted = False
        self._flow = Flow()
        self._signals = DeferredSignals()

    def carry_out(self) -> Ending:
        """Carry the exports into the folder, or go on with what an earlier run left.

        Raises:
            CardferryError: The run could not begin, or its end could not be written down.
        """
        require_descriptors(self._settings.flow.in_flight_max)
        private_folder(self._job.folder)
        with ExitStack() as stack:
            stack.enter_context(self._signals.interrupting())
            stack.enter_context(migration_lock(self._job.folder, wait_s=self._job.wait_s))
            ledger = Ledger(ledger_url(self._job.folder), self._tools.clock, signals=self._signals)
            stack.callback(ledger.close)
            ledger.begin_run(
                self._run_id(),
                self._facts(),
                meaning_digest(self._settings),
                livemode=self._settings.vault.mode is Mode.LIVE,
            )
            return self._work(ledger)

    def _work(self, ledger: Ledger) -> Ending:
        """Plan, send and publish; however it ends, the end is written down."""
        trouble: CardferryError | None = None
        started = self._tools.clock.monotonic()
        try:
            with ExitStack() as stack:
                work = self._plan(ledger, stack)
                if work and self._tools.confirm(lambda: plan_of(ledger, self._settings)):
                    for export in work:
                        Planning(ledger).note_key_use(export.known)
                    started = self._tools.clock.monotonic()
                    self._sending(ledger).send(work)
        except LocalStorageFailed as failed:
            # The disk that cannot take a row cannot take its report either.
            with suppress(CardferryError):
                self._end(ledger, failed.exit_code, started)
            raise
        except CardferryError as stopped:
            trouble = stopped
        if isinstance(trouble, Interrupted):
            self._note_signal(ledger, trouble.signal_number)
        code = _exit_code(ledger, trouble)
        self._end(ledger, code, started)
        with ledger.look() as look:
            anything = look.exports()
        figures = self._publish(ledger) if anything else None
        return Ending(code, ledger.run_id, figures, trouble)

    def _plan(self, ledger: Ledger, stack: ExitStack) -> list[PlannedExport]:
        """Pass 1 over every export; give those that have rows to send, held open."""
        settings, job = self._settings, self._job
        in_doubt = settle_open_intents(ledger, RETRIES_OF_UNKNOWN[settings.flow.on_ambiguous])
        log.info("run started", rows_in_doubt=in_doubt)
        ledger.remember("carry", carried_columns(ledger, settings))
        planning, reading = Planning(ledger), parts.reading(settings)
        keys = parts.envelope_keys(settings, self._credentials)
        limits = parts.envelope_limits(settings)
        today = settings.rules.as_of or self._tools.clock.now().date()
        work: dict[str, PlannedExport] = {}
        for path in job.exports:
            sealed = stack.enter_context(SealedExport(path, keys, limits))
            with self._tools.listener.reading(sealed.name) as counter:
                file, known = prove_and_plan(sealed, planning, reading, today, counter)
            work.setdefault(file.sha256, PlannedExport(sealed, file, known))
        if job.again is not None:
            given = [export.known.id for export in work.values()]
            plan_again(ledger, given, job.again, held=job.held)
        self._refuse_too_many_failures(ledger)
        with ledger.look() as look:
            return [
                export
                for export in work.values()
                if look.open_rows(export.known.first_id, export.known.last_id)
            ]

    def _refuse_too_many_failures(self, ledger: Ledger) -> None:
        share = self._settings.rules.max_failure_rate
        with ledger.look() as look:
            states = look.by_state()
        rows, failures = sum(states.values()), sum(states[state] for state in FAILURE_STATES)
        if failures > share * rows:
            raise ExportRefused(
                "more rows fail than rules.max_failure_rate allows; nothing was sent",
                next_step="Look at `cardferry check EXPORT`, then mend the export or the rules.",
            )

    def _sending(self, ledger: Ledger) -> Sending:
        with ledger.look() as look:
            states = look.by_state()
        rows, failures = sum(states.values()), sum(states[state] for state in FAILURE_STATES)
        waiting = pending(states)
        limit = self._job.limit
        self._flow.total = waiting if limit is None else min(limit, waiting)
        return Sending(
            settings=self._settings,
            credentials=self._credentials,
            ledger=ledger,
            clock=self._tools.clock,
            random=self._tools.random,
            listener=self._tools.listener,
            flow=self._flow,
            signals=self._signals,
            limit=limit,
            failures_max=int(self._settings.rules.max_failure_rate * rows) - failures,
            on_signal=lambda number: self._note_signal(ledger, number),
        )

    def _note_signal(self, ledger: Ledger, number: int) -> None:
        """Note the signal that stops this run, the moment it comes if rows are being sent."""
        if not self._signal_noted:
            name = signal.Signals(number).name
            ledger.note("signal_received", resource=ledger.run_id, signal=name)
            self._signal_noted = True

    def _publish(self, ledger: Ledger) -> dict[str, Any]:
        return publish(ledger, self._job.folder, __version__, self._signer)

    def _end(self, ledger: Ledger, code: int, started: float) -> None:
        ledger.end_run(code, self._flow.statistics(self._tools.clock.monotonic() - started))

    def _run_id(self) -> str:
        """Give the run's name: its start and a word that tells two of one second apart."""
        moment = timestamp(self._tools.clock.now()).replace("-", "").replace(":", "")
        return f"{moment}-{self._tools.random.getrandbits(32):08x}"

    def _facts(self) -> dict[str, object]:
        return {
            **self._job.facts,
            "version": __version__,
            "settings": masked(self._settings),
            "settings_digest": meaning_digest(self._settings),
            "in_flight_max": self._settings.flow.in_flight_max,
            "on_ambiguous": self._settings.flow.on_ambiguous,
        }


def plan_of(ledger: Ledger, settings: Settings) -> dict[str, Any]:
    """Give what would be sent and how long it takes at the configured rate, in seconds."""
    with ledger.look() as look:
        states = look.by_state()
        waiting = pending(states)
        return {
            "rows": sum(states.values()),
            "to_send": waiting,
            "rejected": states[RowState.REJECTED],
            "already_tokenized": states[RowState.ALREADY_TOKENIZED],
            "failures": look.by_code(),
            "brands": look.planned_mix("brand"),
            "expiration_years": look.planned_mix("expiration_year"),
            "seconds_at_rate": round(waiting / settings.flow.rate_per_s, 1),
            "rate_per_s": settings.flow.rate_per_s,
        }


def carried_columns(ledger: Ledger, settings: Settings) -> str:
    """Give every column ever carried into this mapping, as a JSON list."""
    known = orjson.loads(ledger.recall("carry") or "[]")
    return orjson.dumps([*known, *(c for c in settings.export.carry if c not in known)]).decode()


def _signer(credentials: Credentials) -> Signer | None:
    key = credentials.signing_key
    return None if key is None else Signer.from_pem(key, credentials.signing_passphrase)


def _exit_code(ledger: Ledger, trouble: CardferryError | None) -> int:
    if trouble is not None:
        return exit_status(trouble)
    with ledger.look() as look:
        states = look.by_state()
    if pending(states):
        return VaultUnavailable.exit_code
    return 3 if any(states[state] for state in FAILURE_STATES) else 0
