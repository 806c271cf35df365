"""Describes what a run is asked for, what it takes from outside, and how it ended."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from pipeline.metrics import Listeners
from pipeline.migration.run_account import ThisRun, WaitingExport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from random import Random

    from pipeline.clock import Clock
    from pipeline.config.attach import AttachSettings
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.errors import CardferryError
    from pipeline.ledger.cohort import Chosen
    from pipeline.ledger.ledger import Ledger
    from pipeline.metrics import Flow, Listener
    from pipeline.migration.attach_plan import AttachPlan
    from pipeline.migration.cohort_file import CohortFile
    from pipeline.signals import DeferredSignals


class Child(Protocol):
    """A carrier that this run started, on its own machine or by a cluster."""

    def ended(self) -> int | None:
        """Give its exit code once it has ended; negative where a signal ended it."""

    def said(self) -> str:
        """Give what it said of why it ended, where that was not said here already."""

    def let_go(self) -> None:
        """Close its input, so that it drains and leaves."""

    def wait(self, seconds: float) -> None:
        """Wait until it has ended, and end it after so long: its session is over by then."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How a run has carriers started, which send in place of its own process.

    Attributes:
        count: How many.
        starting: Opens what starts one, for as long as carriers are wanted.
    """

    count: int
    starting: Callable[[], AbstractContextManager[Callable[[], Child]]]


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What a run is asked to do.

    Attributes:
        exports: Encrypted exports, in the order in which they count.
        folder: The migration folder; made if it is not there.
        facts: Who runs it, where, with which guards; kept in the ledger as they are.
        limit: Send at most this many rows.
        again: Failure codes to plan again first (`cardferry retry`); None plans nothing again.
        held: Plan held rows again too.
        wait_s: How long to wait for another run of this folder to end, in seconds.
        no_attach: Make tokens only, whatever the settings say.
        unattached: Attach what earlier runs of tokens alone left, too.
        launch: How carriers are started; None where this process sends.
        approved_plan: Send only if the plan has this digest (`plan.plan_digest`).
        only: Send only rows with these legacy ids; None for all.
        sha256_beside: What the `.sha256` file beside the only export says; None without one.
    """

    exports: Sequence[Path]
    folder: Path
    facts: Mapping[str, object] = field(default_factory=dict)
    limit: int | None = None
    again: Sequence[str] | None = None
    held: bool = False
    wait_s: float = 0.0
    approved_plan: str | None = None
    only: CohortFile | None = None
    sha256_beside: str | None = None
    no_attach: bool = False
    unattached: bool = False
    launch: Launch | None = None


WRITING_OUTPUTS: Final = "writing the outputs: mapping, failures, report, trail and manifest"
"""What goes on while nothing else is told."""
WAITING_FOR_RUN: Final = "another run holds this migration: waiting for it to end"
"""The same while `--wait-lock` has a command wait."""
OPENING_LEDGER: Final = "opening the ledger: its rows are proved, or another run still holds it"
"""The same where a folder is not held by a process of this machine."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What a run takes from outside, so that tests and simulations can give their own."""

    clock: Clock
    random: Random
    listener: Listener = field(default_factory=Listeners)
    confirm: Callable[[Plan], bool] = lambda _plan: True
    """Asked before anything is sent."""
    long_work: Callable[[str], AbstractContextManager[object]] = nullcontext
    """Is told in words what goes on where no row moves, such as a publication."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What a run sends with, whether it sends by itself or has carriers send.

    Attributes:
        settings: The settings in force.
        credentials: The secrets they name.
        ledger: Open, in this run's epoch.
        clock: For waits and latencies.
        random: For jitter.
        listener: Shows the flow.
        flow: The figures it shows.
        signals: Takes stopping signals while no event loop does.
        limit: Send at most this many rows; None for all.
        failures_max: More failures than this stop the run.
        attach: How cards are attached; None for tokens only.
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
    attach: AttachSettings | None
    on_signal: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is about to do with the exports it was given.

    Attributes:
        counts: How their rows stand: rows, to_send, done, rejected, already_tokenized, ...
        codes: Their failed, rejected and held rows by code.
        waiting: Exports that were not given and whose rows wait.
        digest: What an operator approves with `--plan`.
        rate_per_s: The ceiling of sends a second.
        chosen: What a cohort leaves out; None without one.
        attach: What attaching needs; None for tokens alone.
    """

    counts: dict[str, int]
    codes: dict[str, int]
    waiting: Sequence[WaitingExport]
    digest: str
    rate_per_s: float
    chosen: Chosen | None = None
    attach: AttachPlan | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        exit_code: What the command ends with.
        run_id: The run's name.
        figures: The report's figures, of all runs so far, if outputs were written.
        trouble: What stopped the run.
        this_run: What this run changed.
        waiting: Exports whose rows wait, as they were not given, or given and refused.
        plan_digest: The plan's digest, if it came to a plan.
        planned_again: Rows that `retry` planned again; None for a run.
        chosen: What a cohort left out; None without one.
        chain_head: The hash of the last event; whoever keeps it can prove that nothing was undone.
    """

    exit_code: int
    run_id: str
    figures: dict[str, Any] | None = None
    trouble: CardferryError | None = None
    this_run: ThisRun = field(default_factory=ThisRun)
    waiting: Sequence[WaitingExport] = ()
    plan_digest: str | None = None
    planned_again: int | None = None
    chain_head: str | None = None
    chosen: Chosen | None = None
