"""Counts and adds up what the ledger holds: by state, by export, by code, by brand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import exists, func, select

from pipeline.ledger.open_failures import FailureCounts
from pipeline.ledger.records import ROW_SPAN, AttemptStep
from pipeline.ledger.row_conditions import (
    has_failed_on_the_way,
    is_open,
    of_exports,
    of_planned_exports,
    rows_of,
)
from pipeline.ledger.row_counts import (
    FILTERED,
    IDS,
    IDS_IN_FORCE,
    STATES,
    UNSEEN_TOKENS,
    RowCounts,
)
from pipeline.ledger.schema import (
    WITH_OTHER_DETAILS,
    attachments,
    attempts,
    customers,
    exports,
    outcomes,
    rows,
)
from pipeline.model import FAILURE_STATES, OPEN_STATES, OutcomeKind, RowState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_ANSWERED_WITHIN_MS: Final = 300_000
"""No answer is waited for as long; a later one belongs to a later attempt."""


class CountQuestions(RowCounts, FailureCounts):
    """Questions whose answers are numbers."""

    def by_state(self) -> dict[RowState, int]:
        """Count rows by state; every state is there, with zero where no row is in it.

        Rows of an export that is still being proved do not count: they may be thrown away.
        """
        return _by_state(self.counts(STATES))

    def by_export(self) -> dict[int, dict[str, int]]:
        """Count rows by export and state; states without a row are left out."""
        counted = self.counts_by_export(STATES)
        return {
            export_id: {state: found[state] for state in STATES if found[state]}
            for export_id, found in counted.items()
        }

    def states_of(self, export_ids: Collection[int]) -> dict[RowState, int]:
        """Count the rows of these exports by state."""
        return _by_state(self.counts(STATES, export_ids))

    def commonest_hints(self, codes: Collection[str], most: int) -> list[tuple[str, str, int]]:
        """Give code, hint and count of what is open with these codes, the commonest first."""
        found = self._all(
            select(rows.c.code, rows.c.hint, func.count())
            .where(
                of_planned_exports(), is_open(), rows.c.code.in_(codes), rows.c.hint.is_not(None)
            )
            .group_by(rows.c.code, rows.c.hint)
            .order_by(func.count().desc(), rows.c.code, rows.c.hint)
            .limit(most)
        )
        return [(str(code), str(hint), int(count)) for code, hint, count in found]

    def left_out(self, export_ids: Collection[int] | None = None) -> int:
        """Count the rows of these exports, or of all, that a run left out or that were given up."""
        return self.counts([FILTERED], export_ids)[FILTERED]

    def skipped_by_code(self) -> dict[str, int]:
        """Count the rows that are no failures and no cards to send, by why."""
        found = self._all(
            select(rows.c.code, func.count())
            .where(of_planned_exports(), rows.c.state == RowState.SKIPPED)
            .group_by(rows.c.code)
            .order_by(rows.c.code)
        )
        return {str(code): int(count) for code, count in found}

    def legacy_ids(self) -> dict[str, int]:
        """Count different legacy ids: `read`, `with_token` and `without_token`."""
        found = self.counts([IDS, IDS_IN_FORCE])
        read, with_token = found[IDS], found[IDS_IN_FORCE]
        return {"read": read, "with_token": with_token, "without_token": read - with_token}

    def with_other_details(self, export_ids: Collection[int] | None = None) -> int:
        """Count the rows that name a known card with other details than the row in force had then.

        Args:
            export_ids: Count rows of these exports only; default: of all.
        """
        counted = select(func.count()).select_from(rows)
        return self._number(counted.where(WITH_OTHER_DETAILS, rows_of(export_ids)))

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
        return self.counts([UNSEEN_TOKENS], export_ids)[UNSEEN_TOKENS]

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
            .where(
                outcomes.c.attempt_id >= self._first_attempt_since(since_ms - _ANSWERED_WITHIN_MS),
                outcomes.c.at_ms >= since_ms,
                answered,
                attempts.c.step.in_(steps),
            )
            .group_by(attempts.c.step)
        )
        counts, moments = [int(row[0]) for row in found], [int(row[1]) for row in found]
        return min(counts, default=0), min(moments, default=None)

    def _first_attempt_since(self, moment_ms: int) -> int:
        """Find the first attempt from a moment on by halves: their numbers grow with time.

        Where they do not quite, as several carriers' do not, a rate is a little off.
        """
        low, high = 1, self._number(select(func.coalesce(func.max(attempts.c.id), 0))) + 1
        while low < high:
            middle = (low + high) // 2
            at_ms = select(attempts.c.at_ms).where(attempts.c.id >= middle).order_by(attempts.c.id)
            found = self._first(at_ms.limit(1))
            if found is not None and found.at_ms < moment_ms:
                low = middle + 1
            else:
                high = middle
        return low

    def customers_by_cards(self) -> dict[int, int]:
        """Count customers by how many cards of theirs a run would send or has sent."""
        if not self._number(select(exists().select_from(customers))):
            return {}
        owned = (
            select(func.count().label("cards"))
            .where(of_planned_exports(), rows.c.customer.is_not(None))
            .group_by(rows.c.customer)
            .subquery()
        )
        cards = owned.c.cards
        found = self._all(select(cards, func.count()).group_by(cards).order_by(cards))
        return {int(cards): int(customers) for cards, customers in found}

    def attempts_made(self) -> int:
        """Count the intents ever written."""
        return self.rows_in(attempts)

    def is_any_attempt_open(self) -> bool:
        """Tell whether an attempt has no outcome; each outcome is that of one attempt."""
        return self.rows_in(attempts) != self.rows_in(outcomes)


def pending(counts: dict[RowState, int]) -> int:
    """Sum the states that a run still has to settle."""
    return sum(counts[state] for state in OPEN_STATES)


def _by_state(counted: Mapping[str, int]) -> dict[RowState, int]:
    return {state: counted.get(state.value, 0) for state in RowState}
