"""Writes a batch of intents and settlements as one statement, which triggers take apart row by row.

A driver lets go of the interpreter lock for every step of a statement and has to win it back from
the event loop, which under load takes longer than the step. So a whole batch is one `INSERT` into
a view; the triggers behind it check and write inside SQLite, and as a transaction of its own the
statement begins, commits and syncs in a single call. A row that is not where the ledger has it
undoes the whole statement. So does the fence before the first row, where a later run has taken
over: the statement holds the ledger from its beginning, and one look is enough. View and triggers
belong to one connection and are no part of the file: whichever program opens a ledger brings its
own.
"""

# Only names of our own schema, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pipeline.errors import VerificationFailed
from pipeline.ledger.batches import CARD_MOVED, MOVED, ROWS_AT_ONCE, TokenDoubled
from pipeline.ledger.epoch import OVERTAKEN, overtaken
from pipeline.ledger.sqlite import card_entries, token_entries
from pipeline.ledger.sqlite.token_entries import DOUBLED, NO_SETTLEMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from pipeline.ledger.batches import Batch
    from pipeline.ledger.records import AttachEntry

ROWS_STEP: Final = 16
"""Statements are for a fence and 16, 32, 48 ... rows, so that few texts are ever compiled; the rest
is empty."""

_FENCE: Final = 4
REFUSE_OVERTAKEN: Final = f"""
    SELECT RAISE(ABORT, '{OVERTAKEN}')
    WHERE (SELECT coalesce(max(epoch), 0) FROM runs) <> new.epoch;"""
_FENCE_TRIGGER: Final = {"fence": (f"new.entry = {_FENCE}", REFUSE_OVERTAKEN)}

_ANY_CUSTOMER: Final = "SELECT 1 FROM customers LIMIT 1"
_OF_TOKENS: Final = "batch"
_OF_CARDS_TOO: Final = "batch_with_cards"
"""A view of its own, so that tokens alone do not pay for columns and triggers of cards."""


class Batches:
    """Writes batches as rows of a view; see `pipeline.ledger.batches`.

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
            _create_view(driver, _OF_TOKENS, token_entries.COLUMNS, token_entries.TRIGGERS)
            # Where cards belong to nobody, nothing will be said of customers.
            self._has_customers = bool(driver.execute(_ANY_CUSTOMER).fetchone())
            if self._has_customers:
                with_cards = token_entries.TRIGGERS | card_entries.triggers()
                _create_view(driver, _OF_CARDS_TOO, card_entries.COLUMNS, with_cards)

    def may_hold(self, of_cards: Sequence[AttachEntry]) -> bool:
        """Tell whether a batch may hold this beside tokens and attempts."""
        return not of_cards or (self._has_customers and card_entries.may_hold(of_cards))

    def commit(self, batch: Batch, *, number: int = 0) -> tuple[()]:
        """Write a batch as one statement, which is a transaction of its own."""
        del number
        with self._writing() as driver:
            if driver.in_transaction or batch.entries > ROWS_AT_ONCE:
                raise AssertionError("this batch would not be a transaction of its own")
            self._insert(driver, batch)
        return ()

    def write(self, batch: Batch) -> tuple[()]:
        """Write a batch as statements of the transaction that is open, or of their own."""
        with self._writing() as driver:
            self._insert(driver, batch)
        return ()

    def _insert(self, driver: sqlite3.Connection, batch: Batch) -> None:
        epoch, at_ms = self._epoch, batch.at_ms
        view, columns = _OF_TOKENS, len(token_entries.COLUMNS)
        rest: tuple[object, ...] = ()
        if batch.of_cards:
            view, columns = _OF_CARDS_TOO, len(card_entries.COLUMNS)
            rest = card_entries.NOT_OF_CARDS
        fence = (_FENCE, 0, 0, 0, epoch, 0, *NO_SETTLEMENT, *rest)
        values: list[object] = []
        for settlement in batch.settled:
            values += token_entries.settlement_row(settlement, epoch, at_ms) + rest
        for row in card_entries.entry_rows(batch.of_cards, epoch, at_ms):
            values += row
        for intent in batch.intents:
            values += token_entries.intent_row(intent, epoch, at_ms) + rest
        values += (0,) * (columns * (-(len(values) // columns) % ROWS_STEP))
        at_once = columns * ROWS_AT_ONCE
        try:
            for start in range(0, len(values), at_once):
                part = (*fence, *values[start : start + at_once])
                # `execute` would let go of the interpreter lock once more, for the last row's id.
                driver.executemany(_insert_of(view, columns, len(part) // columns), (part,))
        except sqlite3.IntegrityError as refusal:
            raise _translated(refusal) from None


def _translated(refusal: sqlite3.IntegrityError) -> Exception:
    """Give our own error for a trigger's refusal; any other rule's is `Store.trouble`'s to tell."""
    words = str(refusal)
    if words == DOUBLED:
        return TokenDoubled()
    if words == OVERTAKEN:
        return overtaken()
    if words in {MOVED, CARD_MOVED}:
        return VerificationFailed(
            words, next_step="Look for a second program that writes to this folder."
        )
    return refusal


def _create_view(
    driver: sqlite3.Connection,
    view: str,
    columns: Sequence[str],
    triggers: Mapping[str, tuple[str, str]],
) -> None:
    """Make a view and its triggers known to a connection, if it does not know them yet."""
    empty = ", ".join(f"NULL AS {column}" for column in columns)
    driver.execute(f"CREATE TEMP VIEW IF NOT EXISTS {view} AS SELECT {empty}")
    for name, (condition, body) in (_FENCE_TRIGGER | dict(triggers)).items():
        driver.execute(
            f"CREATE TEMP TRIGGER IF NOT EXISTS {view}_{name} INSTEAD OF INSERT ON {view} "
            f"WHEN {condition} BEGIN {body} END"
        )


@lru_cache(2 * ROWS_AT_ONCE // ROWS_STEP)
def _insert_of(view: str, columns: int, rows: int) -> str:
    """Give the statement for so many rows of a view with so many columns."""
    marks = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {view} VALUES {', '.join([marks] * rows)}"
