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
from pipeline.ledger.epoch import OVERTAKEN, overtaken
from pipeline.ledger.store import MOVED, ROWS_AT_ONCE, TokenDoubled
from pipeline.model import CLAIMABLE_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from pipeline.ledger.records import Intent, Settlement
    from pipeline.model import Token

ROWS_STEP: Final = 16
"""Statements are for a fence and 16, 32, 48 ... rows, so that few texts are ever compiled; the rest
is empty."""

_INTENT, _OUTCOME_ONLY, _OUTCOME_AND_TOKEN, _FENCE = 1, 2, 3, 4

_ATTEMPT_COLUMNS: Final = ("entry", "attempt_id", "row_id", "at_ms", "epoch", "number")
_SETTLEMENT_COLUMNS: Final = (
    *("kind", "evidence", "vault_code", "request_id", "latency_us"),
    *("state", "code", "unknowns"),
)
_TOKEN_COLUMNS: Final = (
    *("token_id", "card_id", "brand", "fingerprint", "country", "livemode", "created_s"),
)
_COLUMNS: Final = (*_ATTEMPT_COLUMNS, *_SETTLEMENT_COLUMNS, *_TOKEN_COLUMNS)
# For None the driver looks for an adapter first, four times the cost of a number; so 0 stands for
# what is absent.
_NO_SETTLEMENT: Final = (0,) * len(_SETTLEMENT_COLUMNS + _TOKEN_COLUMNS)
_NO_TOKEN: Final = (0,) * len(_TOKEN_COLUMNS)
_NOTHING: Final = (0,) * len(_COLUMNS)
_ROW: Final = f"({', '.join('?' * len(_COLUMNS))})"
_VALUES_AT_ONCE: Final = ROWS_AT_ONCE * len(_COLUMNS)

DOUBLED: Final = "a token id was given twice"

_VIEW: Final = (
    f"CREATE TEMP VIEW IF NOT EXISTS batch AS SELECT {', '.join(f'NULL AS {c}' for c in _COLUMNS)}"
)
REFUSE_OVERTAKEN: Final = f"""
    SELECT RAISE(ABORT, '{OVERTAKEN}')
    WHERE (SELECT coalesce(max(epoch), 0) FROM runs) <> new.epoch;"""
_REFUSE_MOVED: Final = f"SELECT RAISE(ABORT, '{MOVED}') WHERE changes() <> 1;"
_OUTCOME: Final = """
    INSERT INTO outcomes (attempt_id, kind, evidence, vault_code, request_id, latency_us, at_ms)
    VALUES (new.attempt_id, new.kind, new.evidence, nullif(new.vault_code, 0),
            nullif(new.request_id, 0), new.latency_us, new.at_ms);"""
