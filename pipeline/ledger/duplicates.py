"""Decides what becomes of rows that share a legacy id: repeated, doubled, known, changed, held."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Final, TypeAlias

from sqlalchemy import and_, bindparam, case, func, or_, select, update

from pipeline.failure_codes import Code
from pipeline.ledger.records import ROW_SPAN
from pipeline.ledger.schema import OTHER_DETAILS, exports, rows
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import ColumnElement, Connection

    AreAlike: TypeAlias = Callable[[Sequence[int]], bool]


_SORTED_MAX: Final = 20_000
_SHARE_SORTED: Final = 20
"""An export with a smaller part of all rows is sorted, for the others' would be met in vain."""

_IS_EXPIRED: Final = rows.c.code == Code.CARD_EXPIRED
"""Tells the planned rows of an export that is still proved whose cards are not to be sent."""

_DETAILS: Final = ("carry", "customer", "is_default")
"""What the ledger keeps of a row beside its card."""


def settle_duplicates(
    connection: Connection, first_id: int, last_id: int, are_alike: AreAlike
) -> None:
    """Skip the rows that repeat an earlier one, and reject all others that share a legacy id.

    A row repeats another where all rows of its legacy id are the same, card number and all: one of
    them is sent. Where one differs nobody knows which of them counts.

    Args:
        connection: In a transaction.
        first_id: The smallest row id of the export.
        last_id: The largest.
        are_alike: Says of row numbers whether their rows are the same.
    """
    here = rows.c.id.between(first_id, last_id)
    doubled = (
        select(rows.c.legacy_id)
        .where(_in_order_of_ids(connection, first_id, last_id), rows.c.legacy_id.is_not(None))
        .group_by(rows.c.legacy_id)
        .having(func.count() > 1)
    )
    found = connection.execute(
        select(
            rows.c.legacy_id,
            rows.c.id,
            case((_IS_EXPIRED, RowState.REJECTED.value), else_=rows.c.state),
        )
        .where(here, rows.c.legacy_id.in_(doubled))
        .order_by(rows.c.legacy_id, rows.c.id)
    )
    repeated: list[int] = []
    refused: list[int] = []
    for _, group in groupby(found, itemgetter(0)):
        ids, states = zip(*((row_id, state) for _, row_id, state in group), strict=True)
        if set(states) == {RowState.PLANNED} and are_alike([one - first_id for one in ids]):
            repeated += ids[1:]
        else:
            refused += ids
    _settle(connection, repeated, state=RowState.SKIPPED, code=Code.REPEATED)
    _settle(
        connection,
        refused,
        state=RowState.REJECTED,
        code=Code.LEGACY_ID_DUPLICATE,
        field="legacy_id",
    )


def _in_order_of_ids(connection: Connection, first_id: int, last_id: int) -> ColumnElement[bool]:
    """Give the condition on a row that it is of an export, so that its ids can be grouped cheaply.

    The rows of a small export are sorted in memory. Of a large one they are met in the order of
    the index on legacy ids, beside those of others: sorted, they would take the memory.
    """
    here = rows.c.id.between(first_id, last_id)
    # Rows are numbered one after the other, and of every other export it is known how many it has:
    # to count them would be a look at each.
    of_export = (connection.scalar(select(func.max(rows.c.id)).where(here)) or first_id) - first_id
    of_others = connection.scalar(select(func.sum(exports.c.rows))) or 0
    if of_export <= _SORTED_MAX or of_export * _SHARE_SORTED < of_others + of_export:
        return here
    # A sum, because by the id itself the database would go through the rows in their own order.
    return (rows.c.id + 0).between(first_id, last_id)


def _settle(connection: Connection, ids: list[int], **values: str) -> None:
    if ids:
        connection.execute(
            update(rows)
            .where(
                rows.c.id == bindparam("of_row"),
                rows.c.state == RowState.PLANNED,
                _IS_EXPIRED.is_not(True),
            )
            .values(**values),
            [{"of_row": one} for one in ids],
        )


