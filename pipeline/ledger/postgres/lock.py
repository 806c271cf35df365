"""Gives one writer at a time, on whatever machine, a ledger's advisory lock.

The server drops the lock with the session that holds it, so a machine that is gone leaves nothing
stale: another one that waits for the lock goes on from there.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import psycopg

_HELD: Final = """
    SELECT EXISTS (
        SELECT 1 FROM pg_catalog.pg_locks
        WHERE locktype = 'advisory' AND granted AND objsubid = 1
          AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
          AND (classid::bigint << 32 | objid::bigint) = %s)
"""


def is_taken(driver: psycopg.Connection[Any], schema: str) -> bool:
    """Take the lock for as long as the session lasts; tell whether that was possible."""
    found = driver.execute("SELECT pg_try_advisory_lock(%s)", (_key(schema),)).fetchone()
    return bool(found and found[0])


def is_held(driver: psycopg.Connection[Any], schema: str) -> bool:
    """Tell whether a session holds the lock."""
    found = driver.execute(_HELD, (_key(schema),)).fetchone()
    return bool(found and found[0])


def _key(schema: str) -> int:
    """Give a schema's lock: eight bytes; the server keeps those of each database apart."""
    digest = hashlib.sha256(schema.encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
