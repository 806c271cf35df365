"""Puts into SQL what is asked of rows in several places: whose they are, and which failures are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import (
    Integer,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    true,
)

from pipeline.ledger.records import ROW_SPAN, ExportState, row_id
from pipeline.ledger.schema import CARD_HAS_FAILED, HAS_FAILED, exports, rows
from pipeline.model import RowState

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement

_MONTH: Final = rows.c.expiration_month
_EXPIRED: Final = case(
    (
        rows.c.expiration_year * 12 + _MONTH
        < cast(func.substr(exports.c.as_of, 1, 4), Integer) * 12
        + cast(func.substr(exports.c.as_of, 6, 2), Integer),
        literal("card expired ")
        + case((_MONTH < 10, "0"), else_="")  # noqa: PLR2004 - two digits for a month.
        + cast(_MONTH, Text)
        + "/"
        + cast(rows.c.expiration_year, Text),
    )
)
"""What is known of a card that was sent all the same: that it had expired on the export's day."""
HINT: Final = func.coalesce(rows.c.hint, _EXPIRED)
"""What is known of a failed row beyond its code, for use beside its export."""

_MOVED = (RowState.TOKENIZED, RowState.ALREADY_TOKENIZED)


def of_exports(export_ids: Collection[int] | None) -> ColumnElement[bool]:
    """Give the condition on a row of `rows` that it belongs to one of these exports, or to any."""
    if export_ids is None:
        return true()
    # Ranges, not a division: what is asked of one export must not cost a look at all of them.
    ranges = [rows.c.id.between(row_id(n, 0), row_id(n + 1, 0) - 1) for n in export_ids]
    return or_(false(), *ranges)


def of_planned_exports() -> ColumnElement[bool]:
    """Give the condition on a row of `rows` that it can never be thrown away any more."""
    proving = select(exports.c.id).where(exports.c.state == ExportState.PROVING)
    return (rows.c.id // ROW_SPAN).not_in(proving)


def rows_of(export_ids: Collection[int] | None) -> ColumnElement[bool]:
    """Give the condition on a row of `rows` that it is of these exports, or of any planned one."""
    return of_planned_exports() if export_ids is None else of_exports(export_ids)


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
    return and_(HAS_FAILED, exists(moved.correlate(rows)))


def is_open() -> ColumnElement[bool]:
    """Give the condition on a row of `rows`: it failed, and no later row of its id moved."""
    return and_(HAS_FAILED, ~is_resolved())


def has_failed_on_the_way() -> ColumnElement[bool]:
    """Give the condition on a row and its attachment: it has its token, and its card no customer."""
    return and_(
        CARD_HAS_FAILED,
        rows.c.state == RowState.TOKENIZED,
        rows.c.superseded_by.is_(None),
    )
