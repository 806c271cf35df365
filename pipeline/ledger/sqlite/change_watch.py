"""Knows which tables a connection may have changed, and whether anybody else changed the database.

SQLite asks an authorizer about every table that a statement writes to, when the statement is
compiled, triggers included. A table that no statement of a connection was ever compiled for holds
what it held when the connection was opened, unless another connection has committed since.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

from pipeline.ledger.store import WATCH

if TYPE_CHECKING:
    from sqlalchemy.pool import ConnectionPoolEntry

_WRITING: Final = frozenset({sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE})


class ChangeWatch:
    """Watches one connection from its beginning; `store.Watch` says what for.

    Args:
        driver: The driver's connection, just opened.
    """

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver
        self.written = set[str]()
        self.digests: dict[str, dict[str, int | str]] = {}
        self._seen: int | None = None
        driver.set_authorizer(self._note)

    def is_alone(self) -> bool:
        """Tell whether no other connection has committed since this was asked last."""
        before = self._seen
        self._seen = int(self._driver.execute("PRAGMA data_version").fetchone()[0])
        return before == self._seen

    def _note(self, action: int, table: str | None, *_: Any) -> int:
        if action in _WRITING and table is not None:
            self.written.add(table)
        return sqlite3.SQLITE_OK


def watch(driver: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
    """Begin to watch a connection; `digests` finds the watch beside it."""
    record.info[WATCH] = ChangeWatch(driver)
