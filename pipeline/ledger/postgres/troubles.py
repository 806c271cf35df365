"""Turns what PostgreSQL and its driver raise into our own errors; none of their texts goes on."""

from __future__ import annotations

from typing import Final

import psycopg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from pipeline.errors import (
    CardferryError,
    LocalStorageFailed,
    SettingsRefused,
    VerificationFailed,
)
from pipeline.ledger.outages import ServerLost
from pipeline.ledger.postgres import refusals

DATABASE_ERRORS: Final = (psycopg.Error, SQLAlchemyError)

_RIGHTS: Final = ("28", "3D", "42501", "25006")
"""Beginnings of SQLSTATEs: wrong user or password, no such database, no right, a copy only."""
_LOST: Final = ("08", "57P", "25P03", "25P04")
"""Beginnings of SQLSTATEs: connection, shutdown, a session that was idle in a transaction."""
_FOR_NOW: Final = ("53", "55", "57", "58", "40", "25P")
"""Beginnings of SQLSTATEs: room, locks, cancellation, the system, rollbacks, time-outs."""
_RULES: Final = ("23",)
_GONE_NEXT: Final = (
    "Look after the PostgreSQL server, then run the same command again; nothing is lost."
)


def in_our_words(error: Exception) -> CardferryError:
    """Give our own error for one of `DATABASE_ERRORS`; what is ours already stays as it is."""
    if isinstance(error, CardferryError):
        return error
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        return in_our_words(error.orig)
    state = getattr(error, "sqlstate", None) or ""
    name = state or type(error).__name__
    if state.startswith(_LOST) or (
        not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    ):
        return ServerLost(name)
    return _of_state(state, name)


def _of_state(state: str, name: str) -> CardferryError:
    """Give our own error for a SQLSTATE of a connection that goes on."""
    if state.startswith(_RIGHTS):
        return _refused(name)
    if state.startswith(_RULES):
        return VerificationFailed(
            f"the ledger refused a step that its rules forbid ({name})",
            next_step="Keep the ledger as it is and run `cardferry verify DIR`.",
        )
    if state.startswith(_FOR_NOW):
        return LocalStorageFailed(
            f"the ledger's PostgreSQL server has no room or no connection left ({name})",
            next_step=_GONE_NEXT,
        )
    return VerificationFailed(
        f"the ledger holds what Cardferry never writes, or is damaged ({name})",
        next_step="Keep the ledger as it is; restore it from a backup.",
    )


def not_connected(error: psycopg.Error) -> CardferryError:
    """Give our own error for a connection that did not come about."""
    if getattr(error, "sqlstate", None):
        return in_our_words(error)
    return refusals.why_not_connected(str(error))


def _refused(why: str) -> SettingsRefused:
    return SettingsRefused(
        [f"ledger.url: the PostgreSQL server does not give this user the rights it needs ({why})"],
        next_step="Check the user and its rights (CREATE and TEMPORARY on the database).",
    )
