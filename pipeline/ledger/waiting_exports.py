"""Names the exports whose rows wait, by what sections add up to, so that only those are looked at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sqlalchemy import select

from pipeline.ledger.count_questions import CountQuestions
from pipeline.ledger.listings import Listings
from pipeline.ledger.records import WaitingRows
from pipeline.ledger.row_counts import TO_ATTACH, UNSEEN_WAITING
from pipeline.ledger.schema import exports, runs
from pipeline.model import OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Collection


class WaitingExports(CountQuestions, Listings):
    """The question which exports wait, for a run that is given them."""

    def waiting_by_export(self, export_ids: Collection[int] | None = None) -> list[WaitingRows]:
        """Give each planned export whose rows wait, with how many do.

        Args:
            export_ids: Look at the rows of these exports only; default: of all.
        """
        waiting = []
        begun = select(exports.c.id, runs.c.started_ms).join(runs, runs.c.epoch == exports.c.epoch)
        cut_off = {
            found[0]: found[1] for found in self._all(begun.where(runs.c.ended_ms.is_(None)))
        }
        open_states = [state.value for state in OPEN_STATES]
        asked = [*open_states, UNSEEN_WAITING, *([TO_ATTACH] if self.is_attaching() else [])]
        counted = self.counts_by_export(asked, export_ids)
        for export in self.exports():
            found = counted.get(export.id, Counter())
            count = sum(found[state] for state in open_states)
            count += found[TO_ATTACH] if TO_ATTACH in asked else 0
            if count:
                told = (export.id, export.name, export.sha256, count, cut_off.get(export.id))
                waiting.append(WaitingRows(*told, found[UNSEEN_WAITING], export.rows))
        return waiting
