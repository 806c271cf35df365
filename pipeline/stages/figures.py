"""A ledger in, the figures of its report out: one JSON-ready tree that every report shows.

Only what the ledger holds goes in, no clock and no folder, so that the same ledger always
gives the same figures.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson

from pipeline.clock import timestamp
from pipeline.ledger import counts
from pipeline.model import FAILURE_CODES, FAILURE_STATES, RowState
from pipeline.totals import hash_total, shown

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

FIGURES_VERSION: Final = 1


def gather(connection: Connection, version: str) -> dict[str, Any]:
    """Collect the report's figures.

    Args:
        connection: A reading connection of the ledger; one look, one state.
        version: Cardferry's version.

    Returns:
        What `report.json` holds; times are text in UTC, latencies microseconds.
    """
    states = counts.by_state(connection)
    runs = counts.all_runs(connection)
    return {
        "version": FIGURES_VERSION,
        "cardferry": version,
        "runs": [_run(run) for run in runs],
        "exports": _exports(connection),
        "balance": balance(sum(e.rows for e in counts.all_exports(connection)), states),
        "states": {state.value: count for state, count in states.items()},
        "failures": _failures(connection),
        "unseen_tokens_max": counts.unseen_tokens_max(connection),
        "changed": counts.changes(connection),
        "hash_totals": _hash_totals(connection),
        "attempts": {
            "made": counts.attempts_made(connection),
            "by_outcome": counts.by_outcome(connection),
        },
        "latency_us": counts.latency_quantiles_us(connection),
        "minutes": [
            {"at": _moment(minute), "outcome": kind, "answers": count, "latency_us_mean": mean}
            for minute, kind, count, mean in counts.by_minute(connection)
        ],
        "brands": counts.mix(connection, "brand"),
        "countries": counts.mix(connection, "country"),
        "expiration_years": counts.mix(connection, "expiration_year"),
        "distinct_cards": counts.distinct_fingerprints(connection),
    }


def balance(rows_read: int, states: dict[RowState, int]) -> dict[str, int]:
    """Give the balance: the rows read and what became of them.

    `difference` is zero, or rows were lost or invented between the exports and the ledger.
    """
    parts = {
        "tokenized": states[RowState.TOKENIZED],
        "rejected": states[RowState.REJECTED],
        "failed": states[RowState.FAILED],
        "held": states[RowState.HELD],
        "already_tokenized": states[RowState.ALREADY_TOKENIZED],
        "pending": counts.pending(states),
    }
    return {"rows": rows_read, **parts, "difference": rows_read - sum(parts.values())}


def _exports(connection: Connection) -> list[dict[str, Any]]:
    counted = counts.by_export(connection)
    return [
        {
            "name": export.name,
            "size": export.size,
            "sha256": export.sha256,
            "kind": export.kind,
            "engine": export.engine,
            "rows": export.rows,
            "rows_in_ledger": sum(counted.get(export.id, {}).values()),
            "states": counted.get(export.id, {}),
            "key_fingerprint": export.key_fingerprint,
            "signer": export.signer,
            "origin": "signed" if export.signer else "unauthenticated",
            "as_of": export.as_of,
            "legacy_id_sum": export.legacy_id_sum,
        }
        for export in counts.all_exports(connection)
    ]


def _failures(connection: Connection) -> list[dict[str, Any]]:
    return [
        {
            "code": code,
            "stage": FAILURE_CODES[code].stage.value,
            "rows": count,
            "retryable": FAILURE_CODES[code].retryable,
            "meaning": FAILURE_CODES[code].meaning,
            "advice": FAILURE_CODES[code].advice,
        }
        for code, count in counts.by_code(connection).items()
    ]


def _hash_totals(connection: Connection) -> dict[str, str]:
    read = sum(int(e.legacy_id_sum, 16) for e in counts.all_exports(connection)) % (1 << 256)
    parts = {
        "tokenized": (RowState.TOKENIZED,),
        "failures": FAILURE_STATES,
        "already_tokenized": (RowState.ALREADY_TOKENIZED,),
    }
    return {
        "read": shown(read),
        "ledger": shown(hash_total(0, counts.legacy_ids(connection))),
        **{
            name: shown(hash_total(0, counts.legacy_ids(connection, *states)))
            for name, states in parts.items()
        },
    }


def _run(run: Row[Any]) -> dict[str, Any]:
    return {
        "run_id": run.run_id,
        "started_at": _moment(run.started_ms),
        "ended_at": None if run.ended_ms is None else _moment(run.ended_ms),
        "exit_code": run.exit_code,
        "facts": orjson.loads(run.facts),
        "statistics": orjson.loads(run.statistics or "{}"),
    }


def _moment(milliseconds: int) -> str:
    return timestamp(datetime.fromtimestamp(milliseconds / 1000, UTC))
