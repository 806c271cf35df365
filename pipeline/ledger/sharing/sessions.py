"""Gives each carrier a session: a term that it renews, or others take over what it held.

The server's clock judges whether a term is over. Whoever writes rows locks its own session first, so
that a batch is durable before the session is reaped, or refused after it. The slots of all sessions
never exceed C, as each takes only what the others have given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import delete, exists, func, insert, literal, or_, select, update

from pipeline.errors import LocalStorageFailed, SettingsRefused
from pipeline.ledger.sharing.free_chunks import has_free
from pipeline.ledger.sharing.jobs import current_job, note
from pipeline.ledger.sharing.ledger_to_join import nothing_to_join
from pipeline.ledger.sharing.shares import LiveSession, Share, dealt
from pipeline.ledger.sharing.tables import (
    NOW_MS,
    cards_under_way,
    chunks,
    jobs,
    owners,
    sessions,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


LIVE: Final = "live"
LEFT: Final = "left"
REAPED: Final = "reaped"


class Session(NamedTuple):
    """A session, as it is shown."""

    id: int
    origin: str
    state: str
    slots: int
    chunks: int
    figures: dict[str, Any]
    trouble: dict[str, Any] | None


def join(connection: Connection, origin: str, version: str, settings_digest: str) -> int:
    """Begin a session; it has no slots before it is renewed.

    Args:
        connection: In a transaction.
        origin: Where the carrier runs, as `host:pid`.
        version: Its version of Cardferry.
        settings_digest: What results mean by its settings.

    Returns:
        The session's number.

    Raises:
        LocalStorageFailed: No job is there to join.
        SettingsRefused: The carrier would not do as the others do.
    """
    job = current_job(connection, lock=True)
    if job is None or job.is_over:
        raise nothing_to_join()
    if job.version != version:
        raise SettingsRefused(
            [f"this carrier is Cardferry {version}, and the run is {job.version}"],
            next_step="Install the run's version on every machine.",
        )
    if job.settings_digest != settings_digest:
        raise SettingsRefused(
            ["vault, export columns, rules or attach differ from those of the run"],
            next_step="Give every carrier the run's settings; only places of files and keys differ.",
        )
    number = 1 + (connection.execute(select(func.max(sessions.c.id))).scalar() or 0)
    connection.execute(
        insert(sessions).values(
            id=number,
            epoch=job.epoch,
            origin=origin,
            state=LIVE,
            joined_ms=NOW_MS,
            expires_ms=NOW_MS + job.term_ms,
        )
    )
    note(connection, "carrier_joined", resource=str(number), origin=origin)
    return number


def renew(
    connection: Connection,
    session: int,
    held: int,
    figures: Mapping[str, object] | None,
    good_rate: float | None = None,
) -> Share | None:
    """Renew a session's term, and its share of the slots; see `shares.dealt`.

    Args:
        connection: In a transaction.
        session: The session.
        held: How many slots it cannot give up yet: those it may use now.
        figures: What it has sent and met so far; None while it has not begun, and gets no share.
        good_rate: Requests a second that the vault bears of it; None while it knows of no limit.

    Returns:
        Its share; None where the session is over, so that it may do nothing more.
    """
    job = current_job(connection, lock=True)
    if job is None:
        return None
    live = _live(connection)
    if session not in live:
        return None
    own_per_ks = None if good_rate is None else int(good_rate * 1_000)
    has_begun = figures is not None
    live[session] = live[session]._replace(good_per_ks=own_per_ks, has_begun=has_begun)
    part = dealt(live, session, held, job.in_flight_max)
    told = None if figures is None else orjson.dumps(dict(figures)).decode()
    connection.execute(
        update(sessions)
        .where(sessions.c.id == session)
        .values(
            expires_ms=NOW_MS + job.term_ms,
            slots=part.slots,
            good_per_ks=own_per_ks,
            figures=told,
        )
    )
    closed_ms = connection.execute(select(jobs.c.closed_until_ms - NOW_MS)).scalar_one()
    good = None if part.good_per_ks is None else part.good_per_ks / 1_000
    return Share(part.slots, part.fair, max(0, closed_ms) / 1_000, job.is_over, good)


def _live(connection: Connection) -> dict[int, LiveSession]:
    """Give how each live session stands, in the order in which they came."""
    holds = or_(exists().where(chunks.c.session == sessions.c.id), literal(has_free(connection)))
    columns = (sessions.c.id, sessions.c.slots, sessions.c.good_per_ks)
    found = connection.execute(
        select(*columns, sessions.c.figures.is_not(None), holds)
        .where(sessions.c.state == LIVE)
        .order_by(sessions.c.id)
    )
    return {int(number): LiveSession(*facts) for number, *facts in found}


def close_for_all(connection: Connection, seconds: float) -> None:
    """Let nobody send for so long, as the vault asked one of us to wait."""
    until = func.greatest(jobs.c.closed_until_ms, NOW_MS + int(seconds * 1_000))
    connection.execute(update(jobs).values(closed_until_ms=until))


def leave(
    connection: Connection,
    session: int,
    figures: Mapping[str, object],
    trouble: Mapping[str, object] | None = None,
) -> None:
    """End a session whose every answer is durable; its chunks are free again.

    Args:
        connection: In a transaction.
        session: The session.
        figures: What it has sent and met.
        trouble: Why it leaves before the work is done.
    """
    current_job(connection, lock=True)
    left = connection.execute(
        update(sessions)
        .where(sessions.c.id == session, sessions.c.state == LIVE)
        .values(
            state=LEFT,
            slots=0,
            figures=orjson.dumps(dict(figures)).decode(),
            trouble=None if trouble is None else orjson.dumps(dict(trouble)).decode(),
        )
    )
    if left.rowcount == 1:
        let_go(connection, [session])
        note(connection, "carrier_left", resource=str(session), in_trouble=trouble is not None)


def require_live(connection: Connection, session: int) -> None:
    """Keep a session from being reaped until the transaction ends.

    Raises:
        LocalStorageFailed: It is over; nothing may be written in its name.
    """
    own = select(sessions.c.id).where(sessions.c.id == session, sessions.c.state == LIVE)
    if connection.execute(own.with_for_update(read=True)).first() is None:
        raise session_over()


def let_go(connection: Connection, gone: Sequence[int]) -> None:
    """Free the chunks, customers and cards of sessions that are over."""
    connection.execute(update(chunks).where(chunks.c.session.in_(gone)).values(session=None))
    for table in (owners, cards_under_way):
        connection.execute(delete(table).where(table.c.session.in_(gone)))


def live_sessions(connection: Connection) -> int:
    """Count the sessions that are not over."""
    count = select(func.count()).select_from(sessions).where(sessions.c.state == LIVE)
    return int(connection.execute(count).scalar_one())


def all_sessions(connection: Connection) -> list[Session]:
    """Give every session of the last job, in the order in which they came."""
    held = (
        select(func.count()).where(chunks.c.session == sessions.c.id).correlate(sessions)
    ).scalar_subquery()
    columns = (sessions.c.id, sessions.c.origin, sessions.c.state, sessions.c.slots, held)
    found = connection.execute(
        select(*columns, sessions.c.figures, sessions.c.trouble)
        .where(sessions.c.epoch.in_(select(jobs.c.epoch)))
        .order_by(sessions.c.id)
    )
    return [
        Session(
            *row[:5], orjson.loads(row[5] or "{}"), None if row[6] is None else orjson.loads(row[6])
        )
        for row in found
    ]


def session_over() -> LocalStorageFailed:
    """Give the error of a carrier whose term ran out: others have what it held."""
    return LocalStorageFailed(
        "this carrier was silent for longer than its term, so its rows were taken over",
        next_step="Nothing is lost; start another carrier.",
    )
