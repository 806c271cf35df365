"""Lets the carriers of an earlier run leave before another one begins: only then it is alone."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from sqlalchemy import inspect

from pipeline.errors import MigrationLocked
from pipeline.ledger.sharing.jobs import end_job
from pipeline.ledger.sharing.reaping import reap
from pipeline.ledger.sharing.sessions import live_sessions
from pipeline.ledger.sharing.tables import sessions
from pipeline.logs import EventLog

if TYPE_CHECKING:
    from sqlalchemy import Connection

_BETWEEN_LOOKS_S: Final = 0.1
_LOOKS_MAX: Final = 6_000
"""Ten minutes: a carrier drains in less, and one that is silent is reaped after its term."""

log = EventLog("ledger")


def dismiss(connection: Connection) -> None:
    """Ask every carrier to leave, and wait until none is left; those whose terms end are reaped.

    Args:
        connection: Outside any transaction, of a process that holds the ledger.

    Raises:
        MigrationLocked: One of them goes on renewing its session.
    """
    with connection.begin():
        if not inspect(connection).has_table(sessions.name):
            return
    for look in range(_LOOKS_MAX):
        with connection.begin():
            end_job(connection)
            reap(connection)
            left = live_sessions(connection)
        if not left:
            return
        if look == 0:
            log.info("waiting for carriers of an earlier run to leave", carriers=left)
        threading.Event().wait(_BETWEEN_LOOKS_S)
    raise MigrationLocked(
        "carriers of an earlier run do not leave",
        next_step="Look at them with `cardferry status DIR`, and end them where they run.",
    )
