"""Writes a batch of intents and settlements as one statement, which triggers take apart row by row.

A driver lets go of the interpreter lock for every step of a statement and has to win it back from
the event loop, which under load takes longer than the step. So a whole batch is one `INSERT` into
a view; each of its rows is an entry, told apart by its first column, and the trigger for its kind
checks and writes it inside SQLite. SQLite makes a trigger's program ready before it asks whether
the entry is of its kind, which takes as long as a short statement: so a token and the next intent
are one entry, which is what a batch is full of, and any other goes on to a view with more triggers.
As a transaction of its own the statement begins, commits and syncs in a single call. A row that is
not where the ledger has it undoes the whole statement. So does the fence before the first row, where
a later run has taken over: the statement holds the ledger from its beginning, and one look is
enough.
"""

# Only names of our own schema, and our own words, are put together here; values come as marks.
# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final

from pipeline.errors import VerificationFailed
from pipeline.ledger.batches import CARD_MOVED, MOVED, ROWS_AT_ONCE, TokenDoubled
from pipeline.ledger.epoch import OVERTAKEN, overtaken
from pipeline.ledger.sqlite.batch_triggers import (
    COLUMNS,
    DOUBLED,
    FENCE,
    INTENT,
    NEXT_COLUMNS,
    NO_NEXT,
    NO_SETTLEMENT,
    NO_TOKEN,
    NOT_PAIRED,
    OUTCOME_AND_TOKEN,
    OUTCOME_ONLY,
    PAIRED,
    SINGLY,
    TOKEN_AND_INTENT,
    TRIGGERS,
    VIEW,
    create_view,
)
from pipeline.ledger.sqlite.kept_open import begun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.ledger.batches import Batch, Writing
    from pipeline.ledger.records import AttachEntry, Intent, Settlement
    from pipeline.ledger.sqlite.kept_open import Driver
    from pipeline.model import Token

ROWS_STEP: Final = 16
"""Statements are for a fence and 16, 32, 48 ... rows, so that few texts are ever compiled; the rest
is empty."""


class _NotPaired(Exception):
    """A token of the batch replaces another, or its row has moved; nothing of the batch happened."""


class Batches:
    """Writes batches as rows of a view; see `pipeline.ledger.batches`.

    Args:
        writing: Gives the driver's connection for as long as a statement takes.
        epoch: The run's epoch; it stands beside everything that is written.
    """

    def __init__(self, writing: Writing, epoch: int) -> None:
        self._writing = writing
        self._epoch = epoch
        self._in_pairs = True
        with writing() as driver:
            create_view(driver, SINGLY, COLUMNS, TRIGGERS)
            create_view(driver, VIEW, COLUMNS + NEXT_COLUMNS, PAIRED)

    def may_hold(self, of_cards: Sequence[AttachEntry]) -> bool:
        """Allow nothing: where cards belong to nobody, nothing is said of customers."""
        return not of_cards

    def commit(self, batch: Batch, *, number: int = 0) -> tuple[()]:
        """Write a batch as one statement, which is a transaction of its own."""
        del number
        entries = len(batch.settled) + len(batch.of_cards) + len(batch.intents)
        with self._writing() as driver:
            if driver.in_transaction or entries > ROWS_AT_ONCE:
                raise AssertionError("this batch would not be a transaction of its own")
            self._insert(driver, batch)
        return ()

    def write(self, batch: Batch) -> tuple[()]:
        """Write a batch as statements of the transaction that is open, or of their own."""
        with self._writing() as driver:
            self._insert(driver, batch)
        return ()

    def _insert(self, driver: Driver, batch: Batch) -> None:
        # Only of one statement nothing happened when it is refused.
        if self._in_pairs and len(batch.settled) + len(batch.intents) <= ROWS_AT_ONCE:
            try:
                self._insert_in_pairs(driver, batch)
            except _NotPaired:
                # Where one card has changed others have, too.
                self._in_pairs = False
            else:
                return
        values: list[object] = []
        for settlement in batch.settled:
            values += settlement_row(settlement, self._epoch, batch.at_ms)
        for intent in batch.intents:
            values += intent_row(intent, self._epoch, batch.at_ms)
        insert_batch(driver, SINGLY, fence_row(self._epoch), values)

    def _insert_in_pairs(self, driver: Driver, batch: Batch) -> None:
        """Insert tokens with an intent each; whatever an intent's row had before is no token."""
        epoch, at_ms = self._epoch, batch.at_ms
        values: list[object] = []
        tokens = [item for item in batch.settled if item.token is not None]
        if len(tokens) < len(batch.settled):
            for item in batch.settled:
                if item.token is None:
                    values += settlement_row(item, epoch, at_ms)
                    values += NO_NEXT
        for item, intent in zip(tokens, batch.intents, strict=False):
            values += settlement_row(item, epoch, at_ms, TOKEN_AND_INTENT)
            values += intent
        for item in tokens[len(batch.intents) :]:
            values += settlement_row(item, epoch, at_ms)
            values += NO_NEXT
        for intent in batch.intents[len(tokens) :]:
            values += intent_row(intent, epoch, at_ms)
            values += NO_NEXT
        insert_batch(driver, VIEW, fence_row(epoch) + NO_NEXT, values)


