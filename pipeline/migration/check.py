"""Proves, judges and profiles exports (pass 1 alone) in a ledger that leaves nothing behind."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from pipeline.cards.export_profile import ExportProfile
from pipeline.cards.name_letters import in_another_encoding
from pipeline.clock import timestamp
from pipeline.config.loading import meaning_digest
from pipeline.disk import write_atomically
from pipeline.errors import ExportRefused
from pipeline.exports.sealed_export import SealedExport
from pipeline.failure_codes import Code
from pipeline.ledger.count_questions import pending
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.ledger_url import TEMPORARY
from pipeline.ledger.planning import Planning
from pipeline.migration import export_factory
from pipeline.migration.attach_plan import AttachPlan
from pipeline.migration.expectations import refuse_too_many_failures
from pipeline.migration.plan import plan_digest, prove_and_plan
from pipeline.model import FAILURE_STATES, RowState
from pipeline.outputs.files import write_failures_sheet
from pipeline.outputs.profile_page import render_profile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.exports.sealed_export import ExportFile
    from pipeline.ledger.plan_questions import PlanFigures
    from pipeline.ledger.plan_records import KnownExport
    from pipeline.ledger.snapshot import Snapshot
    from pipeline.metrics import Listener
    from pipeline.migration.judged_chunks import Reading

    Opened = tuple[ExportFile, KnownExport, tuple[str, ...]]


_TOLD_WITH_HINTS: Final = (Code.MALFORMED_ROW, Code.ROW_TOO_LONG, Code.EXPIRATION_INVALID)
"""What is told beyond the code; rows in another encoding are told by the setting for it."""
_HINTS_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """What a check is asked to do.

    Attributes:
        exports: Paths of the exports.
        reading: How to read and judge them; default: as the settings say.
        failures: Takes the rows that would fail, with the columns of `failures.csv`.
        page: Takes the profile as a page of HTML that needs nothing else.
    """

    exports: Sequence[Path]
    reading: Reading | None = None
    failures: Path | None = None
    page: Path | None = None


def profile(
    asked: CheckRequest,
    settings: Settings,
    credentials: Credentials,
    clock: Clock,
    listener: Listener,
) -> dict[str, Any]:
    """Plan exports in a ledger that leaves nothing behind, and give the plan and the profile.

    Args:
        asked: The exports, and the files to write besides.
        settings: The settings in force.
        credentials: The secrets they name.
        clock: For the day on which expirations are judged.
        listener: Shows rows as they are read.

    Returns:
        A tree for `check --json`; `refusal` says why a run would refuse what is in them.

    Raises:
        ExportRefused: An export cannot be accepted.
        LocalStorageFailed: A file cannot be written.
    """
    seen = ExportProfile()
    reading = (asked.reading or export_factory.reading(settings)).profiled(seen)
    reading.expects.require_one(asked.exports)
    with closing(Ledger(TEMPORARY, clock)) as ledger:
        ledger.begin_run("check", {}, meaning_digest(settings))
        planning = Planning(ledger)
        keys = export_factory.envelope_keys(settings, credentials)
        limits = export_factory.envelope_limits(settings)
        today = settings.rules.as_of or clock.now().date()
        opened: list[Opened] = []
        for path in asked.exports:
            with (
                SealedExport(path, keys, limits) as sealed,
                listener.reading(sealed.name) as counter,
            ):
                file, known = prove_and_plan(sealed, planning, reading, today, counter)
                opened.append((file, known, sealed.packed_in))
        with ledger.look() as look:
            planned = look.plan_figures(planning.mix)
            figures = {
                "exports": [
                    {
                        "name": file.name,
                        "size": file.size,
                        "sha256": file.sha256,
                        "kind": file.kind,
                        "packed_in": list(packed_in),
                        # Where signers are set an export that none of them signed is refused.
                        "origin": "signed" if settings.export.signers else "unauthenticated",
                    }
                    for file, _, packed_in in opened
                ],
                "plan_digest": plan_digest(
                    settings, {(file.sha256, known.as_of) for file, known, _ in opened}
                ),
                **_plan(look, planned, settings, clock),
                **seen.figures(),
                "name_letters_elsewhere": _elsewhere(seen, settings),
                "left_out": dict(sorted(planning.left_out.items())),
                "remedies": [
                    {"setting": setting, "value": value, "rows": count}
                    for (setting, value), count in planning.remedies.items()
                ],
                "refusal": _refusal(planned, settings, opened),
            }
            _write(asked, look, figures)
    return figures


def _plan(look: Snapshot, planned: PlanFigures, settings: Settings, clock: Clock) -> dict[str, Any]:
    """Give what would be sent, how long it takes at the configured rate, and until when."""
    states = sum(planned.states.values(), Counter[RowState]())
    waiting = pending(states)
    # Each of these is a look at every row.
    has_failures = any(states[state] for state in FAILURE_STATES)
    failures = look.by_code() if has_failures else {}
    hints = look.commonest_hints(_TOLD_WITH_HINTS, _HINTS_MAX) if has_failures else []
    skipped = look.skipped_by_code() if states[RowState.SKIPPED] else {}
    customers = look.customers_by_cards()
    seconds = round(waiting / settings.flow.rate_per_s, 1)
    attach = None
    if settings.attach is not None:
        attach = AttachPlan(look.cards_to_attach(), settings.attach.rate_per_s)
    longest_s = seconds if attach is None else max(seconds, attach.seconds)
    return {
        "rows": sum(states.values()),
        "to_send": waiting,
        "rejected": states[RowState.REJECTED],
        "already_tokenized": states[RowState.ALREADY_TOKENIZED],
        "skipped": skipped,
        "failures": failures,
        "hints": [{"code": code, "hint": hint, "rows": rows} for code, hint, rows in hints],
        "brands": planned.brands,
        "expiration_years": planned.expiration_years,
        "duplicates": {
            "same_card_again": states[RowState.ALREADY_TOKENIZED] + skipped.get(Code.REPEATED, 0),
            "legacy_id_duplicate": failures.get(Code.LEGACY_ID_DUPLICATE, 0),
        },
        "customers": sum(customers.values()),
        "customers_by_cards": {str(cards): count for cards, count in customers.items()},
        "seconds_at_rate": seconds,
        "rate_per_s": settings.flow.rate_per_s,
        "done_at": timestamp(clock.now() + timedelta(seconds=longest_s)),
        "attach": None if attach is None else attach.as_dict(),
    }


def _elsewhere(seen: ExportProfile, settings: Settings) -> dict[str, Any] | None:
    """Say what the letters of names would be, had the export another encoding."""
    found = in_another_encoding(seen.letters, settings.export.encoding)
    return None if found is None else {"encoding": found[0], "letters": found[1]}


def _refusal(planned: PlanFigures, settings: Settings, opened: Sequence[Opened]) -> str | None:
    """Say why a run would refuse the exports for what is in their rows; None if it would not."""
    for file, known, _ in opened:
        try:
            states = planned.states.get(known.id, Counter())
            refuse_too_many_failures(file.name, states, settings.rules.max_failure_rate)
        except ExportRefused as refused:
            return refused.message
    return None


def _write(asked: CheckRequest, look: Snapshot, figures: dict[str, Any]) -> None:
    if asked.failures is not None:
        with write_atomically(asked.failures) as file:
            write_failures_sheet(look, file)
    if asked.page is not None:
        with write_atomically(asked.page) as file:
            file.write(render_profile(figures))
