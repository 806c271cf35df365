"""Says which failures are resolved: a later row of the same legacy id has a token by now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, exists, select

from pipeline.ledger.records import ROW_SPAN, AttachState, ExportState
from pipeline.ledger.schema import attachments, exports, rows
from pipeline.model import FAILURE_STATES, RowState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

_MOVED = (RowState.TOKENIZED, RowState.ALREADY_TOKENIZED)


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
