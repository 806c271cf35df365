"""Keeps a ledger in a schema of PostgreSQL: what that does in its own way, behind the seam of `store`."""

from __future__ import annotations

import itertools
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Integer, LargeBinary, inspect, select

from pipeline.errors import MigrationLocked
from pipeline.ledger.epoch import require_epoch
from pipeline.ledger.ledger_url import write_pointer
from pipeline.ledger.postgres import connection as opened
from pipeline.ledger.postgres import lock, tables, troubles
from pipeline.ledger.postgres.batch import Batches
from pipeline.ledger.postgres.changes import LastWrites, last_writes, name_carrier, only_by
from pipeline.ledger.postgres.references import are_kept
from pipeline.ledger.postgres.shared_schemas import shared_schemas
from pipeline.ledger.postgres.standby import wait_for_lock
from pipeline.ledger.reserve import Reserve
from pipeline.ledger.schema import metadata, runs
from pipeline.ledger.sharing.jobs import take_notes
from pipeline.ledger.sqlite import tables as sqlite_tables
from pipeline.ledger.store import fetched_at_once, translated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import psycopg
    from sqlalchemy import Connection, Engine, Select, Table

    from pipeline.clock import Clock
    from pipeline.errors import CardferryError
    from pipeline.ledger.batches import Writing
    from pipeline.ledger.ledger_url import LedgerUrl
    from pipeline.ledger.store import Blocks, Note, Parts, Store

_cursors: Final = itertools.count(1)


