"""Names the exports whose rows wait, by what sections add up to, so that only those are looked at."""

from __future__ import annotations

from typing import Final

from sqlalchemy import func, select

from pipeline.ledger.listings import IS_IN_FORCE, Listings
from pipeline.ledger.records import NOT_ATTACHED_YET, WaitingRows, row_id
from pipeline.ledger.row_conditions import UNSEEN_TOKENS
from pipeline.ledger.schema import attachments, exports, rows, runs
from pipeline.ledger.sums import Sums
from pipeline.model import OPEN_STATES

_ITS_ROW: Final = rows.c.id == attachments.c.row_id


class WaitingExports(Sums, Listings):
    """The question which exports wait, for a run that is given them."""

    def waiting_by_export(self) -> list[WaitingRows]:
        """Give each planned export whose rows wait, with how many do."""
        waiting = []
        begun = select(exports.c.id, runs.c.started_ms).join(runs, runs.c.epoch == exports.c.epoch)
        cut_off = {
            found[0]: found[1] for found in self._all(begun.where(runs.c.ended_ms.is_(None)))
        }
        counted = self.by_export()
        for export in self.exports():
            here = rows.c.id.between(row_id(export.id, 0), row_id(export.id + 1, 0) - 1)
            count = sum(counted[export.id].get(state.value, 0) for state in OPEN_STATES)
            open_here = (here, rows.c.state.in_(OPEN_STATES))
            unseen = self._number(select(UNSEEN_TOKENS).where(*open_here)) if count else 0
            if self.is_attaching():
                pending = (here, *IS_IN_FORCE, attachments.c.state.in_(NOT_ATTACHED_YET))
                on_the_way = select(func.count()).select_from(attachments).join(rows, _ITS_ROW)
                count += self._number(on_the_way.where(*pending))
            if count:
                since = cut_off.get(export.id)
                told = (export.id, export.name, export.sha256, count, since, unseen)
                waiting.append(WaitingRows(*told))
        return waiting
