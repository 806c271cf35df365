"""Gives one writer at a time, on whatever machine, a ledger's advisory lock.

The server drops the lock with the session that holds it, so a machine that is gone leaves nothing
stale: another one that waits for the lock goes on from there.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, Final

from pipeline.errors import MigrationLocked

if TYPE_CHECKING:
    import psycopg

_BETWEEN_TRIES_S: Final = 0.1
_HELD: Final = """
    SELECT EXISTS (
        SELECT 1 FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
          AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
          AND (classid::bigint << 32 | objid::bigint) = %s)
"""


def hold(driver: psycopg.Connection[Any], schema: str, wait_s: float) -> None:
    """Take the lock for as long as the session lasts.

    Raises:
        MigrationLocked: Another session holds it, and did not leave within `wait_s` seconds.
    """
    for left in range(int(wait_s / _BETWEEN_TRIES_S), -1, -1):
        found = driver.execute("SELECT pg_try_advisory_lock(%s)", (_key(schema),)).fetchone()
        if found is not None and found[0]:
            return
        if left:
            threading.Event().wait(_BETWEEN_TRIES_S)
    raise MigrationLocked


def is_held(driver: psycopg.Connection[Any], schema: str) -> bool:
    """Tell whether a session holds the lock."""
    found = driver.execute(_HELD, (_key(schema),)).fetchone()
    return bool(found and found[0])


def _key(schema: str) -> int:
    """Give a schema's lock: eight bytes; the server keeps those of each database apart."""
    digest = hashlib.sha256(schema.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