class PostgresStore:
    """PostgreSQL, as `store.Store` asks for it."""

    errors: tuple[type[Exception], ...] = troubles.DATABASE_ERRORS
    put_back = "Restore the database from a backup"
    has_server = True

    def open_engine(self, url: LedgerUrl, *, read_only: bool, apart: bool) -> Engine:
        """Make what opens the one connection; nobody waits for who looks, so none looks apart."""
        del apart
        return opened.open_engine(url, read_only=read_only)

    def reconnect(self, engine: Engine, *, holds: bool, is_made: bool) -> None:
        """Connect again, and take the ledger's lock again where this process had it."""
        if is_made:
            opened.was_made(engine)
        opened.reconnect(engine)
        if holds:
            with engine.connect() as connection:
                if not lock.is_taken(opened.driver_of(connection), _schema(connection)):
                    raise MigrationLocked

    def reserve(self, url: LedgerUrl) -> Reserve:
        """Give room in the folder of the outputs; the ledger's own is the server's affair."""
        return Reserve(url.folder, holds_ledger=False)

    def watched_file(self, url: LedgerUrl) -> None:
        """Give no file: the server keeps its readers out of a writer's way."""

    def driver_of(self, connection: Connection) -> psycopg.Connection[Any]:
        """Give the driver's own connection."""
        return opened.driver_of(connection)

    def hold(self, engine: Engine, wait_s: float, clock: Clock, outage_s: float) -> None:
        """Take the ledger's advisory lock for as long as the session lasts; carriers leave first."""
        wait_for_lock(engine, wait_s, clock, outage_s)

    def is_held(self, connection: Connection) -> bool:
        """Tell whether a session has the lock, on whatever machine."""
        return lock.is_held(opened.driver_of(connection), _schema(connection))

    def settle(self, url: LedgerUrl) -> None:
        """Say in the folder where the ledger is; the server has synced what it acknowledged."""
        if url.folder is not None and url.source is not None:
            write_pointer(url.folder, url.source, url.schema)

    def steady(self, connection: Connection) -> None:
        """Let all that is asked in this transaction see one state."""
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")

    def in_our_words(self, error: Exception) -> CardferryError:
        """Give our own error for one of `errors`."""
        return troubles.in_our_words(error)

    def trouble(self) -> AbstractContextManager[None]:
        """Turn `errors` into ours."""
        return translated(self)

    def take_notes(self, connection: Connection) -> Sequence[Note]:
        """Give what carriers had to say."""
        return take_notes(connection)

    def begins_empty(self, connection: Connection) -> bool:
        """Tell whether no table was made here yet."""
        return not inspect(connection).get_table_names()

    def create_tables(self, connection: Connection) -> None:
        """Make the schema, its tables and rules."""
        tables.create_tables(connection, _schema(connection))

    def create_rules(self, connection: Connection) -> None:
        """Make the rules in place of those that are there."""
        tables.create_rules(connection, _schema(connection))

    def parts_of(self, connection: Connection) -> Parts:
        """Give every part of the schema that is there."""
        return tables.parts_of(connection, _schema(connection))

    def own_parts(self, connection: Connection) -> Parts:
        """Give every part of the schema that this program makes."""
        del connection
        return tables.own_parts()

    def portable_parts(self, connection: Connection) -> Parts:
        """Give the parts as SQLite tells them, and with them whatever is not this program's."""
        return sqlite_tables.own_parts() | (tables.own_parts() ^ self.parts_of(connection))

    def is_sound(self, connection: Connection, *, thorough: bool) -> bool:
        """Leave its pages and indexes to the server, which mends what a crash left by itself."""
        del thorough
        return are_kept(connection)

    def take_stock(self, connection: Connection) -> None:
        """Sample every table; the server's own turn may come minutes after many rows."""
        names = ", ".join(f'"{table.name}"' for table in metadata.sorted_tables)
        connection.exec_driver_sql(f"ANALYZE {names}")

    def changes_seen(self, connection: Connection) -> LastWrites:
        """Give who wrote to the ledger last, by the server's records."""
        return last_writes(connection, _schema(connection))

    def is_alone_since(self, connection: Connection, seen: object) -> bool:
        """Tell whether only this process, and carriers of its run, have written since."""
        assert isinstance(seen, LastWrites)  # noqa: S101 - `changes_seen` gave it.
        processes = opened.processes_of(connection.engine)
        return only_by(connection, seen, self.changes_seen(connection), processes)

    def stands(self, connection: Connection) -> list[str]:
        """Give the words in which the server's records say how the ledger stands."""
        return self.changes_seen(connection).words()

    def name_writer(self, connection: Connection, session: int) -> None:
        """Let what a carrier writes stand under its session."""
        name_carrier(connection, session)

    def fence(self, connection: Connection, epoch: int) -> None:
        """Lock the run's own row, which a later run has to have first, and refuse if one began."""
        own = select(runs.c.epoch).where(runs.c.epoch == epoch)
        connection.execute(own.with_for_update(read=True))
        require_epoch(connection, epoch)

    def selected(self, connection: Connection, statement: Select[Any]) -> Blocks:
        """Run a statement through a cursor of the server, and give its rows in blocks."""
        compiled = statement.compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        name, at_once = f"cardferry_{next(_cursors)}", fetched_at_once(statement)
        with opened.driver_of(connection).cursor(name) as cursor:
            # Without parameters the driver would not read the doubled per cent signs as one.
            cursor.execute(str(compiled), {}, binary=True)
            while block := cursor.fetchmany(at_once):
                yield block

    def read_sparingly(self, connection: Connection) -> None:
        """Do nothing: a cursor keeps one block."""

    def beside(self, connection: Connection) -> AbstractContextManager[Connection | None]:
        """Give none: of a standby server no second connection sees the same state."""
        del connection
        return nullcontext()

    def break_off(self, connection: Connection) -> None:
        """Do nothing: no second connection is given."""
        del connection

    def fill(
        self,
        connection: Connection,
        table: Table,
        names: Sequence[str],
        columns: Sequence[Sequence[object]],
    ) -> None:
        """Insert many rows by a binary COPY."""
        if not columns:
            return
        listed = ", ".join(f'"{name}"' for name in names)
        statement = f'COPY "{table.name}" ({listed}) FROM STDIN (FORMAT BINARY)'
        cursor = opened.driver_of(connection).cursor()
        with cursor, cursor.copy(statement) as copy:
            copy.set_types([_type(table, name) for name in names])
            for row in zip(*columns, strict=True):
                copy.write_row(row)

    def shared_schemas(self, url: LedgerUrl) -> list[str]:
        """Give the schemas whose lock is held and whose job is not over."""
        return shared_schemas(url)

    def kept_open(self, driver: Any) -> AbstractContextManager[None]:
        """Do nothing: a connection stays open."""
        del driver
        return nullcontext()

    def batches(self, writing: Writing, epoch: int, session: int = 0) -> Batches:
        """Make what writes the batches of a run, or of one of its carriers."""
        return Batches(writing, epoch, session)


def _schema(connection: Connection) -> str:
    return str(connection.info[opened.SCHEMA])


def _type(table: Table, name: str) -> str:
    kind = table.columns[name].type
    if isinstance(kind, BigInteger):
        return "int8"
    if isinstance(kind, Integer):
        return "int4"
    return "bytea" if isinstance(kind, LargeBinary) else "text"


STORE: Final[Store] = PostgresStore()
