"""Counts what became of rows, of any of them at once or of each section for keeping.

Every count is a sum over rows of what stands in a row and its attachment alone, so the counts of
sections add up to those of an export, and a night reads the rows of those sections only that
changed. The one that looks at other rows is that of different legacy ids: each counts with the
first row that has it, and which one that is does not change once an export is planned, as rows
never go and later exports come behind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

import orjson
from sqlalchemy import and_, case, func, or_, select

from pipeline.failure_codes import Code
from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import NOT_ATTACHED_YET, ROW_SPAN, AttachState, ExportState
from pipeline.ledger.schema import attachments, exports, rows
from pipeline.ledger.sections import (
    ROW_COUNTS,
    SECTION_ROWS,
    SECTIONS_AN_EXPORT,
    counted_as,
    digests_known,
    in_stretch,
    key_of,
    numbers,
    sections,
    stretches,
)
from pipeline.ledger.store import store_of
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from sqlalchemy import ColumnElement, Connection, Select, Table

    from pipeline.ledger.sections import Counted

TOKENIZED: Final = RowState.TOKENIZED.value
SUPERSEDED_TOKENS: Final = "superseded"
"""The count of tokens that another card's took the place of."""
FILTERED: Final = "filtered"
"""The count of rows that a run left out, or that were given up."""
TO_ATTACH: Final = "to attach"
"""The count of tokens whose cards were to be attached and are not settled yet."""
UNSEEN_TOKENS: Final = "unseen tokens"
"""U: tokens that may exist and that nobody saw, open intents included."""
UNSEEN_WAITING: Final = "unseen tokens of waiting rows"
"""The same of rows that a run still has to settle."""
UNSEEN_CARDS: Final = "unseen cards"
"""V: cards that may be at the vault and that nobody saw, open requests included."""
IDS: Final = "ids"
"""The count of different legacy ids that were read."""
IDS_IN_FORCE: Final = "ids in force"
"""The count of those that have a token in force; the schema allows an id one."""

_TOGETHER: Final = 25
"""Sections that one statement counts each for itself; the database sorts the rows of all in memory."""
_ADDED_UP: Final = 100
"""Sections that one statement counts as one; by state, their rows are sorted in memory as well."""

_TOKENIZED: Final = rows.c.state == RowState.TOKENIZED
_IN_FORCE: Final = and_(_TOKENIZED, rows.c.superseded_by.is_(None))
_UNSEEN: Final = rows.c.unknowns + case((rows.c.state == RowState.SENT, 1), else_=0)


