"""Opens the one connection to PostgreSQL that a process reads and writes a ledger through.

A connection that was lost is replaced only where that is asked for (`reconnect`): the new one holds
no lock, and nobody knows yet what became of the last commit. Else whoever had it stops, and the next
run finds out what is there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from pipeline.errors import LocalStorageFailed, SettingsRefused, VerificationFailed
from pipeline.ledger.outages import ServerLost
from pipeline.ledger.postgres.address import parameters_of
from pipeline.ledger.postgres.troubles import DATABASE_ERRORS, in_our_words, not_connected

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.pool import ConnectionPoolEntry

    from pipeline.ledger.ledger_url import LedgerUrl

SCHEMA: Final = "schema"
"""Under this name a connection's `info` holds the name of the ledger's schema."""

_OLDEST: Final = 140_000
_SESSION: Final = {
    # Whoever looks may hold a state for as long as reading the vault back takes.
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "standard_conforming_strings": "on",
    "quote_all_identifiers": "off",
    "jit": "off",
    # The server lets go of the lock of a machine that is gone without a word within half a minute.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_NOT_DURABLE: Final = ("off", "local")
_ASKED: Final = """
    SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
           current_setting('fsync'), current_setting('full_page_writes'),
           current_setting('synchronous_commit'),
           to_regclass(quote_ident(%(schema)s::text) || '.meta') IS NOT NULL,
           has_database_privilege(current_database(), 'CREATE'),
           has_database_privilege(current_database(), 'TEMPORARY'),
           pg_backend_pid(),
           (SELECT extract(epoch FROM backend_start)::text FROM pg_catalog.pg_stat_activity
            WHERE pid = pg_backend_pid())
"""
_END: Final = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_catalog.pg_stat_activity
    WHERE pid = %s AND extract(epoch FROM backend_start)::text = %s
"""


class _ServerProcess(NamedTuple):
    """What works for a connection at the server; its number alone may be given again."""

    number: int
    began: str


class _Line:
    """The one connection of an engine, given to it once and once more after each reconnection."""

    def __init__(self, url: LedgerUrl, *, read_only: bool) -> None:
        self._url = url
        self._read_only = read_only
        self._is_given = False
        self.driver, self._process = _connected(url, read_only=read_only)
        self.processes = [self._process.number]

    def give(self) -> psycopg.Connection[Any]:
        """Give the connection.

        Raises:
            ServerLost: It was given before, so it is lost.
        """
        if self._is_given:
            raise ServerLost
        self._is_given = True
        return self.driver

    def was_made(self) -> None:
        """Take in that the ledger's tables are there."""
        self._url = replace(self._url, is_known=True)

    def renew(self) -> None:
        """Connect again, and end what may still work for the old connection.

        Raises:
            LocalStorageFailed: The server does not answer, or has not ended that yet.
            SettingsRefused: It does not let us in any more.
        """
        driver, process = _connected(self._url, read_only=self._read_only)
        try:
            found = driver.execute(_END, self._process).fetchone()
        except DATABASE_ERRORS as error:
            driver.close()
            raise in_our_words(error) from None
        if found is not None and not found[0]:
            driver.close()
            raise LocalStorageFailed(
                "the ledger's PostgreSQL server still works for a connection that was lost",
                next_step="Look after the server, then run the same command again.",
            )
        self.driver, self._process, self._is_given = driver, process, False
        self.processes.append(process.number)


_LINES: Final[WeakKeyDictionary[Engine, _Line]] = WeakKeyDictionary()


def open_engine(url: LedgerUrl, *, read_only: bool) -> Engine:
    """Open the ledger's database.

    Args:
        url: Where it is, and the schema that is the ledger.
        read_only: Change nothing.

    Raises:
        LocalStorageFailed: The server does not answer.
        SettingsRefused: It does not let us in, or may lose what it has acknowledged.
        VerificationFailed: The ledger that the folder names is not there.
    """
    line = _Line(url, read_only=read_only)
    # Parameters hold legacy ids; errors must not print them.
    engine = create_engine(
        "postgresql+psycopg://",
        creator=line.give,
        poolclass=StaticPool,
        hide_parameters=True,
        use_native_hstore=False,
        # Else the count of inserted rows, which says whether a step happened, is not kept.
        execution_options={"preserve_rowcount": True},
    )

    @event.listens_for(engine, "connect")
    def _name_schema(_: Any, record: ConnectionPoolEntry) -> None:
        record.info[SCHEMA] = url.schema

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
            if read_only
            else "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
        )

    @event.listens_for(engine, "engine_disposed")
    def _close(_: Engine) -> None:
        # The pool closes only what it was asked for.
        line.driver.close()

    _LINES[engine] = line
    return engine


