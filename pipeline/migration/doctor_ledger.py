"""Tries whether the ledger can be written to where the settings say that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import CardferryError, SettingsRefused, VerificationFailed
from pipeline.ledger.store import require_reachable
from pipeline.migration.doctor_findings import failed, ok
from pipeline.migration.run_ledger import ledger_place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.config.credentials import Credentials
    from pipeline.config.models import Settings
    from pipeline.migration.doctor_findings import DoctorFinding


def ledger_findings(
    settings: Settings, credentials: Credentials, folder: Path
) -> Iterator[DoctorFinding]:
    """Try the server of a ledger in PostgreSQL; of one in the folder the folder's lines tell."""
    try:
        place = ledger_place(settings, credentials, folder)
        if place.source is None:
            return
        require_reachable(place)
    except VerificationFailed as trouble:
        # It is the settings that name another database, as far as anybody can tell from here.
        problem = [f"ledger.url: {trouble.message}"]
        yield failed("ledger", SettingsRefused(problem, next_step=trouble.next_step))
    except CardferryError as trouble:
        yield failed("ledger", trouble)
    else:
        yield ok("ledger", "its PostgreSQL server lets us write and keeps what it acknowledges")
