"""Hands a run's rows out to carriers and follows them; it alone writes the trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import SettingsRefused
from pipeline.ledger.sharing import chunks, jobs, sessions
from pipeline.ledger.sharing.reaping import reap

if TYPE_CHECKING:
    from collections.abc import Collection

    from pipeline.ledger.ledger import Ledger
    from pipeline.ledger.sharing.chunks import ChunkProgress
    from pipeline.ledger.sharing.jobs import Job
    from pipeline.ledger.sharing.sessions import Session


class CarriersState(NamedTuple):
    """How the carriers of a run stand."""

    progress: ChunkProgress
    sessions: list[Session]

    @property
    def live(self) -> list[Session]:
        """The sessions that are not over."""
        return [session for session in self.sessions if session.state == sessions.LIVE]


class Coordinator:
    """Keeps the job of a run.

    Args:
        ledger: The open ledger of the run, which it holds.

    Raises:
        SettingsRefused: The ledger is in SQLite, which only one process may write to.
    """

    def __init__(self, ledger: Ledger) -> None:
        if ledger.file is not None:
            raise SettingsRefused(
                ["ledger.url: several carriers need a ledger in PostgreSQL"],
                next_step="Begin a migration whose settings name one, or run without --carriers.",
            )
        self._ledger = ledger

    def begin(self, job: Job, export_ids: Collection[int], chunk_rows: int) -> int:
        """Let carriers join, and give how many chunks there are for them."""
        with self._ledger.transaction() as connection:
            jobs.begin_job(connection, job)
            return chunks.cut(connection, export_ids, chunk_rows)

    def look(self) -> CarriersState:
        """Reap who is silent, enter what carriers have said, and give how they stand."""
        with self._ledger.transaction() as connection:
            reap(connection)
            self._ledger.enter_notes(connection)
            return CarriersState(chunks.progress(connection), sessions.all_sessions(connection))

    def end(self) -> None:
        """Ask every carrier to drain and leave."""
        with self._ledger.transaction() as connection:
            jobs.end_job(connection)


def carriers_state(ledger: Ledger) -> CarriersState | None:
    """Give how the carriers of the last run that had any stand; None where none ever had."""
    if ledger.file is not None:
        return None
    with ledger.reading() as connection:
        if jobs.current_job(connection) is None:
            return None
        return CarriersState(chunks.progress(connection), sessions.all_sessions(connection))