_TRIGGERS: Final = {
    "intend": (
        f"new.entry = {_INTENT}",
        f"""
    UPDATE rows SET state = 'sent', attempts = attempts + 1
    WHERE id = new.row_id AND state IN ({", ".join(f"'{state.value}'" for state in CLAIMABLE_STATES)});
    {_REFUSE_MOVED}
    INSERT INTO attempts (id, row_id, number, epoch, at_ms)
    VALUES (new.attempt_id, new.row_id, new.number, new.epoch, new.at_ms);""",
    ),
    # The old row of a changed card makes way first, as each legacy id has one token in force.
    "tokenize": (
        f"new.entry = {_OUTCOME_AND_TOKEN}",
        f"""{_OUTCOME}
    UPDATE rows SET superseded_by = new.row_id
    WHERE id = (SELECT supersedes FROM rows WHERE id = new.row_id);
    UPDATE rows SET state = new.state WHERE id = new.row_id AND state = 'sent';
    {_REFUSE_MOVED}
    INSERT INTO tokens (row_id, token_id, card_id, brand, fingerprint, country, livemode,
                        created_s, epoch)
    VALUES (new.row_id, new.token_id, new.card_id, new.brand, nullif(new.fingerprint, 0),
            nullif(new.country, 0), new.livemode, new.created_s, new.epoch)
    ON CONFLICT (token_id) DO NOTHING;
    SELECT RAISE(ABORT, '{DOUBLED}') WHERE changes() <> 1
        OR EXISTS (SELECT 1 FROM retired_tokens WHERE token_id = new.token_id);""",
    ),
    "settle": (
        f"new.entry = {_OUTCOME_ONLY}",
        f"""{_OUTCOME}
    UPDATE rows SET state = new.state, code = nullif(new.code, 0),
                    unknowns = unknowns + new.unknowns,
                    vault_code = nullif(new.vault_code, 0), request_id = nullif(new.request_id, 0)
    WHERE id = new.row_id AND state = 'sent';
    {_REFUSE_MOVED}""",
    ),
}


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
            _create_view(driver)

    def commit(self, settled: Sequence[Settlement], intents: Sequence[Intent], at_ms: int) -> None:
        """Write a batch as a transaction of its own, in one call; as `write` in all else.

        Raises:
            AssertionError: A transaction is open, or the batch is too long for one statement.
        """
        with self._writing() as driver:
            if driver.in_transaction or len(settled) + len(intents) > ROWS_AT_ONCE:
                raise AssertionError("this batch would not be a transaction of its own")
            self._insert(driver, settled, intents, at_ms)

    def write(self, settled: Sequence[Settlement], intents: Sequence[Intent], at_ms: int) -> None:
        """Note outcomes, tokens and attempts, dated `at_ms`, and move the rows on.

        Inside `Ledger.transaction` it becomes durable with the rest of that transaction.

        Raises:
            LocalStorageFailed: The disk refused; whether the batch is on it the next run finds out.
            TokenDoubled: Nothing of the batch happened; the rows are to be frozen.
            VerificationFailed: A row is not where this run left it, or a later run took over;
                nothing of the batch happened.
        """
        with self._writing() as driver:
            self._insert(driver, settled, intents, at_ms)

    def _insert(
        self,
        driver: sqlite3.Connection,
        settled: Sequence[Settlement],
        intents: Sequence[Intent],
        at_ms: int,
    ) -> None:
        epoch = self._epoch
        fence = (_FENCE, 0, 0, 0, epoch, 0, *_NO_SETTLEMENT)
        values: list[object] = []
        for settlement in settled:
            values += _settlement_row(settlement, epoch, at_ms)
        for intent in intents:
            values += _intent_row(intent, epoch, at_ms)
        values += _NOTHING * (-(len(settled) + len(intents)) % ROWS_STEP)
        try:
            for start in range(0, len(values), _VALUES_AT_ONCE):
                part = (*fence, *values[start : start + _VALUES_AT_ONCE])
                # `execute` would let go of the interpreter lock once more, for the last row's id.
                driver.executemany(_insert_of(len(part) // len(_COLUMNS)), (part,))
        except sqlite3.IntegrityError as refusal:
            raise _translated(refusal) from None


def _translated(refusal: sqlite3.IntegrityError) -> Exception:
    """Give our own error for a trigger's refusal; any other rule's is `Store.trouble`'s to tell."""
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


def _create_view(driver: sqlite3.Connection) -> None:
    """Make the view and its triggers known to a connection, if it does not know them yet."""
    driver.execute(_VIEW)
    fence = {"fence": (f"new.entry = {_FENCE}", REFUSE_OVERTAKEN)}
    for name, (condition, body) in (fence | _TRIGGERS).items():
        driver.execute(
            f"CREATE TEMP TRIGGER IF NOT EXISTS {name} INSTEAD OF INSERT ON batch "
            f"WHEN {condition} BEGIN {body} END"
        )


@lru_cache(ROWS_AT_ONCE // ROWS_STEP)
def _insert_of(rows: int) -> str:
    """Give the statement for so many rows, its marks in the order of `_COLUMNS`."""
    return f"INSERT INTO batch VALUES {', '.join([_ROW] * rows)}"


def _intent_row(intent: Intent, epoch: int, at_ms: int) -> tuple[object, ...]:
    """Give the values of an intent in the order of `_COLUMNS`."""
    attempt_id, row_id, number = intent
    return (_INTENT, attempt_id, row_id, at_ms, epoch, number, *_NO_SETTLEMENT)


def _settlement_row(item: Settlement, epoch: int, at_ms: int) -> tuple[object, ...]:
    """Give the values of a settlement in the order of `_COLUMNS`."""
    return (
        _OUTCOME_ONLY if item.token is None else _OUTCOME_AND_TOKEN,
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
        *(_NO_TOKEN if item.token is None else _token_values(item.token)),
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
