"""Keeps a ledger in one SQLite file: what SQLite does in its own way, behind the seam of `store`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from sqlalchemy import inspect

from pipeline.errors import SettingsRefused
from pipeline.ledger.checks import require_own_files
from pipeline.ledger.epoch import require_epoch
from pipeline.ledger.reserve import Reserve
from pipeline.ledger.sqlite import connection as opened
from pipeline.ledger.sqlite import tables
from pipeline.ledger.sqlite.batch import Batches
from pipeline.ledger.sqlite.kept_open import kept_open
from pipeline.ledger.sqlite.loading import insert_rows
from pipeline.ledger.store import translated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine, Select, Table

    from pipeline.clock import Clock
    from pipeline.errors import CardferryError
    from pipeline.ledger.batches import Writing
    from pipeline.ledger.ledger_url import LedgerUrl
    from pipeline.ledger.sqlite.kept_open import Driver
    from pipeline.ledger.store import Blocks, Parts, Store

_ANY_CUSTOMER: Final = "SELECT 1 FROM customers LIMIT 1"


class SqliteStore:
    """SQLite, as `store.Store` asks for it."""

    errors: tuple[type[Exception], ...] = opened.DATABASE_ERRORS
    put_back = (
        "Put ledger.sqlite back together with its ledger.sqlite-journal, or restore both from a "
        "backup"
    )
    has_server = False

    def open_engine(self, url: LedgerUrl, *, read_only: bool, apart: bool) -> Engine:
        """Make what opens the file, once its names are known to be nobody else's."""
        path = _path_of(url)
        require_own_files(path)
        return opened.open_engine(path, read_only=read_only, apart=apart)

    def reconnect(self, engine: Engine, *, holds: bool, is_made: bool) -> None:
        """Refuse: a file is not lost."""
        del engine, holds, is_made
        raise AssertionError("there is no server to connect to again")

    def reserve(self, url: LedgerUrl) -> Reserve:
        """Give the room beside the file."""
        path = _path_of(url)
        return Reserve(None if path is None else path.parent)

    def watched_file(self, url: LedgerUrl) -> Path | None:
        """Give the file; None for a temporary ledger."""
        return _path_of(url)

    def driver_of(self, connection: Connection) -> Driver:
        """Give the driver's own connection."""
        return opened.driver_of(connection)

    def hold(self, engine: Engine, wait_s: float, clock: Clock, outage_s: float) -> None:
        """Do nothing: whoever writes holds the folder's lock by then."""

    def is_held(self, connection: Connection) -> bool:
        """Leave it to the folder's lock."""
        del connection
        return False

    def settle(self, url: LedgerUrl) -> None:
        """Sync the folder: the first commit has made the journal, later ones write into it."""
        path = _path_of(url)
        if path is not None:
            opened.sync_folder(path.parent)

    def steady(self, connection: Connection) -> None:
        """Do nothing: no transaction of SQLite sees what another one does meanwhile."""

    def in_our_words(self, error: Exception) -> CardferryError:
        """Give our own error for one of `errors`."""
        return opened.in_our_words(error)

    def trouble(self) -> AbstractContextManager[None]:
        """Turn `errors` into ours."""
        return translated(self)

    def take_notes(self, connection: Connection) -> tuple[()]:
        """Give nothing: no carriers share a file."""
        del connection
        return ()

    def begins_empty(self, connection: Connection) -> bool:
        """Tell whether no table was made here yet."""
        return not inspect(connection).get_table_names()

    def create_tables(self, connection: Connection) -> None:
        """Make the tables and rules."""
        tables.create_tables(connection)

    def create_rules(self, connection: Connection) -> None:
        """Make the rules in place of those that are there."""
        tables.create_rules(connection)

    def parts_of(self, connection: Connection) -> Parts:
        """Give every part of the schema that is there."""
        return tables.parts_of(connection)

    def own_parts(self, connection: Connection) -> Parts:
        """Give every part of the schema that this program makes."""
        del connection
        return tables.own_parts()

    def portable_parts(self, connection: Connection) -> Parts:
        """Give the parts that are there: SQLite's are those that all stores tell."""
        return tables.parts_of(connection)

    def is_sound(self, connection: Connection, *, thorough: bool) -> bool:
        """Let SQLite check its pages, and every index against its table where that is asked for."""
        check = "integrity_check" if thorough else "quick_check"
        return bool(connection.exec_driver_sql(f"PRAGMA {check}(1)").scalar_one() == "ok")

    def take_stock(self, connection: Connection) -> None:
        """Do nothing: SQLite plans by its indexes alone."""

    def changes_seen(self, connection: Connection) -> int | None:
        """Give SQLite's own count of what others committed."""
        return int(connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def is_alone_since(self, connection: Connection, seen: object) -> bool:
        """Compare SQLite's own count."""
        return self.changes_seen(connection) == seen

    def stands(self, connection: Connection) -> None:
        """Leave it to the file, which has moments of its own."""
        del connection

    def name_writer(self, connection: Connection, session: int) -> None:
        """Do nothing: no carriers share a file."""
        del connection, session

    def fence(self, connection: Connection, epoch: int) -> None:
        """Refuse a run that was overtaken; `BEGIN IMMEDIATE` keeps all others out until the end."""
        require_epoch(connection, epoch)

    def selected(self, connection: Connection, statement: Select[Any]) -> Blocks:
        """Run a statement and give its rows in blocks."""
        return opened.selected(connection, statement)

    def read_sparingly(self, connection: Connection) -> None:
        """Keep few pages in memory."""
        opened.read_sparingly(connection)

    def beside(self, connection: Connection) -> AbstractContextManager[Connection | None]:
        """Give a second connection to a large copy."""
        return opened.beside(connection)

    def break_off(self, connection: Connection) -> None:
        """Interrupt what runs."""
        opened.driver_of(connection).interrupt()

    def fill(
        self,
        connection: Connection,
        table: Table,
        names: Sequence[str],
        columns: Sequence[Sequence[object]],
    ) -> None:
        """Insert many rows, and ask the rules for new rows of many together."""
        insert_rows(connection, table, names, columns)

    def shared_schemas(self, url: LedgerUrl) -> list[str]:
        """Give none: no carriers share a file."""
        del url
        return []

    def kept_open(self, driver: Driver) -> AbstractContextManager[None]:
        """Keep the file and its journal open, as every reader may."""
        return kept_open(driver)

    def batches(self, writing: Writing, epoch: int, session: int = 0) -> Batches:
        """Make what writes the batches of a run, which shares its ledger with nobody."""
        del session
        with writing() as driver:
            # Where cards belong to nobody, nothing will be said of customers.
            has_customers = bool(driver.execute(_ANY_CUSTOMER).fetchone())
        if not has_customers:
            return Batches(writing, epoch)
        from pipeline.ledger.sqlite.card_batch import CardBatches  # noqa: PLC0415 - as above.

        return CardBatches(writing, epoch)


def _path_of(url: LedgerUrl) -> Path | None:
    """Give the file of a ledger, or None for a temporary one."""
    parts = urlsplit(url.text)
    if parts.netloc:
        raise SettingsRefused(["ledger.url: a ledger in SQLite is in the migration's folder"])
    return Path(unquote(parts.path)) if parts.path else None


STORE: Final[Store] = SqliteStore()
