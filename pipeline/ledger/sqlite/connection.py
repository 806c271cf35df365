"""Opens the SQLite connection that a ledger is read and written through, with full sync, and reads in blocks.

Rollback journal and full sync: WAL has a corruption bug up to SQLite 3.51.2 with two
connections, and the Python here may link an older one (SAFETY.md, section 0, item 8). Every
statement of a process goes through one connection, so that a read never blocks a commit. Rows are
given in blocks, as the driver's own tuples: a million cost seconds less.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from pipeline.errors import CardferryError, LocalStorageFailed, VerificationFailed
from pipeline.ledger.reserve import DiskFull
from pipeline.ledger.sqlite.copies import copy_of
from pipeline.ledger.sqlite.kept_open import Driver, begun
from pipeline.ledger.store import fetched_at_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Select
    from sqlalchemy.pool import ConnectionPoolEntry


LOOKING_WAITS_MS: Final = 30_000
WRITING_WAITS_MS: Final = 2_000_000_000
"""Three weeks: who holds the ledger is no trouble of the disk, and answers wait in memory."""
DATABASE_ERRORS: Final = (sqlite3.Error, SQLAlchemyError)
_SPARING_CACHE_KIB: Final = 2_000
_DAMAGE: Final = ("malformed", "not a database", "corrupt", "could not decode")
"""What SQLite and its driver say of bytes that nobody wrote."""


def open_engine(
    path: Path | None,
    *,
    read_only: bool = False,
    apart: bool = False,
    for_two: bool = True,
    is_held: bool = False,
) -> Engine:
    """Open the ledger's database.

    Args:
        path: The file, or None for a nameless temporary database that leaves nothing behind.
        read_only: Change nothing, as a second process may.
        apart: Look at a copy, made in one go, so that a run that writes does not wait for whoever
            looks; the copy is a nameless temporary file.
        for_two: Let a second connection look at a large copy, too (`beside`).
        is_held: Ask for no lock and take nothing back: another process holds the file and writes
            to none of the tables that will be read.
    """
    if path is None:
        address = "file:?mode=rwc&uri=true"
    else:
        # Whoever looks after a crash has to roll the unfinished commit back, which writes; a
        # file that may not be written to is opened for reading all the same.
        mode = "ro&immutable=1" if is_held else "rw" if read_only else "rwc"
        address = f"file:{_uri_path(path)}?mode={mode}&uri=true"
    creator: Callable[[], sqlite3.Connection] | None = None
    if apart:
        original = address.removesuffix("&uri=true")
        creator = partial(copy_of, original, LOOKING_WAITS_MS, for_two=for_two)
    return _engine(
        address, creator, read_only=read_only, cache_kib=2_000 if path is None else 8_000
    )


def _engine(
    address: str,
    creator: Callable[[], sqlite3.Connection] | None,
    *,
    read_only: bool,
    cache_kib: int,
) -> Engine:
    options: dict[str, Any] = {
        "connect_args": {"check_same_thread": False, "isolation_level": None, "factory": Driver}
    }
    if creator is not None:
        options = {"creator": creator}
    # Parameters hold legacy ids; errors must not print them.
    engine = create_engine(
        f"sqlite:///{address}",
        hide_parameters=True,
        poolclass=StaticPool,
        **options,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _: ConnectionPoolEntry) -> None:
        cursor = connection.cursor()
        waits_ms = LOOKING_WAITS_MS if read_only else WRITING_WAITS_MS
        cursor.execute(f"PRAGMA busy_timeout = {waits_ms}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA temp_store = MEMORY")
        cursor.execute("PRAGMA mmap_size = 0")
        # A ledger that leaves nothing behind is read once and is not asked for single rows.
        cursor.execute(f"PRAGMA cache_size = -{cache_kib}")
        cursor.execute("PRAGMA trusted_schema = OFF")
        if read_only:
            cursor.execute("PRAGMA query_only = ON")
        else:
            # Truncating spares the folder two updates a commit and is synced under EXTRA.
            cursor.execute("PRAGMA journal_mode = TRUNCATE")
            cursor.execute("PRAGMA synchronous = EXTRA")
            cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if read_only:
            connection.exec_driver_sql("BEGIN DEFERRED")
        else:
            driver = driver_of(connection)
            begun(driver, lambda: driver.execute("BEGIN IMMEDIATE"))

    return engine


@contextmanager
def beside(connection: Connection) -> Iterator[Connection | None]:
    """Give a second connection to the copy that is looked at, for another thread; None if none is.

    Nothing may run in it any more when the caller leaves.
    """
    other = getattr(driver_of(connection), "beside", None)
    if other is None:
        yield None
        return
    engine = _engine("", lambda: other, read_only=True, cache_kib=_SPARING_CACHE_KIB)
    # The driver's connection is closed with the copy's own.
    with engine.connect() as second:
        yield second


def driver_of(connection: Connection) -> Driver:
    """Give the driver's own connection; there is one for the whole engine."""
    driver: Driver = connection.connection.driver_connection  # type: ignore[assignment]
    return driver


