"""Says which of a customer's flagged cards is to be its default: the last that is in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import and_, case, literal_column, or_, select

from pipeline.ledger.records import AttachState
from pipeline.ledger.schema import attachments, rows
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, FromClause

_ENDED: Final = (AttachState.FAILED.value, AttachState.HELD.value)


def flagged(of: FromClause) -> ColumnElement[bool]:
    """Give the condition on `rows`, or an alias of it, that a card is flagged as the default.

    The 1 is a part of the statement: a bound value would keep the database from using the index of
    flagged rows.
    """
    return of.c.is_default == literal_column("1")


def _is_flagged_last() -> ColumnElement[bool]:
    later, on = rows.alias("flagged"), attachments.alias("flagged_on")
    in_force = and_(
        later.c.superseded_by.is_(None),
        later.c.state.in_([*OPEN_STATES, RowState.TOKENIZED]),
        or_(on.c.state.is_(None), on.c.state.not_in(_ENDED)),
    )
    overruled = (
        select(later.c.id)
        .outerjoin(on, on.c.row_id == later.c.id)
        .where(later.c.customer == rows.c.customer, later.c.id > rows.c.id, in_force)
        .where(flagged(later))
    )
    return and_(flagged(rows), ~overruled.exists())


IS_TO_BE_DEFAULT: Final = case((_is_flagged_last(), 1), else_=0)
"""1 for a row whose card is to be its customer's default, for use beside `rows`.

A card that may still come counts: what an earlier one would get, it would lose again.
"""
