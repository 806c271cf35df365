"""Hands out chunks of planned rows, each to one session at a time, and takes them back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import (
    Integer,
    and_,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from pipeline.ledger.records import NOT_ATTACHED_YET, ROW_SPAN, AttachState, row_id
from pipeline.ledger.schema import attachments, rows
from pipeline.ledger.sharing.jobs import ATTEMPTS_A_LEASE, current_job
from pipeline.ledger.sharing.sessions import require_live
from pipeline.ledger.sharing.tables import chunks, jobs, owners
from pipeline.model import CLAIMABLE_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Connection

PASSES_MAX: Final = 20
"""So often a chunk is given back with rows left to send before the next run has to go on."""


class Lease(NamedTuple):
    """A chunk that a session has.

    Attributes:
        first_id: The smallest row id.
        last_id: The largest.
        export_id: The export that the rows are of.
        number: Which lease it is, of all of them ever.
    """

    first_id: int
    last_id: int
    export_id: int
    number: int

    @property
    def first_attempt(self) -> int:
        """The first number for attempts that begin while this is the newest lease."""
        return self.number * ATTEMPTS_A_LEASE


class ChunkProgress(NamedTuple):
    """How far the chunks are."""

    all: int
    done: int
    taken: int

    @property
    def free(self) -> int:
        """Those that nobody has."""
        return self.all - self.done - self.taken


def cut(connection: Connection, export_ids: Collection[int], chunk_rows: int) -> int:
    """Cut what is to be carried of some exports into chunks; give how many there are.

    Args:
        connection: In a transaction of the run.
        export_ids: The exports; they are carried in the order of these numbers.
        chunk_rows: Rows of a chunk; a chunk in which nothing is to be done is none.
    """
    place = (rows.c.id % ROW_SPAN - 1) // chunk_rows
    for export_id in export_ids:
        first_id = (literal(row_id(export_id, 1)) + place * chunk_rows).label("first_id")
        within = rows.c.id.between(row_id(export_id, 1), row_id(export_id + 1, 0) - 1)
        wanted = (
            select(first_id, first_id + chunk_rows - 1, literal(export_id))
            .select_from(rows)
            .outerjoin(attachments, attachments.c.row_id == rows.c.id)
            .where(within, _IS_LEFT)
            .distinct()
        )
        connection.execute(insert(chunks).from_select(["first_id", "last_id", "export_id"], wanted))
    return progress(connection).all


_WAITS_FOR_CUSTOMER: Final = and_(
    attachments.c.state.in_(NOT_ATTACHED_YET),
    rows.c.state == RowState.TOKENIZED,
    rows.c.superseded_by.is_(None),
)
_IS_LEFT: Final[ColumnElement[bool]] = or_(
    rows.c.state.in_([state.value for state in CLAIMABLE_STATES]), _WAITS_FOR_CUSTOMER
)
_IS_UNDER_WAY: Final[ColumnElement[bool]] = or_(
    rows.c.state == RowState.SENT, attachments.c.state == AttachState.ATTACHING
)


def take(connection: Connection, session: int, export_id: int, from_id: int) -> Lease | None:
    """Give a session the next free chunk of an export; None where there is none.

    No export is begun before those before it are done: which of two rows with one legacy id is
    sent depends on how the earlier one ended.

    Args:
        connection: In a transaction.
        session: Who asks.
        export_id: The export that it reads.
        from_id: The chunk begins there or later.

    Raises:
        LocalStorageFailed: The session is over.
    """
    job = current_job(connection, lock=True)
    require_live(connection, session)
    earlier = chunks.alias("earlier")
    free = (
        select(chunks.c.first_id)
        .where(
            chunks.c.export_id == export_id,
            chunks.c.first_id >= from_id,
            chunks.c.session.is_(None),
            chunks.c.is_done == 0,
            ~exists().where(earlier.c.export_id < export_id, earlier.c.is_done == 0),
        )
        .order_by(chunks.c.first_id)
        .limit(1)
    )
    first_id = None if job is None or job.is_over else connection.execute(free).scalar()
    if first_id is None:
        return None
    number = connection.execute(
        update(jobs).values(leases=jobs.c.leases + 1).returning(jobs.c.leases)
    ).scalar_one()
    taken = connection.execute(
        update(chunks)
        .where(chunks.c.first_id == first_id)
        .values(session=session, lease=number)
        .returning(chunks.c.first_id, chunks.c.last_id, chunks.c.export_id, chunks.c.lease)
    )
    return Lease._make(taken.one())


def next_export(connection: Connection) -> int | None:
    """Give the export whose chunks are carried now; None once every chunk is done."""
    return connection.execute(
        select(func.min(chunks.c.export_id)).where(chunks.c.is_done == 0)
    ).scalar()


def give_back(connection: Connection, session: int, lease: Lease, *, waits: bool = False) -> bool:
    """Give back a chunk that a session has nothing more to do with; it is done if nothing is left.

    Args:
        connection: In a transaction.
        session: Whose chunk it is.
        lease: The chunk.
        waits: Whether rows of it wait for customers that another session has; so often it may.

    Returns:
        False where an outcome of it is not durable yet: then it is to be given back later.

    Raises:
        LocalStorageFailed: The session is over.
    """
    current_job(connection, lock=True)
    require_live(connection, session)
    if _any(connection, lease, _IS_UNDER_WAY):
        return False
    is_left = _any(connection, lease, _IS_LEFT)
    passes = chunks.c.passes + (1 if is_left and not waits else 0)
    is_done = cast(passes >= PASSES_MAX, Integer) if is_left else literal(1)
    connection.execute(
        update(chunks)
        .where(chunks.c.first_id == lease.first_id, chunks.c.session == session)
        .values(session=None, passes=passes, is_done=is_done)
    )
    still = (
        select(rows.c.customer)
        .join(chunks, rows.c.id.between(chunks.c.first_id, chunks.c.last_id))
        .where(chunks.c.session == session, rows.c.customer.is_not(None))
    )
    connection.execute(
        delete(owners).where(owners.c.session == session, owners.c.customer.not_in(still))
    )
    return True


def _any(connection: Connection, lease: Lease, condition: ColumnElement[bool]) -> bool:
    found = (
        select(rows.c.id)
        .outerjoin(attachments, attachments.c.row_id == rows.c.id)
        .where(rows.c.id.between(lease.first_id, lease.last_id), condition)
        .limit(1)
    )
    return connection.execute(found).first() is not None


def own(connection: Connection, session: int, customers: Collection[int]) -> dict[int, bool]:
    """Make a session the owner of customers that are nobody's.

    Args:
        connection: In a transaction.
        session: Who asks.
        customers: Whose cards it has.

    Returns:
        The customers that it owns, and of each whether it became the owner only now.

    Raises:
        LocalStorageFailed: The session is over.
    """
    if not customers:
        return {}
    current_job(connection, lock=True)
    require_live(connection, session)
    found = connection.execute(
        select(owners.c.customer, owners.c.session).where(owners.c.customer.in_(customers))
    )
    held = {int(customer): int(owner) for customer, owner in found}
    new = [customer for customer in sorted(customers) if customer not in held]
    if new:
        connection.execute(
            insert(owners), [{"customer": customer, "session": session} for customer in new]
        )
    return {c: False for c, owner in held.items() if owner == session} | dict.fromkeys(new, True)


def progress(connection: Connection) -> ChunkProgress:
    """Give how many chunks there are, are done, and are somebody's."""
    done = func.coalesce(func.sum(chunks.c.is_done), 0)
    found = connection.execute(
        select(func.count(), done, func.count(chunks.c.session)).select_from(chunks)
    ).one()
    return ChunkProgress(*map(int, found))