def sync_folder(folder: Path) -> None:
    """Make the names in the ledger's folder durable, once a run.

    SQLite syncs the folder too, for its journal's name, but does not look whether that failed.

    Raises:
        LocalStorageFailed: The disk refused.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise LocalStorageFailed(
            f"the migration folder cannot be made durable ({error.strerror})",
            next_step="Check this disk, then run the same command again.",
        ) from None


def read_sparingly(connection: Connection) -> None:
    """Keep few pages in memory: whoever reads every row once gains nothing from a cache."""
    connection.exec_driver_sql(f"PRAGMA cache_size = -{_SPARING_CACHE_KIB}")


def blocks(connection: Connection, query: str, at_once: int) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Run a query without parameters and give its rows, so many together.

    Raises:
        VerificationFailed: The database holds text that is no text.
        sqlite3.Error: The disk or the database failed; `Store.trouble` tells which.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute(query)
        while block := cursor.fetchmany(at_once):
            yield block
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", None) is not None:
            # The database's own words for a disk or for damage; `Store.trouble` knows them.
            raise
        # The driver's text quotes what it could not read.
        raise VerificationFailed(
            "the ledger holds text that is no text",
            next_step="Keep the folder as it is; restore the ledger from a backup.",
        ) from None
    finally:
        # A reader that a signal left in the middle may outlive its connection, which has ended it.
        with suppress(sqlite3.ProgrammingError):
            cursor.close()


def selected(connection: Connection, statement: Select[Any]) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Run a statement whose parameters are numbers or words of our own, and give its rows.

    Raises:
        VerificationFailed, sqlite3.Error: As for `blocks`.
    """
    compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"literal_binds": True})
    return blocks(connection, str(compiled), fetched_at_once(statement))


def _uri_path(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def in_our_words(error: Exception) -> CardferryError:
    """Give our own error for one of `DATABASE_ERRORS`; what is ours already stays as it is."""
    if isinstance(error, CardferryError):
        return error
    if isinstance(error, DBAPIError):
        return _translated(error.orig)
    if isinstance(error, sqlite3.Error):
        # Statements that go straight to the driver bring its own errors.
        return _translated(error)
    return VerificationFailed(
        f"the ledger holds what Cardferry never writes ({type(error).__name__})",
        next_step="Keep the folder as it is; restore the ledger from a backup.",
    )


def rule_broken(name: str) -> VerificationFailed:
    """Give the error of whoever did what a rule of the ledger forbids."""
    return VerificationFailed(
        f"the ledger refused a step that its rules forbid ({name})",
        next_step="Keep the folder as it is and run `cardferry verify DIR`.",
    )


def _translated(error: BaseException | None) -> CardferryError:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    text = str(error).lower()
    if isinstance(error, sqlite3.IntegrityError):
        return rule_broken(name)
    if not isinstance(error, sqlite3.OperationalError) or any(word in text for word in _DAMAGE):
        return VerificationFailed(
            f"the ledger is damaged or not a ledger ({name})",
            next_step="Keep the folder as it is; restore the ledger from a backup.",
        )
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return LocalStorageFailed(
            f"another program holds the ledger open ({name})",
            next_step="End what reads or copies the ledger, then run the same command again.",
        )
    if name == "SQLITE_FULL":
        return DiskFull(
            "the disk is full; what it refused is not there in part",
            next_step="Free the disk, then run the same command again.",
        )
    return LocalStorageFailed(
        f"the ledger cannot be written or read ({name})",
        next_step="Free or mend the disk, then run the same command again.",
    )