def insert_batch(driver: Driver, view: str, fence: Sequence[object], values: list[object]) -> None:
    """Insert entries into one of the views, as many statements as it takes.

    Raises:
        sqlite3.Error: The disk or the database failed, or a rule of the schema was broken.
        TokenDoubled: A token id was known.
        VerificationFailed: A row is not where this run left it, or a later run took over.
    """
    try:
        _insert_rows(driver, view, fence, values)
    except sqlite3.IntegrityError as refusal:
        raise _translated(refusal) from None


def _insert_rows(driver: Driver, view: str, fence: Sequence[object], values: list[object]) -> None:
    """Insert rows into a view, a fence before them.

    Args:
        driver: The connection.
        view: One that `create_view` made.
        fence: The fence's row, as wide as the view.
        values: The values of all rows, one after the other; they are filled up to whole steps.

    Raises:
        sqlite3.Error: The disk or the database failed, or a trigger or a rule refused.
    """
    columns = len(fence)
    values += (0,) * (columns * (-(len(values) // columns) % ROWS_STEP))
    at_once = columns * ROWS_AT_ONCE
    for start in range(0, len(values), at_once):
        part = (*fence, *values[start : start + at_once])
        # `execute` would let go of the interpreter lock once more, for the last row's id.
        insertion = _insert_of(view, columns, len(part) // columns)
        begun(driver, partial(driver.executemany, insertion, (part,)))


@lru_cache(2 * ROWS_AT_ONCE // ROWS_STEP)
def _insert_of(view: str, columns: int, rows: int) -> str:
    """Give the statement for so many rows of a view with so many columns."""
    marks = f"({', '.join('?' * columns)})"
    return f"INSERT INTO {view} VALUES {', '.join([marks] * rows)}"


def fence_row(epoch: int) -> tuple[object, ...]:
    """Give the values of the fence in the order of `COLUMNS`."""
    return (FENCE, 0, 0, 0, epoch, 0, *NO_SETTLEMENT)


def intent_row(intent: Intent, epoch: int, at_ms: int) -> tuple[object, ...]:
    """Give the values of an intent in the order of `COLUMNS`."""
    attempt_id, row_id, number = intent
    return (INTENT, attempt_id, row_id, at_ms, epoch, number, *NO_SETTLEMENT)


def settlement_row(
    item: Settlement, epoch: int, at_ms: int, with_token: int = OUTCOME_AND_TOKEN
) -> tuple[object, ...]:
    """Give the values of a settlement in the order of `COLUMNS`; `with_token`: the kind of entry."""
    return (
        OUTCOME_ONLY if item.token is None else with_token,
        item.attempt_id,
        item.row_id,
        at_ms,
        epoch,
        0,
        # `.value` is a property in Python, a call for each row.
        item.kind._value_,
        item.evidence,
        0 if item.vault_code is None else item.vault_code,
        0 if item.request_id is None else item.request_id,
        item.latency_us,
        item.state._value_,
        0 if item.code is None else item.code,
        item.unknowns,
        *(NO_TOKEN if item.token is None else _token_values(item.token)),
    )


def _token_values(token: Token) -> tuple[object, ...]:
    return (
        token.token_id,
        token.card_id,
        token.brand,
        0 if token.fingerprint is None else token.fingerprint,
        0 if token.country is None else token.country,
        int(token.livemode),
        int(token.created_at.timestamp()),
    )


def _translated(refusal: sqlite3.IntegrityError) -> Exception:
    """Give our own error for a trigger's refusal; any other rule's is `Store.trouble`'s to tell."""
    words = str(refusal)
    if words == DOUBLED:
        return TokenDoubled()
    if words == NOT_PAIRED:
        return _NotPaired()
    if words == OVERTAKEN:
        return overtaken()
    if words in {MOVED, CARD_MOVED}:
        return VerificationFailed(
            words, next_step="Look for a second program that writes to this folder."
        )
    return refusal