def _came_first() -> ColumnElement[bool]:
    """Give the condition on a row that no earlier one has its legacy id.

    The state is named, as the index holds ids by state: a sender may give all rows one id.
    """
    other, earlier = rows.alias("other"), rows.alias("earlier")
    planned = select(exports.c.id).where(exports.c.state == ExportState.PLANNED)
    export = earlier.c.id // ROW_SPAN
    has_others = (
        select(other.c.id)
        .where(other.c.legacy_id == rows.c.legacy_id, other.c.id != rows.c.id)
        .correlate(rows)
    )
    before = (
        select(earlier.c.id)
        .where(
            earlier.c.legacy_id == rows.c.legacy_id,
            earlier.c.state.in_(list(RowState)),
            earlier.c.id < rows.c.id,
            # What a pass 1 left that never came to its end is thrown away some time.
            or_(export == rows.c.id // ROW_SPAN, export.in_(planned)),
        )
        .correlate(rows)
    )
    has_id = rows.c.legacy_id.is_not(None)
    return and_(has_id, or_(~has_others.exists(), ~before.exists()))


def _sum(number: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(number), 0)


def _times(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return _sum(case((condition, 1), else_=0))


_OF_ROWS: Final = {
    **{state.value: _times(rows.c.state == state) for state in RowState},
    SUPERSEDED_TOKENS: _times(and_(_TOKENIZED, rows.c.superseded_by.is_not(None))),
    FILTERED: _times(and_(rows.c.state == RowState.SKIPPED, rows.c.code == Code.FILTERED)),
    UNSEEN_TOKENS: _sum(_UNSEEN),
    UNSEEN_WAITING: _sum(case((rows.c.state.in_(OPEN_STATES), _UNSEEN), else_=0)),
    IDS_IN_FORCE: _times(and_(_IN_FORCE, rows.c.legacy_id.is_not(None))),
}
_OF_IDS: Final = {IDS: _times(_came_first())}

_ENDED: Final = (AttachState.ATTACHED, AttachState.REUSED, AttachState.FAILED, AttachState.HELD)
_OF_CARDS: Final = {
    **{state.value: _times(and_(_IN_FORCE, attachments.c.state == state)) for state in _ENDED},
    TO_ATTACH: _times(and_(_IN_FORCE, attachments.c.state.in_(NOT_ATTACHED_YET))),
    UNSEEN_CARDS: _sum(
        attachments.c.unknowns + case((attachments.c.state == AttachState.ATTACHING, 1), else_=0),
    ),
}
_GROUPS: Final = (_OF_ROWS, _OF_IDS, _OF_CARDS)
"""Counts that are worked out together, as they take about as long as one of them."""
_ALL: Final = _OF_ROWS | _OF_IDS | _OF_CARDS
"""Every count: its name, and what is added up."""

STATES: Final = tuple(state.value for state in RowState)
"""The counts of rows by state."""
_BY_STATE: Final = frozenset(STATES)
ENDED_CARDS: Final = tuple(state.value for state in _ENDED)
"""The counts of tokens in force by how their cards ended."""


def count_sections(connection: Connection, wanted: Iterable[int] | None) -> Iterator[Counted]:
    """Count sections of rows; their figures are JSON of every count that is not zero.

    Args:
        connection: A reading connection.
        wanted: The sections, in order; default: every row that there is.
    """
    there = numbers(connection, rows) if wanted is None else wanted
    number = rows.c.id // SECTION_ROWS
    # Looking for cards on their way takes a third of the time, and most ledgers have none.
    names = tuple(_ALL if numbers(connection, attachments) else _OF_ROWS | _OF_IDS)
    counts = _selected(names, number, func.count()).group_by(number).order_by(number)
    for first, last in stretches(there):
        for start in range(first, last + 1, _TOGETHER):
            here = in_stretch(rows.c.id, start, min(last, start + _TOGETHER - 1))
            for block in store_of(connection).selected(connection, counts.where(here)):
                for section, size, *found in block:
                    yield counted_as(int(section), int(size), _known(names, found))


def _selected(names: Collection[str], *columns: Any) -> Select[Any]:
    """Give a statement that counts, after some columns; attachments are joined where they matter."""
    asked = select(*columns, *(_ALL[name] for name in names)).select_from(rows)
    if _OF_CARDS.keys().isdisjoint(names):
        return asked
    return asked.outerjoin(attachments, attachments.c.row_id == rows.c.id)


def _known(names: Iterable[str], found: Iterable[Any]) -> dict[str, int]:
    return {name: int(count) for name, count in zip(names, found, strict=True) if count}


class RowCounts(QueryBase):
    """Questions whose answers are sums of counts of rows."""

    def counts_by_export(
        self, names: Collection[str], export_ids: Collection[int] | None = None
    ) -> dict[int, Counter[str]]:
        """Give some counts of the rows of each of these exports, or of all that are there."""
        ids = self._export_ids() if export_ids is None else sorted(export_ids)
        if not self._kept:
            return {one: self._count(names, self._sections_of([one])) for one in ids}
        counted = {one: self._kept_counts[one].copy() for one in ids}
        for group in (one for one in _GROUPS if not one.keys().isdisjoint(names)):
            for export, found in self._not_kept_counts(group):
                if export in counted:
                    counted[export].update(found)
        return counted

    def counts(
        self, names: Collection[str], export_ids: Collection[int] | None = None
    ) -> Counter[str]:
        """Give some counts of the rows of all planned exports, or of these."""
        if not self._kept:
            return self._count(names, self._sections_of(export_ids))
        ids = self._export_ids(planned=True) if export_ids is None else export_ids
        total = Counter[str]()
        for found in self.counts_by_export(names, ids).values():
            total.update(found)
        return total

    def rows_in(self, table: Table) -> int:
        """Count the rows of a table that is cut into sections."""
        if not self._kept:
            return self._number(select(func.count()).select_from(table))
        known = digests_known(self._connection, table)
        missing = [n for n in numbers(self._connection, table) if n not in known]
        asked = select(func.count()).select_from(table)
        return sum(one.rows for one in known.values()) + sum(
            self._number(asked.where(in_stretch(key_of(table), *ends)))
            for ends in stretches(missing)
        )

    def _export_ids(self, *, planned: bool = False) -> list[int]:
        asked = select(exports.c.id).order_by(exports.c.id)
        if planned:
            asked = asked.where(exports.c.state == ExportState.PLANNED)
        return [int(export_id) for (export_id,) in self._all(asked)]

    def _sections_of(self, export_ids: Collection[int] | None) -> list[int]:
        """Give the sections with rows of these exports, or of any that is not proved just now."""
        there = numbers(self._connection, rows)
        if export_ids is not None:
            wanted = set(export_ids)
            return [number for number in there if number // SECTIONS_AN_EXPORT in wanted]
        asked = select(exports.c.id).where(exports.c.state == ExportState.PROVING)
        proving = {export_id for (export_id,) in self._all(asked)}
        return [number for number in there if number // SECTIONS_AN_EXPORT not in proving]

    def _count(self, names: Collection[str], wanted: Iterable[int]) -> Counter[str]:
        """Give the counts of some sections' rows, added up."""
        total = Counter[str]()
        for first, last in stretches(wanted):
            for start in range(first, last + 1, _ADDED_UP):
                end = min(last, start + _ADDED_UP - 1)
                total.update(self._counted(names, in_stretch(rows.c.id, start, end)))
        return total

    def _counted(self, names: Collection[str], here: ColumnElement[bool]) -> dict[str, int]:
        if _BY_STATE.issuperset(names):
            # Grouped, rows take a third of the time that a sum for each state does.
            asked = select(rows.c.state, func.count()).where(here).group_by(rows.c.state)
            return {str(s): int(n) for s, n in self._all(asked) if s in names}
        (found,) = self._all(_selected(names).where(here))
        return _known(names, found)

    @cached_property
    def _kept_counts(self) -> dict[int, Counter[str]]:
        """What is kept of sections, added up by export."""
        counted: defaultdict[int, Counter[str]] = defaultdict(Counter)
        for number, figures in self._kept_sections:
            counted[number // SECTIONS_AN_EXPORT].update(orjson.loads(figures))
        return counted

    def _not_kept_counts(self, group: Mapping[str, Any]) -> list[tuple[int, Counter[str]]]:
        """Count the rows of sections of which nothing is kept, by export; once a look and group."""
        names = tuple(group)
        if names not in self._worked_out:
            known = {number for number, _ in self._kept_sections}
            missing = (n for n in numbers(self._connection, rows) if n not in known)
            self._worked_out[names] = [
                (export, self._count(names, list(of_export)))
                for export, of_export in groupby(missing, lambda n: n // SECTIONS_AN_EXPORT)
            ]
        return self._worked_out[names]

    @cached_property
    def _worked_out(self) -> dict[tuple[str, ...], list[tuple[int, Counter[str]]]]:
        return {}

    @cached_property
    def _kept_sections(self) -> list[tuple[int, str]]:
        asked = select(sections.c.number, sections.c.figures).where(sections.c.of == ROW_COUNTS)
        return [(int(number), str(figures)) for number, figures in self._all(asked)]
