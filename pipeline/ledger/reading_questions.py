"""Answers which rows an export is read again for, and by what they are known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import NOT_ATTACHED_YET, AttachState
from pipeline.ledger.schema import attachments, rows
from pipeline.model import CLAIMABLE_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEVER_PLANNED = (RowState.REJECTED, RowState.SKIPPED)


class ReadingQuestions(QueryBase):
    """Questions of who reads an export once more and wants to leave out what is settled."""

    def first_claimable(self, first_id: int, last_id: int) -> int | None:
        """Give the first row of a range of ids that is still to be sent; None if there is none."""
        found = self._first(
            select(rows.c.id)
            .where(rows.c.id.between(first_id, last_id), rows.c.state.in_(CLAIMABLE_STATES))
            .order_by(rows.c.id)
            .limit(1)
        )
        return None if found is None else int(found[0])

    def first_to_attach(
        self, first_id: int, last_id: int, states: Sequence[AttachState] = NOT_ATTACHED_YET
    ) -> int | None:
        """Give the first row of a range that has a token whose card is to be attached, or None."""
        found = self._first(
            select(attachments.c.row_id)
            .join(rows, rows.c.id == attachments.c.row_id)
            .where(
                attachments.c.row_id.between(first_id, last_id),
                attachments.c.state.in_([state.value for state in states]),
                rows.c.state == RowState.TOKENIZED,
                rows.c.superseded_by.is_(None),
            )
            .order_by(attachments.c.row_id)
            .limit(1)
        )
        return None if found is None else int(found[0])

    def planned_ids(self, first_id: int, last_id: int) -> dict[int, str]:
        """Give the legacy id of each row of a range that was planned, whatever became of it."""
        found = self._all(
            select(rows.c.id, rows.c.legacy_id).where(
                rows.c.id.between(first_id, last_id),
                rows.c.state.not_in([state.value for state in _NEVER_PLANNED]),
                rows.c.legacy_id.is_not(None),
            )
        )
        return {int(row): str(legacy_id) for row, legacy_id in found}
