"""Opens the one connection to PostgreSQL that a process reads and writes a ledger through.

A connection that was lost is never replaced: the new one would hold neither the lock nor the
place in the chain of commits. Whoever had it stops, and the next run finds out what is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from pipeline.errors import LocalStorageFailed, SettingsRefused, VerificationFailed
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
}
_NOT_DURABLE: Final = ("off", "local")
_ASKED: Final = """
    SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
           current_setting('fsync'), current_setting('full_page_writes'),
           current_setting('synchronous_commit'),
           to_regclass(quote_ident(%(schema)s::text) || '.meta') IS NOT NULL,
           has_database_privilege(current_database(), 'CREATE'),
           has_database_privilege(current_database(), 'TEMPORARY')
"""


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
    driver = _connected(url, read_only=read_only)
    given = iter((driver,))

    def creator() -> psycopg.Connection[Any]:
        for first in given:
            return first
        raise LocalStorageFailed(
            "the connection to the ledger's PostgreSQL server was lost",
            next_step="Look after the server, then run the same command again; nothing is lost.",
        )

    # Parameters hold legacy ids; errors must not print them.
    engine = create_engine(
        "postgresql+psycopg://",
        creator=creator,
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
        driver.close()

    return engine


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


def _connected(url: LedgerUrl, *, read_only: bool) -> psycopg.Connection[Any]:
    driver = connected(url)
    try:
        _prepare(driver, url, read_only=read_only)
    except DATABASE_ERRORS as error:
        driver.close()
        raise in_our_words(error) from None
    except BaseException:
        driver.close()
        raise
    return driver


def _prepare(driver: psycopg.Connection[Any], url: LedgerUrl, *, read_only: bool) -> None:
    """Make sure of the server, and of the session's own settings, whatever its role's are."""
    found = driver.execute(_ASKED, {"schema": url.schema}).fetchone()
    assert found is not None  # noqa: S101 - a statement without a table gives a row.
    version, encoding, fsync, whole_pages, commit, is_there, may_create, may_temporary = found
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


def _require_rights(**rights: bool) -> None:
    missing = [name for name, is_given in rights.items() if not is_given]
    if missing:
        raise SettingsRefused(
            [f"ledger.url: the user lacks {' and '.join(missing)} on the database"],
            next_step=f"GRANT {', '.join(missing)} ON DATABASE ... TO the user, then run again.",
        )
