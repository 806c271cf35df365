"""A ledger in, its sums and its rows in order out: everything that reports are made of."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, func, select

from pipeline.ledger.schema import ROW_SPAN, attempts, exports, outcomes, rows, runs, tokens
from pipeline.ledger.sqlite.streaming import selected
from pipeline.model import FAILURE_STATES, OPEN_STATES, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row


def by_state(connection: Connection) -> dict[RowState, int]:
    """Count rows by state; every state is there, with zero where no row is in it.

    Rows of an export that is still being proved do not count: they may be thrown away.
    """
    return _states(connection, _planned_exports())


def by_export(connection: Connection) -> dict[int, dict[str, int]]:
    """Count rows by export and state; states without a row are left out."""
    counted: dict[int, dict[str, int]] = {}
    for export_id in connection.execute(select(exports.c.id)).scalars().all():
        here = rows.c.id.between(export_id * ROW_SPAN, (export_id + 1) * ROW_SPAN - 1)
        states = _states(connection, here)
        counted[int(export_id)] = {state.value: n for state, n in states.items() if n}
    return counted


def _states(connection: Connection, condition: Any) -> dict[RowState, int]:
    # One sum a state: grouping would sort every row of the table in memory.
    sums = (func.coalesce(func.sum(case((rows.c.state == s, 1), else_=0)), 0) for s in RowState)
    found = connection.execute(select(*sums).where(condition)).one()
    return {state: int(count) for state, count in zip(RowState, found, strict=True)}


def by_code(connection: Connection) -> dict[str, int]:
    """Count failed, rejected and held rows by failure code."""
    found = connection.execute(
        select(rows.c.code, func.count())
        .where(_planned_exports(), rows.c.state.in_(FAILURE_STATES))
        .group_by(rows.c.code)
        .order_by(rows.c.code)
    )
    return {str(code): int(count) for code, count in found}


def unseen_tokens_max(connection: Connection) -> int:
    """Give U: how many tokens may exist that nobody saw, open intents included."""
    return int(
        connection.execute(
            select(
                func.coalesce(func.sum(rows.c.unknowns), 0)
                + func.coalesce(func.sum(case((rows.c.state == RowState.SENT, 1), else_=0)), 0)
            )
        ).scalar_one()
    )


def answered_since(connection: Connection, since_ms: int) -> tuple[int, int | None]:
    """Count what the vault answered since a moment, and say when the first of it came."""
    answered = outcomes.c.kind.not_in([OutcomeKind.NOT_SENT.value, OutcomeKind.THROTTLED.value])
    count, first_ms = connection.execute(
        select(func.count(), func.min(outcomes.c.at_ms)).where(
            outcomes.c.at_ms >= since_ms, answered
        )
    ).one()
    return int(count), first_ms


def mix(connection: Connection, column: str) -> dict[str, int]:
    """Count tokens by `brand` or `country`, or tokenized rows by `expiration_year`."""
    if column == "expiration_year":
        statement = select(rows.c.expiration_year).where(rows.c.state == RowState.TOKENIZED)
    else:
        statement = select(tokens.c[column])
    counted: Counter[Any] = Counter()
    for block in selected(connection, statement):
        counted.update(value for (value,) in block)
    known = {value: counted[value] for value in sorted(counted, key=lambda v: (v is None, v))}
    return {"unknown" if value is None else str(value): n for value, n in known.items()}


def planned_mix(connection: Connection, column: str) -> dict[str, int]:
    """Count the rows that a run would send by `brand` or `expiration_year`."""
    chosen = rows.c[column]
    found = connection.execute(
        select(chosen, func.count())
        .where(_planned_exports(), rows.c.state.in_(OPEN_STATES))
        .group_by(chosen)
        .order_by(chosen)
    )
    return {str(value): int(count) for value, count in found}


def open_rows(connection: Connection, first_id: int, last_id: int) -> int:
    """Count the rows of a range of ids that a run still has to settle."""
    return int(
        connection.execute(
            select(func.count()).where(
                rows.c.id.between(first_id, last_id), rows.c.state.in_(OPEN_STATES)
            )
        ).scalar_one()
    )


def all_exports(connection: Connection) -> list[Row[Any]]:
    """Give the planned exports in the order in which they came."""
    return list(
        connection.execute(
            select(exports).where(exports.c.state == "planned").order_by(exports.c.id)
        )
    )


def all_runs(connection: Connection) -> list[Row[Any]]:
    """Give the runs, oldest first."""
    return list(connection.execute(select(runs).order_by(runs.c.epoch)))


MAPPED: Final = (
    "legacy_id",
    "token_id",
    "card_id",
    "customer_id",
    "brand",
    "last_digits",
    "expiration_month",
    "expiration_year",
    "fingerprint",
    "livemode",
    "created_s",
    "attempts",
    "source_file",
    "source_row",
    "run_id",
    "carry",
)
"""What `mapped_rows` gives of a row, in order."""

FAILED: Final = (
    "legacy_id",
    "source_file",
    "source_row",
    "code",
    "field",
    "state",
    "attempts",
    "last_digits",
    "vault_code",
    "request_id",
)
"""What `failed_rows` gives of a row, in order."""


def mapped_rows(connection: Connection) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Give the mapping by export and row, a block at a time: each id once, its newest token."""
    statement = (
        select(
            rows.c.legacy_id,
            tokens.c.token_id,
            tokens.c.card_id,
            tokens.c.customer_id,
            tokens.c.brand,
            rows.c.last_digits,
            rows.c.expiration_month,
            rows.c.expiration_year,
            tokens.c.fingerprint,
            tokens.c.livemode,
            tokens.c.created_s,
            rows.c.attempts,
            exports.c.name,
            rows.c.id % ROW_SPAN,
            runs.c.run_id,
            rows.c.carry,
        )
        .join(tokens, tokens.c.row_id == rows.c.id)
        .join(exports, exports.c.id == rows.c.id // ROW_SPAN)
        .join(runs, runs.c.epoch == tokens.c.epoch)
        .where(rows.c.state == RowState.TOKENIZED, rows.c.superseded_by.is_(None))
        .order_by(rows.c.id)
    )
    return selected(connection, statement)


def failed_rows(connection: Connection) -> Iterator[Sequence[tuple[Any, ...]]]:
    """Give the failure report's rows by export and row, a block at a time."""
    statement = (
        select(
            rows.c.legacy_id,
            exports.c.name,
            rows.c.id % ROW_SPAN,
            rows.c.code,
            rows.c.field,
            rows.c.state,
            rows.c.attempts,
            rows.c.last_digits,
            rows.c.vault_code,
            rows.c.request_id,
        )
        .join(exports, and_(exports.c.id == rows.c.id // ROW_SPAN, exports.c.state == "planned"))
        .where(rows.c.state.in_(FAILURE_STATES))
        .order_by(rows.c.id)
    )
    return selected(connection, statement)


def attempts_made(connection: Connection) -> int:
    """Count the intents ever written."""
    return int(connection.execute(select(func.count()).select_from(attempts)).scalar_one())


def pending(counts: dict[RowState, int]) -> int:
    """Sum the states that a run still has to settle."""
    return sum(counts[state] for state in OPEN_STATES)


def _planned_exports() -> Any:
    proving = select(exports.c.id).where(exports.c.state == "proving")
    return (rows.c.id // ROW_SPAN).not_in(proving)
