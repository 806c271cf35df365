"""Opens a ledger's database, and hands it to readers and writers one at a time.

After a write or sync that failed nobody knows what the disk holds, so this process writes nothing
more. Three troubles do not count as such: another program that holds the file is waited for, a full
disk refuses a write before anything of it is there, and of a server that was gone it is found out what
it made durable, where outages are borne.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pipeline.clock import milliseconds
from pipeline.errors import CardferryError, LocalStorageFailed
from pipeline.ledger.bearing import Bearing
from pipeline.ledger.checks import create_if_empty, only_ours
from pipeline.ledger.last_close import (
    is_as_left,
    note_how_left,
    note_standing,
    stands_as_noted,
)
from pipeline.ledger.reserve import DiskFull
from pipeline.ledger.second_process import SecondProcess
from pipeline.ledger.sections import asked_once
from pipeline.ledger.snapshot import Snapshot
from pipeline.ledger.store import store_at
from pipeline.ledger.tables_proof import require_one_story
from pipeline.ledger.trail_proof import last_run_died
from pipeline.ledger.upgrades import bring_up_to_date, require_own_schema
from pipeline.ledger.write_waits import WriteWaits
from pipeline.signals import DeferredSignals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from pipeline.clock import Clock
    from pipeline.ledger.bearing import Waits
    from pipeline.ledger.last_close import Seal
    from pipeline.ledger.ledger_url import LedgerUrl
    from pipeline.ledger.published_signature import Vouching

    Result = TypeVar("Result")

_EARLY_CHILD: Final = "pipeline.ledger.sqlite.early_child"
_EARLY_S: Final = 1
"""It runs only where nothing else does: on a busy machine nobody waits for it."""


class OpenLedger(Bearing):
    """An open ledger, without the runs and events that are kept in it.

    Args:
        url: Where it is (`ledger_url`), or `ledger_url.TEMPORARY`.
        clock: For waits; its wall clock dates what is written.
        read_only: Open for looking only; nothing is created or checked.
        apart: Look at a copy of now, so that no run waits for a look that takes long.
        signals: Keeps stopping signals out of commits.
        waits: How long to wait for another writer, and for its server.

    Raises:
        MigrationLocked: Another writer holds it.
        VerificationFailed: It is no ledger, damaged, a newer program's, or gone while the files
            that were made from it are there.
    """

    _joins = False
    """Whether it is open for writing beside the run that holds it."""

    def __init__(
        self,
        url: LedgerUrl,
        clock: Clock,
        *,
        read_only: bool,
        apart: bool,
        signals: DeferredSignals | None,
        waits: Waits,
    ) -> None:
        super().__init__(clock, store_at(url))
        self.engine = self.store.open_engine(url, read_only=read_only, apart=apart)
        self.reserve = self.store.reserve(url)
        self._url = url
        self._holds = self._is_made = False
        self._signals = signals or DeferredSignals()
        self._upgraded: tuple[int, int] | None = None
        self.file = self.store.watched_file(url)
        """The file that the ledger is, if it is one of its own."""
        self.second = SecondProcess(None if read_only else self.file)
        """What works things out beside this process, where many rows were written."""
        self.early = SecondProcess(None if read_only else self.file, _EARLY_CHILD, _EARLY_S)
        """What works out some of that while rows are still sent."""
        self._waiting = WriteWaits(self.file, when_late=self.early.kill)
        self.goes_by_sections = read_only and not apart and self.file is not None
        """Whether what is kept of sections is as good as the rows themselves."""
        self.signer: Vouching | None = None
        """Who signs the manifests, where they are signed; then so is how the ledger was left."""
        self.proved_at: object = None
        """What the store had seen of changes when the whole ledger was proved (`changes_seen`)."""
        self.is_new = False
        """Whether its tables were made by this very opening."""
        try:
            if waits.outage_s:
                self.bear_outages(waits.outage_s)
            self.again(lambda: self._begin(waits, read_only=read_only))
        except BaseException:
            self.engine.dispose()
            raise

    def _begin(self, waits: Waits, *, read_only: bool) -> None:
        """Keep other writers away and make or check the tables, where that was not done before."""
        with self.store.trouble():
            if not read_only and not self._joins:
                if not self._holds:
                    self.store.hold(self.engine, waits.lock_s, self.clock, waits.outage_s)
                self._holds = True
                with self._signals.held(), self.engine.begin() as connection:
                    # What was committed as the connection was lost was made by this opening, too.
                    self.is_new |= create_if_empty(connection, self._url.folder)
                    self._upgraded = bring_up_to_date(connection) or self._upgraded
                    self.store.take_stock(connection)
            with self.engine.connect() as connection:
                if not self.is_new:
                    require_own_schema(connection)
                self._driver = self.store.driver_of(connection)
        self._is_made = True

    def close(self) -> None:
        """Close the database; nothing is pending by then.

        How it was left is noted if all in it was proved, or written since by a run that ended.
        """
        self.early.close()
        self.second.close()
        is_proved = self.proved_at is not None and self._note_if_proved()
        self._waiting.close()
        self.engine.dispose()
        self.reserve.free()
        if self.file is not None and is_proved:
            note_how_left(self.file, self._seal)

    def is_as_left(self, connection: Connection) -> bool:
        """Tell whether nobody has written to the ledger since a proof of all of it."""
        if self.file is not None:
            return is_as_left(self.file, self._seal)
        folder, words = self._url.folder, self.store.stands(connection)
        return bool(folder and words and stands_as_noted(folder, words, self._seal))

    @property
    def _seal(self) -> Seal | None:
        return None if self.signer is None else self.signer.sign

    def prove(self) -> None:
        """Make sure, before a look, that the ledger's tables tell one story.

        A run proves it as it begins; looks at one that is under way need not, and would hold it up.

        Raises:
            VerificationFailed: They contradict each other, as after a lost journal.
        """
        with self.reading() as connection, only_ours():
            require_one_story(connection, of_rows=not self.is_as_left(connection))

    def _reconnect(self) -> None:
        with self.store.trouble():
            self.store.reconnect(self.engine, holds=self._holds, is_made=self._is_made)
            # What is set in a transaction lasts only if that is committed.
            with self.engine.begin() as connection:
                self._driver = self.store.driver_of(connection)
                self._reconnected(connection)
        self._failure = None

    def _reconnected(self, connection: Connection) -> None:
        """Set what a new connection needs beyond what every one has."""

    def _note_if_proved(self) -> bool:
        """Tell whether all is proved still; of a ledger without a file of its own, note it."""
        if self._failure is not None:
            return False
        try:
            with self.reading() as connection:
                is_alone = self.store.is_alone_since(connection, self.proved_at)
                if not is_alone or last_run_died(connection):
                    return False
                folder, words = self._url.folder, self.store.stands(connection)
        except CardferryError:
            return False
        if folder and words:
            note_standing(folder, words, self._seal)
        return True

    def kept_open(self) -> AbstractContextManager[None]:
        """Let many small transactions follow each other faster; other programs may look meanwhile."""
        return self.store.kept_open(self._driver)

    @contextmanager
    def writing(self) -> Iterator[Any]:
        """Give the driver's connection, for a statement that `transaction` would be too slow for.

        Unless a transaction is open, the statement is one of its own and has to check the epoch.
        A signal is not held back: batches are written in a thread where none arrives.

        Raises:
            DiskFull: There is no room; nothing was written. With the reserve given up, what has
                to be written may be tried once more.
            LocalStorageFailed: The disk refused, now or before.
            VerificationFailed: A rule of the schema was broken.
        """
        if self._failure is not None:
            raise self._failure
        waiting = self._waiting
        waiting.begun += 1
        try:
            yield self._driver
        except Exception as error:
            if not isinstance(error, (*self.store.errors, LocalStorageFailed)):
                raise
            failure = self.store.in_our_words(error)
            # Nothing of what a full disk refused was written: the reserve makes room for it.
            if isinstance(failure, LocalStorageFailed) and not (
                isinstance(failure, DiskFull) and self.reserve.is_held
            ):
                self._failure = failure
            raise failure from None
        finally:
            waiting.ended += 1

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give the ledger's own parts a connection for looking; all looks see one state."""
        with self._signals.held(), self.store.trouble(), self.engine.connect() as connection:
            self.store.steady(connection)
            asked_once(connection)
            yield connection

    def is_held(self) -> bool:
        """Tell whether the store knows of a writer; a folder's lock is asked by `is_locked`."""
        with self.reading() as connection:
            return self.store.is_held(connection)

    @contextmanager
    def look(self, *, sparingly: bool = False) -> Iterator[Snapshot]:
        """Answer questions about one state of the ledger.

        Args:
            sparingly: Keep few pages in memory, for looks that read every row once.

        Raises:
            LocalStorageFailed: The disk refused.
            VerificationFailed: The ledger is damaged.
        """
        with self.reading() as connection:
            yield Snapshot(connection, sparingly=sparingly, kept=self.goes_by_sections)

    def ask(self, question: Callable[[Snapshot], Result]) -> Result:
        """Answer a question about one state of the ledger; ask it again after an outage.

        Raises:
            CardferryError: As `look` and `again` do.
        """

        def unit() -> Result:
            with self.look() as look:
                return question(look)

        return self.again(unit)

    def recall(self, key: str) -> str | None:
        """Give what `Ledger.remember` kept under the key, or None."""
        return self.ask(lambda look: look.recall(key))

    def now_ms(self) -> int:
        """Give the wall clock's time in whole milliseconds since 1970 (UTC)."""
        return milliseconds(self.clock)
