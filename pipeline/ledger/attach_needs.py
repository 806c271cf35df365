"""Counts which cards wait to be put on customers, and what that needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import and_, case, func, or_, select, true

from pipeline.ledger.flagged_cards import IS_TO_BE_DEFAULT, flagged
from pipeline.ledger.records import (
    NOT_ATTACHED_YET,
    AttachClaim,
    AttachState,
    AttemptStep,
    CustomerState,
)
from pipeline.ledger.row_conditions import of_exports
from pipeline.ledger.row_counts import TO_ATTACH, RowCounts
from pipeline.ledger.schema import attachments, attempts, customers, rows, tokens
from pipeline.model import OPEN_STATES, RowState

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Select

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


class Replaced(NamedTuple):
    """A card that is still on its customer, and the newer card of its legacy id, which is, too."""

    row_id: int
    card_id: str
    is_default: bool
    newer: AttachClaim


_CLAIM: Final = (
    *(rows.c.id, rows.c.customer, IS_TO_BE_DEFAULT, tokens.c.token_id, tokens.c.card_id),
    *(tokens.c.created_s, rows.c.last_digits, rows.c.expiration_month, rows.c.expiration_year),
    *(attachments.c.state, attachments.c.attempts, attachments.c.unknowns),
)


class AttachQuestions(RowCounts):
    """Questions about cards that are on no customer yet."""

    def is_any_customer_known(self) -> bool:
        """Tell whether a customer of this ledger has been seen at the vault."""
        known = select(customers.c.id).where(customers.c.customer_id.is_not(None)).limit(1)
        return self._first(known) is not None

    def unattached(self, export_ids: Collection[int] | None = None) -> int:
        """Count the tokens whose cards were to be attached and are not settled yet."""
        return self.counts([TO_ATTACH], export_ids)[TO_ATTACH]

    def defaults_to_move(self, *, on_given: bool) -> list[AttachClaim]:
        """Give attached cards that are to be their customers' defaults and are not yet.

        Args:
            on_given: Whether those of customers that we did not make are among them.
        """
        given = select(customers.c.id).where(customers.c.state == CustomerState.GIVEN)
        found = self._all(
            _attached(*_CLAIM).where(
                rows.c.superseded_by.is_(None),
                flagged(rows),
                IS_TO_BE_DEFAULT == 1,
                attachments.c.is_default == 0,
                true() if on_given else attachments.c.customer.not_in(given),
            )
        )
        return [AttachClaim._make(row) for row in found]

    def replaced_cards(self) -> list[Replaced]:
        """Give the cards that a newer one has replaced on the same customer, and that are there."""
        old, on = rows.alias("old"), attachments.alias("old_attachment")
        found = self._all(
            _attached(old.c.id, on.c.card_id, on.c.is_default, *_CLAIM)
            .join(old, old.c.superseded_by == rows.c.id)
            .join(on, on.c.row_id == old.c.id)
            .where(
                on.c.state == AttachState.ATTACHED,
                on.c.deleted_ms.is_(None),
                on.c.customer == attachments.c.customer,
                on.c.card_id != attachments.c.card_id,
            )
            .order_by(old.c.id)
        )
        return [Replaced(r[0], r[1], bool(r[2]), AttachClaim._make(r[3:])) for r in found]

    def cards_to_replace(self, export_ids: Collection[int]) -> int:
        """Count the attached cards that waiting rows of these exports, or settled ones, replace."""
        old, on = rows.alias("old"), attachments.alias("old_attachment")
        waiting = self._number(
            select(func.count())
            .select_from(rows)
            .join(old, old.c.id == rows.c.supersedes)
            .join(on, on.c.row_id == old.c.id)
            .where(
                of_exports(export_ids),
                rows.c.state.in_(OPEN_STATES),
                on.c.state == AttachState.ATTACHED,
                on.c.deleted_ms.is_(None),
                on.c.customer == rows.c.customer,
            )
        )
        return waiting + len(self.replaced_cards())

    def same_card_on(self, row: int, customer: int, fingerprint: str) -> str | None:
        """Give the card on a customer that is the card of a row: its number and its expiration."""
        ours = rows.alias("ours")
        found = self._first(
            _attached(attachments.c.card_id)
            .join(ours, ours.c.id == row)
            .where(
                attachments.c.customer == customer,
                tokens.c.fingerprint == fingerprint,
                rows.c.expiration_month == ours.c.expiration_month,
                rows.c.expiration_year == ours.c.expiration_year,
            )
            .limit(1)
        )
        return None if found is None else str(found[0])

    def fingerprint_of(self, row: int) -> str | None:
        """Give the vault's fingerprint of a row's card, by its token."""
        found = self._first(select(tokens.c.fingerprint).where(tokens.c.row_id == row))
        return None if found is None else found[0]

    def attempts_at(self, row: int, step: AttemptStep) -> int:
        """Count the requests of one kind that were ever made about a row's card."""
        here = (attempts.c.row_id == row, attempts.c.step == step)
        return self._number(select(func.count()).select_from(attempts).where(*here))

    def cards_to_attach(self, export_ids: Collection[int] | None = None) -> AttachNeeds:
        """Give what putting the waiting cards of these exports on customers needs."""
        waits = or_(rows.c.state.in_(OPEN_STATES), _IS_UNATTACHED)
        here = (of_exports(export_ids), rows.c.customer.is_not(None), waits)
        waiting = (
            select(
                rows.c.customer.label("customer"),
                func.count().label("cards"),
                func.max(case((IS_TO_BE_DEFAULT == 1, rows.c.id))).label("default"),
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
            waiting.c.default.is_not(None),
            is_known | is_given | (waiting.c.default != waiting.c.first),
        )
        sums = [func.sum(case((c, 1), else_=0)) for c in (is_known, is_given, moves)]
        found = self._all(
            select(func.count(), func.sum(waiting.c.cards), *sums)
            .select_from(waiting)
            .join(customers, customers.c.id == waiting.c.customer)
        )[0]
        total, cards, known, given, moved = (int(number or 0) for number in found)
        return AttachNeeds(cards, known, given, total - known - given, moved)


def _attached(*columns: Any) -> Select[Any]:
    return (
        select(*columns)
        .select_from(rows)
        .join(attachments, attachments.c.row_id == rows.c.id)
        .join(tokens, tokens.c.row_id == rows.c.id)
        .where(
            attachments.c.state == AttachState.ATTACHED,
            attachments.c.deleted_ms.is_(None),
            rows.c.state == RowState.TOKENIZED,
        )
    )
