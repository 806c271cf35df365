"""Puts into SQL what is asked of rows in several places: whose they are, and which failures are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, case, exists, false, func, or_, select, true

from pipeline.ledger.records import ROW_SPAN, AttachState, ExportState, row_id
from pipeline.ledger.schema import attachments, exports, rows
from pipeline.model import FAILURE_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement

UNSEEN_TOKENS = func.coalesce(
    func.sum(rows.c.unknowns + case((rows.c.state == RowState.SENT, 1), else_=0)), 0
)
"""How many tokens of some rows may exist that nobody saw, at most; open intents included."""

_MOVED = (RowState.TOKENIZED, RowState.ALREADY_TOKENIZED)


def of_exports(export_ids: Collection[int] | None) -> ColumnElement[bool]:
    """Give the condition on a row of `rows` that it belongs to one of these exports, or to any."""
    if export_ids is None:
        return true()
    # Ranges, not a division: what is asked of one export must not cost a look at all of them.
    ranges = [rows.c.id.between(row_id(n, 0), row_id(n + 1, 0) - 1) for n in export_ids]
    return or_(false(), *ranges)


def is_resolved() -> ColumnElement[bool]:
    """Give the condition on a row of `rows`: it failed, and a later row of its id moved.

    A failure that came after its id's token is open: the new card did not move.
    """
    later = rows.alias("later")
    proving = select(exports.c.id).where(exports.c.state == ExportState.PROVING)
    moved = select(later.c.id).where(
        later.c.legacy_id == rows.c.legacy_id,
        later.c.id > rows.c.id,
        later.c.state.in_(_MOVED),
        (later.c.id // ROW_SPAN).not_in(proving),
    )
    return and_(rows.c.state.in_(FAILURE_STATES), exists(moved.correlate(rows)))


def is_open() -> ColumnElement[bool]:
    """Give the condition on a row of `rows`: it failed, and no later row of its id moved."""
    return and_(rows.c.state.in_(FAILURE_STATES), ~is_resolved())


def has_failed_on_the_way() -> ColumnElement[bool]:
    """Give the condition on a row and its attachment: it has its token, and its card no customer."""
    return and_(
        attachments.c.state.in_([AttachState.FAILED, AttachState.HELD]),
        rows.c.state == RowState.TOKENIZED,
        rows.c.superseded_by.is_(None),
    )
