"""Gives up, in a run of its own, what waits of exports whose files will not come again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline import __version__
from pipeline.config.loading import meaning_digest
from pipeline.config.policies import Mode
from pipeline.ledger.giving_up import give_up
from pipeline.ledger.recovery import settle_open_intents
from pipeline.logs import EventLog, bind_run
from pipeline.metrics import Flow
from pipeline.migration.cohort_file import note_left_out
from pipeline.migration.run_account import FINISHED_WITH_FAILURES
from pipeline.migration.run_environment import facts_of_run, run_name
from pipeline.migration.run_ledger import held_ledger
from pipeline.migration.run_request import WRITING_OUTPUTS
from pipeline.migration.transitions import RETRIES_OF_UNKNOWN
from pipeline.outputs.publisher import publish
from pipeline.outputs.signature import Signer
from pipeline.signals import DeferredSignals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.ledger.giving_up import GivenUp
    from pipeline.migration.run_request import RunRequest, Tools

log = EventLog("run")


@dataclass(frozen=True, slots=True)
class Abandoned:
    """An export that is to be given up: its name, and its digest if its bytes could be read."""

    name: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class GivingUp:
    """How it ended.

    Attributes:
        exit_code: 0, or 3 where rows are held or cards have failed now.
        run_id: The run's name.
        exports: Each export, with what became of its rows.
        figures: The report's figures, if outputs were written.
        chain_head: The hash of the last event.
    """

    exit_code: int
    run_id: str
    exports: Sequence[tuple[Abandoned, GivenUp]]
    figures: dict[str, Any] | None
    chain_head: str


def give_up_exports(
    request: RunRequest,
    given: tuple[Settings, Credentials],
    tools: Tools,
    abandoned: Sequence[Abandoned],
    reason: str,
) -> GivingUp:
    """Give exports up: no row of them waits any more, and outputs are written again.

    Args:
        request: The folder, who does it, and how long to wait for another run.
        given: The settings in force and their secrets.
        tools: Clock and randomness.
        abandoned: Which exports.
        reason: Why, in the operator's words.

    Raises:
        CardferryError: As `Run.perform`; what was given up by then stays so.
    """
    settings, credentials = given
    signals, signer = DeferredSignals(), Signer.of(credentials)
    with signals.interrupting(), held_ledger(request, given, tools, signals) as ledger:
        ledger.signer = signer
        ledger.begin_run(
            run_name(tools.clock, tools.random),
            facts_of_run(request.facts, settings),
            meaning_digest(settings),
            livemode=settings.vault.mode is Mode.LIVE,
        )
        bind_run(ledger.run_id)
        recovered = settle_open_intents(ledger, RETRIES_OF_UNKNOWN[settings.flow.on_ambiguous])
        # Whoever is given the export again is to take the rows back.
        note_left_out(ledger)
        ended = [(one, give_up(ledger, one.name, one.sha256, reason)) for one in abandoned]
        for _, rows in ended:
            log.info("export given up", **rows._asdict())
        is_open = recovered.held or any(rows.held or rows.unattached for _, rows in ended)
        code = FINISHED_WITH_FAILURES if is_open else 0
        ledger.end_run(code, Flow().statistics(0.0))
        has_outputs = bool(ledger.ask(lambda look: look.exports()))
        with tools.long_work(WRITING_OUTPUTS):
            figures = publish(ledger, request.folder, __version__, signer) if has_outputs else None
        return GivingUp(code, ledger.run_id, ended, figures, ledger.chain_head)
