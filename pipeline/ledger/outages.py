"""Bears outages of a ledger's server: waits, connects again, and finds out what became durable before.

Every commit of a writer that bears outages has a number, which stands in the ledger beside what was
written with it. So it is known afterwards of the commit that was under way whether it is to be made
again, and of those before it that the server still has them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from pipeline.errors import LocalStorageFailed, MigrationLocked, SettingsRefused, VerificationFailed
from pipeline.logs import EventLog

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from pipeline.clock import Clock

_BETWEEN_TRIES_S: Final = 0.5
_NUMBER: Final = text(
    "INSERT INTO commits (epoch, session, number) VALUES (:epoch, :session, :number) "
    "ON CONFLICT (epoch, session) DO UPDATE SET number = excluded.number"
)
_LAST: Final = text("SELECT number FROM commits WHERE epoch = :epoch AND session = :session")
_FORGET: Final = text(
    "DELETE FROM commits WHERE epoch < :epoch OR (epoch = :epoch AND session = :session)"
)

log = EventLog("ledger")


class ServerLost(LocalStorageFailed):
    """The connection to the ledger's server broke.

    Out of `Ledger.transaction` it means that nothing of the transaction happened.
    """

    def __init__(self, why: str = "") -> None:
        super().__init__(
            "the connection to the ledger's PostgreSQL server was lost"
            + (f" ({why})" if why else ""),
            next_step="Look after the server, then run the same command again; nothing is lost.",
        )


class ServerAway(LocalStorageFailed):
    """No connection to the ledger's server comes about now; perhaps its address is wrong."""


class Outages:
    """What a writer does about the loss of its connection.

    Args:
        reconnect: Connects again; raises what `Store.reconnect` does.
        reading: Gives a connection for looking.
        clock: For the time that passes.
        wait_s: How long the server may be away at once.
    """

    def __init__(
        self,
        reconnect: Callable[[], None],
        reading: Callable[[], AbstractContextManager[Connection]],
        clock: Clock,
        wait_s: float,
    ) -> None:
        self._reconnect = reconnect
        self._reading = reading
        self._clock = clock
        self.wait_s = wait_s
        self._writer = {"epoch": 0, "session": 0}
        self._begun = 0
        self._acknowledged = 0
        self._found = 0
        self._until = 0.0
        self._leaves_at = float("inf")

    def write_as(self, connection: Connection, epoch: int, session: int) -> None:
        """Number commits as those of a run, or of one of its carriers, and forget earlier ones.

        Args:
            connection: In a transaction; the connections of earlier runs are over, as are those of
                whoever wrote as this one before.
            epoch: The run's.
            session: The carrier's; 0 for the run itself.
        """
        self._writer = {"epoch": epoch, "session": session}
        connection.execute(_FORGET, self._writer)

    def begin_commit(self) -> int:
        """Give the number of the commit that begins."""
        self._begun += 1
        return self._begun

    def number(self, connection: Connection, number: int) -> None:
        """Write a commit's number beside what it writes, in its transaction."""
        connection.execute(_NUMBER, self._writer | {"number": number})

    def committed(self, number: int) -> None:
        """Take in that a commit is durable."""
        self._acknowledged = number

    def hurry(self, seconds: float) -> None:
        """Wait no longer than that from now on, as the process is to end."""
        self._leaves_at = min(self._leaves_at, self._clock.monotonic() + seconds)

    def overcome(self) -> int:
        """Connect again as soon as the server is there.

        Returns:
            The number of the last commit that is durable.

        Raises:
            LocalStorageFailed: It did not come back in time.
            MigrationLocked: Another run took over.
            SettingsRefused: It does not let us in any more.
            VerificationFailed: It came back without what it had acknowledged.
        """
        began = self._clock.monotonic()
        self._until = began + self.wait_s
        log.warning("the server of the ledger is gone and is waited for", wait_s=self.wait_s)
        while not self._is_back():
            threading.Event().wait(_BETWEEN_TRIES_S)
        log.info("the server of the ledger is back", seconds=self._clock.monotonic() - began)
        if self._found < self._acknowledged:
            raise VerificationFailed(
                "the ledger's server came back without what it had acknowledged",
                next_step="Do not send: restore the database to its newest state, "
                "or name the server that has it.",
            )
        return self._found

    def _is_back(self) -> bool:
        """Try once."""
        try:
            self._reconnect()
            # Before its first commit a new ledger has no table to look in.
            if self._begun:
                with self._reading() as connection:
                    self._found = connection.execute(_LAST, self._writer).scalar() or 0
        except MigrationLocked:
            raise MigrationLocked(
                "another run took this migration over while the ledger's server was out of reach",
                next_step="Let that one end, or look at it with `cardferry status DIR`.",
            ) from None
        except (LocalStorageFailed, SettingsRefused) as trouble:
            if self._clock.monotonic() < min(self._until, self._leaves_at):
                return False
            if not isinstance(trouble, ServerLost):
                raise
            raise LocalStorageFailed(
                "the ledger's PostgreSQL server did not come back in time",
                next_step=trouble.next_step,
            ) from None
        return True