def was_made(engine: Engine) -> None:
    """Take in that the ledger's tables are there: another connection that lacks them is refused."""
    _LINES[engine].was_made()


def processes_of(engine: Engine) -> list[int]:
    """Give the numbers of the server processes that have worked for an engine."""
    return _LINES[engine].processes


def reconnect(engine: Engine) -> None:
    """Put another connection in the place of an engine's own, which was lost.

    What the server did for the old one is over then: committed, or undone.

    Raises:
        LocalStorageFailed: The server does not answer, or has not ended that yet.
        SettingsRefused: It does not let us in any more.
    """
    engine.dispose()
    _LINES[engine].renew()


def driver_of(connection: Connection) -> psycopg.Connection[Any]:
    """Give the driver's own connection; there is one for the whole engine."""
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    return driver


def connected(url: LedgerUrl) -> psycopg.Connection[Any]:
    """Connect to the database of a URL, whatever is in it.

    Raises:
        LocalStorageFailed: The server does not answer.
        SettingsRefused: It does not let us in.
    """
    try:
        # Each statement is a transaction of its own, unless one is begun by a statement.
        return psycopg.connect(**parameters_of(url.text), autocommit=True)  # type: ignore[arg-type]
    except psycopg.Error as error:
        raise not_connected(error) from None


def _connected(
    url: LedgerUrl, *, read_only: bool
) -> tuple[psycopg.Connection[Any], _ServerProcess]:
    driver = connected(url)
    try:
        process = _prepare(driver, url, read_only=read_only)
    except DATABASE_ERRORS as error:
        driver.close()
        raise in_our_words(error) from None
    except BaseException:
        driver.close()
        raise
    return driver, process


def _prepare(driver: psycopg.Connection[Any], url: LedgerUrl, *, read_only: bool) -> _ServerProcess:
    """Make sure of the server, and of the session's own settings, whatever its role's are."""
    found = driver.execute(_ASKED, {"schema": url.schema}).fetchone()
    assert found is not None  # noqa: S101 - a statement without a table gives a row.
    version, encoding, fsync, whole_pages, commit, is_there, may_create, may_temporary = found[:8]
    problems = []
    if version < _OLDEST:
        problems.append("ledger.url: needs PostgreSQL 14 or newer")
    if encoding != "UTF8":
        problems.append("ledger.url: the database's encoding is not UTF8")
    if "off" in {fsync, whole_pages}:
        problems.append(
            "ledger.url: the server runs with fsync or full_page_writes off; after a power cut "
            "cards would be sent again"
        )
    if problems:
        raise SettingsRefused(problems, next_step="Name a server that keeps what it acknowledges.")
    if not read_only:
        _require_rights(CREATE=may_create or url.is_known, TEMPORARY=may_temporary)
    if url.is_known and not is_there:
        raise VerificationFailed(
            "the ledger that ledger.json names is not in this database",
            next_step="Name the database that it is in, or restore it from a backup; "
            "a new one would send every card again.",
        )
    session = {**_SESSION, "search_path": f'"{url.schema}", pg_temp'}
    if commit in _NOT_DURABLE:
        session["synchronous_commit"] = "on"
    driver.execute(
        "SELECT set_config(name, value, false) FROM unnest(%s::text[], %s::text[]) AS s(name, value)",
        (list(session), list(session.values())),
    )
    return _ServerProcess(*found[8:])


def _require_rights(**rights: bool) -> None:
    missing = [name for name, is_given in rights.items() if not is_given]
    if missing:
        raise SettingsRefused(
            [f"ledger.url: the user lacks {' and '.join(missing)} on the database"],
            next_step=f"GRANT {', '.join(missing)} ON DATABASE ... TO the user, then run again.",
        )
