"""Gives the rows of an export up on an operator's word: they wait no longer, and nothing of them is sent.

Such rows are set aside as those of another cohort are, so that a run that is given the export again
takes them back. A row that may have a token that nobody saw is an open question at the vault, which
no word here can answer: it is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import and_, select, update

from pipeline.failure_codes import Code
from pipeline.ledger.bearing import unit
from pipeline.ledger.export_events import GIVEN_UP
from pipeline.ledger.records import NOT_ATTACHED_YET, AttachState, CustomerState, row_id
from pipeline.ledger.retiring import retire_tokens
from pipeline.ledger.schema import attachments, customers, exports, rows
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from pipeline.ledger.ledger import Ledger

_IN_FORCE: Final = (rows.c.state == RowState.TOKENIZED, rows.c.superseded_by.is_(None))
_UNUSED_TOKENS: Final = (
    select(rows.c.id)
    .join(attachments, attachments.c.row_id == rows.c.id)
    .where(
        *_IN_FORCE,
        # Another row's card was replaced by this one's.
        rows.c.supersedes.is_(None),
        attachments.c.state == AttachState.UNATTACHED,
        attachments.c.unknowns == 0,
    )
)
"""Rows whose token was to go to a customer and certainly has not: it perishes, and harms nobody."""


class GivenUp(NamedTuple):
    """What became of the rows of an export that was given up.

    Attributes:
        rows: Those that are set aside.
        held: Those that are held, as a token of each may exist unseen.
        unattached: Those whose token is no good any more without the file: its card may be on its
            customer, or not.
    """

    rows: int
    held: int
    unattached: int


@unit
def give_up(ledger: Ledger, name: str, sha256: str | None, reason: str) -> GivenUp:
    """Give up what waits of an export, or an export that was refused and of which nothing waits.

    Args:
        ledger: At the beginning of a run, once open intents are settled.
        name: The export's name.
        sha256: Its digest; None for a refused one that could not be read.
        reason: The operator's, for the trail and the report.

    Returns:
        How many rows that changed; none of an export that was never planned.
    """
    with ledger.transaction() as connection:
        found = connection.execute(
            select(exports.c.id).where(exports.c.sha256 == sha256)
        ).scalar_one_or_none()
        given_up = GivenUp(0, 0, 0)
        if found is not None:
            here = rows.c.id.between(row_id(found, 0), row_id(found + 1, 0) - 1)
            unused = connection.execute(_UNUSED_TOKENS.where(here)).scalars().all()
            now_ms, epoch = ledger.now_ms(), ledger.epoch
            retire_tokens(connection, unused, "given up", at_ms=now_ms, epoch=epoch)
            unattached = _leave_off(connection, here)
            given_up = GivenUp(*_set_aside(connection, here), unattached)
        ledger.record(
            connection,
            GIVEN_UP,
            resource=name,
            sha256=sha256,
            reason=reason,
            **given_up._asdict(),
        )
    return given_up


def _leave_off(connection: Connection, here: ColumnElement[bool]) -> int:
    """Count cards as failed whose last answer was lost, as a run does that finds them nowhere.

    A customer that was to be made with one may be there unseen: it takes no other card until an
    operator has looked.
    """
    on_the_way = and_(here, *_IN_FORCE, attachments.c.state.in_(NOT_ATTACHED_YET))
    cards = select(attachments.c.row_id).join(rows, rows.c.id == attachments.c.row_id)
    left_off = connection.execute(cards.where(on_the_way)).scalars().all()
    here_only = attachments.c.row_id.in_(left_off)
    doubted = select(attachments.c.customer).where(here_only, attachments.c.unknowns > 0)
    connection.execute(
        update(customers)
        .where(customers.c.id.in_(doubted), customers.c.state == CustomerState.MAKING)
        .values(state=CustomerState.UNLOCATED, code=Code.CUSTOMER_UNLOCATED)
    )
    connection.execute(
        update(attachments)
        .where(here_only)
        .values(state=AttachState.FAILED, code=Code.ATTACH_ATTEMPTS_EXHAUSTED)
    )
    return len(left_off)


def _set_aside(connection: Connection, here: ColumnElement[bool]) -> tuple[int, int]:
    """Skip the rows that wait, but hold those that may have a token; give how many of each."""
    waits = (here, rows.c.state.in_(OPEN_STATES))
    held = connection.execute(
        update(rows)
        .where(*waits, rows.c.unknowns > 0)
        .values(state=RowState.HELD, code=Code.OUTCOME_UNKNOWN)
    ).rowcount
    set_aside = connection.execute(
        update(rows).where(*waits).values(state=RowState.SKIPPED, code=Code.FILTERED)
    ).rowcount
    return int(set_aside), int(held)
