"""Proves and judges exports (pass 1 alone) in a ledger that leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.config.loading import meaning_digest
from pipeline.exports.sealed_export import SealedExport
from pipeline.ledger.ledger import Ledger
from pipeline.ledger.planning import Planning
from pipeline.ledger.store import TEMPORARY
from pipeline.ledger.sums import pending
from pipeline.migration import parts
from pipeline.migration.plan import prove_and_plan
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.clock import Clock
    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.metrics import Listener
    from pipeline.migration.judging import Reading


def profile(
    exports: Sequence[Path],
    settings: Settings,
    credentials: Credentials,
    clock: Clock,
    listener: Listener,
    reading: Reading | None = None,
) -> dict[str, Any]:
    """Plan exports in a ledger that leaves nothing behind, and give the plan and the origins.

    Args:
        exports: Their paths.
        settings: The settings in force.
        credentials: The secrets they name.
        clock: For the day on which expirations are judged.
        listener: Shows rows as they are read.
        reading: How to read and judge them; default: as the settings say.

    Raises:
        ExportRefused: An export cannot be accepted.
    """
    ledger = Ledger(TEMPORARY, clock)
    try:
        ledger.begin_run("check", {}, meaning_digest(settings))
        planning = Planning(ledger)
        reading = reading or parts.reading(settings)
        keys, limits = (
            parts.envelope_keys(settings, credentials),
            parts.envelope_limits(settings),
        )
        today = settings.rules.as_of or clock.now().date()
        opened = []
        for path in exports:
            with (
                SealedExport(path, keys, limits) as sealed,
                listener.reading(sealed.name) as counter,
            ):
                file, _ = prove_and_plan(sealed, planning, reading, today, counter)
                opened.append({"name": file.name, "size": file.size, "sha256": file.sha256})
        left_out = dict(sorted(planning.left_out.items()))
        return {"exports": opened, **plan_of(ledger, settings), "left_out": left_out}
    finally:
        ledger.close()


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
