"""Keeps the one job that carriers work on, and whatever they have to say until the trail tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from pipeline.ledger.schema import attempts
from pipeline.ledger.sharing.tables import (
    SERVER_STARTED_MS,
    cards_under_way,
    chunks,
    jobs,
    notes,
    owners,
)
from pipeline.ledger.store import Note

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row


ATTEMPTS_A_LEASE: Final = 1_000_000_000
"""Numbers of attempts that belong to one lease of a chunk, so that no two carriers give one twice.

Leases are numbered in order, and so the last attempt of a row has the greatest number.
"""


class Job(NamedTuple):
    """The sending of one run, as its coordinator hands it to carriers.

    Attributes:
        epoch: The run's.
        version: The version of Cardferry that every carrier must be.
        settings_digest: What results mean, for every carrier the same.
        orders: Pace, retries, exports and whatever else a carrier is to go by.
        in_flight_max: C, how many cards all carriers together may have under way.
        term_ms: How long a session lasts unless it is renewed.
        retries_of_unknown: How often a row may be sent again after an unknown outcome.
        is_over: Whether carriers are to drain and leave.
    """

    epoch: int
    version: str
    settings_digest: str
    orders: dict[str, Any]
    in_flight_max: int
    term_ms: int
    retries_of_unknown: int
    is_over: bool = False


_COLUMNS = [jobs.c[name] for name in Job._fields]
_LOCK_NOT_AVAILABLE: Final = "55P03"
_LONGEST_MS: Final = 2**31 - 1
_LOCK_TIMEOUT: Final = text("SELECT set_config('lock_timeout', :milliseconds, true)")
# A client that stands still between statements that it sends together is no idle one to the server,
# whose limit for those does not count then: it waits for the rest without an end.
_END_STANDING_WRITES: Final = text(
    """
    SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
      AND wait_event = 'ClientRead'
      AND query_start < clock_timestamp() - :term_ms * interval '1 millisecond'
      AND pid IN (SELECT pid FROM pg_catalog.pg_locks WHERE granted AND mode = 'RowShareLock'
                  AND relation IN ('jobs'::regclass, 'sessions'::regclass))
    """
)


def begin_job(connection: Connection, job: Job) -> None:
    """Put a job in the place of the one before; no session is live by then.

    Sessions stay, as no number may ever be a session's again: a carrier that was forgotten for days
    must not write in the name of a later one.
    """
    for table in (jobs, chunks, owners, cards_under_way):
        connection.execute(delete(table))
    last_attempt = connection.execute(select(func.max(attempts.c.id))).scalar() or 0
    told = job._asdict() | {
        "orders": orjson.dumps(job.orders).decode(),
        "is_over": int(job.is_over),
    }
    counted = {"leases": last_attempt // ATTEMPTS_A_LEASE, "server_started_ms": SERVER_STARTED_MS}
    connection.execute(insert(jobs).values(**told, **counted))


def current_job(connection: Connection, *, lock: bool = False) -> Job | None:
    """Give the job that is there, if there is one.

    Args:
        connection: In a transaction where `lock` is asked for.
        lock: Keep all others who want it locked waiting until the transaction ends. Whoever
            changes sessions or chunks locks it first, and only then a session. Who has it and says
            nothing for a term loses it.
    """
    found = _locked(connection) if lock else connection.execute(select(*_COLUMNS)).first()
    if found is None:
        return None
    job = Job._make(found)
    return job._replace(orders=orjson.loads(found.orders), is_over=bool(found.is_over))


def _locked(connection: Connection) -> Row[Any] | None:
    term_ms = connection.execute(select(jobs.c.term_ms)).scalar()
    if term_ms is None:
        return None
    connection.execute(_LOCK_TIMEOUT, {"milliseconds": str(min(term_ms, _LONGEST_MS))})
    while True:
        try:
            with connection.begin_nested():
                found = connection.execute(select(*_COLUMNS).with_for_update()).first()
        except DBAPIError as late:
            if getattr(late.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE:
                raise
            end_standing_writes(connection, term_ms)
        else:
            connection.execute(_LOCK_TIMEOUT, {"milliseconds": "0"})
            return found


def end_standing_writes(connection: Connection, term_ms: int) -> None:
    """Undo what others have begun to write of jobs and sessions and then said nothing for a term.

    They find their connections lost, as after an outage. Those that another role began are left.
    """
    connection.execute(_END_STANDING_WRITES, {"term_ms": term_ms})


def end_job(connection: Connection) -> None:
    """Ask every carrier to drain and leave."""
    connection.execute(update(jobs).values(is_over=1))


def note(connection: Connection, kind: str, *, resource: str, **detail: object) -> None:
    """Say something that the trail is to tell; the caller has locked the job."""
    body = orjson.dumps([kind, resource, detail]).decode()
    last = select(func.coalesce(func.max(notes.c.id), 0) + 1).scalar_subquery()
    connection.execute(insert(notes).values(id=last, body=body))


def take_notes(connection: Connection) -> list[Note]:
    """Give what carriers have said and nobody entered yet, in order; it is gone with that."""
    taken = connection.execute(delete(notes).returning(notes.c.id, notes.c.body))
    return [Note(*orjson.loads(body)) for _, body in sorted(map(tuple, taken))]
