"""Keeps two runs apart: each takes the next epoch, and one that was overtaken writes no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import VerificationFailed

if TYPE_CHECKING:
    from sqlalchemy import Connection

OVERTAKEN: Final = "a later run has taken this ledger over"


def require_epoch(connection: Connection, epoch: int) -> None:
    """Make sure that no later run has begun.

    Raises:
        VerificationFailed: One has.
    """
    if (connection.exec_driver_sql("SELECT max(epoch) FROM runs").scalar() or 0) != epoch:
        raise overtaken()


def overtaken() -> VerificationFailed:
    """Give the error of a run that a later one has overtaken."""
    return VerificationFailed(
        OVERTAKEN, next_step="Look at it with `cardferry status DIR`; only one run may write."
    )
