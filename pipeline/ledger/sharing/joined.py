"""Opens a ledger for one of several carriers, which write beside the run that holds it.

A carrier writes what becomes of the rows of its own chunks, fenced by its session. The trail is the
run's: what a carrier has to say there is kept as a note until the run enters it.
"""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pipeline.ledger.ledger import Ledger
from pipeline.ledger.sharing import chunks, sessions
from pipeline.ledger.sharing.free_chunks import has_free
from pipeline.ledger.sharing.jobs import Job, current_job, note
from pipeline.ledger.sharing.ledger_to_join import nothing_to_join
from pipeline.ledger.sharing.reaping import reap

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import Connection

    from pipeline import hashing
    from pipeline.clock import Clock
    from pipeline.ledger.ledger_url import LedgerUrl
    from pipeline.ledger.sharing.chunks import Lease
    from pipeline.ledger.sharing.shares import Share
    from pipeline.signals import DeferredSignals


class JoinedLedger(Ledger):
    """A migration's ledger, open for one of its carriers.

    Args:
        url: Where it is; in PostgreSQL.
        clock: Whose wall clock dates what is written.
        signals: Keeps stopping signals out of commits.

    Raises:
        VerificationFailed: It is no ledger, damaged, a newer program's, or gone.
    """

    _joins = True

    def __init__(
        self, url: LedgerUrl, clock: Clock, signals: DeferredSignals | None = None
    ) -> None:
        super().__init__(url, clock, signals=signals)
        self._term_ms = 0
        self._run_may_return_until = 0.0

    def join(self, origin: str, version: str, settings_digest: str) -> Job:
        """Begin a session in the job that is there; see `sessions.join`.

        Raises:
            LocalStorageFailed: No run hands out rows.
            SettingsRefused: The carrier would not do as the others do.
        """
        with self._unfenced() as connection:
            if not self.store.is_held(connection):
                # Whoever made the job is gone; the next run makes another.
                raise nothing_to_join()
            self.session = sessions.join(connection, origin, version, settings_digest)
            job = current_job(connection)
            assert job is not None  # noqa: S101 - it was joined.
            self._term_ms = job.term_ms
            self._end_if_idle(connection)
            self.store.name_writer(connection, self.session)
        self.epoch = job.epoch
        return job

    def renew(
        self, held: int, figures: Mapping[str, object] | None, good_rate: float | None = None
    ) -> Share | None:
        """Renew the session, and reap those of others whose terms are over; see `sessions.renew`."""
        with self._unfenced() as connection:
            share = sessions.renew(connection, self.session, held, figures, good_rate)
            reap(connection)
            return share

    def leave(
        self, figures: Mapping[str, object], trouble: Mapping[str, object] | None = None
    ) -> None:
        """End the session; every answer is durable by then."""

        def leave() -> None:
            with self._unfenced() as connection:
                sessions.leave(connection, self.session, figures, trouble)

        self.again(leave)

    def break_off(self) -> None:
        """Break a connection whose server has not answered for a term; from any other thread.

        Whoever waits there learns that it is lost, and connects again.
        """
        with (
            suppress(OSError, *self.store.errors),
            socket.socket(fileno=os.dup(self._driver.fileno())) as line,
        ):
            line.shutdown(socket.SHUT_RDWR)

    def close_for_all(self, seconds: float) -> None:
        """Let nobody send for so long, as the vault asked this carrier to wait."""
        with self.transaction() as connection:
            sessions.close_for_all(connection, seconds)

    def take(self, export_id: int, from_id: int) -> Lease | None:
        """Give the next free chunk of an export; None where there is none, or the run is gone."""
        with self.transaction() as connection:
            if not self._run_goes_on(connection):
                return None
            return chunks.take(connection, self.session, export_id, from_id)

    def give_back(self, lease: Lease, *, waits: bool = False) -> bool:
        """Give a chunk back; see `chunks.give_back`."""

        def give_back() -> bool:
            with self.transaction() as connection:
                return chunks.give_back(connection, self.session, lease, waits=waits)

        return self.again(give_back)

    def export_to_carry(self) -> int | None:
        """Give the export that has a free chunk, or will; None once all is done or the run gone."""
        with self.reading() as connection:
            return chunks.next_export(connection) if self._run_goes_on(connection) else None

    def has_free(self) -> bool:
        """Tell whether a chunk is nobody's now."""
        with self.reading() as connection:
            return has_free(connection)

    def own(self, customers: Collection[int]) -> dict[int, bool]:
        """Become the owner of customers that are nobody's; see `chunks.own`."""

        def own() -> dict[int, bool]:
            with self.transaction() as connection:
                return chunks.own(connection, self.session, customers)

        return self.again(own)

    def record(
        self,
        connection: Connection,
        kind: str,
        *,
        resource: str,
        success: bool = True,
        **detail: hashing.Detail,
    ) -> None:
        """Keep an event for the run, which enters it into the trail."""
        current_job(connection, lock=True)
        note(connection, kind, resource=resource, success=success, **detail)

    def _run_goes_on(self, connection: Connection) -> bool:
        """Tell whether the run holds the ledger, or may be about to again, as its server was away."""
        is_held = self.store.is_held(connection)
        return is_held or self.clock.monotonic() < self._run_may_return_until

    def _reconnected(self, connection: Connection) -> None:
        self._end_if_idle(connection)
        self.store.name_writer(connection, self.session)
        self._run_may_return_until = self.clock.monotonic() + self._term_ms / 1_000

    def _end_if_idle(self, connection: Connection) -> None:
        # A carrier that is stopped in the middle of a write must not keep its session locked.
        connection.exec_driver_sql(f"SET idle_in_transaction_session_timeout = {self._term_ms}")

    def _fence(self, connection: Connection) -> None:
        sessions.require_live(connection, self.session)

    @contextmanager
    def _unfenced(self) -> Iterator[Connection]:
        """Give a transaction in which the session may turn out to be over."""
        with self._signals.held(), self.writing(), self.engine.begin() as connection:
            yield connection
