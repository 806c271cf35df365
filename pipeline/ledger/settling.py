"""Intents and outcomes in, settled rows out: the part of the ledger that every send waits for.

A batch is applied in one commit. A row is `sent` from the moment its intent is durable until
its outcome is; at any crash those rows, at most C of them, are the ones in doubt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, func, insert, literal_column, select, update

from pipeline.errors import VerificationFailed
from pipeline.ledger.connection import Prepared
from pipeline.ledger.doubles import freeze_doubled
from pipeline.ledger.entries import Claim, Intent, Settlement
from pipeline.ledger.resolving import resolve_known
from pipeline.ledger.schema import attempts, outcomes, rows, tokens
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection

    from pipeline.ledger.ledger import Ledger
    from pipeline.model import Token

CLAIMABLE: Final = (RowState.PLANNED, RowState.AMBIGUOUS)


class Settling:
    """Applies batches of intents and settlements to the ledger.

    Args:
        ledger: The open ledger of the run.
        in_flight_max: C; more open intents than this are a bug and stop the run.
    """

    def __init__(self, ledger: Ledger, in_flight_max: int) -> None:
        self._ledger = ledger
        self._in_flight_max = in_flight_max
        self._open = 0
        self._supersedes: dict[int, int] = {}
        with ledger.reading() as connection:
            self._next_attempt = 1 + (
                connection.execute(select(func.max(attempts.c.id))).scalar() or 0
            )
        self._compile()

    def _compile(self) -> None:
        def prepared(statement: Any, *names: str) -> Prepared:
            return Prepared(self._ledger.engine, statement, names)

        def values(*names: str) -> dict[str, Any]:
            return {name: bindparam(name) for name in names}

        intent = ("id", "row_id", "number", "epoch", "at_ms")
        self._insert_attempts = prepared(insert(attempts).values(values(*intent)), *intent)
        self._claim_rows = prepared(
            update(rows)
            .where(
                rows.c.id == bindparam("row"),
                rows.c.state.in_([_word(state) for state in CLAIMABLE]),
            )
            .values(state=_word(RowState.SENT), attempts=bindparam("number")),
            "number",
            "row",
        )
        outcome = [column.name for column in outcomes.columns]
        self._insert_outcomes = prepared(insert(outcomes).values(values(*outcome)), *outcome)
        self._settle_rows = prepared(
            update(rows)
            .where(rows.c.id == bindparam("row"), rows.c.state == _word(RowState.SENT))
            .values(
                state=bindparam("new_state"),
                code=bindparam("new_code"),
                unknowns=rows.c.unknowns + bindparam("more"),
                vault_code=bindparam("new_vault_code"),
                request_id=bindparam("new_request_id"),
            ),
            "new_state",
            "new_code",
            "more",
            "new_vault_code",
            "new_request_id",
            "row",
        )
        token = [column.name for column in tokens.columns if column.name != "customer_id"]
        self._insert_tokens = prepared(insert(tokens).values(values(*token)), *token)

    def claimable(self, first_id: int, last_id: int) -> list[Claim]:
        """Give the rows of a range of ids that may be sent now, in order."""
        with self._ledger.transaction() as connection:
            resolve_known(connection, first_id, last_id)
            found = connection.execute(
                select(
                    rows.c.id,
                    rows.c.attempts,
                    rows.c.unknowns,
                    rows.c.last_digits,
                    rows.c.expiration_month,
                    rows.c.expiration_year,
                    rows.c.supersedes,
                )
                .where(rows.c.id.between(first_id, last_id), rows.c.state.in_(CLAIMABLE))
                .order_by(rows.c.id)
            ).all()
        claims = [Claim(*row) for row in found]
        self._supersedes.update((c.id, c.supersedes) for c in claims if c.supersedes is not None)
        return claims

    def intent(self, row_id: int, number: int) -> Intent:
        """Make the intent for a row's next attempt; it counts once it is applied."""
        attempt_id = self._next_attempt
        self._next_attempt += 1
        return Intent(attempt_id, row_id, number, self._ledger.now_ms())

    def now_ms(self) -> int:
        """Give the ledger's wall clock in milliseconds."""
        return self._ledger.now_ms()

    def apply(self, batch: Sequence[Intent | Settlement]) -> list[int]:
        """Make a batch durable in one commit.

        Returns:
            The rows that were frozen because a token id was given twice; the run must stop.

        Raises:
            LocalStorageFailed: The disk refused; nothing of the batch happened.
            VerificationFailed: A row was not where this run left it.
        """
        intents = [item for item in batch if isinstance(item, Intent)]
        settled = [item for item in batch if isinstance(item, Settlement)]
        still_open = self._open + len(intents) - len(settled)
        if not 0 <= still_open <= self._in_flight_max:
            raise AssertionError("more intents are open than cards may be in flight")
        with self._ledger.transaction() as connection:
            settled, frozen = freeze_doubled(self._ledger, connection, settled)
            self._write_settlements(connection, settled)
            self._write_intents(connection, intents)
        self._open = still_open
        return frozen

    def _write_intents(self, connection: Connection, intents: list[Intent]) -> None:
        epoch = self._ledger.epoch
        claimed = self._claim_rows.many(connection, [(i.number, i.row_id) for i in intents])
        _require_all(claimed, len(intents))
        self._insert_attempts.many(
            connection, [(i.attempt_id, i.row_id, i.number, epoch, i.at_ms) for i in intents]
        )

    def _write_settlements(self, connection: Connection, settled: list[Settlement]) -> None:
        self._insert_outcomes.many(
            connection,
            [
                (
                    s.attempt_id,
                    s.kind.value,
                    s.evidence,
                    s.vault_code,
                    s.request_id,
                    s.latency_us,
                    s.at_ms,
                )
                for s in settled
            ],
        )
        made = [s for s in settled if s.token is not None and s.state is RowState.TOKENIZED]
        self._supersede(connection, made)
        changed = self._settle_rows.many(
            connection,
            [
                (s.state.value, s.code, s.unknowns, s.vault_code, s.request_id, s.row_id)
                for s in settled
            ],
        )
        _require_all(changed, len(settled))
        epoch = self._ledger.epoch
        self._insert_tokens.many(
            connection, [_token_tuple(s.row_id, s.token, epoch) for s in made if s.token]
        )

    def _supersede(self, connection: Connection, made: list[Settlement]) -> None:
        for item in made:
            old = self._supersedes.pop(item.row_id, None)
            if old is not None:
                connection.execute(
                    update(rows).where(rows.c.id == old).values(superseded_by=item.row_id)
                )


def _token_tuple(row_id: int, token: Token, epoch: int) -> tuple[object, ...]:
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


def _word(state: RowState) -> ColumnElement[str]:
    """Write a state into the statement itself: our own word costs no parameter a row."""
    return literal_column(f"'{state.value}'")


def _require_all(changed: int, wanted: int) -> None:
    if changed != wanted:
        raise VerificationFailed(
            "a row of the ledger was not where this run had left it",
            next_step="Look for a second program that writes to this folder.",
        )
