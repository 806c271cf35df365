"""A batch of intents or settlements in, a handful of large statements out.

A driver lets go of the interpreter lock for every step of a statement and has to win it back
from the event loop. One statement for many rows takes one step, so a commit of thirty rows waits
a few times for the lock and not two hundred times. The statements go straight to the driver, as
building them anew costs more than running them; the SQL is what SQLite and PostgreSQL share.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Final

from sqlalchemy import bindparam, update

from pipeline.errors import VerificationFailed
from pipeline.ledger.connection import Prepared
from pipeline.ledger.schema import attempts, outcomes, rows, tokens
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.engine.interfaces import DBAPICursor

    from pipeline.ledger.entries import Intent, Settlement
    from pipeline.model import Token

CLAIMABLE: Final = (RowState.PLANNED, RowState.AMBIGUOUS)
"""The states that a row may be sent from."""

_ROWS_AT_ONCE: Final = 64


class TokenDoubled(Exception):
    """A token id of the batch is known already, or stands in it twice."""


class Batches:
    """Writes what happened to many rows, each kind in one statement.

    Args:
        engine: The ledger's database.
        epoch: The run's; it stands beside everything that is written.
    """

    def __init__(self, engine: Engine, epoch: int) -> None:
        self._epoch = epoch
        mark = "?" if engine.dialect.paramstyle == "qmark" else "%s"
        listed = ", ".join(f"'{state.value}'" for state in CLAIMABLE)
        self._insert_attempts = _Insert(attempts, [c.name for c in attempts.columns], mark)
        self._insert_outcomes = _Insert(outcomes, [c.name for c in outcomes.columns], mark)
        kept = [c.name for c in tokens.columns if c.name != "customer_id"]
        self._insert_tokens = _Insert(tokens, kept, mark, " ON CONFLICT (token_id) DO NOTHING")
        self._claim = _Update(
            "state = 'sent', attempts = attempts + 1", f"state IN ({listed})", mark
        )
        self._tokenize = _Update("state = 'tokenized'", "state = 'sent'", mark)
        self._settle = _settle(engine)

    def write_intents(self, connection: Connection, intents: Sequence[Intent]) -> None:
        """Claim the rows and note the attempts.

        Raises:
            VerificationFailed: A row is not where this run left it.
        """
        cursor = connection.connection.cursor()
        _require_all(self._claim.run(cursor, [i.row_id for i in intents]), len(intents))
        self._insert_attempts.run(
            cursor, [(i.attempt_id, i.row_id, i.number, self._epoch, i.at_ms) for i in intents]
        )

    def write_settlements(self, connection: Connection, settled: Sequence[Settlement]) -> None:
        """Note the outcomes, move the rows on, and keep the tokens.

        Raises:
            TokenDoubled: The transaction must be rolled back and the rows frozen.
            VerificationFailed: A row is not where this run left it.
        """
        cursor = connection.connection.cursor()
        self._insert_outcomes.run(cursor, [_outcome_values(item) for item in settled])
        made = [(item.row_id, item.token) for item in settled if item.token is not None]
        changed = self._tokenize.run(cursor, [row for row, _ in made])
        rest = [_row_values(item) for item in settled if item.token is None]
        changed += self._settle.many(connection, rest)
        _require_all(changed, len(settled))
        values = [_token_values(row, token, self._epoch) for row, token in made]
        if self._insert_tokens.run(cursor, values) != len(made):
            raise TokenDoubled


class _Insert:
    """`INSERT INTO table (columns) VALUES (...), (...)` for any number of rows."""

    def __init__(self, table: Table, columns: Sequence[str], mark: str, tail: str = "") -> None:
        # Names of our own schema, and marks; nothing of the data stands in the text.
        self._head = f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES "  # noqa: S608
        self._row = f"({', '.join([mark] * len(columns))})"
        self._tail = tail
        self._sql = lru_cache(_ROWS_AT_ONCE)(self._text)

    def _text(self, count: int) -> str:
        return self._head + ", ".join([self._row] * count) + self._tail

    def run(self, cursor: DBAPICursor, values: Sequence[tuple[object, ...]]) -> int:
        """Insert the rows and give how many there were."""
        inserted = 0
        for start in range(0, len(values), _ROWS_AT_ONCE):
            part = values[start : start + _ROWS_AT_ONCE]
            cursor.execute(self._sql(len(part)), tuple(chain.from_iterable(part)))
            inserted += cursor.rowcount
        return inserted


class _Update:
    """One change to every row of a list of ids that fulfils a condition."""

    def __init__(self, change: str, condition: str, mark: str) -> None:
        self._head = f"UPDATE rows SET {change} WHERE {condition} AND id IN "  # noqa: S608
        self._mark = mark
        self._sql = lru_cache(_ROWS_AT_ONCE)(self._text)

    def _text(self, count: int) -> str:
        return f"{self._head}({', '.join([self._mark] * count)})"

    def run(self, cursor: DBAPICursor, ids: Sequence[int]) -> int:
        """Change the rows and give how many there were."""
        changed = 0
        for start in range(0, len(ids), _ROWS_AT_ONCE):
            part = ids[start : start + _ROWS_AT_ONCE]
            cursor.execute(self._sql(len(part)), tuple(part))
            changed += cursor.rowcount
        return changed


def _settle(engine: Engine) -> Prepared:
    """Move one row on that got no token: rare enough to go row by row."""
    statement = (
        update(rows)
        .where(
            rows.c.id == bindparam("row"), rows.c.state == bindparam("sent", RowState.SENT.value)
        )
        .values(
            state=bindparam("new_state"),
            code=bindparam("new_code"),
            unknowns=rows.c.unknowns + bindparam("more"),
            vault_code=bindparam("new_vault_code"),
            request_id=bindparam("new_request_id"),
        )
    )
    order = ("new_state", "new_code", "more", "new_vault_code", "new_request_id", "row", "sent")
    return Prepared(engine, statement, order)


def _outcome_values(item: Settlement) -> tuple[object, ...]:
    return (
        item.attempt_id,
        item.kind.value,
        item.evidence,
        item.vault_code,
        item.request_id,
        item.latency_us,
        item.at_ms,
    )


def _row_values(item: Settlement) -> tuple[object, ...]:
    sent = RowState.SENT.value
    return (
        item.state.value,
        item.code,
        item.unknowns,
        item.vault_code,
        item.request_id,
        item.row_id,
        sent,
    )


def _token_values(row_id: int, token: Token, epoch: int) -> tuple[object, ...]:
    return (
        row_id,
        token.token_id,
        token.card_id,
        token.brand,
        token.fingerprint,
        token.country,
        int(token.livemode),
        int(token.created_at.timestamp()),
        epoch,
    )


def _require_all(changed: int, wanted: int) -> None:
    if changed != wanted:
        raise VerificationFailed(
            "a row of the ledger was not where this run had left it",
            next_step="Look for a second program that writes to this folder.",
        )
