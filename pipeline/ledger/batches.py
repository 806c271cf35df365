"""A batch of intents and settlements in, one statement out.

A driver lets go of the interpreter lock for every step of a statement and has to win it back from
the event loop, which under load takes longer than the step. So a whole batch is one `INSERT` into
a view of this connection; the triggers behind it check and write row by row inside SQLite, and as
a transaction of its own the statement begins, commits and syncs in a single call.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

from pipeline.errors import VerificationFailed
from pipeline.ledger.batch_view import (
    COLUMNS,
    DOUBLED,
    MOVED,
    NO_SETTLEMENT,
    NO_TOKEN,
    NOTHING,
    ROWS_AT_ONCE,
    ROWS_STEP,
    create_batch_view,
    insert_of,
)
from pipeline.ledger.fence import OVERTAKEN, overtaken

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.ledger.entries import Intent, Settlement
    from pipeline.ledger.ledger import Ledger
    from pipeline.model import Token

_VALUES_AT_ONCE: Final = ROWS_AT_ONCE * len(COLUMNS)


class TokenDoubled(Exception):
    """A token id of the batch is known already, or stands in it twice."""


class Batches:
    """Writes what happened to many rows.

    Args:
        ledger: The open ledger of the run; its epoch stands beside everything that is written.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        with ledger.writing() as driver:
            create_batch_view(driver)

    def write(self, settled: Sequence[Settlement], intents: Sequence[Intent]) -> None:
        """Note outcomes, tokens and attempts, move the rows on, and make all of it durable.

        Inside `Ledger.transaction` it becomes durable with the rest of that transaction.

        Raises:
            LocalStorageFailed: The disk refused; nothing of the batch happened.
            TokenDoubled: Nothing of the batch happened; the rows are to be frozen.
            VerificationFailed: A row is not where this run left it, or a later run took over.
        """
        epoch = self._ledger.epoch
        values: list[object] = []
        for item in settled:
            values += _settlement_values(item, epoch)
        for attempt_id, row_id, number, at_ms in intents:
            values += (1, attempt_id, row_id, at_ms, epoch, number)
            values += NO_SETTLEMENT
        values += NOTHING * (-(len(settled) + len(intents)) % ROWS_STEP)
        with self._ledger.writing() as driver:
            try:
                for start in range(0, len(values), _VALUES_AT_ONCE):
                    part = values[start : start + _VALUES_AT_ONCE]
                    driver.execute(insert_of(len(part) // len(COLUMNS)), part)
            except sqlite3.IntegrityError as refusal:
                raise _translated(refusal) from None


def _settlement_values(item: Settlement, epoch: int) -> tuple[object, ...]:
    token = item.token
    return (
        None,
        item.attempt_id,
        item.row_id,
        item.at_ms,
        epoch,
        None,
        item.kind.value,
        item.evidence,
        item.vault_code,
        item.request_id,
        item.latency_us,
        item.state.value,
        item.code,
        item.unknowns,
        *(NO_TOKEN if token is None else _token_values(token)),
    )


def _token_values(token: Token) -> tuple[object, ...]:
    return (
        token.token_id,
        token.card_id,
        token.brand,
        token.fingerprint,
        token.country,
        int(token.livemode),
        int(token.created_at.timestamp()),
    )


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
