"""Keeps two runs apart: each takes the next epoch, and one that was overtaken writes no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from sqlalchemy import func, insert, select

from pipeline.errors import VerificationFailed
from pipeline.ledger.schema import runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

OVERTAKEN: Final = "a later run has taken this ledger over"
_NEWEST: Final = select(func.max(runs.c.epoch))


def require_epoch(connection: Connection, epoch: int) -> None:
    """Make sure that no later run has begun.

    Raises:
        VerificationFailed: One has.
    """
    if (connection.execute(_NEWEST).scalar() or 0) != epoch:
        raise overtaken()


def latest_ms(connection: Connection) -> int:
    """Give the latest moment that any run began or ended at; 0 before the first."""
    latest = select(func.max(runs.c.started_ms), func.max(runs.c.ended_ms))
    return max(0, *(moment or 0 for moment in connection.execute(latest).one()))


def take_over(connection: Connection, run_id: str, now_ms: int, facts: Mapping[str, object]) -> int:
    """Begin a run: give it the next epoch, with which every earlier run is overtaken.

    Args:
        connection: In a transaction.
        run_id: The run's name.
        now_ms: The moment, in milliseconds since 1970 (UTC).
        facts: What is kept of the run: who, where, settings.

    Returns:
        The epoch.
    """
    # A batch that is under way has its own run's row; it is over before the next one begins.
    last = select(runs.c.epoch).order_by(runs.c.epoch.desc()).limit(1)
    connection.execute(last.with_for_update())
    epoch = 1 + (connection.execute(_NEWEST).scalar() or 0)
    connection.execute(
        insert(runs).values(
            epoch=epoch,
            run_id=run_id,
            started_ms=now_ms,
            facts=orjson.dumps(dict(facts), option=orjson.OPT_SORT_KEYS).decode(),
        )
    )
    return int(epoch)


def overtaken() -> VerificationFailed:
    """Give the error of a run that a later one has overtaken."""
    return VerificationFailed(
        OVERTAKEN, next_step="Look at it with `cardferry status DIR`; only one run may write."
    )


def last_run(connection: Connection) -> tuple[int, str]:
    """Give epoch and name of the last run; 0 and nothing before the first."""
    last = select(runs.c.epoch, runs.c.run_id).order_by(runs.c.epoch.desc()).limit(1)
    found = connection.execute(last).first()
    return (0, "") if found is None else (int(found.epoch), str(found.run_id))
