"""Does things once with a ledger whose server may be away: waits until it is back, and begins anew.

What is done is one transaction, or looks alone, so it is known afterwards that all of it happened,
or nothing.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, Final, NamedTuple, ParamSpec, Protocol, TypeVar

from pipeline.errors import CardferryError
from pipeline.ledger.outages import Outages, ServerAway, ServerLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection, Engine

    from pipeline.clock import Clock
    from pipeline.ledger.store import Store

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Again(Protocol):
    """What begins something anew where the connection was lost before any of it happened."""

    def again(self, unit: Callable[[], Result], /) -> Result:
        """Do something once (`Bearing.again`)."""


Place = TypeVar("Place", bound=Again)


def unit(
    work: Callable[Concatenate[Place, Arguments], Result],
) -> Callable[Concatenate[Place, Arguments], Result]:
    """Let a function begin anew where the connection was lost before any of it happened.

    Args:
        work: One transaction, with looks before it, or looks alone. What it changes besides may be
            changed again. Its first argument is the ledger, or what says `again` in its name.
    """

    @wraps(work)
    def done(place: Place, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        return place.again(partial(work, place, *args, **kwargs))

    return done


class Waits(NamedTuple):
    """How long an opening waits.

    Attributes:
        lock_s: For another writer, where the store keeps writers apart.
        outage_s: For a server that goes away, at once, from the first connection on until the
            ledger is closed; 0: a loss is an error. A first connection that does not come about is
            no loss: perhaps the address is wrong.
    """

    lock_s: float = 0.0
    outage_s: float = 0.0


AT_ONCE: Final = Waits()
"""Those of a look, which tells at once what it sees."""

ALONE: Final = Waits(outage_s=60.0)
"""Those of a command that sends nothing; a run waits for its server as long as its settings say."""


def begun_anew(
    looks: Callable[[], Result],
    reach: Callable[[], None],
    clock: Clock,
    waits: Waits = ALONE,
    *,
    was_there: bool = False,
) -> Result:
    """Do looks that open the ledger by themselves; all of them anew where a connection was lost.

    Args:
        looks: Looks alone, or what only opens the ledger; they raise `ServerLost` and `ServerAway`.
        reach: Tries whether the server is there (`store.require_reachable`).
        clock: For the time that passes.
        waits: How long the server may be away at once.
        was_there: Whether this command has reached the server before, so that one that cannot be
            connected to now has gone away.

    Raises:
        CardferryError: What the looks raise, and whatever ends the wait (`Outages.overcome`).
    """
    outages = Outages(reach, _no_reading, clock, waits.outage_s)
    while True:
        try:
            return looks()
        except ServerLost:
            was_there = True
        except ServerAway:
            if not was_there:
                raise
        outages.overcome()


def _no_reading() -> AbstractContextManager[Connection]:
    raise AssertionError("nothing was written")


class Bearing(ABC):
    """An open ledger, as far as the connection to its server may be lost.

    Args:
        clock: For waits; its wall clock dates what is written.
        store: What keeps the ledger.

    Attributes:
        epoch: The run that is written for; 0 before it has begun.
        session: The session of a carrier; 0 for the run itself.
    """

    engine: Engine

    def __init__(self, clock: Clock, store: Store) -> None:
        self.clock = clock
        self.store = store
        self.epoch = self.session = 0
        self._failure: CardferryError | None = None
        self._outages: Outages | None = None

    @abstractmethod
    def writing(self) -> AbstractContextManager[Any]:
        """Give the driver's connection for a statement."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Connection]:
        """Give a connection for looking."""

    @abstractmethod
    def _reconnect(self) -> None:
        """Connect again; raises what `Store.reconnect` does."""

    def bear_outages(self, wait_s: float) -> None:
        """Wait for the server from now on where the connection to it is lost, and go on (`again`).

        A file has no outages.

        Args:
            wait_s: How long the server may be away at once.
        """
        if not self.store.has_server:
            return
        if self._outages is not None:
            # Its numbers go on: no two commits of a writer have the same.
            self._outages.wait_s = wait_s
            return
        self._outages = Outages(self._reconnect, self.reading, self.clock, wait_s)
        if self.epoch:
            self.again(self._number_commits)

    def _number_commits(self) -> None:
        """Number commits from the first one on, where outages are borne."""
        if self._outages is None:
            return
        with self.writing(), self.engine.begin() as connection:
            self.number_own_commits(connection)

    def number_own_commits(self, connection: Connection) -> None:
        """Number the commits from now on as this run's, or carrier's, where outages are borne.

        Args:
            connection: In the transaction in which the run begins, or a later one.
        """
        if self._outages is not None:
            self._outages.write_as(connection, self.epoch, self.session)

    def again(self, unit: Callable[[], Result]) -> Result:
        """Do something once; begin anew where the connection was lost before any of it happened.

        Args:
            unit: One transaction, or looks alone; it raises `ServerLost` if nothing happened.

        Raises:
            CardferryError: What the unit raises, and whatever ends the wait (`Outages.overcome`).
        """
        while True:
            try:
                return unit()
            except ServerLost:
                if self._outages is None:
                    raise
                self._overcome(self._outages)

    def was_durable(self, number: int) -> bool:
        """Tell of the last commit, whose answer was lost with the connection, whether it is durable.

        False, too, where outages are not borne: then the next run finds out.
        """
        return self._outages is not None and self._overcome(self._outages) == number

    def hurry(self, seconds: float) -> None:
        """Wait no longer than that for the server from now on, as the process is to end."""
        if self._outages is not None:
            self._outages.hurry(seconds)

    def begin_commit(self) -> int:
        """Give the next commit a number; 0 where outages are not borne."""
        return 0 if self._outages is None else self._outages.begin_commit()

    def number_commit(self, connection: Connection, number: int) -> None:
        """Write a commit's number beside what it writes, in its transaction."""
        if self._outages is not None:
            self._outages.number(connection, number)

    def committed(self, number: int) -> None:
        """Take in that the commit with this number is durable."""
        if self._outages is not None:
            self._outages.committed(number)

    def _overcome(self, outages: Outages) -> int:
        if self._failure is not None and not isinstance(self._failure, ServerLost):
            raise self._failure
        try:
            return outages.overcome()
        except CardferryError as failure:
            self._failure = failure
            raise
