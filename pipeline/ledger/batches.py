"""Says how a run's batches are written down, whatever store keeps the ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from pipeline.ledger.records import AttachEntry, Intent, Settlement

ROWS_AT_ONCE: Final = 512
"""Entries of one batch; SQLite allows 32,766 marks in a statement, some 1,500 entries."""

MOVED: Final = "a row of the ledger was not where this run had left it"
CARD_MOVED: Final = "a card or customer of the ledger was not where this run had left it"

Writing = Callable[[], AbstractContextManager[Any]]
"""Gives the driver's own connection for as long as a statement takes (`OpenLedger.writing`)."""


class TokenDoubled(Exception):
    """A token id of the batch is known already, or stands in it twice."""


class Batch(NamedTuple):
    """What becomes durable at once, in the order in which it counts.

    Attributes:
        at_ms: The moment that all of it is dated.
        settled: What attempts to make tokens came to.
        of_cards: What is said of cards and customers, and the next requests about them.
        intents: The next attempts to make tokens.
    """

    at_ms: int
    settled: Sequence[Settlement] = ()
    of_cards: Sequence[AttachEntry] = ()
    intents: Sequence[Intent] = ()


class Batches(Protocol):
    """Writes what happened to many rows; made anew for each run."""

    def may_hold(self, of_cards: Sequence[AttachEntry]) -> bool:
        """Tell whether a batch may hold this beside tokens and attempts.

        What it may not hold is written by `attaching` in the same transaction.
        """

    def commit(self, batch: Batch, *, number: int = 0) -> Sequence[int]:
        """Write a batch as a transaction of its own, in one call; as `write` in all else.

        By its `number` it is found again where the answer to it is lost (`outages`); 0 for none.

        Raises:
            AssertionError: A transaction is open, or the batch has more than `ROWS_AT_ONCE`.
        """

    def write(self, batch: Batch) -> Sequence[int]:
        """Note outcomes, tokens and attempts, and move the rows on.

        Inside `Ledger.transaction` it becomes durable with the rest of that transaction.

        Args:
            batch: What it says of cards is such as `may_hold` allows.

        Returns:
            The rows whose intents do not begin: a card alike is under way in another carrier.

        Raises:
            LocalStorageFailed: The store refused, and whether it has the batch the next run finds
                out; or the carrier's session is over, and it has not.
            TokenDoubled: Nothing of the batch happened; the rows are to be frozen.
            VerificationFailed: A row is not where this run left it, or a later run took over;
                nothing of the batch happened.
        """
