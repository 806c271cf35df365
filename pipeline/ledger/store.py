"""Says what a program that keeps a ledger has to do there, and gives the one behind a connection.

The tables of a ledger, and nearly all that is asked of them, are the same in every store. What is
not is listed by `Store`; whoever has a connection finds the store behind it by `store_of`, and knows
no database by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from pipeline.errors import SettingsRefused

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import Connection, Engine, Select, Table

    from pipeline.clock import Clock
    from pipeline.errors import CardferryError
    from pipeline.ledger.batches import Batches, Writing
    from pipeline.ledger.ledger_url import LedgerUrl
    from pipeline.ledger.reserve import Reserve

FETCHED_AT_ONCE: Final = 5_000
"""Rows of one block of an answer."""
_PACKED_AT_ONCE: Final = 64
"""The same where a row holds what is packed of a thousand others."""

Parts = frozenset[tuple[str, ...]]
"""What a schema is made of: its statements, and the states and steps that its tables list."""

Blocks = Iterator[Sequence[tuple[Any, ...]]]
"""Rows of an answer as the driver gives them, a block at a time."""


def fetched_at_once(statement: Select[Any]) -> int:
    """Give how many rows of a statement's answer are fetched together: fewer where each is large."""
    from sqlalchemy import LargeBinary  # noqa: PLC0415 - whoever has a statement has loaded it.

    is_large = any(isinstance(column.type, LargeBinary) for column in statement.selected_columns)
    return _PACKED_AT_ONCE if is_large else FETCHED_AT_ONCE


class Note(NamedTuple):
    """What the trail is to tell of a carrier."""

    kind: str
    resource: str
    detail: dict[str, Any]


class Store(Protocol):
    """What a database does for a ledger in its own way; one object serves every ledger in it."""

    errors: tuple[type[Exception], ...]
    """What the database and its driver raise."""

    put_back: str
    """How a ledger that contradicts itself is made whole again, for an operator."""

    has_server: bool
    """Whether it is reached over a connection, which may be lost while the ledger is well."""

    def open_engine(self, url: LedgerUrl, *, read_only: bool, apart: bool) -> Engine:
        """Make what opens the one connection of this process to a ledger.

        Args:
            url: Where it is.
            read_only: Change nothing, and make nothing.
            apart: Look at a state of now that no run waits for.

        Raises:
            SettingsRefused: No ledger can be there, or another migration's is.
            VerificationFailed: What stands there is not ours alone.
        """

    def reconnect(self, engine: Engine, *, holds: bool, is_made: bool) -> None:
        """Put another connection in the place of an engine's own, which was lost.

        Args:
            engine: What was opened.
            holds: Whether this process keeps every other writer away, and has to again.
            is_made: Whether the ledger's tables are known to be there, and have to be.

        Raises:
            LocalStorageFailed: The server does not answer yet.
            MigrationLocked: Another writer came first.
            SettingsRefused: The server does not let us in any more.
        """

    def reserve(self, url: LedgerUrl) -> Reserve:
        """Give the room on this machine's disk that the ledger needs."""

    def watched_file(self, url: LedgerUrl) -> Path | None:
        """Give the file that other programs may hold while a write waits, if there is one."""

    def driver_of(self, connection: Connection) -> Any:
        """Give the driver's own connection; there is one for the whole engine."""

    def hold(self, engine: Engine, wait_s: float, clock: Clock, outage_s: float) -> None:
        """Keep every other writer away for as long as the engine's connection lasts.

        Args:
            engine: What was opened.
            wait_s: How long to wait for another writer.
            clock: For the time that passes.
            outage_s: How long to wait for a server that goes away meanwhile, if that is longer.

        Raises:
            LocalStorageFailed: The server did not come back in that time.
            MigrationLocked: Another writer did not leave in that time.
        """

    def is_held(self, connection: Connection) -> bool:
        """Tell whether the store knows of a writer; where a folder's lock says it, False."""

    def settle(self, url: LedgerUrl) -> None:
        """Make the ledger's name durable, once a run, after its first commit.

        Raises:
            LocalStorageFailed: The disk refused.
        """

    def steady(self, connection: Connection) -> None:
        """Let all that is asked in this transaction see one state; it is the first to be asked."""

    def in_our_words(self, error: Exception) -> CardferryError:
        """Give our own error for one of `errors`; what is ours already stays as it is."""

    def trouble(self) -> AbstractContextManager[None]:
        """Turn `errors` into ours, as `translated` does."""

    def take_notes(self, connection: Connection) -> Sequence[Note]:
        """Give what carriers had to say, in order, once; nothing where only one process writes."""

    def begins_empty(self, connection: Connection) -> bool:
        """Tell whether no table was made here yet."""

    def create_tables(self, connection: Connection) -> None:
        """Make the tables, fill those of states and steps, and make the rules."""

    def create_rules(self, connection: Connection) -> None:
        """Make the rules; after an upgrade this version's take the place of the older one's."""

    def parts_of(self, connection: Connection) -> Parts:
        """Give every part of the schema that is there, however it is named."""

    def own_parts(self, connection: Connection) -> Parts:
        """Give every part of the schema that this program makes there."""

    def portable_parts(self, connection: Connection) -> Parts:
        """Give the parts as every store tells them, as far as they are this program's."""

    def is_sound(self, connection: Connection, *, thorough: bool) -> bool:
        """Tell whether the database's own structure holds; `thorough` compares every index."""

    def take_stock(self, connection: Connection) -> None:
        """Let the database learn what its tables hold: as if they were empty it would plan badly."""

    def changes_seen(self, connection: Connection) -> object:
        """Give what `is_alone_since` is to be asked with later."""

    def is_alone_since(self, connection: Connection, seen: object) -> bool:
        """Tell whether nobody but this process, and carriers of its run, wrote since a look.

        Args:
            connection: A reading connection.
            seen: What `changes_seen` gave at that look, of all that was committed by then.
        """

    def stands(self, connection: Connection) -> list[str] | None:
        """Give words that are others as soon as anybody has written; None: its file is asked."""

    def name_writer(self, connection: Connection, session: int) -> None:
        """Let what a carrier writes by this connection be known as that carrier's."""

    def fence(self, connection: Connection, epoch: int) -> None:
        """Keep the caller's transaction apart from every later run.

        Raises:
            VerificationFailed: A later run has begun.
        """

    def selected(self, connection: Connection, statement: Select[Any]) -> Blocks:
        """Run a statement whose parameters are numbers or words of our own, and give its rows.

        Raises:
            VerificationFailed: The database holds text that is no text.
            Exception: One of `errors`; `trouble` tells which.
        """

    def read_sparingly(self, connection: Connection) -> None:
        """Keep few pages in memory: whoever reads every row once gains nothing from a cache."""

    def beside(self, connection: Connection) -> AbstractContextManager[Connection | None]:
        """Give another connection that sees the same state, for another thread; None if none can."""

    def break_off(self, connection: Connection) -> None:
        """Break off the statement that another thread runs by such a connection, if it runs one."""

    def fill(
        self,
        connection: Connection,
        table: Table,
        names: Sequence[str],
        columns: Sequence[Sequence[object]],
    ) -> None:
        """Insert many rows.

        Args:
            connection: In the caller's transaction.
            table: The table.
            names: Its columns.
            columns: Their values, a value a row, in the order of the names; none for no row.
        """

    def shared_schemas(self, url: LedgerUrl) -> list[str]:
        """Give the schemas of the ledgers whose runs hand rows out to carriers now."""

    def kept_open(self, driver: Any) -> AbstractContextManager[None]:
        """Keep open what each of many small transactions would open anew."""

    def batches(self, writing: Writing, epoch: int, session: int = 0) -> Batches:
        """Make what writes the batches of a run; its epoch stands beside all that is written.

        Args:
            writing: Gives the driver's connection for as long as a statement takes.
            epoch: The run's.
            session: The carrier's session, where several share the run; 0 for the run itself.
        """


