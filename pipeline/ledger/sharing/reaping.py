"""Ends the sessions of carriers that were silent for longer than their terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, select, update

from pipeline.ledger.recovery import doubt_cards, doubt_rows
from pipeline.ledger.sharing.jobs import current_job, end_standing_writes, note
from pipeline.ledger.sharing.sessions import LIVE, REAPED, let_go
from pipeline.ledger.sharing.tables import NOW_MS, SERVER_STARTED_MS, chunks, jobs, sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pipeline.ledger.sharing.jobs import Job

_WAS_AWAY: Final = exists().where(
    jobs.c.server_started_ms != SERVER_STARTED_MS, SERVER_STARTED_MS + jobs.c.term_ms > NOW_MS
)


def reap(connection: Connection) -> list[int]:
    """End every session whose term is over, and free what it held.

    Its rows that are under way are in doubt from then on; whatever it writes later is refused. One
    that is writing at this moment is left to the next look, and a write that stands for a term is
    undone. Where the server was started anew, every session has a whole term from then on: it may
    know answers that it could not write meanwhile.

    Returns:
        The sessions that were reaped.
    """
    job = current_job(connection, lock=True)
    if job is None:
        return []
    live = select(sessions.c.id).where(sessions.c.state == LIVE, ~_WAS_AWAY)
    expired = live.where(sessions.c.expires_ms < NOW_MS).with_for_update(skip_locked=True)
    gone = sorted(connection.execute(expired).scalars())
    if gone:
        connection.execute(
            update(sessions).where(sessions.c.id.in_(gone)).values(state=REAPED, slots=0)
        )
        _settle_what_they_left(connection, job, gone)
        let_go(connection, gone)
    if connection.execute(live.where(sessions.c.expires_ms < NOW_MS)).first():
        end_standing_writes(connection, job.term_ms)
    return gone


def _settle_what_they_left(connection: Connection, job: Job, gone: Sequence[int]) -> None:
    held = select(chunks.c.session, chunks.c.first_id, chunks.c.last_id).where(
        chunks.c.session.in_(gone)
    )
    ranges: dict[int, list[tuple[int, int]]] = {session: [] for session in gone}
    for session, first_id, last_id in connection.execute(held):
        ranges[session].append((first_id, last_id))
    now_ms = int(connection.execute(select(NOW_MS)).scalar_one())
    for session, within in ranges.items():
        in_doubt, rows_held = doubt_rows(connection, now_ms, job.retries_of_unknown, within)
        cards = doubt_cards(connection, now_ms, within)
        note(
            connection,
            "carrier_reaped",
            resource=str(session),
            chunks=len(within),
            in_doubt=in_doubt,
            held=rows_held,
            cards_in_doubt=cards,
        )
