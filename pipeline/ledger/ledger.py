"""Opens a migration's ledger, checks it, and keeps one run at a time and one chain of events in it.

Every write but the batches of a run happens inside `transaction()`, which first makes sure that no
later run has taken the ledger over (the epoch); a batch is one statement that does so by itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import update

from pipeline.clock import timestamp
from pipeline.errors import SUCCESSES, VerificationFailed
from pipeline.ledger.as_published import require_as_published
from pipeline.ledger.bearing import AT_ONCE, Waits, unit
from pipeline.ledger.chain import Chain, follow_trail
from pipeline.ledger.checks import only_ours, require_same_meaning, require_same_mode
from pipeline.ledger.epoch import last_run, latest_ms, take_over
from pipeline.ledger.key_values import put
from pipeline.ledger.open_ledger import OpenLedger
from pipeline.ledger.outages import ServerLost
from pipeline.ledger.publications import MANIFEST_NAME, RUN_STARTED, SIGNATURE_UNCHECKED
from pipeline.ledger.schema import runs
from pipeline.ledger.section_renewal import renew_sections, require_own_figures
from pipeline.ledger.tables_proof import require_one_story
from pipeline.logs import EventLog

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection

    from pipeline import hashing
    from pipeline.clock import Clock
    from pipeline.ledger.batches import Batches
    from pipeline.ledger.ledger_url import LedgerUrl
    from pipeline.ledger.published_signature import Unchecked
    from pipeline.signals import DeferredSignals

log = EventLog("ledger")


class Ledger(OpenLedger):
    """One migration's ledger, open.

    Args:
        url: Where it is (`ledger_url`), or `ledger_url.TEMPORARY`.
        clock: Whose wall clock dates what is written.
        read_only: Open for looking only; nothing is created, and what is looked at may be proved.
        apart: Look at a copy of now, so that no run waits for a look that takes long.
        signals: Keeps stopping signals out of commits.
        waits: How long to wait for another writer, and for its server.

    Raises:
        MigrationLocked: Another writer holds it.
        VerificationFailed: It is no ledger, damaged, a newer program's, or gone while the files
            that were made from it are there.
    """

    def __init__(
        self,
        url: LedgerUrl,
        clock: Clock,
        *,
        read_only: bool = False,
        apart: bool = False,
        signals: DeferredSignals | None = None,
        waits: Waits = AT_ONCE,
    ) -> None:
        super().__init__(url, clock, read_only=read_only, apart=apart, signals=signals, waits=waits)
        self.run_id = ""
        self._actor = ""
        self._origin = ""
        self._chain = Chain()
        self.unchecked: Unchecked | None = None
        """Why the signer cannot vouch for the last publication, once the ledger was verified."""

    @property
    def chain_head(self) -> str:
        """The hash of the last event of the chain, as far as this process has written it."""
        return self._chain.head

    @contextmanager
    def transaction(self, *, fenced: bool = True) -> Iterator[Connection]:
        """Give a connection whose changes become durable together, or not at all.

        Args:
            fenced: Refuse where a later run has begun; the one that begins is that run.

        Raises:
            LocalStorageFailed: The disk refused, now or before: after a failed write or sync
                nobody knows what the disk holds, so this process writes nothing more.
            ServerLost: Nothing of it happened, where outages are borne.
            VerificationFailed: A later run has taken over, or a rule of the schema was broken.
        """
        before, after, number = self._chain, None, self.begin_commit()
        try:
            with self._signals.held():
                with self.writing(), self.engine.begin() as connection:
                    if fenced:
                        self._fence(connection)
                    yield connection
                    self.number_commit(connection, number)
                    after = self._chain
                # From here on it is durable, whatever signal waits outside.
                before = self._chain
            self.committed(number)
        except ServerLost:
            self._chain = before
            if after is None or not self.was_durable(number):
                raise
            self._chain = after
        except BaseException:
            self._chain = before
            raise

    def _fence(self, connection: Connection) -> None:
        self.store.fence(connection, self.epoch)

    def batches(self) -> Batches:
        """Give what writes the batches of this run, or of one of its carriers."""
        return self.store.batches(self.writing, self.epoch, self.session)

    @unit
    def verify(self, *, files: bool = True) -> None:
        """Check the database's own structure, the chain of events, and that it is the newest.

        Args:
            files: Check the published files, too.

        Raises:
            VerificationFailed: Something was damaged or changed outside of Cardferry, or the
                outputs in the folder were made from a later ledger.
        """
        with self.reading() as connection, only_ours():
            is_as_left = self.is_as_left(connection)
            self.goes_by_sections = is_as_left and self.file is not None
            if not is_as_left and not self.store.is_sound(connection, thorough=False):
                raise VerificationFailed(
                    "the ledger's database is damaged",
                    next_step="Keep the folder as it is; restore the ledger from a backup.",
                )
            chain = follow_trail(connection)
            # Tables that this process has just made are empty until a run writes its first event.
            if not self.is_new or chain.length:
                require_own_figures(connection)
                require_one_story(connection, of_rows=not is_as_left)
            if (folder := self._url.folder) is not None:
                self.unchecked = require_as_published(
                    connection,
                    folder,
                    self.signer,
                    kept=self.goes_by_sections,
                    rows=not is_as_left or self.goes_by_sections,
                    files=files,
                )
            self.proved_at = self.store.changes_seen(connection)
        self._chain = chain

    @unit
    def renew_sections(self) -> None:
        """Work out what is to be kept of every section that changed, or of all where none holds."""
        with self.transaction() as connection:
            self.store.take_stock(connection)
            kept = None if self.file is None else self.goes_by_sections
            renew_sections(connection, self.epoch, kept=kept, process=self.second, early=self.early)
        self.goes_by_sections = self.file is not None

    def begin_run(
        self,
        run_id: str,
        facts: Mapping[str, object],
        settings_digest: str,
        *,
        livemode: bool = False,
    ) -> None:
        """Take the ledger over for a new run: the next epoch, fenced from every earlier one.

        Args:
            run_id: The run's name in reports.
            facts: JSON-ready facts: `operator`, `host`, `pid`, settings, guards.
            settings_digest: What results mean (`config.loading.meaning_digest`).
            livemode: Whether the vault is used in live mode.

        Raises:
            SettingsRefused: An unfinished ledger was begun with other settings (an address that
                nothing was sent to may change), or this one holds tokens of the other mode.
        """
        self._waiting.start()
        self.verify()
        self._take_over(run_id, facts, settings_digest, livemode=livemode)
        self.store.settle(self._url)

    @unit
    def _take_over(
        self, run_id: str, facts: Mapping[str, object], settings_digest: str, *, livemode: bool
    ) -> None:
        self.run_id = run_id
        self._actor = str(facts.get("operator", ""))
        self._origin = f"{facts.get('host', '')}:{facts.get('pid', '')}"
        with self.transaction(fenced=False) as connection:
            behind_ms = latest_ms(connection) - self.now_ms()
            epoch = take_over(connection, run_id, self.now_ms(), facts)
            # Only now can no carrier of an earlier run begin to send any more.
            require_same_mode(connection, livemode=livemode)
            require_same_meaning(connection, epoch, settings_digest, facts)
            self.epoch = epoch
            self.number_own_commits(connection)
            if self._upgraded is not None:
                old, new = self._upgraded
                self.record(connection, "ledger_upgraded", resource=run_id, before=old, after=new)
            self.record(connection, RUN_STARTED, resource=run_id, settings=settings_digest)
            self.enter_notes(connection)
            if (why := self.unchecked) is not None:
                self.record(connection, SIGNATURE_UNCHECKED, resource=MANIFEST_NAME, why=why.value)
            if behind_ms > 0:
                log.warning("the clock stands before the last run's end", seconds=behind_ms / 1000)
                self.record(connection, "clock_behind", resource=run_id, milliseconds=behind_ms)

    def attend(self, actor: str, origin: str, *, files: bool = True) -> None:
        """Join the last run's epoch, to note what is done to a migration between runs.

        Args:
            actor: Who does it.
            origin: Where, as `host:pid`.
            files: Refuse, too, where the published files are not there as they were.

        Raises:
            VerificationFailed: The ledger was damaged or changed outside of Cardferry.
        """
        self.verify(files=files)
        self._actor, self._origin = actor, origin
        self._join_last()

    @unit
    def _join_last(self) -> None:
        with self.reading() as connection:
            self.epoch, self.run_id = last_run(connection)
        self._number_commits()

    @unit
    def end_run(self, exit_code: int, statistics: Mapping[str, object]) -> None:
        """Note how the run ended."""
        told = orjson.dumps(dict(statistics), option=orjson.OPT_SORT_KEYS).decode()
        ended = {"ended_ms": self.now_ms(), "exit_code": exit_code, "statistics": told}
        is_well = exit_code in SUCCESSES
        with self.transaction() as connection:
            connection.execute(update(runs).where(runs.c.epoch == self.epoch).values(ended))
            self.record(
                connection, "run_ended", resource=self.run_id, success=is_well, exit_code=exit_code
            )

    def record(
        self,
        connection: Connection,
        kind: str,
        *,
        resource: str,
        success: bool = True,
        **detail: hashing.Detail,
    ) -> None:
        """Append an event to the chain, in the caller's transaction.

        The fields are those of PCI DSS 10.2.2: who, what (`kind`), when, success, origin, resource;
        `detail` is what else is known, without any value from a row.
        """
        event = {
            "at": timestamp(self.clock.now()),
            "run_id": self.run_id,
            "actor": self._actor,
            "origin": self._origin,
            "event": kind,
            "resource": resource,
            "success": success,
            "detail": detail,
        }
        self._chain = self._chain.appended(connection, event)

    def enter_notes(self, connection: Connection) -> None:
        """Enter into the chain what carriers had to say, in the caller's transaction."""
        for said in self.store.take_notes(connection):
            self.record(connection, said.kind, resource=said.resource, **said.detail)

    @unit
    def note(
        self, /, kind: str, *, resource: str, success: bool = True, **detail: hashing.Detail
    ) -> None:
        """Append an event in a transaction of its own."""
        with self.transaction() as connection:
            self.record(connection, kind, resource=resource, success=success, **detail)

    @unit
    def remember(self, key: str, value: str) -> None:
        """Keep a small fact for the next run, such as the columns that the mapping carries."""
        with self.transaction() as connection:
            put(connection, key, value)
