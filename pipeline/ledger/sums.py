"""Counts and adds up what the ledger holds: by state, by export, by code, by brand."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import case, func, select, union_all

from pipeline.failure_codes import Code
from pipeline.ledger.query_base import QueryBase
from pipeline.ledger.records import ROW_SPAN, AttemptStep, ExportState
from pipeline.ledger.row_conditions import (
    UNSEEN_TOKENS,
    has_failed_on_the_way,
    is_open,
    is_resolved,
    of_exports,
)
from pipeline.ledger.schema import (
    WITH_OTHER_DETAILS,
    attachments,
    attempts,
    exports,
    outcomes,
    rows,
)
from pipeline.ledger.sections import (
    ROW_FIGURES,
    SECTIONS_AN_EXPORT,
    in_stretch,
    numbers,
    sections,
    stretches,
)
from pipeline.model import FAILURE_STATES, OPEN_STATES, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Collection


class Sums(QueryBase):
    """Questions whose answers are numbers."""

    def by_state(self) -> dict[RowState, int]:
        """Count rows by state; every state is there, with zero where no row is in it.

        Rows of an export that is still being proved do not count: they may be thrown away.
        """
        if not self._kept:
            return self._states(_planned_exports())
        planned = self._all(select(exports.c.id).where(exports.c.state != ExportState.PROVING))
        counted, total = self._states_by_export(), Counter[RowState]()
        for (export_id,) in planned:
            total.update(counted.get(export_id, {}))
        return {state: total[state] for state in RowState}

    def by_export(self) -> dict[int, dict[str, int]]:
        """Count rows by export and state; states without a row are left out."""
        counted: dict[int, dict[str, int]] = {}
        known = self._states_by_export() if self._kept else {}
        for (export_id,) in self._all(select(exports.c.id)):
            here = rows.c.id.between(export_id * ROW_SPAN, (export_id + 1) * ROW_SPAN - 1)
            states = known.get(export_id, {}) if self._kept else self._states(here)
            counted[int(export_id)] = {s.value: states[s] for s in RowState if states.get(s)}
        return counted

    def _states_by_export(self) -> dict[int, Counter[RowState]]:
        """Count rows by export and state, by what is kept of sections; the others are asked for."""
        counted: defaultdict[int, Counter[RowState]] = defaultdict(Counter)
        known = select(sections.c.number, sections.c.figures).where(sections.c.of == ROW_FIGURES)
        missing = set(numbers(self._connection, rows))
        for number, figures in self._all(known):
            missing.discard(number)
            for state, count in orjson.loads(figures)["states"].items():
                counted[number // SECTIONS_AN_EXPORT][RowState(state)] += count
        for first, last in stretches(sorted(missing)):
            states = self._states(in_stretch(rows.c.id, first, last))
            counted[first // SECTIONS_AN_EXPORT].update(states)
        return counted

    def _states(self, condition: Any) -> dict[RowState, int]:
        # One sum a state: grouping would sort every row of the table in memory.
        sums = [func.coalesce(func.sum(case((rows.c.state == s, 1), else_=0)), 0) for s in RowState]
        found = self._all(select(*sums).where(condition))[0]
        return {state: int(count) for state, count in zip(RowState, found, strict=True)}

    def by_code(self, export_ids: Collection[int] | None = None) -> dict[str, int]:
        """Count what is open by failure code, of all exports or of these.

        Open are the failed, rejected and held rows whose legacy id no later row moved, and the
        tokens whose cards could not be attached.
        """
        found = self._all(
            select(rows.c.code, func.count())
            .where(_of_exports(export_ids), is_open())
            .group_by(rows.c.code)
            .order_by(rows.c.code)
        )
        counted = Counter({str(code): int(count) for code, count in found})
        on_the_way = self._all(
            select(attachments.c.code, func.count())
            .join(rows, rows.c.id == attachments.c.row_id)
            .where(_of_exports(export_ids), has_failed_on_the_way())
            .group_by(attachments.c.code)
        )
        counted.update({str(code): int(count) for code, count in on_the_way})
        return dict(sorted(counted.items()))

    def open_by_export(self) -> list[tuple[int, str, int]]:
        """Give export number, how its rows ended, and how many of them are open so, in order.

        A card on its way to a customer ended `attach_failed` or `attach_held`.
        """
        export = (rows.c.id // ROW_SPAN).label("export")
        found = select(export, rows.c.state).where(_planned_exports(), is_open())
        on_the_way = (
            select(export, attachments.c.state)
            .join(attachments, attachments.c.row_id == rows.c.id)
            .where(has_failed_on_the_way())
        )
        ended = union_all(found, on_the_way).subquery()
        which = (ended.c.export, ended.c.state)
        counted = select(*which, func.count()).group_by(*which).order_by(*which)
        return [(int(number), str(state), int(n)) for number, state, n in self._all(counted)]

    def commonest_hints(self, codes: Collection[str], most: int) -> list[tuple[str, str, int]]:
        """Give code, hint and count of what is open with these codes, the commonest first."""
        found = self._all(
            select(rows.c.code, rows.c.hint, func.count())
            .where(_planned_exports(), is_open(), rows.c.code.in_(codes), rows.c.hint.is_not(None))
            .group_by(rows.c.code, rows.c.hint)
            .order_by(func.count().desc(), rows.c.code, rows.c.hint)
            .limit(most)
        )
        return [(str(code), str(hint), int(count)) for code, hint, count in found]

    def left_out(self, export_ids: Collection[int]) -> int:
        """Count the rows of these exports that a run left out, or that were given up."""
        filtered = (rows.c.state == RowState.SKIPPED, rows.c.code == Code.FILTERED)
        counted = select(func.count()).select_from(rows)
        return self._number(counted.where(of_exports(export_ids), *filtered))

    def skipped_by_code(self) -> dict[str, int]:
        """Count the rows that are no failures and no cards to send, by why."""
        found = self._all(
            select(rows.c.code, func.count())
            .where(_planned_exports(), rows.c.state == RowState.SKIPPED)
            .group_by(rows.c.code)
            .order_by(rows.c.code)
        )
        return {str(code): int(count) for code, count in found}

    def resolved(self) -> dict[RowState, int]:
        """Count the failures by state whose legacy id a later row moved."""
        found = self._all(
            select(rows.c.state, func.count())
            .where(_planned_exports(), is_resolved())
            .group_by(rows.c.state)
        )
        counted = {str(state): int(count) for state, count in found}
        return {state: counted.get(state.value, 0) for state in FAILURE_STATES}

    def legacy_ids(self) -> dict[str, int]:
        """Count different legacy ids: `read`, `with_token` and `without_token`."""
        ids = func.count(rows.c.legacy_id.distinct())
        read = self._number(select(ids).where(_planned_exports()))
        moved = self._number(
            select(ids).where(
                _planned_exports(),
                rows.c.state.in_([RowState.TOKENIZED, RowState.ALREADY_TOKENIZED]),
            )
        )
        return {"read": read, "with_token": moved, "without_token": read - moved}

    def states_of(self, export_ids: Collection[int]) -> dict[RowState, int]:
        """Count the rows of these exports by state."""
        return self._states(_of_exports(export_ids))

    def with_other_details(self, export_ids: Collection[int] | None = None) -> int:
        """Count the rows that name a known card with other details than the row in force had then.

        Args:
            export_ids: Count rows of these exports only; default: of all.
        """
        counted = select(func.count()).select_from(rows)
        return self._number(counted.where(WITH_OTHER_DETAILS, _of_exports(export_ids)))

    def first_open_rows(
        self, export_ids: Collection[int], state: str, at_most: int
    ) -> list[tuple[str, int]]:
        """Give export and row number of the first rows of some exports that are open in one way.

        Args:
            export_ids: The exports.
            state: How the rows ended, as `open_by_export` tells it.
            at_most: How many rows to give.
        """
        its_export = exports.c.id == rows.c.id // ROW_SPAN
        found = select(exports.c.name, rows.c.id % ROW_SPAN).join(exports, its_export)
        if state in set(FAILURE_STATES):
            found = found.where(is_open(), rows.c.state == state)
        else:
            found = found.join(attachments, attachments.c.row_id == rows.c.id)
            found = found.where(has_failed_on_the_way(), attachments.c.state == state)
        first = found.where(of_exports(export_ids)).order_by(rows.c.id).limit(at_most)
        return [tuple(row) for row in self._all(first)]

    def unseen_tokens_max(self, export_ids: Collection[int] | None = None) -> int:
        """Give U, of all or some exports: tokens that may exist unseen, open intents included."""
        return self._number(select(UNSEEN_TOKENS).where(of_exports(export_ids)))

    def answered_since(self, since_ms: int) -> tuple[int, int | None]:
        """Count the rows that the vault answered about since a moment.

        A row whose card is attached is answered about twice: the step that fewer rows have behind
        them counts, unless nothing was asked for it.

        Returns:
            How many, and when the first answer came, in milliseconds; None before any.
        """
        answered = outcomes.c.kind.not_in([OutcomeKind.NOT_SENT.value, OutcomeKind.THROTTLED.value])
        steps = (AttemptStep.TOKENIZE, AttemptStep.ATTACH)
        found = self._all(
            select(func.count(), func.min(outcomes.c.at_ms))
            .join(attempts, attempts.c.id == outcomes.c.attempt_id)
            .where(outcomes.c.at_ms >= since_ms, answered, attempts.c.step.in_(steps))
            .group_by(attempts.c.step)
        )
        counts, moments = [int(row[0]) for row in found], [int(row[1]) for row in found]
        return min(counts, default=0), min(moments, default=None)

    def customers_by_cards(self) -> dict[int, int]:
        """Count customers by how many cards of theirs a run would send or has sent."""
        owned = (
            select(func.count().label("cards"))
            .where(_planned_exports(), rows.c.customer.is_not(None))
            .group_by(rows.c.customer)
            .subquery()
        )
        cards = owned.c.cards
        found = self._all(select(cards, func.count()).group_by(cards).order_by(cards))
        return {int(cards): int(customers) for cards, customers in found}

    def open_rows(self, first_id: int, last_id: int) -> int:
        """Count the rows of a range of ids that a run still has to settle."""
        return self._number(
            select(func.count()).where(
                rows.c.id.between(first_id, last_id), rows.c.state.in_(OPEN_STATES)
            )
        )

    def attempts_made(self) -> int:
        """Count the intents ever written."""
        return self._number(select(func.count()).select_from(attempts))


def pending(counts: dict[RowState, int]) -> int:
    """Sum the states that a run still has to settle."""
    return sum(counts[state] for state in OPEN_STATES)


def _planned_exports() -> Any:
    proving = select(exports.c.id).where(exports.c.state == ExportState.PROVING)
    return (rows.c.id // ROW_SPAN).not_in(proving)


def _of_exports(export_ids: Collection[int] | None) -> Any:
    if export_ids is None:
        return _planned_exports()
    return of_exports(export_ids)
