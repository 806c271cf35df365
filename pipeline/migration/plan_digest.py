"""Digests what a run would do, so that somebody can approve it with `check` before `run --plan`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson

from pipeline.config.loading import meaning_digest
from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from pipeline.config.models import Settings


def plan_digest(
    settings: Settings, exports: Iterable[tuple[str, date]], cohort: str | None = None
) -> str:
    """Give the digest of a plan: these exports' bytes, judged by these settings.

    What an earlier run has carried already is no part of it, so `check` on one machine and `run`
    on another give the same digest. A card expires with a month; so does the digest.

    Args:
        settings: The settings in force; those count that a result means something by.
        exports: SHA-256 of each export's sealed bytes, and the day its cards are judged on.
        cohort: SHA-256 of the file of legacy ids, where only those are sent.

    Returns:
        Hexadecimal SHA-256.
    """
    parts = sorted((sha256, f"{as_of:%Y-%m}") for sha256, as_of in exports)
    plan = {"meaning": meaning_digest(settings), "exports": parts, "cohort": cohort}
    return hashlib.sha256(orjson.dumps(plan, option=orjson.OPT_SORT_KEYS)).hexdigest()


def refuse_another_plan(approved: str | None, found: str) -> None:
    """Refuse a plan that is not the approved one.

    Raises:
        SettingsRefused: The digests differ; nothing was sent.
    """
    if approved is not None and approved.lower() != found:
        raise SettingsRefused(
            ["--plan: the exports, the settings or the month are not those of the approved plan"],
            next_step=f"Look at `cardferry check` again; the plan is now {found}.",
        )