def resolve_known(
    connection: Connection, first_id: int, last_id: int, *, rivals_may_settle: bool = False
) -> int:
    """Compare planned rows with what other exports already brought for the same legacy id.

    The same card (last four, our brand of it, and expiration) is `already_tokenized`, and so is a row of an older
    export than the one that told the card in force; another card supersedes the old one once it
    is tokenized itself; an id that is held elsewhere is held here too, since its token may
    exist unseen. Of a card that is known it is noted where what else the ledger keeps (carried
    columns, customer, default) is not as in the row in force; nothing else of a row is kept.

    Args:
        connection: In a transaction.
        first_id: The smallest row id to look at.
        last_id: The largest.
        rivals_may_settle: Whether rows of exports in between may still change which card is in
            force; then a card that is the same as now is not judged yet.

    Returns:
        How many rows are not to be sent any more.
    """
    if connection.execute(select(func.count()).select_from(exports)).scalar_one() < 2:  # noqa: PLR2004
        return 0
    other, rival = rows.alias("other"), rows.alias("rival")
    here = (
        rows.c.id.between(first_id, last_id),
        rows.c.state.in_([RowState.PLANNED, RowState.AMBIGUOUS]),
    )
    elsewhere = (other.c.legacy_id == rows.c.legacy_id, other.c.id != rows.c.id)
    mapped = (*elsewhere, other.c.state == RowState.TOKENIZED, other.c.superseded_by.is_(None))
    same_card = [
        other.c.last_digits == rows.c.last_digits,
        other.c.brand == rows.c.brand,
        other.c.expiration_month == rows.c.expiration_month,
        other.c.expiration_year == rows.c.expiration_year,
    ]
    told_otherwise = select(other.c.id).where(
        *mapped,
        *same_card,
        or_(
            *(
                # A row without the column says nothing about it.
                and_(rows.c[name].is_not(None), other.c[name].is_distinct_from(rows.c[name]))
                for name in _DETAILS
            )
        ),
    )
    if rivals_may_settle:
        # Sums, because the index on ids would lead through every row between the two.
        rival_id = rival.c.id + 0
        between = (
            select(rival.c.id)
            .where(
                rival.c.legacy_id == rows.c.legacy_id,
                rival_id > other.c.id,
                rival_id < rows.c.id,
                rival.c.state.in_(OPEN_STATES),
            )
            .correlate(rows, other)
        )
        same_card.append(~between.exists())
    newer = rows.c.id // ROW_SPAN < other.c.id // ROW_SPAN
    told_later = (*elsewhere, newer, other.c.state == RowState.ALREADY_TOKENIZED)
    overtaken = or_(
        select(other.c.id).where(*mapped, newer).exists(),
        and_(
            select(other.c.id).where(*mapped).exists(),
            select(other.c.id).where(*told_later).exists(),
        ),
    )
    known = connection.execute(
        update(rows)
        .where(*here, or_(overtaken, select(other.c.id).where(*mapped, *same_card).exists()))
        .values(
            state=RowState.ALREADY_TOKENIZED,
            hint=case((told_otherwise.exists(), OTHER_DETAILS)),
            # A known card that has expired since is no failure.
            code=case((_IS_EXPIRED, None), else_=rows.c.code),
            field=case((_IS_EXPIRED, None), else_=rows.c.field),
        )
    ).rowcount
    connection.execute(
        update(rows)
        .where(*here, _IS_EXPIRED.is_not(True), select(other.c.id).where(*mapped).exists())
        .values(supersedes=select(other.c.id).where(*mapped).scalar_subquery())
    )
    held = connection.execute(
        update(rows)
        .where(
            *here,
            _IS_EXPIRED.is_not(True),
            select(other.c.id).where(*elsewhere, other.c.state == RowState.HELD).exists(),
        )
        .values(state=RowState.HELD, code=Code.OUTCOME_UNKNOWN)
    ).rowcount
    return int(known + held)


def reject_expired(connection: Connection, first_id: int, last_id: int) -> None:
    """Reject the expired cards of an export that are not known; `resolve_known` went before.

    Args:
        connection: In a transaction.
        first_id: The smallest row id of the export.
        last_id: The largest.
    """
    here = (rows.c.id.between(first_id, last_id), rows.c.state == RowState.PLANNED, _IS_EXPIRED)
    connection.execute(update(rows).where(*here).values(state=RowState.REJECTED))