@contextmanager
def translated(store: Store) -> Iterator[None]:
    """Turn what a store's database raises into our own errors; none of its texts goes on.

    Raises:
        LocalStorageFailed: The disk or the server refused, or is gone; what was committed is safe.
        SettingsRefused: The server does not let us in.
        VerificationFailed: The ledger is damaged, or refused a step that its rules forbid.
    """
    try:
        yield
    except store.errors as error:
        raise store.in_our_words(error) from None


def store_of(place: Connection | Engine) -> Store:
    """Give the store behind a connection; its module is loaded when the first ledger is opened."""
    return _named(place.dialect.name)


def store_at(url: LedgerUrl) -> Store:
    """Give the store that keeps the ledger of a URL.

    Raises:
        SettingsRefused: No ledger of ours can be there.
    """
    scheme = url.text.partition(":")[0]
    if scheme not in _STORES:
        raise SettingsRefused(
            ["ledger.url: a ledger is kept in SQLite or, as postgresql://..., in PostgreSQL"]
        )
    try:
        return _named(scheme)
    except ModuleNotFoundError as missing:
        if missing.name != _DRIVER:
            raise
        raise SettingsRefused(
            ["ledger.url: what talks to PostgreSQL is not installed"],
            next_step='Install it with `pip install "cardferry[postgres]"`.',
        ) from None


def require_reachable(url: LedgerUrl, *, read_only: bool = False) -> None:
    """Make sure that a ledger could be written to, or read, where its URL says; nothing is made there.

    Raises:
        LocalStorageFailed: The server does not answer.
        SettingsRefused: It does not let us in, or may lose what it has acknowledged.
        VerificationFailed: The ledger that the folder names is not there.
    """
    store_at(url).open_engine(url, read_only=read_only, apart=False).dispose()


_STORES: Final = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}
"""The folder of each kind of database, by the names that URLs and dialects have for it."""
_DRIVER: Final = "psycopg"


def _named(name: str) -> Store:
    store: Store = import_module(f"pipeline.ledger.{_STORES[name]}.store").STORE
    return store
