"""Gives the rows of an export up on an operator's word: they wait no longer, and nothing of them is sent.

Such rows are set aside as those of another cohort are, so that a run that is given the export again
takes them back. A row that may have a token that nobody saw is an open question at the vault, which
no word here can answer: it is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import select, update

from pipeline.failure_codes import Code
from pipeline.ledger.export_events import GIVEN_UP
from pipeline.ledger.records import AttachState, row_id
from pipeline.ledger.retiring import retire_tokens
from pipeline.ledger.schema import attachments, exports, rows
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection

    from pipeline.ledger.ledger import Ledger

_UNUSED_TOKENS: Final = (
    select(rows.c.id)
    .join(attachments, attachments.c.row_id == rows.c.id)
    .where(
        rows.c.state == RowState.TOKENIZED,
        rows.c.superseded_by.is_(None),
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
    """

    rows: int
    held: int


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
        given_up = GivenUp(0, 0)
        if found is not None:
            here = rows.c.id.between(row_id(found, 0), row_id(found + 1, 0) - 1)
            unused = connection.execute(_UNUSED_TOKENS.where(here)).scalars().all()
            retire_tokens(connection, unused, "given up", ledger.now_ms())
            given_up = _set_aside(connection, here)
        ledger.record(
            connection,
            GIVEN_UP,
            resource=name,
            sha256=sha256,
            reason=reason,
            rows=given_up.rows,
            held=given_up.held,
        )
    return given_up


def _set_aside(connection: Connection, here: ColumnElement[bool]) -> GivenUp:
    waits = (here, rows.c.state.in_(OPEN_STATES))
    held = connection.execute(
        update(rows)
        .where(*waits, rows.c.unknowns > 0)
        .values(state=RowState.HELD, code=Code.OUTCOME_UNKNOWN)
    ).rowcount
    set_aside = connection.execute(
        update(rows).where(*waits).values(state=RowState.SKIPPED, code=Code.FILTERED)
    ).rowcount
    return GivenUp(int(set_aside), int(held))
