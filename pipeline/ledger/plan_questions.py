"""Answers what was planned, in numbers, before a row of it is sent."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import func, select

from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import ROW_SPAN, ExportState, row_id
from pipeline.ledger.schema import exports, rows
from pipeline.model import RowState

if TYPE_CHECKING:
    from pipeline.ledger.plan_records import PlannedMix


class PlanFigures(NamedTuple):
    """What was planned, in numbers.

    Attributes:
        states: Rows by export and state.
        brands: Rows that a run would send, by brand.
        expiration_years: The same rows by the year in which their cards expire.
    """

    states: dict[int, Counter[RowState]]
    brands: dict[str, int]
    expiration_years: dict[str, int]


class PlanQuestions(QueryBase):
    """Questions of a plan that are answered without a look at each of its rows."""

    def plan_figures(self, mix: PlannedMix) -> PlanFigures:
        """Count rows by export and state, and what a run would send of them.

        Rows of an export that is still being proved do not count.

        Args:
            mix: The cards of all exports, as they were planned; those that duplicates or conflicts
                took out are found here.
        """
        states: dict[int, Counter[RowState]] = {}
        known = select(exports.c.id).where(exports.c.state != ExportState.PROVING)
        for (export_id,) in self._all(known):
            here = rows.c.id.between(row_id(export_id, 0), row_id(export_id + 1, 0) - 1)
            count = self._number(select(func.count()).select_from(rows).where(here))
            states[export_id] = Counter({RowState.PLANNED: count})
        brands, years = mix.brands.copy(), mix.expiration_years.copy()
        columns = (rows.c.id // ROW_SPAN, rows.c.state, rows.c.brand, rows.c.expiration_year)
        not_planned = rows.c.state != RowState.PLANNED
        found = select(*columns, func.count()).where(not_planned).group_by(*columns)
        for export_id, state, brand, year, count in self._all(found):
            if export_id in states:
                states[export_id][RowState.PLANNED] -= count
                states[export_id][RowState(state)] += count
                if brand is not None:
                    brands[brand] -= count
                    years[year] -= count
        return PlanFigures(
            states,
            dict(sorted((+brands).items())),
            {str(year): count for year, count in sorted((+years).items())},
        )
