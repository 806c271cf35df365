"""Writes a batch of intents and settlements as one statement.

A driver lets go of the interpreter lock for every step of a statement and has to win it back from
the event loop, which under load takes longer than the step. So a whole batch is one `INSERT` into
a view of this connection; the triggers behind it check and write row by row inside SQLite, and as
a transaction of its own the statement begins, commits and syncs in a single call.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from pipeline.errors import VerificationFailed
from pipeline.ledger.epoch import OVERTAKEN, overtaken
from pipeline.ledger.sqlite.batch import (
    COLUMNS,
    DOUBLED,
    MOVED,
    NOTHING,
    ROWS_AT_ONCE,
    ROWS_STEP,
    create_batch_view,
    insert_of,
    intent_row,
    settlement_row,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from pipeline.ledger.records import Intent, Settlement

_VALUES_AT_ONCE: Final = ROWS_AT_ONCE * len(COLUMNS)


class TokenDoubled(Exception):
    """A token id of the batch is known already, or stands in it twice."""


class Batches:
    """Writes what happened to many rows.

    Args:
        writing: Gives the driver's connection for as long as a statement takes.
        epoch: The run's epoch; it stands beside everything that is written.
    """

    def __init__(
        self, writing: Callable[[], AbstractContextManager[sqlite3.Connection]], epoch: int
    ) -> None:
        self._writing = writing
        self._epoch = epoch
        with writing() as driver:
            create_batch_view(driver)

    def commit(self, settled: Sequence[Settlement], intents: Sequence[Intent]) -> None:
        """Write a batch as a transaction of its own, in one call; as `write` in all else.

        Raises:
            AssertionError: A transaction is open, or the batch is too long for one statement.
        """
        with self._writing() as driver:
            if driver.in_transaction or len(settled) + len(intents) > ROWS_AT_ONCE:
                raise AssertionError("this batch would not be a transaction of its own")
            self._insert(driver, settled, intents)

    def write(self, settled: Sequence[Settlement], intents: Sequence[Intent]) -> None:
        """Note outcomes, tokens and attempts, and move the rows on.

        Inside `Ledger.transaction` it becomes durable with the rest of that transaction.

        Raises:
            LocalStorageFailed: The disk refused; whether the batch is on it the next run finds out.
            TokenDoubled: Nothing of the batch happened; the rows are to be frozen.
            VerificationFailed: A row is not where this run left it, or a later run took over;
                nothing of the batch happened.
        """
        with self._writing() as driver:
            self._insert(driver, settled, intents)

    def _insert(
        self, driver: sqlite3.Connection, settled: Sequence[Settlement], intents: Sequence[Intent]
    ) -> None:
        epoch = self._epoch
        values: list[object] = []
        for settlement in settled:
            values += settlement_row(settlement, epoch)
        for intent in intents:
            values += intent_row(intent, epoch)
        values += NOTHING * (-(len(settled) + len(intents)) % ROWS_STEP)
        try:
            for start in range(0, len(values), _VALUES_AT_ONCE):
                part = values[start : start + _VALUES_AT_ONCE]
                # `execute` would let go of the interpreter lock once more, for the last row's id.
                driver.executemany(insert_of(len(part) // len(COLUMNS)), (part,))
        except sqlite3.IntegrityError as refusal:
            raise _translated(refusal) from None


def _translated(refusal: sqlite3.IntegrityError) -> Exception:
    """Give our own error for a trigger's refusal; any other rule's is `ledger_trouble`'s to tell."""
    words = str(refusal)
    if words == DOUBLED:
        return TokenDoubled()
    if words == OVERTAKEN:
        return overtaken()
    if words == MOVED:
        return VerificationFailed(
            MOVED, next_step="Look for a second program that writes to this folder."
        )
    return refusal
