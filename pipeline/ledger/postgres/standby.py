"""Waits for a ledger's lock: for the run that holds it, and for a server that goes away meanwhile.

A server that starts again has forgotten who held the lock. The run that did asks for it again as
soon as it notices, so whoever only waited leaves it some time before asking.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from pipeline.errors import CardferryError, LocalStorageFailed, MigrationLocked, SettingsRefused
from pipeline.ledger.postgres import connection as opened
from pipeline.ledger.postgres import lock
from pipeline.ledger.postgres.troubles import DATABASE_ERRORS, in_our_words
from pipeline.ledger.sharing.dismissal import dismiss
from pipeline.logs import EventLog

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipeline.clock import Clock

_BETWEEN_TRIES_S: Final = 0.1
HOLDER_FIRST_S: Final = 5.0
"""Ten times what the run that held the lock waits between its own tries."""

log = EventLog("ledger")


def wait_for_lock(engine: Engine, wait_s: float, clock: Clock, outage_s: float = 0.0) -> None:
    """Take the lock for as long as the connection lasts, and let the carriers of others leave.

    Args:
        engine: What was opened; another connection may be in it afterwards.
        wait_s: How long to wait for whoever holds the lock, or for the server.
        clock: For the time that passes.
        outage_s: How long to wait for a server that went away, if that is longer.

    Raises:
        LocalStorageFailed: The server is away, and did not come back in that time.
        MigrationLocked: Another session holds the lock, and did not leave in that time.
        SettingsRefused: The server does not let us in any more.
    """
    until = back_by = clock.monotonic() + wait_s
    lost: CardferryError | None = None
    while True:
        try:
            if lost is not None:
                _come_back(engine)
                lost = None
            if _is_taken(engine):
                return
        except DATABASE_ERRORS as error:
            lost = _loss(in_our_words(error))
            back_by = max(until, clock.monotonic() + outage_s)
        except (LocalStorageFailed, SettingsRefused) as trouble:
            lost = trouble
        if clock.monotonic() >= (until if lost is None else back_by):
            raise lost or MigrationLocked()
        threading.Event().wait(_BETWEEN_TRIES_S)


def _come_back(engine: Engine) -> None:
    opened.reconnect(engine)
    log.info("the server of the ledger is back and its lock is waited for")
    threading.Event().wait(HOLDER_FIRST_S)


def _is_taken(engine: Engine) -> bool:
    with engine.connect() as connection:
        if not lock.is_taken(opened.driver_of(connection), str(connection.info[opened.SCHEMA])):
            return False
        dismiss(connection)
    return True


def _loss(trouble: CardferryError) -> CardferryError:
    """Give a trouble back that may pass; raise any other."""
    if not isinstance(trouble, LocalStorageFailed):
        raise trouble from None
    log.warning("the server of the ledger is gone and is waited for")
    return trouble
