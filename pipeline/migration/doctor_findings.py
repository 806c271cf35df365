"""Describes what `cardferry doctor` finds: one line a check, with a verdict and a remedy."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from pipeline.errors import CardferryError


class Health(StrEnum):
    """What became of one check."""

    OK = "ok"
    WARNING = "warning"
    """It works, but somebody should know."""
    FAILED = "failed"


class DoctorFinding(NamedTuple):
    """One check: what was tried, what was found, and what to do about it.

    Attributes:
        check: What was tried.
        health: What became of it.
        found: What was found, in words without any secret.
        remedy: What to do; None where all is well.
        exit_code: What the command ends with for it: 5, 6 or 7; 0 unless it failed.
    """

    check: str
    health: Health
    found: str
    remedy: str | None = None
    exit_code: int = 0


def ok(check: str, found: str) -> DoctorFinding:
    """Give a check that went well."""
    return DoctorFinding(check, Health.OK, found)


def warning(check: str, found: str, remedy: str) -> DoctorFinding:
    """Give a check that somebody should know of."""
    return DoctorFinding(check, Health.WARNING, found, remedy)


def failed(check: str, trouble: CardferryError) -> DoctorFinding:
    """Give a check that went as a trouble says."""
    several = trouble.problems if isinstance(trouble, SettingsRefused) else [trouble.message]
    found = "; ".join(several)
    return DoctorFinding(check, Health.FAILED, found, trouble.next_step, trouble.exit_code)
