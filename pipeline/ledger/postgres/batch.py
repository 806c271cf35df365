"""Writes a batch of intents and settlements as one call of a function, in one round trip.

The call goes to the server by libpq's own blocking call: the thread lets go of the interpreter lock
once and has to win it back from the event loop once, where the driver's ways of waiting take
several turns. What the function does stands in `batch_function`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus, Format, TransactionStatus

from pipeline.errors import VerificationFailed
from pipeline.ledger.batches import MOVED, ROWS_AT_ONCE, TokenDoubled
from pipeline.ledger.epoch import overtaken
from pipeline.ledger.postgres import batch_function
from pipeline.ledger.postgres.arrays import bigint, bigints, integers, texts, words
from pipeline.ledger.sharing.sessions import session_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg.pq.abc import PGresult

    from pipeline.ledger.batches import Batch, Writing
    from pipeline.ledger.records import AttachEntry, Intent, Settlement
    from pipeline.model import Token

_CALL: Final = batch_function.CALL.encode()


class Batches:
    """Writes batches by calls of a function; see `pipeline.ledger.batches`.

    Args:
        writing: Gives the driver's connection for as long as a statement takes.
        epoch: The run's epoch; it stands beside everything that is written.
        session: The carrier's session, which is locked in place of the run; 0 for the run itself.
    """

    def __init__(self, writing: Writing, epoch: int, session: int = 0) -> None:
        self._writing = writing
        self._epoch = epoch
        self._session = session
        self._prepared: psycopg.Connection[Any] | None = None
        """The connection that has the function: another one may have taken its place."""
        with writing() as driver:
            self._prepare(driver)

    def may_hold(self, of_cards: Sequence[AttachEntry]) -> bool:
        """Allow nothing: cards and customers are written in statements of their own."""
        return not of_cards

    def commit(self, batch: Batch, *, number: int = 0) -> Sequence[int]:
        """Write a batch by one call, which is a transaction of its own."""
        entries = len(batch.settled) + len(batch.of_cards) + len(batch.intents)
        with self._writing() as driver:
            is_open = driver.info.transaction_status is TransactionStatus.INTRANS
            if is_open or entries > ROWS_AT_ONCE:
                raise AssertionError("this batch would not be a transaction of its own")
            self._prepare(driver)
            return self._call(driver, batch, number)

    def write(self, batch: Batch) -> Sequence[int]:
        """Write a batch by one call in the transaction that is open, whose number it has already."""
        with self._writing() as driver:
            self._prepare(driver)
            return self._call(driver, batch, 0)

    def _prepare(self, driver: psycopg.Connection[Any]) -> None:
        if driver is not self._prepared:
            driver.execute(batch_function.FUNCTION)
            self._prepared = driver

    def _call(self, driver: psycopg.Connection[Any], batch: Batch, number: int) -> Sequence[int]:
        if not self.may_hold(batch.of_cards):
            raise AssertionError("this batch holds what is written in statements of its own")
        numbers = (self._epoch, self._session, batch.at_ms, number)
        arguments = (
            *map(bigint, numbers),
            *_settlements([item for item in batch.settled if item.token is None]),
            *_tokens([(item, item.token) for item in batch.settled if item.token is not None]),
            *_intents(batch.intents),
        )
        with driver.lock:
            # Not prepared: the driver lets the server forget every prepared statement now and then.
            answer = driver.pgconn.exec_params(
                _CALL, arguments, param_formats=[Format.BINARY] * len(arguments)
            )
            if answer.status != ExecStatus.TUPLES_OK:
                raise _refused(answer)
        return tuple(map(int, (answer.get_value(0, 0) or b"").split()))


def _settlements(items: Sequence[Settlement]) -> tuple[bytes, ...]:
    return (
        *_answers(items),
        words([item.code for item in items]),
        integers([item.unknowns for item in items]),
    )


def _tokens(items: Sequence[tuple[Settlement, Token]]) -> tuple[bytes, ...]:
    return (
        *_answers([item for item, _ in items]),
        texts([token.token_id for _, token in items]),
        texts([token.card_id for _, token in items]),
        words([token.brand for _, token in items]),
        texts([token.fingerprint for _, token in items]),
        words([token.country for _, token in items]),
        integers([int(token.livemode) for _, token in items]),
        bigints([int(token.created_at.timestamp()) for _, token in items]),
    )


def _answers(items: Sequence[Settlement]) -> tuple[bytes, ...]:
    """Pack what settlements have with a token and without, as `batch_function` lists it."""
    return (
        bigints([item.attempt_id for item in items]),
        bigints([item.row_id for item in items]),
        words([item.kind._value_ for item in items]),
        words([item.evidence for item in items]),
        words([item.vault_code for item in items]),
        texts([item.request_id for item in items]),
        bigints([item.latency_us for item in items]),
        words([item.state._value_ for item in items]),
    )


def _intents(items: Sequence[Intent]) -> tuple[bytes, ...]:
    return (
        bigints([item.attempt_id for item in items]),
        bigints([item.row_id for item in items]),
        integers([item.number for item in items]),
    )


def _refused(answer: PGresult) -> Exception:
    """Give our own error for a refusal of the function; any other is the store's to tell."""
    refusal = error_from_result(answer)
    if not refusal.sqlstate:
        # No server said it.
        return psycopg.OperationalError("the connection is lost")
    match refusal.sqlstate:
        case batch_function.OVERTAKEN:
            return overtaken()
        case batch_function.MOVED:
            return VerificationFailed(
                MOVED, next_step="Look for a second program that writes to this ledger."
            )
        case batch_function.DOUBLED:
            return TokenDoubled()
        case batch_function.SESSION_OVER:
            return session_over()
        case _:
            return refusal
