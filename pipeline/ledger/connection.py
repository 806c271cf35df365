"""A ledger's place in, one careful SQLite connection out.

Rollback journal and full sync: WAL has a corruption bug up to SQLite 3.51.2 with two
connections, and the Python here may link an older one (SAFETY.md, section 0, item 8). Every
statement of a process goes through one connection, so that a read never blocks a commit.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.pool import StaticPool

from pipeline.errors import LocalStorageFailed, VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Executable

BUSY_TIMEOUT_MS: Final = 30_000
_DAMAGE: Final = ("malformed", "not a database", "corrupt")


def open_engine(path: Path | None, *, read_only: bool = False) -> Engine:
    """Open the ledger's database.

    Args:
        path: The file, or None for a nameless temporary database that leaves nothing behind.
        read_only: Open without the right to write, as a second process may.
    """
    if path is None:
        address = "file:?mode=rwc&uri=true"
    else:
        mode = "ro" if read_only else "rwc"
        address = f"file:{_uri_path(path)}?mode={mode}&uri=true"
    # Parameters hold legacy ids; errors must not print them.
    engine = create_engine(
        f"sqlite:///{address}",
        hide_parameters=True,
        poolclass=StaticPool,
        connect_args={"check_same_thread": False, "isolation_level": None},
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA temp_store = MEMORY")
        cursor.execute("PRAGMA mmap_size = 0")
        cursor.execute("PRAGMA cache_size = -32000")
        cursor.execute("PRAGMA trusted_schema = OFF")
        if not read_only:
            # Truncating spares the folder two updates a commit and is synced under EXTRA.
            cursor.execute("PRAGMA journal_mode = TRUNCATE")
            cursor.execute("PRAGMA synchronous = EXTRA")
            cursor.execute("PRAGMA secure_delete = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")

    return engine


def _uri_path(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


@contextmanager
def ledger_trouble() -> Iterator[None]:
    """Turn the database's errors into ours; none of their texts goes on.

    Raises:
        LocalStorageFailed: The disk refused; what was committed before is safe.
        VerificationFailed: The database is damaged or refused a step that its rules forbid.
    """
    try:
        yield
    except IntegrityError as error:
        raise VerificationFailed(
            f"the ledger refused a step that its rules forbid ({_driver_word(error)})",
            next_step="Keep the folder as it is and run `cardferry verify DIR`.",
        ) from None
    except DBAPIError as error:
        text = str(error.orig).lower()
        if not isinstance(error, OperationalError) or any(word in text for word in _DAMAGE):
            raise VerificationFailed(
                f"the ledger is damaged or not a ledger ({_driver_word(error)})",
                next_step="Keep the folder as it is; restore the ledger from a backup.",
            ) from None
        raise LocalStorageFailed(
            f"the ledger cannot be written or read ({_driver_word(error)})",
            next_step="Free or mend the disk, then run the same command again.",
        ) from None


def _driver_word(error: DBAPIError) -> str:
    """Give SQLite's name of the error, such as SQLITE_FULL."""
    return str(getattr(error.orig, "sqlite_errorname", type(error.orig).__name__))


class Prepared:
    """A statement compiled once and run over tuples, without building it again a row.

    Args:
        engine: Whose dialect to compile for.
        statement: The statement, with named bind parameters.
        names: The order in which the tuples give the parameters.
    """

    def __init__(self, engine: Engine, statement: Executable, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=engine.dialect)  # type: ignore[attr-defined]
        if list(compiled.positiontup) != list(names):
            raise AssertionError(f"bind order is {compiled.positiontup}")
        self._sql = str(compiled)

    def many(self, connection: Connection, tuples: Sequence[tuple[object, ...]]) -> int:
        """Run over all tuples and give the number of rows it touched."""
        if not tuples:
            return 0
        return connection.exec_driver_sql(self._sql, list(tuples)).rowcount
