"""Answers how much failed and is open, and what is resolved, by what is counted of sections."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from sqlalchemy import select

from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import ExportState
from pipeline.ledger.schema import exports
from pipeline.ledger.section_figures import counted_sections
from pipeline.ledger.sections import FAILURE_COUNTS, SECTIONS_AN_EXPORT
from pipeline.model import FAILURE_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pipeline.ledger.sections import Counted

_SPACE: Final = 1 << 256


class OpenFailures(NamedTuple):
    """Failures of a section that are open and alike.

    Attributes:
        section: The section's number.
        state: How they ended: `rejected`, `failed`, `held`, `attach_failed` or `attach_held`.
        code: The failure code.
        vault_code: The vault's own code, if there is one.
        hint: What is known of them beyond their code.
        rows: How many there are.
    """

    section: int
    state: str
    code: str
    vault_code: str | None
    hint: str | None
    rows: int

    @property
    def export(self) -> int:
        """The export that they are of."""
        return self.section // SECTIONS_AN_EXPORT


class FailureCounts(QueryBase):
    """Questions about failures whose answers are numbers."""

    def open_failures(self, export_ids: Collection[int] | None = None) -> Iterator[OpenFailures]:
        """Give what is open by section, of the planned exports or of these."""
        asked = self._planned if export_ids is None else set(export_ids)
        for number, figures in self._failures:
            if number // SECTIONS_AN_EXPORT in asked:
                for told in figures["open"]:
                    yield OpenFailures(number, *told)

    def by_code(self, export_ids: Collection[int] | None = None) -> dict[str, int]:
        """Count what is open by failure code, of all exports or of these.

        Open are the failed, rejected and held rows whose legacy id no later row moved, and the
        tokens whose cards could not be attached.
        """
        found = Counter[str]()
        for one in self.open_failures(export_ids):
            found[one.code] += one.rows
        return dict(sorted(found.items()))

    def open_by_export(self) -> list[tuple[int, str, int]]:
        """Give export number, how its rows ended, and how many of them are open so, in order.

        A card on its way to a customer ended `attach_failed` or `attach_held`.
        """
        found = Counter[tuple[int, str]]()
        for one in self.open_failures():
            found[one.export, one.state] += one.rows
        return [(*which, count) for which, count in sorted(found.items())]

    def resolved(self) -> dict[RowState, int]:
        """Count the failures by state whose legacy id a later row moved."""
        return {state: self._resolved[state.value][0] for state in FAILURE_STATES}

    def resolved_ids(self) -> dict[str, int]:
        """Give the hash totals of the legacy ids of those failures, by state."""
        return {state: total % _SPACE for state, (_, total) in self._resolved.items()}

    def failures_by_section(self) -> dict[int, str]:
        """Give a digest of what is counted of each section in which anything ever failed."""
        return {one.number: one.sha256 for one in self._counted_failures}

    @cached_property
    def _resolved(self) -> dict[str, tuple[int, int]]:
        found: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for number, figures in self._failures:
            if number // SECTIONS_AN_EXPORT in self._planned:
                for state, (count, total) in figures["resolved"].items():
                    known = found[state]
                    found[state] = known[0] + count, known[1] + int(total, 16)
        return found

    @cached_property
    def _planned(self) -> set[int]:
        planned = select(exports.c.id).where(exports.c.state == ExportState.PLANNED)
        return {int(number) for (number,) in self._all(planned)}

    @cached_property
    def _failures(self) -> list[tuple[int, dict[str, Any]]]:
        return [(one.number, orjson.loads(one.figures)) for one in self._counted_failures]

    @cached_property
    def _counted_failures(self) -> list[Counted]:
        with self._store.trouble():
            found = counted_sections(self._connection, FAILURE_COUNTS, kept=self._kept)
            return sorted(one for one in found if one.rows)
