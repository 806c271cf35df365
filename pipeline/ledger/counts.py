"""A ledger in, its sums and its rows in order out: everything that reports are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, case, func, select

from pipeline.ledger.schema import ROW_SPAN, attempts, exports, outcomes, rows, runs, tokens
from pipeline.model import FAILURE_STATES, OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row, Select

FETCHED_AT_ONCE: Final = 10_000
_MINUTE_MS: Final = 60_000


def by_state(connection: Connection) -> dict[RowState, int]:
    """Count rows by state; every state is there, with zero where no row is in it.

    Rows of an export that is still being proved do not count: they may be thrown away.
    """
    found = connection.execute(
        select(rows.c.state, func.count()).where(_planned_exports()).group_by(rows.c.state)
    )
    counted = {RowState(state): int(count) for state, count in found}
    return {state: counted.get(state, 0) for state in RowState}


def by_export(connection: Connection) -> dict[int, dict[str, int]]:
    """Count rows by export and state."""
    export = (rows.c.id // ROW_SPAN).label("export")
    counted: dict[int, dict[str, int]] = {}
    for export_id, state, count in connection.execute(
        select(export, rows.c.state, func.count()).group_by(export, rows.c.state)
    ):
        counted.setdefault(int(export_id), {})[str(state)] = int(count)
    return counted


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


def by_outcome(connection: Connection) -> dict[str, int]:
    """Count attempts by what they came to."""
    found = connection.execute(
        select(outcomes.c.kind, func.count()).group_by(outcomes.c.kind).order_by(outcomes.c.kind)
    )
    return {str(kind): int(count) for kind, count in found}


def by_minute(connection: Connection) -> list[tuple[int, str, int, int]]:
    """Count answers by minute and kind: (minute in ms, kind, count, mean latency in µs)."""
    minute = (outcomes.c.at_ms // _MINUTE_MS).label("minute")
    found = connection.execute(
        select(minute, outcomes.c.kind, func.count(), func.avg(outcomes.c.latency_us))
        .group_by(minute, outcomes.c.kind)
        .order_by(minute, outcomes.c.kind)
    )
    return [(int(m) * _MINUTE_MS, str(kind), int(n), int(mean)) for m, kind, n, mean in found]


def mix(connection: Connection, column: str) -> dict[str, int]:
    """Count tokens by `brand` or `country`, or tokenized rows by `expiration_year`."""
    if column == "expiration_year":
        chosen = rows.c.expiration_year
        statement = select(chosen, func.count()).where(rows.c.state == RowState.TOKENIZED)
    else:
        chosen = tokens.c[column]
        statement = select(chosen, func.count())
    found = connection.execute(statement.group_by(chosen).order_by(chosen))
    return {str(value or "unknown"): int(count) for value, count in found}


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


def distinct_fingerprints(connection: Connection) -> int:
    """Count the different cards among the tokens, by the vault's fingerprint."""
    return int(connection.execute(select(func.count(tokens.c.fingerprint.distinct()))).scalar_one())


def changes(connection: Connection) -> int:
    """Count rows whose token replaced an older one of the same legacy id."""
    return int(
        connection.execute(
            select(func.count()).where(rows.c.superseded_by.is_not(None))
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


def mapped_rows(connection: Connection) -> Iterator[Sequence[Row[Any]]]:
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
    return _blocks(connection, statement)


def failed_rows(connection: Connection) -> Iterator[Sequence[Row[Any]]]:
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
    return _blocks(connection, statement)


def legacy_ids(connection: Connection, *states: RowState) -> Iterator[str]:
    """Give the legacy ids of the rows in these states, or of all rows, in no order."""
    statement = select(rows.c.legacy_id).where(rows.c.legacy_id.is_not(None), _planned_exports())
    if states:
        statement = statement.where(rows.c.state.in_(states))
    for block in _blocks(connection, statement):
        yield from (str(row[0]) for row in block)


def latency_quantiles_us(connection: Connection) -> dict[str, int]:
    """Give the median, 95th and 99th percentile of answered attempts' latency, in µs."""
    answered = outcomes.c.latency_us > 0
    count = connection.execute(select(func.count()).where(answered)).scalar_one()
    ordered = select(outcomes.c.latency_us).where(answered).order_by(outcomes.c.latency_us)
    return {
        name: int(
            connection.execute(ordered.offset(int(share * (count - 1))).limit(1)).scalar_one()
        )
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        if count
    }


def attempts_made(connection: Connection) -> int:
    """Count the intents ever written."""
    return int(connection.execute(select(func.count()).select_from(attempts)).scalar_one())


def pending(counts: dict[RowState, int]) -> int:
    """Sum the states that a run still has to settle."""
    return sum(counts[state] for state in OPEN_STATES)


def _planned_exports() -> Any:
    proving = select(exports.c.id).where(exports.c.state == "proving")
    return (rows.c.id // ROW_SPAN).not_in(proving)


def _blocks(connection: Connection, statement: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
    result = connection.execution_options(yield_per=FETCHED_AT_ONCE).execute(statement)
    yield from result.partitions()
