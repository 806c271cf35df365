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

DATABASE_ERRORS: Final = (psycopg.Error, SQLAlchemyError)

_RIGHTS: Final = ("28", "3D", "42501", "25006")
"""Beginnings of SQLSTATEs: wrong user or password, no such database, no right, a copy only."""
_FOR_NOW: Final = ("08", "53", "55", "57", "58", "40", "25P")
"""Beginnings of SQLSTATEs: connection, room, locks, shutdown, the system, rollbacks, time-outs."""
_RULES: Final = ("23",)
_PASSING: Final = ("starting up", "shutting down", "recovery", "too many", "remaining connection")
_REFUSALS: Final = (
    *("fatal:", "password", "authentication", "pg_hba", "certificate", "ssl", "tls"),
    *("root.crt", "read-only", "gss", "scram", "invalid"),
)
"""Words of a connection that was refused, not missed; they stand in the driver's text only."""

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
    if state.startswith(_RIGHTS):
        return _refused(name)
    if state.startswith(_RULES):
        return VerificationFailed(
            f"the ledger refused a step that its rules forbid ({name})",
            next_step="Keep the ledger as it is and run `cardferry verify DIR`.",
        )
    if state.startswith(_FOR_NOW) or (
        not state and isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
    ):
        return LocalStorageFailed(
            f"the ledger's PostgreSQL server does not answer or has no room ({name})",
            next_step=_GONE_NEXT,
        )
    return VerificationFailed(
        f"the ledger holds what Cardferry never writes, or is damaged ({name})",
        next_step="Keep the ledger as it is; restore it from a backup.",
    )


def not_connected(error: psycopg.Error) -> CardferryError:
    """Give our own error for a connection that did not come about.

    A refusal before there is a session has no SQLSTATE, only the driver's text, which may name
    user and host: it is looked at and not repeated.
    """
    if getattr(error, "sqlstate", None):
        return in_our_words(error)
    text = str(error).lower()
    if any(word in text for word in _REFUSALS) and not any(word in text for word in _PASSING):
        return _refused("certificate" if "certificate" in text or "root.crt" in text else "")
    return in_our_words(error)


def _refused(why: str) -> SettingsRefused:
    return SettingsRefused(
        [
            "ledger.url: the PostgreSQL server does not let this user in, or not with these rights"
            + (f" ({why})" if why else "")
        ],
        next_step="Check user, password, database, its rights (CREATE and TEMPORARY on the "
        "database) and, for TLS, sslrootcert.",
    )
