"""Counts which cards wait to be put on customers, and what that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import and_, case, false, func, or_, select, true

from pipeline.ledger.asking import Asking
from pipeline.ledger.records import NOT_ATTACHED_YET, row_id
from pipeline.ledger.schema import attachments, customers, rows
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement

_IS_UNATTACHED = and_(
    attachments.c.state.in_(NOT_ATTACHED_YET),
    rows.c.state == RowState.TOKENIZED,
    rows.c.superseded_by.is_(None),
)
"""A token whose card was to be attached and is not settled yet."""


class AttachNeeds(NamedTuple):
    """What putting cards on customers needs.

    Attributes:
        cards: Cards that wait.
        customers_known: Their customers that are at the vault by this ledger's doing, or found.
        customers_given: Those that the export names and that are to be read first.
        customers_to_make: Those that are to be made.
        defaults_to_move: Flagged cards that do not become the default by being first.
    """

    cards: int
    customers_known: int
    customers_given: int
    customers_to_make: int
    defaults_to_move: int

    @property
    def requests(self) -> int:
        """Requests to the API host where nothing goes wrong."""
        return self.cards + self.customers_given + self.defaults_to_move


class AttachQuestions(Asking):
    """Questions about cards that are on no customer yet."""

    def unattached(self, export_ids: Collection[int] | None = None) -> int:
        """Count the tokens whose cards were to be attached and are not settled yet."""
        return self._number(
            select(func.count())
            .select_from(attachments)
            .join(rows, rows.c.id == attachments.c.row_id)
            .where(_IS_UNATTACHED, of_exports(export_ids))
        )

    def cards_to_attach(self, export_ids: Collection[int] | None = None) -> AttachNeeds:
        """Give what putting the waiting cards of these exports on customers needs."""
        waits = or_(rows.c.state.in_(OPEN_STATES), _IS_UNATTACHED)
        here = (of_exports(export_ids), rows.c.customer.is_not(None), waits)
        waiting = (
            select(
                rows.c.customer.label("customer"),
                func.count().label("cards"),
                func.max(rows.c.is_default).label("flagged"),
                func.min(case((rows.c.is_default == 1, rows.c.id))).label("first_flagged"),
                func.min(rows.c.id).label("first"),
            )
            .select_from(rows)
            .outerjoin(attachments, attachments.c.row_id == rows.c.id)
            .where(*here)
            .group_by(rows.c.customer)
            .subquery()
        )
        is_known = customers.c.customer_id.is_not(None)
        is_given = and_(customers.c.given_id.is_not(None), ~is_known)
        moves = and_(
            waiting.c.flagged == 1,
            is_known | is_given | (waiting.c.first_flagged != waiting.c.first),
        )
        sums = [func.sum(case((c, 1), else_=0)) for c in (is_known, is_given, moves)]
        found = self._all(
            select(func.count(), func.sum(waiting.c.cards), *sums)
            .select_from(waiting)
            .join(customers, customers.c.id == waiting.c.customer)
        )[0]
        total, cards, known, given, moved = (int(number or 0) for number in found)
        return AttachNeeds(cards, known, given, total - known - given, moved)


def of_exports(export_ids: Collection[int] | None) -> ColumnElement[bool]:
    """Give the condition on a row of `rows` that it belongs to one of these exports, or to any."""
    if export_ids is None:
        return true()
    ranges = [rows.c.id.between(row_id(n, 0), row_id(n + 1, 0) - 1) for n in export_ids]
    return or_(false(), *ranges)
